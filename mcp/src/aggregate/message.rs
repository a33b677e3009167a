//! [`Passage`]: a backend's message on its way to a client of the aggregate. References to resources and
//! elicitations get their backend in front, tasks get names, and people read which backend speaks. Everything
//! else, text and structured content above all, stays byte for byte.

use std::ops::Range;

use bytes::Bytes;

use super::item::ui_references;
use super::tasks::{OwnedTask, TaskNames};
use super::{ids, uris};
use crate::bridge::edits::{Edits, pair, quoted};
use crate::bridge::failure::Reason;
use crate::bridge::message::Message;
use crate::bridge::question::META_RELATED_TASK;
use crate::bridge::task::ttl_ms;
use crate::envelope::Kind;
use crate::object::{elements, member, member_text, members};
use crate::{json, methods};

/// From which backend, and in answer to what.
#[derive(Clone, Copy)]
pub struct Passage<'a> {
    pub backend: &'a str,
    /// Of the client's request; empty if the message belongs to none.
    pub method: &'a str,
    pub tasks: &'a dyn TaskNames,
}

impl<'p> Passage<'p> {
    /// The message as the client shall read it; `None` if that is as it is. A request needs an id of ours:
    /// see [`Passage::question`].
    pub fn message(self, message: Message<'_>) -> Option<Bytes> {
        let envelope = message.envelope();
        let mut walk = Walk::new(self, message.bytes());
        match message.kind() {
            Kind::Response => walk.result(message.result_object()?),
            Kind::Error => walk.error(envelope.error_range()?),
            Kind::Notification => walk.notification(message.method(), envelope.params_range()?),
            Kind::Request => walk.request(message.method(), envelope.params_range()?),
        }
        if walk.nameless && message.kind() == Kind::Response {
            let text = "the id of the backend's task is longer than any that can be passed on";
            return Some(Reason::ProtocolViolation.answer(&message.id(), text));
        }
        (!walk.edits.is_empty()).then(|| walk.edits.apply())
    }

    /// A request of the backend under an id of ours, which is its progress token as well.
    pub fn question(self, request: Message<'_>, id: &str) -> Bytes {
        let envelope = request.envelope();
        let mut walk = Walk::new(self, request.bytes());
        let ours = [envelope.id_range(), envelope.progress_token_range()];
        for at in ours.into_iter().flatten() {
            walk.edits.replace(at, quoted(id));
        }
        if let Some(params) = envelope.params_range() {
            walk.request(request.method(), params);
        }
        walk.edits.apply()
    }
}

struct Walk<'a, 'p> {
    passage: Passage<'p>,
    src: &'a [u8],
    edits: Edits<'a>,
    /// A task could not be named.
    nameless: bool,
}

impl<'a, 'p> Walk<'a, 'p> {
    fn new(passage: Passage<'p>, src: &'a [u8]) -> Self {
        Self { passage, src, edits: Edits::new(src), nameless: false }
    }

    /// Results have the same members for the same things, whatever the method.
    fn result(&mut self, result: Range<usize>) {
        if self.passage.method == methods::COMPLETION_COMPLETE {
            return;
        }
        let mut task = None;
        for (name, at) in members(self.src, result.clone()) {
            match &*name {
                "content" => self.blocks(at),
                "messages" => self.messages(at),
                "contents" => elements(self.src, at).for_each(|content| self.uri(content)),
                "taskId" => task = Some(at),
                "task" => self.task(at),
                "result" => self.result(at),
                "inputRequests" => self.questions(at),
                "_meta" => self.meta(at),
                _ => {}
            }
        }
        if let Some(at) = task {
            self.name(at, result);
        }
    }

    fn meta(&mut self, meta: Range<usize>) {
        ui_references(&mut self.edits, self.src, meta.clone(), self.passage.backend);
        self.related_task(meta);
    }

    fn related_task(&mut self, meta: Range<usize>) {
        if let Some(related) = member(self.src, meta, META_RELATED_TASK) {
            self.task(related);
        }
    }

    fn error(&mut self, error: Range<usize>) {
        let Some(data) = member(self.src, error, "data") else { return };
        if self.passage.method.starts_with("resources/") {
            self.uri(data.clone());
        }
        let pages = member(self.src, data, "elicitations");
        for page in pages.into_iter().flat_map(|pages| elements(self.src, pages)) {
            self.elicitation(page);
        }
    }

    fn notification(&mut self, method: &str, params: Range<usize>) {
        match method {
            methods::RESOURCES_UPDATED => self.uri(params.clone()),
            methods::MESSAGE => self.logger(params.clone()),
            methods::TASKS_STATUS | methods::TASKS => self.task(params.clone()),
            methods::ELICITATION_COMPLETE => self.elicitation(params.clone()),
            _ => {}
        }
        if let Some(meta) = member(self.src, params, "_meta") {
            self.related_task(meta);
        }
    }

