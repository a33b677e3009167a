//! [`McpClient`]: a small MCP client over HTTP that speaks both eras.
//!
//! - [`wire`]: one request and its answer, as JSON or as an event stream

pub mod wire;

use std::time::Duration;

use omcp_mcp::envelope::{META_CLIENT_CAPABILITIES, META_CLIENT_INFO, META_PROTOCOL_VERSION};
use omcp_mcp::header_value;
use omcp_mcp::revision::Revision;
use serde_json::{Map, Value as Json, json};

use self::wire::{Reply, Wire};

/// Most pages of a list that are read: a server that always has another page is broken.
const PAGES_MAX: usize = 100;
/// JSON-RPC: a header does not say what the body says.
const HEADER_MISMATCH: i64 = -32020;
/// JSON-RPC errors that only a modern server sends.
const MODERN_ERRORS: [i64; 3] = [HEADER_MISMATCH, -32021, -32022];

/// Takes the notifications that come before an answer: method and parameters.
pub type Listener = fn(&str, &Json);

/// Why a call has no result.
#[derive(Debug, thiserror::Error)]
pub enum McpError {
    #[error("{url} does not answer: {why}")]
    Unreachable { url: String, why: String },
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    #[error("{0} is not served there")]
    NotFound(String),
    #[error("the endpoint wants credentials (HTTP {0})")]
    Auth(u16),
    /// What the server answered instead of a result.
    #[error("{message} ({code})")]
    Rpc { code: i64, message: String, data: Json },
    #[error("the answer is not MCP: {0}")]
    Protocol(String),
}

