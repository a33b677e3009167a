//! [`NodeIdentity`]: which node builds a runtime, and in which of its lives.

use std::sync::Arc;

/// What a runtime leaves outside the node (a container, a lease) carries this, so that the same node
/// finds it again after a crash and no other node takes it for its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeIdentity {
    /// For people. Two fleets may use one name.
    pub name: Arc<str>,
    /// Lives as long as the node's state, and belongs to one running node at a time. Empty for one that
    /// keeps no state: such a node must not claim anything of an earlier life.
    pub id: Arc<str>,
    /// New with every start.
    pub boot_id: Arc<str>,
}
