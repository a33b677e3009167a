//! Many backends behind one endpoint: what they list together, whose a request is, and the sessions of
//! legacy clients with all of them.
//!
//! - [`selection`]: which backends belong to an endpoint
//! - [`view`]: these backends at one moment: their lists, merged, and who owns what
//! - [`views`]: the views of a node, made once per change
//! - [`handles`], [`names`]: what clients carry: cursors, and the names of tasks
//! - [`lists`]: answers to list requests, which wait for nobody
//! - [`changes`]: what clients are told when the lists change
//! - [`asks`]: questions of the backends, under ids of ours
//! - [`opening`]: a session with one backend, opened on behalf of a client
//! - [`leg`]: the part of a session that belongs to one backend
//! - [`refusals`]: what clients are told whose request has no backend to go to
//! - [`session`]: one legacy client with all of them

pub mod asks;
pub mod changes;
pub mod handles;
pub mod leg;
pub mod lists;
pub mod names;
pub mod opening;
pub mod refusals;
pub mod selection;
pub mod session;
pub mod view;
pub mod views;

pub use names::Names;
pub use selection::Selection;
pub use view::View;
pub use views::Views;

/// How the gateway introduces itself.
pub fn info() -> serde_json::Value {
    serde_json::json!({ "name": "omcp", "title": "Open MCP Gateway", "version": env!("CARGO_PKG_VERSION") })
}
