//! The control plane keeps what was asked: it checks backend definitions, stores and numbers them,
//! and publishes every change to the nodes. It can neither spawn nor dial.
//!
//! In reading order:
//!
//! - [`server`]: [`ControlPlane`], everything put together
//! - [`incoming`]: a listener that never fails
//! - [`config`]: [`Config`], everything that can be set
//! - [`api`]: the gRPC services: decode, call, encode
//! - [`apply`]: check, plan, commit: the one way in for all writes
//! - [`catalog`]: the runtime types that are known, and what their settings look like
//! - [`diff`]: what differs between two specs, field by field
//! - [`store`]: SQLite, written by one task on its own thread
//! - [`publish`]: the state in memory, and the frames that nodes receive
//! - [`sync`]: one node's stream
//! - [`keyring`]: the keys that nodes share
//! - [`fleet`]: what the nodes say about themselves
//! - [`record`]: a backend as it is stored
//! - [`error`]: why a request was refused

pub mod api;
pub mod apply;
pub mod catalog;
pub mod config;
pub mod diff;
pub mod error;
pub mod fleet;
pub mod incoming;
pub mod keyring;
pub mod publish;
pub mod record;
pub mod server;
pub mod store;
pub mod sync;

pub use config::Config;
pub use server::{ControlPlane, Running, StartError};
