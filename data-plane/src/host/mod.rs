//! What the node's own machine lends to backends.
//!
//! - [`secrets`]: the values of `${NAME}` and `${file:NAME}`

pub mod secrets;
