//! The other end of the wire: any runtime types, served as a plugin.
//!
//! A whole plugin is its types and one line:
//!
//! ```no_run
//! # mod mine { pub fn registry() -> omcp_core::RuntimeRegistry { omcp_core::RuntimeRegistry::new() } }
//! fn main() -> std::process::ExitCode {
//!     omcp_runtimes::plugin::main("my-plugin", env!("CARGO_PKG_VERSION"), mine::registry())
//! }
//! ```
//!
//! - [`listener`]: where it listens
//! - [`mod@main`]: the whole program
//! - `conversation`: one open stream

mod conversation;
pub mod listener;
pub mod main;

use std::io;
use std::sync::Arc;

use omcp_core::RuntimeRegistry;
use omcp_proto::plugin::PROTOCOL;
use omcp_proto::plugin::v1::plugin_service_server::{PluginService, PluginServiceServer};
use omcp_proto::plugin::v1::{DescribeRequest, DescribeResponse, OpenRequest, OpenResponse, RuntimeType};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::place::WINDOW_LEN;
use super::wire;
use crate::settings::MESSAGE_LEN_MAX;

pub use listener::Listener;
pub use main::{SOCKET_VARIABLE, main};

/// Responses of one stream that the node has not taken yet: few, as each may be as long as a message.
const RESPONSES_MAX: usize = 8;

/// What a plugin says of itself, and its runtime types.
#[derive(Clone)]
pub struct Server {
    name: String,
    version: String,
    registry: Arc<RuntimeRegistry>,
}

/// Serves `registry` as the plugin `name` until the future is dropped.
///
/// # Errors
/// The listener failed.
pub async fn serve(
    name: &str,
    version: &str,
    registry: RuntimeRegistry,
    listener: impl Into<Listener>,
) -> io::Result<()> {
    Server::new(name, version, registry).run(listener, std::future::pending()).await
}

impl Server {
    pub fn new(name: &str, version: &str, registry: RuntimeRegistry) -> Self {
        Self { name: name.to_owned(), version: version.to_owned(), registry: Arc::new(registry) }
    }

    /// Serves until `stop` resolves and the streams that are open then have ended.
    ///
    /// # Errors
    /// The listener failed.
    pub async fn run(self, listener: impl Into<Listener>, stop: impl Future<Output = ()>) -> io::Result<()> {
        let (reporter, health) = tonic_health::server::health_reporter();
        reporter.set_serving::<PluginServiceServer<Self>>().await;
        let service =
            PluginServiceServer::new(self).max_decoding_message_size(wire::frame_len_max(MESSAGE_LEN_MAX));
        let router = tonic::transport::Server::builder()
            .initial_stream_window_size(WINDOW_LEN)
            .initial_connection_window_size(WINDOW_LEN)
            .add_service(health)
            .add_service(service);
        let served = match listener.into() {
            Listener::Unix(incoming) => router.serve_with_incoming_shutdown(incoming, stop).await,
            Listener::Tcp(incoming) => router.serve_with_incoming_shutdown(incoming, stop).await,
        };
        served.map_err(io::Error::other)
    }
}

#[tonic::async_trait]
impl PluginService for Server {
    async fn describe(&self, _: Request<DescribeRequest>) -> Result<Response<DescribeResponse>, Status> {
        let types = self.registry.iter().map(|kind| RuntimeType {
            name: kind.name().to_owned(),
            settings_schema_json: kind.settings_schema().to_string(),
        });
        Ok(Response::new(DescribeResponse {
            name: self.name.clone(),
            version: self.version.clone(),
            protocol_min: PROTOCOL,
            protocol_max: PROTOCOL,
            runtime_types: types.collect(),
        }))
    }

    type OpenStream = ReceiverStream<Result<OpenResponse, Status>>;

    async fn open(
        &self,
        requests: Request<Streaming<OpenRequest>>,
    ) -> Result<Response<Self::OpenStream>, Status> {
        let (responses, stream) = mpsc::channel(RESPONSES_MAX);
        tokio::spawn(conversation::run(Arc::clone(&self.registry), requests.into_inner(), responses));
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}
