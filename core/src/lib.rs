//! Nouns and contracts. No I/O, no gRPC, no SQL, no HTTP.
//!
//! In reading order:
//!
//! - [`backend`]: what was asked: [`Backend`], its name and its limits
//! - [`invalid`]: [`InvalidBackend`], why it cannot be
//! - [`lifecycle`]: when its connections start and end
//! - [`config`]: [`RuntimeConfig`], a type name and that type's settings
//! - [`reference`](mod@reference): `${NAME}`, resolved only on the node that builds the runtime
//! - [`redaction`]: references put back where their values slipped into a text
//! - [`runtime`]: [`Runtime`] and [`BackendConnection`], how a node reaches a backend
//! - [`runtime_type`]: [`RuntimeType`], a kind of runtime, and its erased form
//! - [`registry`]: [`RuntimeRegistry`], the types one node offers
//! - [`node`]: [`NodeIdentity`], which node builds a runtime, and in which of its lives
//! - [`message`]: [`McpMessage`], one JSON-RPC message as bytes
//! - [`revision`]: [`Revision`], [`Epoch`], [`Digest`], [`Snapshot`]
//! - [`settings_schema`]: settings checked against the schema of their type, in words a person can act on
//! - [`mod@nearest`]: "did you mean"
//! - [`mod@plan`]: the difference between what runs and what is wanted
//! - [`error`]: [`GatewayError`]: what failed, whose fault, may one retry

pub mod backend;
pub mod config;
pub mod error;
pub mod invalid;
pub mod lifecycle;
pub mod message;
pub mod nearest;
pub mod node;
pub mod plan;
pub mod redaction;
pub mod reference;
pub mod registry;
pub mod revision;
pub mod runtime;
pub mod runtime_type;
pub mod settings_schema;

pub use backend::{Backend, BackendName, EraPin};
pub use config::RuntimeConfig;
pub use error::{ErrorKind, Fault, GatewayError};
pub use invalid::InvalidBackend;
pub use lifecycle::Lifecycle;
pub use message::McpMessage;
pub use nearest::nearest;
pub use node::NodeIdentity;
pub use plan::{Change, plan};
pub use registry::{RuntimeRegistry, TypeDescription};
pub use revision::{Digest, Epoch, Revision, Snapshot};
pub use runtime::{BackendConnection, HttpUpstream, Runtime, RuntimeContext, StderrSink};
pub use runtime_type::{DynRuntimeType, Origin, RuntimeType};
pub use settings_schema::SettingsSchema;
