//! What the node's own machine lends to backends.
//!
//! - [`identity`]: who this node is, and in which of its lives
//! - [`secrets`]: the values of `${NAME}` and `${file:NAME}`

pub mod identity;
pub mod secrets;
