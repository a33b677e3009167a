//! [`Place`]: where a plugin listens.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use omcp_core::GatewayError;
use tonic::transport::{Channel, Endpoint};

/// A dead host is noticed by TCP. Not by HTTP/2 pings: gRPC servers take frequent ones for an attack.
const TCP_KEEPALIVE: Duration = Duration::from_secs(30);
/// What is received and not yet read, per direction: a window for messages of common size.
pub const WINDOW_LEN: u32 = 1024 * 1024;

/// An address that a plugin listens on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    Unix(PathBuf),
    /// `http://HOST:PORT`.
    Tcp(String),
}

impl Place {
    /// Opens one HTTP/2 connection.
    ///
    /// # Errors
    /// `Unreachable` and `Timeout`, with the address.
    pub async fn dial(&self, wait: Duration) -> Result<Channel, GatewayError> {
        let failed = |error| GatewayError::unreachable(format!("no plugin at {self}")).with_source(error);
        let endpoint = Endpoint::from_shared(self.to_string()).map_err(failed)?;
        let endpoint = endpoint
            .tcp_nodelay(true)
            .tcp_keepalive(Some(TCP_KEEPALIVE))
            .initial_stream_window_size(WINDOW_LEN)
            .initial_connection_window_size(WINDOW_LEN);
        match tokio::time::timeout(wait, endpoint.connect()).await {
            Ok(connected) => connected.map_err(failed),
            Err(_) => {
                let text = format!("no connection to the plugin at {self} in {} ms", wait.as_millis());
                Err(GatewayError::timeout(text))
            }
        }
    }

    /// Whether what it says of processes is about this machine.
    pub fn is_local(&self) -> bool {
        matches!(self, Self::Unix(_))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(url) => f.write_str(url),
        }
    }
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            let path = PathBuf::from(path.strip_prefix("//").unwrap_or(path));
            return match path.is_absolute() {
                true => Ok(Self::Unix(path)),
                false => Err("the path after unix: has to be absolute".to_owned()),
            };
        }
        let url = text.parse::<http::Uri>().ok();
        let plain = |url: &http::Uri| {
            url.scheme_str() == Some("http") && url.port().is_some() && matches!(url.path(), "" | "/")
        };
        // The text may hold a resolved secret, so it is not quoted.
        match url.filter(plain).as_ref().and_then(http::Uri::authority) {
            Some(authority) if !authority.as_str().contains('@') => {
                Ok(Self::Tcp(format!("http://{authority}")))
            }
            _ => Err("write unix:/path or http://host:port".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_and_nothing_else() {
        for (text, shown) in [
            ("unix:/run/x.sock", "unix:/run/x.sock"),
            ("unix:///run/x.sock", "unix:/run/x.sock"),
            ("http://127.0.0.1:7000/", "http://127.0.0.1:7000"),
            ("http://plugins.local:7000", "http://plugins.local:7000"),
        ] {
            assert_eq!(text.parse::<Place>().unwrap().to_string(), shown);
        }
        for text in [
            "unix:x.sock",
            "/run/x.sock",
            "http://host",
            "https://host:1",
            "http://h:1/p",
            "http://u:p@h:1",
            "",
        ] {
            assert!(text.parse::<Place>().is_err(), "{text}");
        }
    }
}
