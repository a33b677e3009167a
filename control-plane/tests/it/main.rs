//! The control plane as its peers see it: in process, on free ports, over real gRPC.

mod harness;

mod apply;
mod backends;
mod fleet;
mod malformed;
mod operations;
mod sync;
