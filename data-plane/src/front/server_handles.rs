//! [`ServerHandles`]: what a modern server gives its clients to carry. The server sees one client, which is the
//! gateway: so whose a `requestState` or a `taskId` is, is sealed into it.

mod sealing;
mod search;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use omcp_core::{BackendName, GatewayError, McpMessage};
use omcp_mcp::bridge::edits::{Edits, quoted};
use omcp_mcp::bridge::failure::{Reason, unknown_task};
use omcp_mcp::bridge::limits::TASKS_MAX;
use omcp_mcp::bridge::message::Message;
use omcp_mcp::bridge::state::Fingerprint;
use omcp_mcp::bridge::task::ttl_ms;
use omcp_mcp::object::{elements, member, members};
use omcp_mcp::{json, methods};

use crate::backends::bridge::principal::Principal;
use crate::failure;
use crate::members::Members;
use sealing::Sealing;
pub use search::{Search, Sought};

/// Whether a request may name such a thing.
pub fn may_name(request: &McpMessage) -> bool {
    match request.method().unwrap_or_default() {
        methods::SUBSCRIPTIONS_LISTEN => true,
        method if methods::is_multi_round_trip(method) => request.envelope().request_state_range().is_some(),
        method => methods::is_about_task(method),
    }
}

/// Those of one request and of what is said to it.
pub struct ServerHandles {
    sealing: Sealing,
    request: McpMessage,
    /// What the server calls the tasks that the request names, and what the client does.
    tasks: Vec<(String, String)>,
}

impl ServerHandles {
    pub fn new(
        members: Arc<Members>,
        backend: &BackendName,
        principal: &Principal,
        request: &McpMessage,
    ) -> Self {
        let sealing = Sealing::new(members, backend.clone(), principal.clone());
        Self { sealing, request: request.clone(), tasks: Vec::new() }
    }

    /// The request as the server knows its handles.
    ///
    /// # Errors
    /// The answer to one that carries what is none, or somebody else's.
    pub fn open(&mut self) -> Result<McpMessage, Bytes> {
        let request = self.request.clone();
        let (src, id) = (request.bytes(), request.id().unwrap_or_default());
        let at = |name: &str| member(src, request.envelope().params_range()?, name);
        let mut edits = Edits::new(src);
        match request.method().unwrap_or_default() {
            method if methods::is_about_task(method) => {
                let Some(at) = at("taskId") else { return Ok(request) };
                let theirs = self.open_task(&src[at.clone()]).ok_or_else(|| unknown_task(id))?;
                edits.replace(at, quoted(&theirs));
            }
            methods::SUBSCRIPTIONS_LISTEN => {
                let asked = at("notifications").into_iter().flat_map(|asked| members(src, asked));
                // Of two lists, the server may take either.
                for (_, list) in asked.filter(|(name, _)| name == "taskIds") {
                    edits.replace(list.clone(), self.open_tasks(src, list));
                }
                if edits.is_empty() {
                    return Ok(request);
                }
            }
            method if methods::is_multi_round_trip(method) => {
                let Some(at) = request.envelope().request_state_range() else { return Ok(request) };
                let theirs = json::text(&src[at.clone()])
                    .and_then(|sealed| self.sealing.open_state(&sealed, self.fingerprint()))
                    .ok_or_else(|| Reason::InvalidRequestState.state_answer(id))?;
                edits.replace(at, quoted(&theirs));
            }
            _ => return Ok(request),
        }
        Ok(McpMessage::trusted(edits.apply()))
    }

    fn open_task(&mut self, raw: &[u8]) -> Option<String> {
        let ours = json::text(raw)?;
        let theirs = self.sealing.open_task(&ours)?;
        self.tasks.push((theirs.clone(), ours.into_owned()));
        Some(theirs)
    }

    /// Those of a list that are this client's.
    fn open_tasks(&mut self, src: &[u8], list: Range<usize>) -> Vec<u8> {
        let named = elements(src, list).take(TASKS_MAX);
        array(named.filter_map(|at| self.open_task(&src[at])).map(|id| quoted(&id)))
    }

    /// Anything that the server says, with handles that are this client's.
    pub fn seal(&self, said: McpMessage) -> Option<McpMessage> {
        if said.method().is_some() { self.seal_news(said) } else { Some(self.seal_answer(said)) }
    }

