//! [`Machine`]: the other end of a connection under test, for any transport.
//!
//! It hears one message at a time and says what to do about it. Whoever carries its messages (lines over
//! a pipe, events over HTTP, the answer of an invocation) does what the [`Action`]s say.
//!
//! | method | what it does |
//! | --- | --- |
//! | `initialize`, `ping`, `tools/list`, `tools/call` of `echo` | as any MCP server of a handshake revision |
//! | `kit/echo` `{hold?: N, ..}` | answers `{"echo": params}`; with `hold`, N answers at a time, last one first |
//! | `kit/measure` | answers `{"len": bytes of the request}` |
//! | `kit/large` `{len: N}` | answers with a message of exactly N bytes |
//! | `kit/progress` `{count: N, _meta: {progressToken}}` | N times progress; answers after `notifications/kit/go` |
//! | `kit/ask` `{question}` | asks the client `kit/question`; answers `{"said": result}` |
//! | `kit/wait` | never answers |
//! | `kit/cancelled` | answers `{"ids": [..]}` of the waiting calls that were cancelled |
//! | `kit/slow` `{pause_ms: N}` | neither reads nor writes for so long, then answers |
//! | `kit/garbage` | says things that are no messages, then answers |
//! | `kit/half` | begins to answer and is gone |
//! | `kit/die` | is gone |
//! | `kit/bye` | answers and ends the conversation in good order |

pub mod lines;

use std::time::Duration;

use serde_json::{Value, json};

/// The method by which a client shows its token, and the id it does so with. See [`Machine::guarded`].
pub const AUTHENTICATE: &str = "omcp/authenticate";

/// What the carrier of a [`Machine`] has to do. Actions are done in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Say one message. `call` is the id of the request it belongs to, for transports that carry each
    /// call apart.
    Say { call: Value, message: String },
    /// Say something that is no message, framed as if it were one.
    Babble { call: Value, text: String },
    /// Begin to say something, and be gone in the middle of it.
    BreakOff { call: Value, text: String },
    /// The call will not be answered: end what is kept open for it alone.
    Forget { call: Value },
    /// Neither read nor write for so long.
    Stall(Duration),
    /// End the conversation in good order.
    HangUp,
    /// Be gone at once, as after a crash.
    Die,
}

/// One conversation.
#[derive(Debug, Default)]
pub struct Machine {
    /// What has to be shown before anything else.
    token: Option<String>,
    held: Vec<(Value, Value)>,
    gated: Vec<Value>,
    waiting: Vec<Value>,
    cancelled: Vec<Value>,
    /// Calls that wait for an answer of the client, by the id of our question.
    asked: Vec<(Value, Value)>,
    questions: u64,
}

impl Machine {
    pub fn new() -> Self {
        Self::default()
    }

    /// Insists on a token: the first message has to be a request of [`AUTHENTICATE`] with
    /// `{"token": TOKEN}`; anything else is answered with an error and the end.
    pub fn guarded(token: impl Into<String>) -> Self {
        Self { token: Some(token.into()), ..Self::default() }
    }

    /// Takes one message of the client.
    pub fn hear(&mut self, message: &[u8]) -> Vec<Action> {
        let Ok(heard) = serde_json::from_slice::<Value>(message) else {
            return vec![error(Value::Null, -32700, "no JSON")];
        };
        let (id, method) = (heard["id"].clone(), heard["method"].as_str().unwrap_or_default());
        if let Some(token) = self.token.take() {
            return authenticate(&token, id, method, &heard["params"]);
        }
        match (method, &id) {
            ("", _) => self.told(&id, &heard["result"]),
            (_, Value::Null) => self.notified(method, &heard["params"]),
            _ => self.called(id, method, heard["params"].clone(), message.len()),
        }
    }

    fn called(&mut self, id: Value, method: &str, params: Value, len: usize) -> Vec<Action> {
        match method {
            "initialize" => vec![answer(id, &initialized(&params))],
            "ping" => vec![answer(id, &json!({}))],
            "tools/list" => vec![answer(id, &tools())],
            "tools/call" => vec![tool(id, &params)],
            "kit/echo" => self.echo(id, params),
            "kit/measure" => vec![answer(id, &json!({ "len": len }))],
            "kit/large" => vec![large(id, number(&params["len"]))],
            "kit/progress" => self.progress(id, &params),
            "kit/ask" => self.ask(id, &params),
            "kit/wait" => {
                self.waiting.push(id);
                Vec::new()
            }
            "kit/cancelled" => vec![answer(id, &json!({ "ids": self.cancelled }))],
            "kit/slow" => {
                let pause = Duration::from_millis(number(&params["pause_ms"]) as u64);
                vec![Action::Stall(pause), answer(id, &json!({}))]
            }
            "kit/garbage" => garbage(id),
            "kit/half" => {
                let text = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"half":"#);
                vec![Action::BreakOff { call: id, text }]
            }
            "kit/die" => vec![Action::Die],
            "kit/bye" => vec![answer(id, &json!({})), Action::HangUp],
            _ => vec![error(id, -32601, "no such method")],
        }
    }

