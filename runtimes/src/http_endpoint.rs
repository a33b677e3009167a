//! [`HttpEndpoint`]: a checked URL and the headers sent with every request to it.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, header};
use http_body_util::Full;
use omcp_core::{ErrorKind, GatewayError};

/// Headers that settings must not name: the gateway writes them, or they belong to one connection.
const RESERVED_HEADERS: [&str; 16] = [
    "accept",
    "connection",
    "content-length",
    "content-type",
    "host",
    "keep-alive",
    "last-event-id",
    "mcp-method",
    "mcp-name",
    "mcp-protocol-version",
    "mcp-session-id",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Where a remote backend is. Holds resolved secrets: never logged.
#[derive(Clone)]
pub struct HttpEndpoint {
    uri: Uri,
    headers: HeaderMap,
}

impl HttpEndpoint {
    /// # Errors
    /// `InvalidSettings` naming the field `url` or `headers.NAME`, without its value.
    pub fn new(url: &str, headers: &BTreeMap<String, String>) -> Result<Self, GatewayError> {
        Ok(Self { uri: checked_url(url)?, headers: checked_headers(headers)? })
    }

    /// Another URL of the same backend.
    pub fn with_uri(&self, uri: Uri) -> Self {
        Self { uri, headers: self.headers.clone() }
    }

    /// Host and port, for messages; the path may hold a secret.
    pub fn host(&self) -> &str {
        self.uri.authority().map_or("", |authority| authority.as_str())
    }

    /// A request without body.
    pub fn bare(&self, method: Method) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::default());
        *request.method_mut() = method;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        request
    }

    /// A request for an event stream.
    pub fn get_events(&self) -> Request<Full<Bytes>> {
        let mut request = self.bare(Method::GET);
        request.headers_mut().insert(header::ACCEPT, HeaderValue::from_static("text/event-stream"));
        request
    }

    /// A request that carries one message.
    pub fn post(&self, message: Bytes, accept: &'static str) -> Request<Full<Bytes>> {
        let mut request = self.bare(Method::POST);
        *request.body_mut() = Full::new(message);
        let headers = request.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
        request
    }

    /// The URL that `reference` means beside this one (RFC 3986, section 5), if it has the same origin.
    ///
    /// # Errors
    /// `Protocol`: no URL, or another origin. Our headers hold credentials for this one only.
    pub fn resolve(&self, reference: &str) -> Result<Uri, GatewayError> {
        let refused =
            |why: &str| GatewayError::new(ErrorKind::Protocol, format!("{} named {why}", self.host()));
        let absolute = self.absolute(reference.split('#').next().unwrap_or_default());
        let uri: Uri = absolute.parse().map_err(|_| refused("an endpoint that is no URL"))?;
        if origin(&uri) != origin(&self.uri) {
            return Err(refused("an endpoint of another origin"));
        }
        Ok(uri)
    }

    fn absolute(&self, reference: &str) -> String {
        let scheme = self.uri.scheme_str().unwrap_or_default();
        let path = self.uri.path();
        let lower = reference.get(..8).unwrap_or(reference).to_ascii_lowercase();
        let path = match reference {
            _ if lower.starts_with("http:") || lower.starts_with("https:") => return reference.to_owned(),
            _ if reference.starts_with("//") => return format!("{scheme}:{reference}"),
            "" => self.uri.path_and_query().map_or(path, |both| both.as_str()).to_owned(),
            _ if reference.starts_with('/') => reference.to_owned(),
            _ if reference.starts_with('?') => format!("{path}{reference}"),
            _ => format!("{}/{reference}", path.rsplit_once('/').map_or("", |(parent, _)| parent)),
        };
        format!("{scheme}://{}{}", self.host(), without_dots(&path))
    }
}

fn checked_url(url: &str) -> Result<Uri, GatewayError> {
    let invalid = |why: &str| GatewayError::invalid_settings(format!("url: {why}"));
    let uri: Uri =
        url.parse().map_err(|_| invalid("is no URL; write http://HOST/PATH or https://HOST/PATH"))?;
    let authority = uri.authority().ok_or_else(|| invalid("has to begin with http:// or https://"))?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err(invalid("has to begin with http:// or https://"));
    }
    if authority.as_str().contains('@') {
        return Err(invalid("must not hold a user name or password; use headers"));
    }
    if authority.host().is_empty() {
        return Err(invalid("names no host"));
    }
    Ok(uri)
}

