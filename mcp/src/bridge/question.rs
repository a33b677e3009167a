//! [`Question`]: what a server wants from the user: an elicitation, a sampling or the roots.
//!
//! A legacy server sends it as a request of its own; a modern one puts it into `inputRequests`.

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;
use serde_json::{Value, json};

use super::capabilities::ClientCapabilities;
use super::edits::{Edits, joined, object, pair, quoted};
use super::limits::{QUESTION_BYTES_MAX, QUESTIONS_MAX};
use super::message::Message;
use crate::object::{member, member_text, members};
use crate::refusal::{code, error_response};
use crate::{compose, methods};

/// `_meta` key that ties a legacy message to a task.
pub const META_RELATED_TASK: &str = "io.modelcontextprotocol/related-task";
/// Sampling failed; the code that the SDKs use for "the user said no".
const REJECTED: i32 = -1;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum QuestionKind {
    Form,
    Url,
    Sampling { tools: bool },
    Roots,
}

/// Kind and parameters, cleared of what only one era knows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Question {
    kind: QuestionKind,
    /// A JSON object.
    params: Box<[u8]>,
}

impl Question {
    /// The question in a legacy server's request; `None` if the request is another one.
    pub fn of_request(request: Message<'_>) -> Option<Self> {
        let params = request.envelope().params_range();
        let params = params.map_or(&b"{}"[..], |at| &request.bytes()[at]);
        Self::read(request.method(), params)
    }

    /// One value of `inputRequests`; `None` if it is none.
    pub fn of_entry(entry: &[u8]) -> Option<Self> {
        let method = member_text(entry, 0..entry.len(), "method")?;
        let params = member(entry, 0..entry.len(), "params").map_or(&b"{}"[..], |at| &entry[at]);
        Self::read(&method, params)
    }

    /// An elicitation that an error of 2025-11-25 asks for.
    pub fn of_url(params: &[u8]) -> Option<Self> {
        Self::read(methods::ELICITATION_CREATE, params).filter(|question| question.kind == QuestionKind::Url)
    }

    fn read(method: &str, params: &[u8]) -> Option<Self> {
        if params.first() != Some(&b'{') {
            return None;
        }
        let kind = match method {
            methods::ELICITATION_CREATE => match text(params, "mode").as_deref() {
                Some("url") => QuestionKind::Url,
                None | Some("form") => QuestionKind::Form,
                Some(_) => return None,
            },
            methods::SAMPLING_CREATE_MESSAGE => {
                let wants = |name| member(params, 0..params.len(), name).is_some();
                QuestionKind::Sampling { tools: wants("tools") || wants("toolChoice") }
            }
            methods::ROOTS_LIST => QuestionKind::Roots,
            _ => return None,
        };
        Some(Self { kind, params: cleared(params) })
    }

    pub fn kind(&self) -> QuestionKind {
        self.kind
    }

    pub fn params(&self) -> &[u8] {
        &self.params
    }

    #[must_use]
    pub fn with_params(self, params: &[u8]) -> Self {
        Self { params: params.into(), ..self }
    }

