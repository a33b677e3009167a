//! [`Address`]: what a client's request is about, and so whose it is.

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;

use super::list::List;
use super::{names, uris};
use crate::bridge::edits::quoted;
use crate::bridge::message::Message;
use crate::methods;
use crate::object::{member, member_text};
use crate::splice::splice;

/// What is addressed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Subject {
    Tool,
    Prompt,
    Resource,
    Task,
}

impl Subject {
    /// The list in which it stands, if it stands in one. A resource may also come from a template.
    pub fn list(self) -> Option<List> {
        match self {
            Self::Tool => Some(List::Tools),
            Self::Prompt => Some(List::Prompts),
            Self::Resource => Some(List::Resources),
            Self::Task => None,
        }
    }

    /// The backend that `text` names, and what is behind that. Whether there is such a backend, the caller
    /// knows, and what is sealed in the name of a task.
    pub fn named(self, text: &str) -> Option<(&str, Cow<'_, str>)> {
        match self {
            Self::Tool | Self::Prompt => names::split(text).map(|(backend, tail)| (backend, tail.into())),
            Self::Resource => uris::split(text),
            Self::Task => None,
        }
    }
}

/// A reference in a request, as the client spelled it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Address {
    pub subject: Subject,
    pub text: String,
    at: Range<usize>,
}

impl Address {
    /// `None` if the request is about nothing that a single backend owns, or does not say what.
    pub fn of(request: Message<'_>) -> Option<Self> {
        let subject = match request.method() {
            methods::TOOLS_CALL => Subject::Tool,
            methods::PROMPTS_GET => Subject::Prompt,
            methods::RESOURCES_READ | methods::RESOURCES_SUBSCRIBE | methods::RESOURCES_UNSUBSCRIBE => {
                Subject::Resource
            }
            methods::COMPLETION_COMPLETE => return Self::of_completion(request),
            method if methods::target_member(method) == Some("taskId") => Subject::Task,
            _ => return None,
        };
        let text = request.envelope().target(request.bytes())?.into_owned();
        Some(Self { subject, text, at: request.envelope().target_range()? })
    }

    fn of_completion(request: Message<'_>) -> Option<Self> {
        let src = request.bytes();
        let reference = member(src, request.envelope().params_range()?, "ref")?;
        let (subject, name) = match member_text(src, reference.clone(), "type")?.as_ref() {
            "ref/prompt" => (Subject::Prompt, "name"),
            "ref/resource" => (Subject::Resource, "uri"),
            _ => return None,
        };
        let at = member(src, reference, name)?;
        Some(Self { subject, text: crate::json::text(&src[at.clone()])?.into_owned(), at })
    }

    /// The request as its backend wants it, which calls the subject `original`.
    pub fn readdress(&self, request: Message<'_>, original: &str) -> Bytes {
        splice(request.bytes(), &[(self.at.clone(), &quoted(original))])
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::super::bridge::message::Owned;
    use super::*;

    fn request(method: &str, params: Value) -> Owned {
        Owned::scan(json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string())
            .unwrap()
    }

    #[test]
    fn requests_are_addressed() {
        for (method, params, subject, named) in [
            ("tools/call", json!({ "name": "b__t" }), Subject::Tool, Some(("b", "t"))),
            ("tools/call", json!({ "name": "t" }), Subject::Tool, None),
            ("prompts/get", json!({ "name": "b__t__u" }), Subject::Prompt, Some(("b", "t__u"))),
            ("resources/read", json!({ "uri": "b+x://y" }), Subject::Resource, Some(("b", "x://y"))),
            ("resources/unsubscribe", json!({ "uri": "ui://b+y" }), Subject::Resource, Some(("b", "ui://y"))),
            ("tasks/get", json!({ "taskId": "b+7" }), Subject::Task, None),
            (
                "completion/complete",
                json!({ "ref": { "type": "ref/prompt", "name": "b__p" } }),
                Subject::Prompt,
                Some(("b", "p")),
            ),
            (
                "completion/complete",
                json!({ "ref": { "type": "ref/resource", "uri": "b+x://{y}" } }),
                Subject::Resource,
                Some(("b", "x://{y}")),
            ),
        ] {
            let owned = request(method, params);
            let address = Address::of(owned.lend()).unwrap();
            assert_eq!(address.subject, subject, "{method}");
            let found = subject.named(&address.text).map(|(backend, rest)| (backend, rest.into_owned()));
            assert_eq!(found, named.map(|(backend, rest)| (backend, rest.to_owned())), "{method}");
        }
        for (method, params) in [
            ("tools/list", json!({ "name": "b__t" })),
            ("tools/call", json!({ "name": 5 })),
            ("completion/complete", json!({ "ref": { "type": "ref/other", "name": "b__p" } })),
            ("x/y", json!({})),
        ] {
            assert_eq!(Address::of(request(method, params).lend()), None, "{method}");
        }
    }

    #[test]
    fn only_the_reference_changes() {
        let text = r#"{"jsonrpc":"2.0", "id":1,"method":"tools/call","params":{"arguments":{"x":1.0},"name":"b\u005f_t"}}"#;
        let owned = Owned::scan(text).unwrap();
        let address = Address::of(owned.lend()).unwrap();
        let want =
            r#"{"jsonrpc":"2.0", "id":1,"method":"tools/call","params":{"arguments":{"x":1.0},"name":"t"}}"#;
        assert_eq!(address.readdress(owned.lend(), "t"), want);
    }
}