    /// The server's answer.
    pub fn seal_answer(&self, said: McpMessage) -> McpMessage {
        match self.sealed(&said) {
            Ok(None) => said,
            Ok(Some(sealed)) => McpMessage::trusted(sealed),
            Err(error) => {
                let id = said.id().unwrap_or(b"null");
                McpMessage::trusted(failure::message(id, self.sealing.backend.as_str(), &error).into())
            }
        }
    }

    /// Something else that the server says; none if what it names cannot be sealed, as nobody could ask for it.
    pub fn seal_news(&self, said: McpMessage) -> Option<McpMessage> {
        match self.sealed(&said) {
            Ok(None) => Some(said),
            Ok(Some(sealed)) => Some(McpMessage::trusted(sealed)),
            Err(error) => {
                tracing::debug!(backend = %self.sealing.backend, error = %error.chain(), "news of a task are left out");
                None
            }
        }
    }

    fn sealed(&self, said: &McpMessage) -> Result<Option<Bytes>, GatewayError> {
        let mut edits = Edits::new(said.bytes());
        match said.method() {
            None => self.seal_result(said, &mut edits)?,
            Some(methods::TASKS) => self.seal_task(said, &mut edits)?,
            Some(methods::SUBSCRIPTIONS_ACKNOWLEDGED) => self.name_granted(said, &mut edits),
            Some(_) => {}
        }
        Ok((!edits.is_empty()).then(|| edits.apply()))
    }

    fn seal_result(&self, said: &McpMessage, edits: &mut Edits<'_>) -> Result<(), GatewayError> {
        let (method, src) = (self.request.method().unwrap_or_default(), said.bytes());
        // What a call has come to in the end is large at times, and gives nothing to carry.
        let comes_back = || said.envelope().result_type(src).as_deref() != Some("complete");
        let given = methods::is_about_task(method) || methods::is_multi_round_trip(method) && comes_back();
        let result = Message::new(src, said.envelope()).result_object().filter(|_| given);
        for (name, at) in result.clone().into_iter().flat_map(|result| members(src, result)) {
            let text = || json::text(&src[at.clone()]).map(Cow::into_owned);
            let sealed = match &*name {
                "requestState" => text().map(|state| self.sealing.state(state, self.fingerprint())),
                "taskId" => text().map(|id| self.name(&id, &src[result.clone().unwrap_or_default()])),
                _ => None,
            };
            if let Some(sealed) = sealed.transpose()? {
                edits.replace(at.clone(), quoted(&sealed));
            }
        }
        Ok(())
    }

    fn seal_task(&self, said: &McpMessage, edits: &mut Edits<'_>) -> Result<(), GatewayError> {
        let (src, Some(params)) = (said.bytes(), said.envelope().params_range()) else { return Ok(()) };
        let Some(at) = member(src, params.clone(), "taskId") else { return Ok(()) };
        if let Some(id) = json::text(&src[at.clone()]) {
            edits.replace(at, quoted(&self.name(&id, &src[params])?));
        }
        Ok(())
    }

    /// The tasks that the server tells of.
    fn name_granted(&self, said: &McpMessage, edits: &mut Edits<'_>) {
        let (src, params) = (said.bytes(), said.envelope().params_range());
        let granted = params.and_then(|params| member(src, params, "notifications"));
        let Some(at) = granted.and_then(|granted| member(src, granted, "taskIds")) else { return };
        let named = elements(src, at.clone()).filter_map(|at| json::text(&src[at]));
        edits.replace(at, array(named.filter_map(|id| self.named(&id)).map(quoted)));
    }

    /// What the client calls a task, which says of itself how long it lives.
    fn name(&self, id: &str, task: &[u8]) -> Result<String, GatewayError> {
        match self.named(id) {
            Some(ours) => Ok(ours.to_owned()),
            None => self.sealing.task(id.to_owned(), ttl_ms(task)),
        }
    }

    fn named(&self, id: &str) -> Option<&str> {
        self.tasks.iter().find(|(theirs, _)| theirs == id).map(|(_, ours)| ours.as_str())
    }

    fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(Message::new(self.request.bytes(), self.request.envelope()))
    }
}

fn array(items: impl Iterator<Item = Vec<u8>>) -> Vec<u8> {
    [b"[", &items.collect::<Vec<_>>().join(&b","[..])[..], b"]"].concat()
}
