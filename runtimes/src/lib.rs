//! Built-in runtimes, one file each, and what they are made of.
//!
//! In reading order:
//!
//! - [`builtin`]: the list of all runtime types a node offers
//! - [`local_process`]: a program on the node's machine
//! - [`remote_http`]: a server behind Streamable HTTP, of any revision
//! - [`remote_sse`]: a server behind HTTP+SSE, revision 2024-11-05
//! - [`tcp`]: a server behind a TCP or Unix socket
//! - [`docker`]: a container of any engine with the Docker API
//! - `lambda`: a server that is an AWS Lambda function (cargo feature `lambda`)
//! - [`plugin`]: a runtime type in another process, in any language; and how to serve one
//! - [`lines`]: newline JSON over two byte streams, for every runtime that fronts a pipe
//! - [`process`], [`program`], [`stderr`]: where processes start and end, and what they complain about
//! - [`supervisor`]: the process beside each process, which leaves nothing behind
//! - [`http_client`], [`http_endpoint`], [`event_stream`], [`outbox`], [`answers`]: what HTTP runtimes share
//! - [`settings`]: numbers with a unit, bounds and a default
//! - [`backoff`]: how long to wait before trying again
//! - [`conformance`]: the suite that every runtime passes

pub mod answers;
pub mod backoff;
pub mod conformance;
pub mod docker;
pub mod event_stream;
pub mod http_client;
pub mod http_endpoint;
#[cfg(feature = "lambda")]
pub mod lambda;
pub mod lines;
pub mod local_process;
pub mod outbox;
pub mod plugin;
pub mod process;
pub mod program;
pub mod remote_http;
pub mod remote_sse;
pub mod settings;
pub mod stderr;
pub mod supervisor;
pub mod tcp;
#[cfg(test)]
mod test_server;

use omcp_core::{GatewayError, RuntimeRegistry};

/// Every runtime type that comes with the gateway.
pub fn builtin() -> RuntimeRegistry {
    list().expect("built-in names are distinct").as_built_in(env!("CARGO_PKG_VERSION"))
}

fn list() -> Result<RuntimeRegistry, GatewayError> {
    let list = RuntimeRegistry::new()
        .with(docker::Docker::default())?
        .with(local_process::LocalProcess)?
        .with(plugin::Plugin)?
        .with(remote_http::RemoteHttp)?
        .with(remote_sse::RemoteSse)?
        .with(tcp::Tcp)?;
    #[cfg(feature = "lambda")]
    let list = list.with(lambda::Lambda)?;
    Ok(list)
}