impl McpError {
    fn code(&self) -> Option<i64> {
        match self {
            Self::Rpc { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// The gateway's stable word for what went wrong, if it sent one.
    pub fn reason(&self) -> &str {
        match self {
            Self::Rpc { data, .. } => data["reason"].as_str().unwrap_or_default(),
            _ => "",
        }
    }
}

/// How the server wants to be talked to.
#[derive(Clone, Debug, PartialEq)]
enum Conversation {
    Modern,
    Legacy { version: String, session: Option<String> },
}

/// A conversation with one endpoint.
#[derive(Debug)]
pub struct McpClient {
    wire: Wire,
    conversation: Conversation,
    next_id: u64,
}

impl McpClient {
    /// Asks what the server speaks, and opens a session if it needs one.
    ///
    /// # Errors
    /// The endpoint cannot be reached, wants credentials, or speaks no revision of MCP known here.
    pub async fn connect(url: &str, timeout: Duration, listener: Listener) -> Result<Self, McpError> {
        let wire = Wire::new(url, timeout, listener)?;
        let mut client = Self { wire, conversation: Conversation::Modern, next_id: 1 };
        match client.request("server/discover", None, Map::new()).await {
            Ok(found) if speaks_modern(&found) => return Ok(client),
            Err(error) if error.code().is_some_and(|code| MODERN_ERRORS.contains(&code)) => {
                return Err(error);
            }
            Ok(_) | Err(McpError::Rpc { .. } | McpError::Protocol(_)) => {}
            Err(error) => return Err(error),
        }
        client.initialize().await?;
        Ok(client)
    }

    async fn initialize(&mut self) -> Result<(), McpError> {
        let wanted = Revision::LATEST_LEGACY.as_str();
        self.conversation = Conversation::Legacy { version: wanted.to_owned(), session: None };
        let params = json!({"protocolVersion": wanted, "capabilities": {}, "clientInfo": client_info()});
        let body = json!({"jsonrpc": "2.0", "id": self.id(), "method": "initialize", "params": params});
        let reply = self.wire.post(&body, &[]).await?;
        let session = reply.session.clone();
        let result = reply.into_result()?;
        let version = result["protocolVersion"].as_str().unwrap_or(wanted).to_owned();
        self.conversation = Conversation::Legacy { version, session };
        let note = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        self.wire.post_only(&note, &self.headers("notifications/initialized", None)).await
    }

    /// One request; `name` is the tool, prompt or resource it is about.
    ///
    /// # Errors
    /// No result came.
    pub async fn request(
        &mut self,
        method: &str,
        name: Option<&str>,
        params: Map<String, Json>,
    ) -> Result<Json, McpError> {
        self.send(method, name, params, &[]).await?.into_result()
    }

    async fn send(
        &mut self,
        method: &str,
        name: Option<&str>,
        mut params: Map<String, Json>,
        more: &[(String, String)],
    ) -> Result<Reply, McpError> {
        self.add_meta(&mut params);
        let body = json!({"jsonrpc": "2.0", "id": self.id(), "method": method, "params": params});
        let headers = [self.headers(method, name), more.to_vec()].concat();
        self.wire.post(&body, &headers).await
    }

    /// Calls a tool.
    ///
    /// # Errors
    /// No result came. A tool that says it failed is a result.
    pub async fn call_tool(&mut self, tool: &str, arguments: Json) -> Result<Json, McpError> {
        let params =
            |arguments: Json| Map::from_iter([("name".into(), tool.into()), ("arguments".into(), arguments)]);
        let answer = self.request("tools/call", Some(tool), params(arguments.clone())).await;
        match answer {
            Err(error) if error.code() == Some(HEADER_MISMATCH) => {
                let headers = self.param_headers(tool, &arguments).await?;
                self.send("tools/call", Some(tool), params(arguments), &headers).await?.into_result()
            }
            answer => answer,
        }
    }

    /// The headers in which a tool wants to see some of its arguments again (`x-mcp-header`).
    async fn param_headers(
        &mut self,
        tool: &str,
        arguments: &Json,
    ) -> Result<Vec<(String, String)>, McpError> {
        let tools = self.list("tools/list", "tools").await?;
        let schema = tools.iter().find(|known| known["name"] == tool).map(|known| &known["inputSchema"]);
        let properties = schema.and_then(|schema| schema["properties"].as_object());
        let header = |(name, property): (&String, &Json)| {
            let header = property["x-mcp-header"].as_str()?;
            let text = match arguments.get(name)? {
                Json::Null => return None,
                Json::String(text) => text.clone(),
                other => other.to_string(),
            };
            Some((format!("mcp-param-{header}"), header_value::encode_if_needed(&text).into_owned()))
        };
        Ok(properties.into_iter().flatten().filter_map(header).collect())
    }

    /// All pages of a list.
    ///
    /// # Errors
    /// A page cannot be had.
    pub async fn list(&mut self, method: &str, key: &str) -> Result<Vec<Json>, McpError> {
        let mut items = Vec::new();
        let mut params = Map::new();
        for _ in 0..PAGES_MAX {
            let page = self.request(method, None, params).await?;
            items.extend(page[key].as_array().cloned().unwrap_or_default());
            match page["nextCursor"].as_str() {
                Some(cursor) => params = Map::from_iter([("cursor".into(), cursor.into())]),
                None => return Ok(items),
            }
        }
        Err(McpError::Protocol(format!("{method} has more than {PAGES_MAX} pages")))
    }

    /// Ends the session, if there is one.
    pub async fn close(self) {
        if let Conversation::Legacy { session: Some(_), .. } = &self.conversation {
            self.wire.delete(&self.headers("", None)).await;
        }
    }

    fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id - 1
    }

    fn headers(&self, method: &str, name: Option<&str>) -> Vec<(String, String)> {
        let own = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        match &self.conversation {
            Conversation::Modern => {
                let name = name
                    .map(|name| ("mcp-name".to_owned(), header_value::encode_if_needed(name).into_owned()));
                let version = own("mcp-protocol-version", Revision::LATEST.as_str());
                [version, own("mcp-method", method)].into_iter().chain(name).collect()
            }
            Conversation::Legacy { version, session } => {
                let session = session.as_ref().map(|session| own("mcp-session-id", session));
                [own("mcp-protocol-version", version)].into_iter().chain(session).collect()
            }
        }
    }

    fn add_meta(&self, params: &mut Map<String, Json>) {
        let progress = ("progressToken".to_owned(), Json::from(self.next_id));
        let envelope = [
            (META_PROTOCOL_VERSION.to_owned(), Json::from(Revision::LATEST.as_str())),
            (META_CLIENT_INFO.to_owned(), client_info()),
            (META_CLIENT_CAPABILITIES.to_owned(), json!({})),
        ];
        let modern = self.conversation == Conversation::Modern;
        let meta = [progress].into_iter().chain(envelope.into_iter().filter(|_| modern));
        params.insert("_meta".into(), Json::Object(meta.collect()));
    }
}

fn client_info() -> Json {
    json!({"name": "omcp", "version": env!("CARGO_PKG_VERSION")})
}

fn speaks_modern(found: &Json) -> bool {
    let versions = found["supportedVersions"].as_array();
    versions.is_some_and(|versions| versions.iter().any(|version| *version == Revision::LATEST.as_str()))
}

#[cfg(test)]
mod tests;
