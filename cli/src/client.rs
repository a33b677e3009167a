//! [`Client`]: the control plane's services, with deadlines and the name of who asks.

use std::time::Duration;

use omcp_proto::MESSAGE_LEN_MAX;
use omcp_proto::v1::backend_service_client::BackendServiceClient;
use omcp_proto::v1::fleet_service_client::FleetServiceClient;
use omcp_proto::v1::manifest_service_client::ManifestServiceClient;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use crate::failure::{Cause, Failure};

/// Longest wait for TCP to the control plane; a server that is up answers within one round trip.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How often an idle stream is probed, so that a rollout does not wait on a dead connection.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

pub type Service = InterceptedService<Channel, Actor>;

/// A lazily connected control plane.
#[derive(Clone, Debug)]
pub struct Client {
    channel: Channel,
    actor: Actor,
}

impl Client {
    /// Prepares to talk to `server`, a URL or `host:port`. Each call ends within `timeout`.
    ///
    /// # Errors
    /// The address is none.
    pub fn new(server: &str, timeout: Duration) -> Result<Self, Failure> {
        let channel = endpoint(server)?
            .connect_timeout(CONNECT_TIMEOUT.min(timeout))
            .timeout(timeout)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .connect_lazy();
        Ok(Self { channel, actor: Actor::here() })
    }

    pub fn backends(&self) -> BackendServiceClient<Service> {
        BackendServiceClient::with_interceptor(self.channel.clone(), self.actor.clone())
            .max_decoding_message_size(MESSAGE_LEN_MAX)
    }

    pub fn manifests(&self) -> ManifestServiceClient<Service> {
        ManifestServiceClient::with_interceptor(self.channel.clone(), self.actor.clone())
            .max_decoding_message_size(MESSAGE_LEN_MAX)
    }

    pub fn fleet(&self) -> FleetServiceClient<Service> {
        FleetServiceClient::with_interceptor(self.channel.clone(), self.actor.clone())
            .max_decoding_message_size(MESSAGE_LEN_MAX)
    }
}

fn endpoint(server: &str) -> Result<Endpoint, Failure> {
    let url = if server.contains("://") { server.to_owned() } else { format!("http://{server}") };
    let invalid = |why: String| {
        Failure::new(Cause::Invalid, format!("use {server:?} as the server"), why)
            .fix("name it as in --server http://127.0.0.1:4181")
    };
    if !url.starts_with("http://") {
        return Err(invalid("only http:// is spoken; put a TLS proxy or a tunnel in between".into()));
    }
    Endpoint::from_shared(url).map_err(|error| invalid(error.to_string()))
}

/// Adds `omcp-actor: user@host` to every call, for the history of the control plane.
#[derive(Clone, Debug)]
pub struct Actor(MetadataValue<Ascii>);

impl Actor {
    fn here() -> Self {
        let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let user = variable("USER").or_else(|| variable("LOGNAME")).unwrap_or_else(|| "unknown".into());
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").ok().or_else(|| variable("HOSTNAME"));
        Self(actor(&user, host.as_deref().unwrap_or("unknown").trim()))
    }
}

/// Header values hold visible ASCII only.
fn actor(user: &str, host: &str) -> MetadataValue<Ascii> {
    let text: String = format!("{user}@{host}").chars().filter(char::is_ascii_graphic).take(128).collect();
    text.parse().expect("visible ASCII is a header value")
}

impl Interceptor for Actor {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("omcp-actor", self.0.clone());
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actors_are_ascii() {
        assert_eq!(actor("jörg\n", "box").to_str().unwrap(), "jrg@box");
    }

    #[tokio::test]
    async fn addresses() {
        for good in ["http://127.0.0.1:4181", "localhost:4181", "http://[::1]:1"] {
            assert!(Client::new(good, KEEP_ALIVE).is_ok(), "{good}");
        }
        for bad in ["https://x", "", "http://", "ftp://x", "http://a b"] {
            assert!(Client::new(bad, KEEP_ALIVE).is_err(), "{bad}");
        }
    }
}
