//! [`Paging`]: cursors into the lists of legacy servers, as modern clients carry them. A server may list something
//! else to each kind of lane, so a cursor is good for one kind, of one edition of the backend, and for an hour.

use std::sync::Arc;

use bytes::Bytes;
use omcp_core::{GatewayError, McpMessage};
use omcp_mcp::aggregate::list::List;
use omcp_mcp::bridge::capabilities::ClientCapabilities;
use omcp_mcp::bridge::edits::{Edits, quoted};
use omcp_mcp::bridge::failure::unknown_cursor;
use omcp_mcp::bridge::message::{Message, Owned};
use omcp_mcp::json;
use omcp_mcp::object::member;
use omcp_mcp::token::content::Cursor;
use omcp_mcp::token::{Binding, Purpose};

use crate::backends::Served;
use crate::backends::bridge::principal::Principal;
use crate::members::Members;
use crate::members::keys::CURSOR_LIFETIME;

/// One request for a page of a list.
#[derive(Clone)]
pub struct Paging {
    members: Arc<Members>,
    backend: String,
    principal: Principal,
    scope: [u8; 16],
}

impl Paging {
    /// None if the request is for no list.
    pub fn of(
        members: &Arc<Members>,
        served: &Served,
        principal: &Principal,
        request: Message<'_>,
    ) -> Option<Self> {
        let list = List::of_method(request.method())?;
        let (members, principal) = (members.clone(), principal.clone());
        let scope = scope(list, served.revision(), &ClientCapabilities::of_modern(request));
        Some(Self { members, backend: served.name().as_str().to_owned(), principal, scope })
    }

    /// The request with the server's own cursor.
    ///
    /// # Errors
    /// The answer to one with a cursor that is none of this list, or somebody else's.
    pub fn open(&self, message: McpMessage) -> Result<McpMessage, Bytes> {
        let (src, params) = (message.bytes(), message.envelope().params_range());
        let given = params.and_then(|params| member(src, params, "cursor"));
        let Some(at) = given.filter(|at| &src[at.clone()] != b"null") else { return Ok(message) };
        let theirs = json::text(&src[at.clone()]).and_then(|sealed| self.theirs(&sealed));
        let theirs = theirs.ok_or_else(|| unknown_cursor(message.id().unwrap_or_default()))?;
        let mut edits = Edits::new(src);
        edits.replace(at, quoted(&theirs));
        Ok(McpMessage::trusted(edits.apply()))
    }

    /// The answer with a cursor that is this client's.
    ///
    /// # Errors
    /// The server's own is too long, or there is no randomness.
    pub fn seal(&self, answer: Bytes) -> Result<Bytes, GatewayError> {
        let Ok(scanned) = Owned::scan(answer.clone()) else { return Ok(answer) };
        let result = scanned.lend().result_object();
        let next = result.and_then(|result| member(&answer, result, "nextCursor"));
        let Some((at, text)) = next.and_then(|at| Some((at.clone(), json::text(&answer[at])?))) else {
            return Ok(answer);
        };
        let content = Cursor { scope: self.scope, text: text.into_owned() }.to_bytes();
        let sealed = self.members.keys().seal(self.binding(), CURSOR_LIFETIME, &content)?;
        let mut edits = Edits::new(&answer);
        edits.replace(at, quoted(&sealed));
        Ok(edits.apply())
    }

    fn theirs(&self, sealed: &str) -> Option<String> {
        let cursor = Cursor::from_bytes(&self.members.keys().open(self.binding(), sealed)?)?;
        (cursor.scope == self.scope).then_some(cursor.text)
    }

    fn binding(&self) -> Binding<'_> {
        Binding { purpose: Purpose::Cursor, endpoint: &self.backend, principal: self.principal.as_str() }
    }
}

fn scope(list: List, revision: u64, capabilities: &ClientCapabilities) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(list.method().as_bytes());
    hasher.update(&revision.to_le_bytes()).update(&capabilities.fingerprint());
    *hasher.finalize().as_bytes().first_chunk().expect("a hash has 32 bytes")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn paging(members: &Arc<Members>, who: &str, backend: &str, scope: [u8; 16]) -> Paging {
        let (principal, backend) = (Principal::named(who), backend.to_owned());
        Paging { members: members.clone(), backend, principal, scope }
    }

    fn sent(paging: &Paging, cursor: &Value) -> Result<Value, Bytes> {
        let params = json!({ "cursor": cursor, "_meta": {} });
        let request = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": params });
        let sent = paging.open(McpMessage::parse(request.to_string().into()).unwrap())?;
        let sent: Value = serde_json::from_slice(sent.bytes()).unwrap();
        Ok(sent["params"]["cursor"].clone())
    }

    #[test]
    fn a_cursor_is_for_one_client_and_one_kind_of_lane() {
        let members = Arc::new(Members::alone("here").unwrap());
        let tools = paging(&members, "alice", "b", [1; 16]);
        let page = json!({ "jsonrpc": "2.0", "id": 1, "result": { "tools": [], "nextCursor": "theirs" } });
        let sealed: Value = serde_json::from_slice(&tools.seal(page.to_string().into()).unwrap()).unwrap();
        let cursor = &sealed["result"]["nextCursor"];
        assert_eq!(sent(&tools, cursor).unwrap(), "theirs");
        assert_eq!(sent(&tools, &json!(null)).unwrap(), json!(null));
        let unknown = sent(&tools, &json!("theirs")).unwrap_err();
        for (who, backend, scope) in [("bob", "b", [1; 16]), ("alice", "c", [1; 16]), ("alice", "b", [2; 16])]
        {
            assert_eq!(sent(&paging(&members, who, backend, scope), cursor).unwrap_err(), unknown, "{who}");
        }
        let last = Bytes::from(r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[]}}"#);
        assert_eq!(tools.seal(last.clone()).unwrap(), last);
    }

    #[test]
    fn lists_editions_and_capabilities_are_told_apart() {
        let able = ClientCapabilities::parse(br#"{"sampling":{}}"#);
        let none = ClientCapabilities::parse(b"{}");
        let all = [
            scope(List::Tools, 1, &none),
            scope(List::Prompts, 1, &none),
            scope(List::Tools, 2, &none),
            scope(List::Tools, 1, &able),
        ];
        assert!(all.iter().all(|one| all.iter().filter(|other| *other == one).count() == 1));
    }
}
