//! [`StreamEnd`]: why a stream ends. Which gRPC code that is, `api::status` decides.

use crate::error::Error;

/// Why a stream ends.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StreamEnd {
    #[error("the node left")]
    NodeLeft,
    #[error("a newer stream of node {0:?} has taken over: give each node its own name")]
    Replaced(String),
    #[error("nothing was heard of node {node:?} for {silent_ms} ms")]
    Silent { node: String, silent_ms: u128 },
    #[error("no Hello came within {0} ms")]
    NoHello(u128),
    #[error("{0}")]
    Protocol(String),
    #[error(
        "the node speaks sync protocol {min} to {max}, this control plane speaks {spoken}: upgrade the older one"
    )]
    Version { min: u32, max: u32, spoken: u32 },
    #[error("{0}")]
    Refused(#[from] Error),
    #[error("the node's message cannot be read: {}", .0.message())]
    Unreadable(tonic::Status),
}
