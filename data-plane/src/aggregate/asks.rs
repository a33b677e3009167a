//! [`Asks`]: what backends ask a legacy client. Each backend numbers its requests as it likes, so the client
//! gets them under ids of ours, and its answers find their way back.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError, Weak};

use bytes::Bytes;
use omcp_core::McpMessage;
use omcp_mcp::aggregate::message::Passage;
use omcp_mcp::bridge::edits::quoted;
use omcp_mcp::bridge::message::Message;
use omcp_mcp::json;
use omcp_mcp::splice::{splice, with_id};

/// Open questions of one session; the oldest give way. A person answers one at a time.
const ASKS_MAX: usize = 256;

/// The open questions of one session; `L` is the part of it that belongs to one backend.
pub struct Asks<L> {
    /// Begins our ids. Nobody else may guess it: who knows an id may answer.
    prefix: String,
    state: Mutex<State<L>>,
}

struct State<L> {
    next: u64,
    open: BTreeMap<u64, Ask<L>>,
}

/// One of them.
struct Ask<L> {
    leg: Weak<L>,
    /// The backend's own id, and its progress token for the answer.
    id: Bytes,
    token: Option<Bytes>,
}

impl<L> Asks<L> {
    pub fn new(prefix: String) -> Self {
        Self { prefix, state: Mutex::new(State { next: 0, open: BTreeMap::new() }) }
    }

    /// A backend's request as the client gets it.
    pub fn ask(&self, leg: Weak<L>, passage: Passage<'_>, request: &McpMessage) -> McpMessage {
        let message = Message::new(request.bytes(), request.envelope());
        let ask = Ask { leg, id: message.id(), token: message.progress_token() };
        let mut state = self.lock();
        state.next += 1;
        let number = state.next;
        while state.open.len() >= ASKS_MAX {
            state.open.pop_first();
        }
        state.open.insert(number, ask);
        drop(state);
        McpMessage::trusted(passage.question(message, &self.id(number)))
    }

    /// The client's answer as its backend gets it, and where that is; `None` if nobody asked.
    pub fn answered(&self, answer: &McpMessage) -> Option<(Weak<L>, McpMessage)> {
        let number = self.number(answer.id()?)?;
        let ask = self.lock().open.remove(&number)?;
        let bytes = with_id(answer.bytes(), answer.envelope(), &ask.id);
        Some((ask.leg, McpMessage::trusted(bytes)))
    }

    /// The client's progress on an answer, as [`Asks::answered`].
    pub fn progressed(&self, progress: &McpMessage) -> Option<(Weak<L>, McpMessage)> {
        let at = progress.envelope().progress_token_range()?;
        let number = self.number(&progress.bytes()[at.clone()])?;
        let state = self.lock();
        let ask = state.open.get(&number)?;
        let bytes = splice(progress.bytes(), &[(at, ask.token.as_deref()?)]);
        Some((ask.leg.clone(), McpMessage::trusted(bytes)))
    }

    /// A backend takes a question back: the notification as the client gets it.
    pub fn withdrawn(&self, leg: &Weak<L>, notification: &McpMessage) -> Option<McpMessage> {
        let at = notification.envelope().request_id_param_range()?;
        let id = &notification.bytes()[at.clone()];
        let mut state = self.lock();
        let number =
            state.open.iter().find(|(_, ask)| ask.leg.ptr_eq(leg) && ask.id == id).map(|(at, _)| *at)?;
        state.open.remove(&number);
        let bytes = splice(notification.bytes(), &[(at, &quoted(&self.id(number)))]);
        Some(McpMessage::trusted(bytes))
    }

    fn id(&self, number: u64) -> String {
        format!("{}.{number}", self.prefix)
    }

    fn number(&self, id: &[u8]) -> Option<u64> {
        json::text(id)?.strip_prefix(&*self.prefix)?.strip_prefix('.')?.parse().ok()
    }

    fn lock(&self) -> MutexGuard<'_, State<L>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use omcp_mcp::aggregate::tasks::{OwnedTask, TaskNames};
    use serde_json::{Value, json};

    use super::*;

    fn message(value: Value) -> McpMessage {
        McpMessage::parse(value.to_string().into()).unwrap()
    }

    fn read(message: &McpMessage) -> Value {
        serde_json::from_slice(message.bytes()).unwrap()
    }

    struct Nameless;

    impl TaskNames for Nameless {
        fn name(&self, _: OwnedTask, _: u64) -> Option<String> {
            None
        }
    }

    fn from(backend: &str) -> Passage<'_> {
        Passage { backend, method: "", tasks: &Nameless }
    }

    #[test]
    fn questions_of_several_backends_do_not_clash() {
        let asks = Asks::<()>::new("p".to_owned());
        let asked = message(json!({ "jsonrpc": "2.0", "id": 1, "method": "elicitation/create", "params": {
            "message": "m", "_meta": { "progressToken": 7 } } }));
        let ask = |backend| read(&asks.ask(Weak::new(), from(backend), &asked))["id"].clone();
        let (first, second) = (ask("a"), ask("b"));
        assert_ne!(first, second);
        let progress = json!({ "jsonrpc": "2.0", "method": "notifications/progress", "params": { "progressToken": second, "progress": 1 } });
        let (_, told) = asks.progressed(&message(progress)).unwrap();
        assert_eq!(read(&told)["params"]["progressToken"], 7);
        let answer = message(json!({ "jsonrpc": "2.0", "id": second, "result": {} }));
        let (_, back) = asks.answered(&answer).unwrap();
        assert_eq!(read(&back)["id"], 1);
        assert!(asks.answered(&answer).is_none(), "each question is answered once");
        let foreign = message(json!({ "jsonrpc": "2.0", "id": 1, "result": {} }));
        assert!(asks.answered(&foreign).is_none());
        let gone = message(
            json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": 1 } }),
        );
        assert_eq!(read(&asks.withdrawn(&Weak::new(), &gone).unwrap())["params"]["requestId"], first);
    }

    #[test]
    fn the_oldest_question_gives_way() {
        let asks = Asks::<()>::new("p".to_owned());
        let asked = message(json!({ "jsonrpc": "2.0", "id": 1, "method": "roots/list" }));
        for _ in 0..=ASKS_MAX {
            asks.ask(Weak::new(), from("a"), &asked);
        }
        let answer = |id: &str| asks.answered(&message(json!({ "jsonrpc": "2.0", "id": id, "result": {} })));
        assert!(answer("p.1").is_none() && answer("p.2").is_some());
    }
}