    fn request(&mut self, method: &str, params: Range<usize>) {
        match method {
            methods::ELICITATION_CREATE => {
                self.prompt(params.clone());
                self.elicitation(params.clone());
            }
            methods::SAMPLING_CREATE_MESSAGE => {
                if let Some(list) = member(self.src, params.clone(), "messages") {
                    self.messages(list);
                }
            }
            _ => {}
        }
        if let Some(meta) = member(self.src, params, "_meta") {
            self.related_task(meta);
        }
    }

    /// `inputRequests`: requests as values.
    fn questions(&mut self, requests: Range<usize>) {
        for (_, request) in members(self.src, requests) {
            let method = member_text(self.src, request.clone(), "method");
            if let (Some(method), Some(params)) = (method, member(self.src, request, "params")) {
                self.request(&method, params);
            }
        }
    }

    fn messages(&mut self, list: Range<usize>) {
        for message in elements(self.src, list) {
            if let Some(content) = member(self.src, message, "content") {
                self.blocks(content);
            }
        }
    }

    /// One content block, or several; the result of a tool holds some more.
    fn blocks(&mut self, content: Range<usize>) {
        match self.src[content.start] {
            b'{' => self.block(content),
            b'[' => elements(self.src, content).for_each(|block| self.block(block)),
            _ => {}
        }
    }

    fn block(&mut self, block: Range<usize>) {
        match member_text(self.src, block.clone(), "type").as_deref() {
            Some("resource_link") => self.uri(block),
            Some("resource") => {
                if let Some(resource) = member(self.src, block, "resource") {
                    self.uri(resource);
                }
            }
            Some("tool_result") => {
                let content = member(self.src, block, "content").filter(|at| self.src[at.start] == b'[');
                for inner in content.into_iter().flat_map(|content| elements(self.src, content)) {
                    if member_text(self.src, inner.clone(), "type").as_deref() != Some("tool_result") {
                        self.block(inner);
                    }
                }
            }
            _ => {}
        }
    }

    fn uri(&mut self, object: Range<usize>) {
        self.text(object, "uri", uris::exposed);
    }

    fn elicitation(&mut self, object: Range<usize>) {
        self.text(object, "elicitationId", ids::exposed);
    }

    /// The task that `object` names. What it says of its time is how long the name is good.
    fn task(&mut self, object: Range<usize>) {
        if let Some(at) = member(self.src, object.clone(), "taskId") {
            self.name(at, object);
        }
    }

    fn name(&mut self, at: Range<usize>, object: Range<usize>) {
        let Some(id) = json::text(&self.src[at.clone()]) else { return };
        let task = OwnedTask { backend: self.passage.backend.to_owned(), id: id.into_owned() };
        let name = self.passage.tasks.name(task, ttl_ms(&self.src[object]));
        self.nameless |= name.is_none();
        self.edits.replace(at, quoted(&name.unwrap_or_default()));
    }

    /// People have to know who asks: prompts of different backends look alike.
    fn prompt(&mut self, params: Range<usize>) {
        self.text(params, "message", |backend, message| format!("[{backend}] {message}"));
    }

    fn logger(&mut self, params: Range<usize>) {
        match member(self.src, params.clone(), "logger") {
            Some(_) => self.text(params, "logger", |backend, logger| format!("{backend}/{logger}")),
            None => self.edits.members(params, &[], pair("logger", &quoted(self.passage.backend))),
        }
    }

