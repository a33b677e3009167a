//! [`Engine`]: a container engine behind its API, where every step has a deadline and every failure a
//! text that names the engine.
//!
//! The API client logs whole requests at debug, the environment of containers among them: a program
//! that runs a node must not let the target `bollard` log below info.

use std::fmt;
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use bollard::errors::Error;
use bollard::{API_DEFAULT_VERSION, BollardRequest, ClientVersion, Docker};
use bytes::Bytes;
use http::Request;
use http::header::{HOST, HeaderValue};
use hyper::Response;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use omcp_core::{ErrorKind, GatewayError};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;
use tokio::time::timeout;
use tower::ServiceExt;

/// So much of what an engine says goes into an error.
const ENGINE_TEXT_LEN_MAX: usize = 512;
/// How often a silent connection to another machine is tested.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// The client has a time-out of its own, in seconds; every step has a shorter one here.
const CLIENT_TIMEOUT_SECS: u64 = 2 * 3600;

/// Spoken with an engine that does not tell its version, as by Docker's own client.
const OLDEST_VERSION: ClientVersion = ClientVersion { major_version: 1, minor_version: 24 };

/// Where the API of an engine is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EngineAddress {
    Unix(PathBuf),
    /// `HOST:PORT`.
    Tcp(String),
}

impl FromStr for EngineAddress {
    type Err = GatewayError;

    fn from_str(text: &str) -> Result<Self, GatewayError> {
        let wrong = || {
            let reason = format!("{text:?} is no address: use unix:/path or tcp://host:port");
            GatewayError::invalid_settings(format!("engine: {reason}"))
        };
        if let Some(path) = text.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return if path.starts_with('/') { Ok(Self::Unix(path.into())) } else { Err(wrong()) };
        }
        let authority = text.strip_prefix("tcp://").and_then(|rest| rest.parse().ok());
        match authority {
            Some(authority) if http::uri::Authority::port_u16(&authority).is_some() => {
                Ok(Self::Tcp(authority.to_string()))
            }
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for EngineAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(authority) => write!(f, "tcp://{authority}"),
        }
    }
}

/// What an engine did not do.
pub struct Failure {
    /// The status it answered with, if it did answer.
    status: Option<u16>,
    error: GatewayError,
}

impl Failure {
    /// There is no such image, container or network.
    pub fn is_missing(&self) -> bool {
        self.status == Some(404)
    }

    /// The engine answered, so that it is there.
    pub fn is_answer(&self) -> bool {
        self.status.is_some()
    }

