//! [`Endpoint`]: where the server listens.

use std::fmt;
use std::path::PathBuf;

use http::uri::Authority;
use omcp_core::GatewayError;

/// A checked `endpoint`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// Host and port.
    Tcp(Authority),
    Unix(PathBuf),
}

impl Endpoint {
    /// # Errors
    /// `InvalidSettings` naming `endpoint`.
    pub fn parse(text: &str) -> Result<Self, GatewayError> {
        if let Some(path) = text.strip_prefix("unix:") {
            if !path.starts_with('/') || path.contains('\0') {
                return Err(invalid("a Unix socket is named by its absolute path: unix:/PATH"));
            }
            return Ok(Self::Unix(path.into()));
        }
        let authority: Authority = text.parse().map_err(|_| invalid("write HOST:PORT or unix:/PATH"))?;
        let port = authority.port_u16().filter(|port| *port != 0);
        if authority.host().is_empty() || authority.as_str().contains('@') || port.is_none() {
            return Err(invalid("write HOST:PORT or unix:/PATH"));
        }
        Ok(Self::Tcp(authority))
    }

    /// The host as a certificate names it.
    pub fn host(&self) -> Option<&str> {
        match self {
            Self::Tcp(authority) => Some(authority.host().trim_start_matches('[').trim_end_matches(']')),
            Self::Unix(_) => None,
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(authority) => authority.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

fn invalid(why: &str) -> GatewayError {
    GatewayError::invalid_settings(format!("endpoint: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_addresses_and_paths() {
        for (text, host) in [
            ("mcp.example.com:9999", Some("mcp.example.com")),
            ("10.0.0.1:1", Some("10.0.0.1")),
            ("[::1]:65535", Some("::1")),
            ("unix:/run/mcp.sock", None),
        ] {
            let endpoint = Endpoint::parse(text).unwrap();
            assert_eq!((endpoint.host(), endpoint.to_string().as_str()), (host, text));
        }
    }

    #[test]
    fn anything_else_is_refused_by_field() {
        for text in [
            "",
            "host",
            ":1",
            "host:",
            "host:0",
            "host:65536",
            "http://h:1",
            "u:p@h:1",
            "h:1/p",
            "unix:x",
            "unix:",
            "::1:9",
        ] {
            let error = Endpoint::parse(text).unwrap_err();
            assert!(error.to_string().starts_with("endpoint: "), "{text}: {error}");
        }
    }
}
