//! The gRPC services: decode, call, encode.
//!
//! - [`status`]: the one place where errors become gRPC codes
//! - [`explained`]: details for the errors that tonic makes by itself
//! - [`actor`]: who asks
//! - [`backends`], [`manifests`], [`fleet`]: the admin services
//! - [`page`]: page tokens
//! - [`watch`]: the stream of WatchBackends
//! - [`sync`]: the service for nodes

pub mod actor;
pub mod backends;
pub mod explained;
pub mod fleet;
pub mod manifests;
pub mod page;
pub mod status;
pub mod sync;
pub mod watch;