    fn notified(&mut self, method: &str, params: &Value) -> Vec<Action> {
        match method {
            "notifications/kit/go" => self.gated.drain(..).map(|id| answer(id, &json!({}))).collect(),
            "notifications/cancelled" => {
                let Some(at) = self.waiting.iter().position(|id| *id == params["requestId"]) else {
                    return Vec::new();
                };
                let call = self.waiting.swap_remove(at);
                self.cancelled.push(call.clone());
                vec![Action::Forget { call }]
            }
            _ => Vec::new(),
        }
    }

    /// An answer of the client.
    fn told(&mut self, question: &Value, result: &Value) -> Vec<Action> {
        let Some(at) = self.asked.iter().position(|(asked, _)| asked == question) else { return Vec::new() };
        let (_, call) = self.asked.swap_remove(at);
        vec![answer(call, &json!({ "said": result }))]
    }

    fn echo(&mut self, id: Value, params: Value) -> Vec<Action> {
        let hold = number(&params["hold"]);
        self.held.push((id, params));
        if self.held.len() < hold {
            return Vec::new();
        }
        self.held.drain(..).rev().map(|(id, params)| answer(id, &json!({ "echo": params }))).collect()
    }

    fn progress(&mut self, id: Value, params: &Value) -> Vec<Action> {
        let (token, count) = (&params["_meta"]["progressToken"], number(&params["count"]));
        let said = (1..=count).map(|step| {
            let params = json!({ "progressToken": token, "progress": step, "total": count });
            let message = json!({ "jsonrpc": "2.0", "method": "notifications/progress", "params": params });
            Action::Say { call: id.clone(), message: message.to_string() }
        });
        let said = said.collect();
        self.gated.push(id);
        said
    }

    fn ask(&mut self, id: Value, params: &Value) -> Vec<Action> {
        self.questions += 1;
        let question = json!(format!("question-{}", self.questions));
        let message = json!({ "jsonrpc": "2.0", "id": question, "method": "kit/question", "params": params });
        self.asked.push((question, id.clone()));
        vec![Action::Say { call: id, message: message.to_string() }]
    }
}

fn authenticate(token: &str, id: Value, method: &str, params: &Value) -> Vec<Action> {
    if method == AUTHENTICATE && params["token"] == *token {
        return vec![answer(id, &json!({}))];
    }
    vec![error(id, -32001, "the token is wrong or missing"), Action::HangUp]
}

fn initialized(params: &Value) -> Value {
    let version = params["protocolVersion"].as_str().unwrap_or("2025-11-25");
    let own = json!({ "name": "omcp-kit-peer", "version": env!("CARGO_PKG_VERSION") });
    json!({ "protocolVersion": version, "capabilities": { "tools": {} }, "serverInfo": own })
}

fn tools() -> Value {
    let schema = json!({ "type": "object" });
    json!({ "tools": [{ "name": "echo", "description": "Says its arguments", "inputSchema": schema }] })
}

fn tool(id: Value, params: &Value) -> Action {
    match params["name"].as_str() {
        Some("echo") => {
            let text = params["arguments"].to_string();
            answer(id, &json!({ "content": [{ "type": "text", "text": text }] }))
        }
        _ => error(id, -32602, "no such tool"),
    }
}

/// An answer of exactly `len` bytes, or the shortest possible.
fn large(id: Value, len: usize) -> Action {
    let frame = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"fill":""}}}}"#);
    let fill = "x".repeat(len.saturating_sub(frame.len()));
    let message = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"fill":"{fill}"}}}}"#);
    Action::Say { call: id, message }
}

fn garbage(id: Value) -> Vec<Action> {
    let babble = |text: &str| Action::Babble { call: id.clone(), text: text.to_owned() };
    let texts = ["Listening on port 8080", "{\"jsonrpc\":", "[]", "{\"jsonrpc\":\"1.0\",\"id\":1}", "null"];
    let mut actions: Vec<_> = texts.into_iter().map(babble).collect();
    actions.push(answer(id, &json!({})));
    actions
}

fn answer(id: Value, result: &Value) -> Action {
    let message = json!({ "jsonrpc": "2.0", "id": id, "result": result }).to_string();
    Action::Say { call: id, message }
}

fn error(id: Value, code: i64, message: &str) -> Action {
    let error = json!({ "code": code, "message": message });
    let message = json!({ "jsonrpc": "2.0", "id": id, "error": error }).to_string();
    Action::Say { call: id, message }
}

fn number(value: &Value) -> usize {
    value.as_u64().and_then(|number| usize::try_from(number).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests;