    /// Asking again may help: the engine was not reached, or blames itself.
    pub fn is_passing(&self) -> bool {
        !self.status.is_some_and(|status| (400..500).contains(&status))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl From<Failure> for GatewayError {
    fn from(failure: Failure) -> Self {
        failure.error
    }
}

/// A client of one engine.
#[derive(Clone)]
pub struct Engine {
    address: EngineAddress,
    client: Docker,
}

impl Engine {
    /// Reaches it and agrees on a version of the API.
    ///
    /// # Errors
    /// `Unreachable` or `Timeout`, naming the address.
    pub async fn connect(address: EngineAddress, wait: Duration) -> Result<Self, GatewayError> {
        let version = timeout(wait, version(address.clone(), wait)).await.map_err(|_| {
            let wait_ms = wait.as_millis();
            GatewayError::timeout(format!("the container engine at {address} did not answer in {wait_ms} ms"))
        })?;
        let version = version.map_err(|error| cannot_reach(&address, error))?;
        let target = address.clone();
        let transport = move |request| send(target.clone(), wait, request);
        let client = Docker::connect_with_custom_transport(
            transport,
            Some("http://engine"),
            CLIENT_TIMEOUT_SECS,
            &version,
        );
        let client = client.map_err(|error| cannot_reach(&address, error))?;
        Ok(Self { address, client })
    }

    pub fn client(&self) -> &Docker {
        &self.client
    }

    pub fn address(&self) -> &EngineAddress {
        &self.address
    }

    /// Waits for one step; `what` completes "could not ...".
    ///
    /// # Errors
    /// What the engine said, or that it said nothing in time.
    pub async fn step<T>(
        &self,
        what: &str,
        wait: Duration,
        step: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Failure> {
        match timeout(wait, step).await {
            Ok(done) => done.map_err(|error| self.failure(what, error)),
            Err(_) => Err(self.late(what, wait)),
        }
    }

    pub fn late(&self, what: &str, wait: Duration) -> Failure {
        let text =
            format!("the container engine at {} could not {what} in {} ms", self.address, wait.as_millis());
        Failure { status: None, error: GatewayError::timeout(text) }
    }

    pub fn failure(&self, what: &str, error: Error) -> Failure {
        let said = |status: Option<u16>, message: &str| {
            // An engine that finds the request itself wrong will find it wrong again.
            let kind = if status == Some(400) { ErrorKind::InvalidSettings } else { ErrorKind::Unreachable };
            let address = &self.address;
            let text = format!("the container engine at {address} could not {what}: {}", bounded(message));
            Failure { status, error: GatewayError::new(kind, text) }
        };
        match error {
            Error::DockerResponseServerError { status_code, message } => said(Some(status_code), &message),
            Error::DockerStreamError { error } => said(None, &error),
            error => {
                let text = format!("the container engine at {} could not {what}", self.address);
                Failure { status: None, error: GatewayError::unreachable(text).with_source(error) }
            }
        }
    }
}

fn cannot_reach(address: &EngineAddress, error: Error) -> GatewayError {
    let text = format!("no container engine answers at {address}: start it, or set engine to its API");
    GatewayError::unreachable(text).with_source(error)
}

fn bounded(message: &str) -> String {
    let line = message.trim().replace(['\n', '\r'], " ");
    match line.char_indices().nth(ENGINE_TEXT_LEN_MAX) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line,
    }
}

/// The newest version of the API that both know. A ping tells it at once; `/version` makes Podman run
/// other programs first, which takes it half a second and under load far more.
async fn version(address: EngineAddress, wait: Duration) -> Result<ClientVersion, Error> {
    let request = Request::get("/_ping").body(bollard::body_full(Bytes::new())).map_err(io::Error::other)?;
    let answer = send(address, wait, request).await?;
    if !answer.status().is_success() {
        return Err(io::Error::other(format!("a ping was answered with HTTP {}", answer.status())).into());
    }
    let told = answer.headers().get("api-version").and_then(|value| value.to_str().ok());
    let theirs = told.and_then(client_version).unwrap_or(OLDEST_VERSION);
    Ok(if theirs < *API_DEFAULT_VERSION { theirs } else { *API_DEFAULT_VERSION })
}

/// `1.41`.
fn client_version(text: &str) -> Option<ClientVersion> {
    let (major, minor) = text.split_once('.')?;
    Some(ClientVersion { major_version: major.parse().ok()?, minor_version: minor.parse().ok()? })
}

/// One request on a connection of its own, as the upgraded ones need it anyway.
async fn send(
    address: EngineAddress,
    wait: Duration,
    request: BollardRequest,
) -> Result<Response<Incoming>, Error> {
    let late = || Error::from(io::Error::from(io::ErrorKind::TimedOut));
    match address {
        EngineAddress::Unix(path) => {
            let stream = timeout(wait, UnixStream::connect(path)).await.map_err(|_| late())??;
            exchange(stream, request).await
        }
        EngineAddress::Tcp(authority) => {
            let url = format!("http://{authority}").parse().map_err(io::Error::other)?;
            let mut connector = HttpConnector::new();
            connector.set_nodelay(true);
            // A machine that vanishes would leave its calls to their own time-out.
            connector.set_keepalive(Some(KEEP_ALIVE));
            let dialed = timeout(wait, connector.oneshot(url)).await.map_err(|_| late())?;
            exchange(dialed.map_err(io::Error::other)?.into_inner(), request).await
        }
    }
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    mut request: BollardRequest,
) -> Result<Response<Incoming>, Error> {
    if let Some(path) = request.uri().path_and_query().cloned() {
        *request.uri_mut() = path.into();
    }
    request.headers_mut().insert(HOST, HeaderValue::from_static("engine"));
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // It ends with the exchange, or hands the stream over to whoever upgrades it.
    tokio::spawn(connection.with_upgrades());
    Ok(sender.send_request(request).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for (text, shown) in [
            ("unix:/var/run/docker.sock", "unix:/var/run/docker.sock"),
            ("unix:///run/podman/podman.sock", "unix:/run/podman/podman.sock"),
            ("tcp://127.0.0.1:2375", "tcp://127.0.0.1:2375"),
            ("tcp://[::1]:2375", "tcp://[::1]:2375"),
        ] {
            assert_eq!(text.parse::<EngineAddress>().unwrap().to_string(), shown);
        }
        for text in [
            "",
            "unix:",
            "unix:docker.sock",
            "tcp://",
            "tcp://host",
            "http://h:1",
            "/run/x.sock",
            "tcp://h:1/x",
        ] {
            let error = text.parse::<EngineAddress>().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidSettings);
            assert!(error.to_string().starts_with("engine: "), "{error}");
        }
    }

    #[test]
    fn versions() {
        let of = |text| client_version(text).map(|version| version.to_string());
        assert_eq!(of("1.41"), Some(ClientVersion { major_version: 1, minor_version: 41 }.to_string()));
        assert_eq!([of(""), of("1"), of("1.x"), of("1.2.3")], [const { None }; 4]);
    }

    #[tokio::test]
    async fn silence_has_an_end() {
        let directory = std::env::temp_dir().join(format!("omcp-engine-{}", std::process::id()));
        let listener = tokio::net::UnixListener::bind(&directory).unwrap();
        let address = EngineAddress::Unix(directory.clone());
        let error = Engine::connect(address, Duration::from_millis(100)).await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Timeout);
        assert!(error.to_string().ends_with("did not answer in 100 ms"), "{error}");
        drop(listener);
        std::fs::remove_file(directory).unwrap();
    }

    #[test]
    fn what_an_engine_says_is_one_short_line() {
        assert_eq!(bounded(" no such\nimage\n"), "no such image");
        assert_eq!(bounded(&"ä".repeat(600)).chars().count(), ENGINE_TEXT_LEN_MAX + 3);
    }
}
