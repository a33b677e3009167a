//! The control plane as its peers see it: in process, on free ports, over real gRPC.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

mod harness;
mod keyring;

mod apply;
mod backends;
mod fleet;
mod malformed;
mod operations;
mod sync;