fn checked_headers(headers: &BTreeMap<String, String>) -> Result<HeaderMap, GatewayError> {
    let mut checked = HeaderMap::new();
    for (name, value) in headers {
        let invalid = |why: &str| GatewayError::invalid_settings(format!("headers.{name}: {why}"));
        let parsed: HeaderName = name.parse().map_err(|_| invalid("is no header name"))?;
        if RESERVED_HEADERS.contains(&parsed.as_str()) {
            return Err(invalid("is written by the gateway itself"));
        }
        let mut value =
            HeaderValue::from_str(value).map_err(|_| invalid("its value holds a control character"))?;
        value.set_sensitive(true);
        if checked.insert(parsed, value).is_some() {
            return Err(invalid("is there twice"));
        }
    }
    Ok(checked)
}

fn origin(uri: &Uri) -> (Option<&str>, Option<String>, Option<u16>) {
    let default_port = match uri.scheme_str() {
        Some("https") => 443,
        _ => 80,
    };
    let host = uri.host().map(str::to_ascii_lowercase);
    (uri.scheme_str(), host, Some(uri.port_u16().unwrap_or(default_port)))
}

/// RFC 3986, section 5.2.4. The query stays as it is.
fn without_dots(path_and_query: &str) -> String {
    let (path, query) =
        path_and_query.find('?').map_or((path_and_query, ""), |at| path_and_query.split_at(at));
    let mut segments: Vec<&str> = Vec::new();
    let last = path.rsplit('/').next().unwrap_or_default();
    for segment in path.split('/').skip(1) {
        match segment {
            "." => {}
            ".." => drop(segments.pop()),
            _ => segments.push(segment),
        }
    }
    if matches!(last, "." | "..") {
        segments.push("");
    }
    format!("/{}{query}", segments.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(url: &str) -> HttpEndpoint {
        HttpEndpoint::new(url, &BTreeMap::new()).unwrap()
    }

    #[test]
    fn references_are_resolved() {
        let base = endpoint("http://Host:8080/a/b/sse?k=v");
        for (reference, want) in [
            ("/messages?sessionId=1", "http://Host:8080/messages?sessionId=1"),
            ("messages/?s=/../x", "http://Host:8080/a/b/messages/?s=/../x"),
            ("../m/./n", "http://Host:8080/a/m/n"),
            ("../../../..", "http://Host:8080/"),
            ("?s=1", "http://Host:8080/a/b/sse?s=1"),
            ("", "http://Host:8080/a/b/sse?k=v"),
            ("http://host:8080/m#f", "http://host:8080/m"),
            ("//host:8080/m", "http://host:8080/m"),
        ] {
            assert_eq!(base.resolve(reference).unwrap().to_string(), want, "{reference}");
        }
        assert!(endpoint("https://h/sse").resolve("https://h:443/m").is_ok());
        assert_eq!(endpoint("http://h").resolve("m").unwrap().to_string(), "http://h/m");
    }

    #[test]
    fn other_origins_are_refused() {
        let base = endpoint("http://host:8080/sse");
        for reference in [
            "http://host/m",
            "https://host:8080/m",
            "//evil/m",
            "http://host:8080@evil/m",
            "http://evil:8080/",
            "http:// x",
        ] {
            let error = base.resolve(reference).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Protocol, "{reference}");
        }
    }

    #[test]
    fn unusable_urls_are_refused_without_showing_them() {
        for url in
            ["", "example.com", "ftp://h/x", "http://user:secret@h/x", "https://", "/sse", "http://a b/"]
        {
            let Err(error) = HttpEndpoint::new(url, &BTreeMap::new()) else { panic!("{url} accepted") };
            assert!(error.to_string().starts_with("url: "), "{error}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }

    #[test]
    fn headers_are_checked_and_lowered() {
        let one = |name: &str, value: &str| BTreeMap::from([(name.to_owned(), value.to_owned())]);
        let fine = HttpEndpoint::new("http://h", &one("Authorization", "Bearer s")).unwrap();
        assert_eq!((fine.headers.len(), &fine.headers["authorization"]), (1, &"Bearer s".parse().unwrap()));
        for (name, value, want) in [
            ("a b", "x", "headers.a b: is no header name"),
            ("X", "se\ncret", "headers.X: its value holds a control character"),
            ("Mcp-Session-Id", "x", "headers.Mcp-Session-Id: is written by the gateway itself"),
        ] {
            let Err(error) = HttpEndpoint::new("http://h", &one(name, value)) else {
                panic!("{name} accepted")
            };
            assert_eq!(error.to_string(), want);
        }
        let twice = BTreeMap::from([("A".to_owned(), String::new()), ("a".to_owned(), String::new())]);
        assert!(HttpEndpoint::new("http://h", &twice).is_err());
    }
}