    /// Replaces the string in the member `name`.
    fn text(&mut self, object: Range<usize>, name: &str, exposed: impl Fn(&str, &str) -> String) {
        let Some(at) = member(self.src, object, name) else { return };
        if let Some(text) = json::text(&self.src[at.clone()]) {
            self.edits.replace(at, quoted(&exposed(self.passage.backend, &text)));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::bridge::message::Owned;

    /// Names that can be read.
    struct Plain;

    impl TaskNames for Plain {
        fn name(&self, task: OwnedTask, _: u64) -> Option<String> {
            (task.id.len() < 10).then(|| format!("{}+{}", task.backend, task.id))
        }
    }

    fn pass(method: &str, message: Value) -> Option<Value> {
        let owned = Owned::scan(message.to_string()).unwrap();
        let passed = Passage { backend: "b", method, tasks: &Plain }.message(owned.lend())?;
        Some(serde_json::from_slice(&passed).unwrap())
    }

    fn result(method: &str, result: Value) -> Option<Value> {
        pass(method, json!({ "jsonrpc": "2.0", "id": 1, "result": result }))
            .map(|mut message| message["result"].take())
    }

    fn notification(method: &str, params: Value) -> Option<Value> {
        let message = json!({ "jsonrpc": "2.0", "method": method, "params": params });
        pass("", message).map(|mut message| message["params"].take())
    }

    #[test]
    fn references_in_results_are_owned() {
        let blocks = |uri: &str| {
            json!([{ "type": "text", "text": "x://a", "uri": "x://a" }, { "type": "resource_link", "uri": uri, "name": "n" },
                   { "type": "resource", "resource": { "uri": uri, "text": "t" } },
                   { "type": "tool_result", "content": [{ "type": "resource_link", "uri": uri }] }])
        };
        assert_eq!(
            result(
                "tools/call",
                json!({ "content": blocks("x://a"), "structuredContent": { "uri": "x://a" } })
            ),
            Some(json!({ "content": blocks("b+x://a"), "structuredContent": { "uri": "x://a" } }))
        );
        assert_eq!(
            result("prompts/get", json!({ "messages": [{ "role": "user", "content": blocks("x://a")[1] }] })),
            Some(json!({ "messages": [{ "role": "user", "content": blocks("b+x://a")[1] }] }))
        );
        assert_eq!(
            result("resources/read", json!({ "contents": [{ "uri": "x://a", "text": "t" }] })),
            Some(json!({ "contents": [{ "uri": "b+x://a", "text": "t" }] }))
        );
    }

    #[test]
    fn what_refers_to_nothing_is_passed_on_as_it_is() {
        assert_eq!(result("tools/call", json!({ "content": [{ "type": "text", "text": "hello" }] })), None);
        assert_eq!(
            result("completion/complete", json!({ "completion": { "values": ["x"] }, "content": [] })),
            None
        );
        assert_eq!(result("x/y", json!("text")), None);
        assert_eq!(notification("notifications/progress", json!({ "progressToken": 1 })), None);
        assert_eq!(notification("notifications/tools/list_changed", json!({})), None);
    }

    #[test]
    fn tasks_are_owned_in_either_era() {
        let related = |id: &str| json!({ META_RELATED_TASK: { "taskId": id } });
        assert_eq!(
            result("tools/call", json!({ "resultType": "task", "taskId": "7" })),
            Some(json!({ "resultType": "task", "taskId": "b+7" }))
        );
        assert_eq!(
            result("tools/call", json!({ "task": { "taskId": "7", "status": "working" } })),
            Some(json!({ "task": { "taskId": "b+7", "status": "working" } }))
        );
        assert_eq!(
            result("tasks/get", json!({ "taskId": "7", "result": { "content": [], "_meta": related("7") } })),
            Some(json!({ "taskId": "b+7", "result": { "content": [], "_meta": related("b+7") } }))
        );
        assert_eq!(
            notification("notifications/tasks/status", json!({ "taskId": "7", "_meta": related("7") })),
            Some(json!({ "taskId": "b+7", "_meta": related("b+7") }))
        );
    }

    #[test]
    fn a_task_that_cannot_be_named_is_no_answer() {
        let long = json!({ "jsonrpc": "2.0", "id": 1, "result": { "taskId": "0123456789" } });
        let error = pass("tools/call", long).unwrap();
        assert_eq!(
            (&error["id"], &error["error"]["data"]["reason"]),
            (&json!(1), &json!("protocol_violation"))
        );
        let told = notification("notifications/tasks", json!({ "taskId": "0123456789" }));
        assert_eq!(told, Some(json!({ "taskId": "" })));
    }

    #[test]
    fn people_read_who_speaks() {
        let asked = json!({ "resultType": "input_required", "requestState": "s", "inputRequests": {
            "k": { "method": "elicitation/create", "params": { "message": "who?" } },
            "l": { "method": "roots/list" } } });
        let shown = result("tools/call", asked).unwrap();
        assert_eq!(shown["inputRequests"]["k"]["params"]["message"], "[b] who?");
        assert_eq!(shown["requestState"], "s");
        let log = |logger: &str| json!({ "level": "info", "data": 1, "logger": logger });
        assert_eq!(notification("notifications/message", log("x")), Some(log("b/x")));
        let unnamed = json!({ "level": "info", "data": 1 });
        assert_eq!(notification("notifications/message", unnamed), Some(log("b")));
    }

    #[test]
    fn questions_get_an_id_of_ours() {
        let asked = json!({ "jsonrpc": "2.0", "id": 1, "method": "elicitation/create", "params": {
            "mode": "url", "message": "m", "url": "https://x", "elicitationId": "e", "_meta": { "progressToken": 5 } } });
        let owned = Owned::scan(asked.to_string()).unwrap();
        let question =
            Passage { backend: "b", method: "tools/call", tasks: &Plain }.question(owned.lend(), "p.1");
        assert_eq!(
            serde_json::from_slice::<Value>(&question).unwrap(),
            json!({ "jsonrpc": "2.0", "id": "p.1", "method": "elicitation/create", "params": {
                "mode": "url", "message": "[b] m", "url": "https://x", "elicitationId": "b+e",
                "_meta": { "progressToken": "p.1" } } })
        );
    }

    #[test]
    fn errors_name_what_the_client_knows() {
        let error = |uri: &str, id: &str| {
            json!({ "jsonrpc": "2.0", "id": 1, "error": { "code": -32002, "message": "m",
                    "data": { "uri": uri, "elicitations": [{ "elicitationId": id }] } } })
        };
        assert_eq!(pass("resources/read", error("x://a", "e")), Some(error("b+x://a", "b+e")));
        assert_eq!(pass("tools/call", error("x://a", "e")), Some(error("x://a", "b+e")));
    }
}
