//! The integration suite: each module tells one story about the real programs.

/// Which crate may use which; no circles between modules.
mod architecture;
/// The control plane knows the settings of the built-in runtime types.
mod schemas;

/// Requests as nodes hand them over to each other.
mod envoy;

/// Many backends behind one endpoint.
mod aggregate;
/// Three nodes, and each request goes to any of them.
mod any_node;
/// A manifest reaches every node.
mod apply_reaches_node;
/// What a client does directly it also does through a node.
mod call_through_node;
/// One control plane, three nodes, twenty backends: what may be killed and edited meanwhile.
mod fleet;
/// What clients carry is good for one principal at one endpoint.
mod handles;
/// AWS Lambda functions behind a node.
mod lambda;
/// A node without its control plane.
mod last_good;
/// An older copy of the database is put back.
mod restored_store;
/// The official Rust SDK as a client.
mod rmcp_client;
/// A client that starts its servers as programs.
mod stdio_client;

/// Servers in containers, on a real engine.
mod containers;
/// A node with a runtime type of its own beside one without.
mod custom_runtime;
/// The page about runtime types of one's own.
mod custom_runtimes_page;
/// One manifest with every runtime type; each peer is killed in turn.
mod every_runtime;
/// Secrets are resolved on the node, and told nowhere.
mod secrets;

/// Servers that misbehave.
mod bad_backends;
/// A call that nobody wants any more is cancelled at the backend.
mod cancellation;
/// The admin tool as scripts see it.
mod cli;
/// Calls in flight when their backend dies are answered at once.
mod in_flight;
/// Calls outlive changes, drains and the death of others.
mod lifecycle;
/// HTTP servers that forget their sessions.
mod lost_sessions;
/// However a process, its supervisor or its node ends, nothing is left of it.
mod no_orphan;
/// Runtime types in other processes.
mod plugins;
/// Whom a process serves where principals are kept apart.
mod principals;
/// Who shares a process, and which stand ready for the next sessions.
mod session_processes;
/// Clients that send slowly, or hold every descriptor.
mod slow_clients;

/// gRPC requests that no client would send.
mod bad_grpc;
/// Manifests with mistakes.
mod bad_manifests;
/// Requests that nobody should send: the documented answer each time.
mod bad_requests;
/// Settings that their runtime type forbids, sent all the same.
mod forbidden_settings;
