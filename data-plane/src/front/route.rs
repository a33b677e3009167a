//! Which door a path leads to. Pure.

/// The places of the MCP listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route<'a> {
    /// `/mcp`: Streamable HTTP of both eras, in front of all backends.
    Aggregate,
    /// `/mcp/<backend>`: Streamable HTTP of both eras.
    Mcp(&'a str),
    /// `/sse`: the event stream of a 2024-11-05 client with all backends; it posts here as well.
    SseAggregate,
    /// `/sse/<backend>`: the event stream of a 2024-11-05 client.
    Sse(&'a str),
    /// `/sse/<backend>/message`: where that client posts.
    SseMessage(&'a str),
    /// Nothing is here.
    Unknown,
}

impl<'a> Route<'a> {
    pub fn of(path: &'a str) -> Self {
        // The usual one first.
        if let Some(name) = path.strip_prefix("/mcp/")
            && !name.is_empty()
            && memchr::memchr(b'/', name.as_bytes()).is_none()
        {
            return Self::Mcp(name);
        }
        let mut parts = path.strip_prefix('/').unwrap_or(path).splitn(3, '/');
        match (parts.next(), parts.next().filter(|name| !name.is_empty()), parts.next()) {
            (Some("mcp"), None, None) => Self::Aggregate,
            (Some("mcp"), Some(name), None | Some("")) => Self::Mcp(name),
            (Some("sse"), None, None) => Self::SseAggregate,
            (Some("sse"), Some(name), None | Some("")) => Self::Sse(name),
            (Some("sse"), Some(name), Some("message")) => Self::SseMessage(name),
            _ => Self::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Route;

    #[test]
    fn paths() {
        for (path, want) in [
            ("/mcp/a", Route::Mcp("a")),
            ("/mcp/a/", Route::Mcp("a")),
            ("/sse/a", Route::Sse("a")),
            ("/sse", Route::SseAggregate),
            ("/sse/a/message", Route::SseMessage("a")),
            ("/mcp", Route::Aggregate),
            ("/mcp/", Route::Aggregate),
            ("/mcp//", Route::Unknown),
            ("/mcp/a/b", Route::Unknown),
            ("/sse/a/message/x", Route::Unknown),
            ("/", Route::Unknown),
            ("", Route::Unknown),
        ] {
            assert_eq!(Route::of(path), want, "{path}");
        }
    }
}
