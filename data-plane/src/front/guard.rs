//! In front of every path: may this request be here at all? `Host` and `Origin`, against DNS
//! rebinding and foreign web pages (Streamable HTTP: Security Warning).

use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::future::{Either, Ready, ready};
use http::{HeaderValue, Request, Response, Uri};
use hyper::service::Service;
use omcp_mcp::refusal::Refusal;

use super::arrived::{Field, Said};
use super::body::Body;
use super::config::FrontConfig;
use super::reply;

/// What a listener trusts.
#[derive(Debug)]
pub struct Trust {
    hosts: Vec<String>,
    origins: Vec<String>,
    loopback: bool,
}

impl Trust {
    pub fn new(config: &FrontConfig, listen: SocketAddr) -> Self {
        Self {
            hosts: config.allowed_hosts.iter().map(|host| host.to_ascii_lowercase()).collect(),
            origins: config.allowed_origins.iter().map(|origin| canonical(origin)).collect(),
            loopback: listen.ip().is_loopback(),
        }
    }

    /// # Errors
    /// The answer to what may not pass.
    pub fn check(&self, uri: &Uri, said: &Said) -> Result<(), Refusal> {
        if !self.host_is_fine(uri, &said.host) {
            return Err(Refusal::forbidden(
                "this Host is not served here; start the node with --allow-host to add it",
            ));
        }
        if !self.origin_is_fine(&said.origin) {
            return Err(Refusal::forbidden(
                "this Origin may not call; start the node with --allow-origin to add it",
            ));
        }
        Ok(())
    }

    fn host_is_fine(&self, uri: &Uri, host: &Field) -> bool {
        let host = match host.first() {
            Some(_) if host.is_repeated => None,
            Some(host) => host.to_str().ok(),
            None => uri.authority().map(|authority| authority.as_str()),
        };
        let Some(host) = host.map(without_port) else {
            return false;
        };
        if self.hosts.is_empty() && !self.loopback {
            return true;
        }
        (self.loopback && is_loopback(host))
            || self.hosts.iter().any(|allowed| allowed.eq_ignore_ascii_case(host))
    }

    fn origin_is_fine(&self, origin: &Field) -> bool {
        origin.first().is_none_or(|given| !origin.is_repeated && self.allows_origin(given))
    }

    /// Whether a browser at this origin may call.
    pub fn allows_origin(&self, origin: &HeaderValue) -> bool {
        let Ok(origin) = origin.to_str() else { return false };
        let own = self.loopback && web_host(origin).is_some_and(is_loopback);
        own || self.origins.contains(&canonical(origin))
    }
}

/// Lower case, the default port left out.
fn canonical(origin: &str) -> String {
    let lower = origin.to_ascii_lowercase();
    for (scheme, port) in [("http://", ":80"), ("https://", ":443")] {
        if lower.starts_with(scheme) {
            return lower.strip_suffix(port).map_or(lower.clone(), str::to_owned);
        }
    }
    lower
}

fn web_host(origin: &str) -> Option<&str> {
    let rest = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"))?;
    let plain = !rest.contains(['/', '@', '?', '#']);
    plain.then(|| without_port(rest))
}

fn without_port(authority: &str) -> &str {
    let colon = memchr::memrchr(b':', authority.as_bytes());
    match colon.map(|at| (&authority[..at], &authority[at + 1..])) {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !host.ends_with(':') => host,
        _ => authority,
    }
}

fn is_loopback(host: &str) -> bool {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    // The usual one first: it need not be parsed.
    host == "127.0.0.1"
        || host.eq_ignore_ascii_case("localhost")
        || bare.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Answers what may not pass, in front of `inner`. A hyper service rather than a tower one: those are
/// cloned for every request.
#[derive(Debug)]
pub struct Guard<S> {
    pub trust: Arc<Trust>,
    pub inner: S,
}

impl<S, B> Service<Request<B>> for Guard<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Either<S::Future, Ready<Result<Response<Body>, S::Error>>>;

    fn call(&self, request: Request<B>) -> Self::Future {
        match self.trust.check(request.uri(), &Said::of(request.headers())) {
            Ok(()) => Either::Left(self.inner.call(request)),
            Err(refusal) => Either::Right(ready(Ok(reply::refusal(&refusal)))),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use http::header::{HOST, ORIGIN};

    use super::*;

    fn trust(listen: &str, hosts: &[&str], origins: &[&str]) -> Trust {
        let owned = |items: &[&str]| items.iter().map(ToString::to_string).collect();
        let config = FrontConfig {
            allowed_hosts: owned(hosts),
            allowed_origins: owned(origins),
            ..FrontConfig::default()
        };
        Trust::new(&config, listen.parse().unwrap())
    }

    fn check(trust: &Trust, host: &[&str], origin: &[&str]) -> bool {
        let mut headers = HeaderMap::new();
        for value in host {
            headers.append(HOST, value.parse().unwrap());
        }
        for value in origin {
            headers.append(ORIGIN, value.parse().unwrap());
        }
        trust.check(&Uri::from_static("/mcp/a"), &Said::of(&headers)).is_ok()
    }

    #[test]
    fn a_loopback_listener_serves_loopback_names_only() {
        let trust = trust("127.0.0.1:4180", &[], &[]);
        for host in ["localhost", "localhost:4180", "127.0.0.1:1", "[::1]:4180", "[::1]", "LOCALHOST"] {
            assert!(check(&trust, &[host], &[]), "{host}");
        }
        for host in ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:4180", "10.0.0.1", ""]
        {
            assert!(!check(&trust, &[host], &[]), "{host}");
        }
        assert!(!check(&trust, &["localhost", "localhost"], &[]), "two Host headers");
        assert!(!check(&trust, &[], &[]), "no Host header");
    }

    #[test]
    fn origins_are_compared_whole() {
        let local = trust("127.0.0.1:4180", &[], &["https://app.example"]);
        for origin in
            ["http://localhost:3000", "http://127.0.0.1", "https://app.example", "https://APP.example:443"]
        {
            assert!(check(&local, &["localhost"], &[origin]), "{origin}");
        }
        for origin in [
            "https://app.example.evil",
            "https://evil.example",
            "null",
            "http://app.example",
            "https://app.example:444",
        ] {
            assert!(!check(&local, &["localhost"], &[origin]), "{origin}");
        }
        assert!(!check(&local, &["localhost"], &["http://localhost", "http://localhost"]), "two Origins");
        let public = trust("10.0.0.1:4180", &["gw.example"], &[]);
        assert!(check(&public, &["gw.example:4180"], &[]));
        assert!(
            !check(&public, &["gw.example"], &["http://localhost:3000"]),
            "a browser on the node is foreign"
        );
    }
}