    pub fn method(&self) -> &'static str {
        match self.kind {
            QuestionKind::Form | QuestionKind::Url => methods::ELICITATION_CREATE,
            QuestionKind::Sampling { .. } => methods::SAMPLING_CREATE_MESSAGE,
            QuestionKind::Roots => methods::ROOTS_LIST,
        }
    }

    /// The address and the words of a URL elicitation: what makes two of them the same.
    pub fn url(&self) -> Option<(Cow<'_, str>, Cow<'_, str>)> {
        let is_url = self.kind == QuestionKind::Url;
        is_url.then(|| Some((text(&self.params, "url")?, text(&self.params, "message")?)))?
    }

    /// The capability that a client lacks for it, in the shape of capabilities.
    ///
    /// # Errors
    /// It lacks one.
    pub fn allowed_by(&self, client: &ClientCapabilities) -> Result<(), Value> {
        let (has, required) = match self.kind {
            QuestionKind::Form => (client.form, json!({ "elicitation": { "form": {} } })),
            QuestionKind::Url => (client.url, json!({ "elicitation": { "url": {} } })),
            QuestionKind::Sampling { tools: true } => {
                (client.sampling_tools, json!({ "sampling": { "tools": {} } }))
            }
            QuestionKind::Sampling { tools: false } => (client.sampling, json!({ "sampling": {} })),
            QuestionKind::Roots => (client.roots, json!({ "roots": {} })),
        };
        if has { Ok(()) } else { Err(required) }
    }

    /// Whether `answer` has the shape of one.
    pub fn accepts(&self, answer: &[u8]) -> bool {
        let at = |name| member(answer, 0..answer.len(), name).map(|at| answer[at.start]);
        match self.kind {
            QuestionKind::Form | QuestionKind::Url => {
                matches!(text(answer, "action").as_deref(), Some("accept" | "decline" | "cancel"))
                    && matches!(at("content"), None | Some(b'{' | b'n'))
            }
            QuestionKind::Sampling { .. } => {
                at("role") == Some(b'"')
                    && at("model") == Some(b'"')
                    && matches!(at("content"), Some(b'{' | b'['))
            }
            QuestionKind::Roots => at("roots") == Some(b'['),
        }
    }

    /// The value that stands for it in `inputRequests`.
    pub fn entry(&self) -> Vec<u8> {
        object(&joined(&[&pair("method", &quoted(self.method())), &pair("params", &self.params)]))
    }

    /// The request that asks a legacy client, on behalf of a task (its id as a JSON string) or of a call. A URL
    /// elicitation of 2025-11-25 has an id of its own.
    pub fn request(&self, id: &str, task: Option<&[u8]>) -> Bytes {
        let id = quoted(id);
        let all = 0..self.params.len();
        let mut edits = Edits::new(&self.params);
        let mut added = if self.kind == QuestionKind::Url { pair("elicitationId", &id) } else { Vec::new() };
        if let Some(task) = task {
            let related = pair(META_RELATED_TASK, &object(&pair("taskId", task)));
            match member(&self.params, all.clone(), "_meta").filter(|at| self.params[at.start] == b'{') {
                Some(meta) => edits.members(meta, &[], related),
                None => added = joined(&[&added, &pair("_meta", &object(&related))]),
            }
        }
        edits.members(all, &[], added);
        compose::request(&id, self.method(), Some(&edits.apply())).into()
    }

    /// What a server gets whose question nobody will answer any more.
    pub fn given_up(&self, id: &[u8]) -> Bytes {
        match self.kind {
            QuestionKind::Form | QuestionKind::Url => compose::response(id, br#"{"action":"cancel"}"#).into(),
            QuestionKind::Sampling { .. } => {
                error_response(id, REJECTED, "nobody answered the request for sampling", None).into()
            }
            QuestionKind::Roots => {
                error_response(id, code::INTERNAL_ERROR, "the roots are not known", None).into()
            }
        }
    }
}

/// The action in an answer to an elicitation.
pub fn action(answer: &[u8]) -> Option<Cow<'_, str>> {
    text(answer, "action")
}

/// `inputRequests` taken apart.
///
/// # Errors
/// Too many or too large, or an entry that is no question.
pub fn entries(raw: &[u8]) -> Result<Vec<(String, Question)>, &'static str> {
    if raw.first() != Some(&b'{') {
        return Err("inputRequests is no object");
    }
    if raw.len() > QUESTION_BYTES_MAX {
        return Err("inputRequests is too large");
    }
    let mut found: Vec<(String, Question)> = Vec::new();
    for (key, at) in members(raw, 0..raw.len()) {
        if found.len() == QUESTIONS_MAX {
            return Err("inputRequests has too many entries");
        }
        if found.iter().any(|(known, _)| *known == key) {
            return Err("inputRequests has two entries of one name");
        }
        let question = Question::of_entry(&raw[at]).ok_or("inputRequests has an entry that asks nothing")?;
        found.push((key.into_owned(), question));
    }
    Ok(found)
}

/// Questions as the value of `inputRequests`.
pub fn input_requests<'a>(questions: impl Iterator<Item = (&'a str, &'a Question)>) -> Vec<u8> {
    let members: Vec<Vec<u8>> = questions.map(|(key, question)| pair(key, &question.entry())).collect();
    let members: Vec<&[u8]> = members.iter().map(Vec::as_slice).collect();
    object(&joined(&members))
}

/// The answer to one key in `inputResponses`.
pub fn answer_to<'a>(responses: &'a [u8], key: &str) -> Option<&'a [u8]> {
    Some(&responses[member(responses, 0..responses.len(), key)?])
}

fn text<'a>(object: &'a [u8], name: &str) -> Option<Cow<'a, str>> {
    member_text(object, 0..object.len(), name)
}

/// Without what belongs to the channel it came by: ids, tokens, tasks.
fn cleared(params: &[u8]) -> Box<[u8]> {
    let mut edits = Edits::new(params);
    let meta: Option<Range<usize>> =
        member(params, 0..params.len(), "_meta").filter(|at| params[at.start] == b'{');
    match meta {
        Some(meta) if has_others(params, meta.clone()) => {
            edits.members(meta, &TRANSPORT_META, &b""[..]);
            edits.members(0..params.len(), &["elicitationId", "task"], &b""[..]);
        }
        _ => edits.members(0..params.len(), &["elicitationId", "task", "_meta"], &b""[..]),
    }
    edits.apply().as_ref().into()
}

const TRANSPORT_META: [&str; 2] = ["progressToken", META_RELATED_TASK];

