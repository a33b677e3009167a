//! What an older legacy revision cannot read, said so that it can.
//!
//! SDKs of old validate content by closed unions: one block they do not know fails the whole result.

mod content;
mod form;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use serde_json::Value;

use super::capabilities::ClientCapabilities;
use super::edits::Edits;
use super::error_map::code_of;
use super::failure;
use super::message::Message;
use super::question::{Question, QuestionKind};
use super::result::{each_tool, ensure_text};
use crate::methods;
use crate::object::{elements, member, member_text};
use crate::refusal::{code, error_response};
use crate::revision::Revision;

/// An elicitation that cannot be shown is answered as if the user had closed it.
const CANCELLED: &[u8] = br#"{"action":"cancel"}"#;

/// A result for a client of an older revision; `None` if it can stay as it is.
pub fn response(response: Message<'_>, method: &str, client: Revision) -> Option<Bytes> {
    if client >= Revision::V2025_06_18 {
        return None;
    }
    let result = response.result_object()?;
    let bytes = response.bytes();
    let mut edits = Edits::new(bytes);
    match method {
        methods::TOOLS_CALL => {
            let structured = member(bytes, result.clone(), "structuredContent");
            let mut added = Vec::new();
            if let Some(value) = structured {
                added = ensure_text(&mut edits, bytes, &result, &bytes[value]);
            }
            if let Some(list) = member(bytes, result.clone(), "content").filter(|at| bytes[at.start] == b'[')
            {
                elements(bytes, list).for_each(|at| content::block(&mut edits, bytes, at, client));
            }
            edits.members(result, &["structuredContent"], added);
        }
        methods::PROMPTS_GET => {
            let list = member(bytes, result, "messages").filter(|at| bytes[at.start] == b'[')?;
            for message in elements(bytes, list) {
                if let Some(at) = member(bytes, message, "content") {
                    content::block(&mut edits, bytes, at, client);
                }
            }
        }
        methods::TOOLS_LIST => {
            each_tool(response, result, |tool| edits.members(tool, &["outputSchema"], &b""[..]));
        }
        _ => {}
    }
    (!edits.is_empty()).then(|| edits.apply())
}

/// What becomes of a question to an older client.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Adapted {
    Ask(Question),
    /// It cannot be asked; this is the answer.
    Answered(&'static [u8]),
}

/// A question in the words of an older revision.
pub fn question(question: &Question, client: Revision) -> Adapted {
    if client >= Revision::V2025_11_25 {
        return Adapted::Ask(question.clone());
    }
    match question.kind() {
        QuestionKind::Form => match form::plain(question.params()) {
            Some(params) => Adapted::Ask(question.clone().with_params(&params)),
            None => Adapted::Answered(CANCELLED),
        },
        QuestionKind::Sampling { .. } => {
            let params = content::sampling(question.params(), client);
            Adapted::Ask(question.clone().with_params(&params))
        }
        QuestionKind::Url | QuestionKind::Roots => Adapted::Ask(question.clone()),
    }
}

/// What becomes of a legacy server's request to an older legacy client.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Passed {
    Same,
    Changed(Bytes),
    /// It cannot reach the client; this goes back to the server.
    Answered(Bytes),
}

/// A server's request in the words of an older revision.
pub fn server_request(request: Message<'_>, client: Revision, declared: &ClientCapabilities) -> Passed {
    let asked = Question::of_request(request).filter(|_| client < Revision::V2025_11_25);
    let Some(asked) = asked else {
        return Passed::Same;
    };
    let id = request.id();
    let is_new = matches!(asked.kind(), QuestionKind::Url | QuestionKind::Sampling { tools: true });
    if let Err(required) = asked.allowed_by(declared).map_err(|required| required.to_string())
        && is_new
    {
        let why = format!("the client did not declare {required}");
        return Passed::Answered(error_response(&id, code::INVALID_PARAMS, &why, None).into());
    }
    match (question(&asked, client), request.envelope().params_range()) {
        (Adapted::Answered(answer), _) => Passed::Answered(crate::compose::response(&id, answer).into()),
        (Adapted::Ask(adapted), Some(params)) if adapted != asked => {
            let mut edits = Edits::new(request.bytes());
            edits.replace(params, adapted.params().to_vec());
            Passed::Changed(edits.apply())
        }
        (Adapted::Ask(_), _) => Passed::Same,
    }
}

/// A client's request for a server of an older revision; `None` if it can stay as it is.
pub fn client_request(request: Message<'_>, server: Revision) -> Option<Bytes> {
    let params = request.envelope().params_range()?;
    let old = server < Revision::V2025_06_18 && request.method() == methods::COMPLETION_COMPLETE;
    if !old || member(request.bytes(), params.clone(), "context").is_none() {
        return None;
    }
    let mut edits = Edits::new(request.bytes());
    edits.members(params, &["context"], &b""[..]);
    Some(edits.apply())
}

/// A client's answer to a sampling, for a server of an older revision; `None` if it can stay as it is.
pub fn client_answer(response: Message<'_>, server: Revision) -> Option<Bytes> {
    if server >= Revision::V2025_11_25 {
        return None;
    }
    let result = response.result_object()?;
    member(response.bytes(), result.clone(), "model")?;
    let list = member(response.bytes(), result, "content")?;
    let single = content::single(&response.bytes()[list.clone()])?;
    let mut edits = Edits::new(response.bytes());
    edits.replace(list, single);
    Some(edits.apply())
}

/// An error of 2025-11-25 that asks for the user at a URL, for a client that does not know it.
pub fn error(error: Message<'_>, client: Revision, declared: &ClientCapabilities) -> Option<Bytes> {
    let known = client >= Revision::V2025_11_25 && declared.url;
    if known || code_of(error) != Some(code::URL_ELICITATION_REQUIRED) {
        return None;
    }
    let data: Value = serde_json::from_slice(error.error_member("data")?).ok()?;
    let pages = data["elicitations"].as_array()?.iter();
    let lines: Vec<String> = pages
        .filter_map(|page| Some(format!("{}: {}", page["message"].as_str()?, page["url"].as_str()?)))
        .collect();
    let text = format!("The user has to open a page first, then call again.\n{}", lines.join("\n"));
    Some(failure::tool_error(&error.id(), &text, false))
}

/// `name` of `object` as text; for the modules below.
fn text(raw: &[u8], name: &str) -> Option<String> {
    member_text(raw, 0..raw.len(), name).map(|text| text.into_owned())
}