fn has_others(params: &[u8], meta: Range<usize>) -> bool {
    members(params, meta).any(|(name, _)| !TRANSPORT_META.contains(&&*name))
}

#[cfg(test)]
mod tests {
    use super::super::message::Owned;
    use super::*;

    fn request(value: Value) -> Owned {
        Owned::scan(value.to_string()).unwrap()
    }

    #[test]
    fn what_belongs_to_the_channel_is_left_out() {
        let asked = request(json!({ "jsonrpc": "2.0", "id": 1, "method": "elicitation/create", "params": {
            "mode": "url", "url": "https://x", "message": "m", "elicitationId": "e", "task": { "ttl": 1 },
            "_meta": { "progressToken": 5, META_RELATED_TASK: { "taskId": "t" } },
        } }));
        let question = Question::of_request(asked.lend()).unwrap();
        assert_eq!(question.kind(), QuestionKind::Url);
        assert_eq!(question.params(), br#"{"mode":"url","url":"https://x","message":"m"}"#);
        assert_eq!(question.url().unwrap(), ("https://x".into(), "m".into()));
        let again: Value = serde_json::from_slice(&question.request("s.1", None)).unwrap();
        assert_eq!((&again["id"], &again["params"]["elicitationId"]), (&json!("s.1"), &json!("s.1")));

        let asked =
            request(json!({ "jsonrpc": "2.0", "id": 1, "method": "sampling/createMessage", "params": {
            "toolChoice": {}, "_meta": { "progressToken": 5, "vendor": 1 } } }));
        let question = Question::of_request(asked.lend()).unwrap();
        assert_eq!(question.kind(), QuestionKind::Sampling { tools: true });
        assert_eq!(question.params(), br#"{"toolChoice":{},"_meta":{"vendor":1}}"#);
        let of_task: Value = serde_json::from_slice(&question.request("s.1", Some(br#""t""#))).unwrap();
        let meta = json!({ "vendor": 1, META_RELATED_TASK: { "taskId": "t" } });
        assert_eq!(of_task["params"]["_meta"], meta);
    }

    #[test]
    fn only_questions_are_questions() {
        for entry in [r#"{"method":"ping"}"#, r#"{"method":"roots/list","params":[]}"#, "{}", "[]", "1", ""] {
            assert_eq!(Question::of_entry(entry.as_bytes()), None, "{entry}");
        }
        assert!(entries(br#"{"a":{"method":"roots/list"},"a":{"method":"roots/list"}}"#).is_err());
        assert!(entries(b"[]").is_err());
        let many: Vec<String> = (0..17).map(|n| format!(r#""k{n}":{{"method":"roots/list"}}"#)).collect();
        assert!(entries(format!("{{{}}}", many.join(",")).as_bytes()).is_err());
    }

    #[test]
    fn answers_have_a_shape() {
        let question =
            |method: &str| Question::of_entry(format!(r#"{{"method":"{method}"}}"#).as_bytes()).unwrap();
        for (method, answer, good) in [
            ("elicitation/create", r#"{"action":"accept","content":{}}"#, true),
            ("elicitation/create", r#"{"action":"decline","content":null}"#, true),
            ("elicitation/create", r#"{"action":"maybe"}"#, false),
            ("elicitation/create", r#"{"action":"accept","content":[]}"#, false),
            ("elicitation/create", "[]", false),
            ("sampling/createMessage", r#"{"role":"assistant","content":{},"model":"m"}"#, true),
            ("sampling/createMessage", r#"{"role":"assistant","content":"x","model":"m"}"#, false),
            ("roots/list", r#"{"roots":[]}"#, true),
            ("roots/list", r#"{"roots":{}}"#, false),
            ("roots/list", "", false),
        ] {
            assert_eq!(question(method).accepts(answer.as_bytes()), good, "{method} {answer}");
        }
    }

    #[test]
    fn what_a_client_did_not_declare_is_named() {
        let client = ClientCapabilities::parse(br#"{"sampling":{},"elicitation":{"url":{}}}"#);
        let lacks = |entry: &str| Question::of_entry(entry.as_bytes()).unwrap().allowed_by(&client).err();
        assert_eq!(lacks(r#"{"method":"sampling/createMessage"}"#), None);
        assert_eq!(
            lacks(r#"{"method":"sampling/createMessage","params":{"tools":[]}}"#),
            Some(json!({ "sampling": { "tools": {} } }))
        );
        assert_eq!(lacks(r#"{"method":"elicitation/create","params":{"mode":"url"}}"#), None);
        assert_eq!(
            lacks(r#"{"method":"elicitation/create"}"#),
            Some(json!({ "elicitation": { "form": {} } }))
        );
        assert_eq!(lacks(r#"{"method":"roots/list"}"#), Some(json!({ "roots": {} })));
    }
}
