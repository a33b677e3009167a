//! [`Agreement`]: the revisions of both ends of a relayed session, and what each end is told in other words for them.

use bytes::Bytes;

use super::capabilities::ClientCapabilities;
use super::downlevel::{self, Passed};
use super::message::Message;
use crate::envelope::Kind;
use crate::methods;
use crate::revision::Revision;

/// The newest revision that a relay knows: between two ends of it every word stays as it is.
const NEWEST: Revision = Revision::LATEST_LEGACY;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Agreement {
    client: Revision,
    server: Revision,
    declared: ClientCapabilities,
}

impl Agreement {
    /// `hello` is the client's own `initialize`.
    pub fn new(client: Revision, server: Revision, hello: Message<'_>) -> Self {
        let declared = ClientCapabilities::parse(hello.param("capabilities").unwrap_or(b"{}"));
        Self { client, server, declared }
    }

    /// What the client was told.
    pub fn client(&self) -> Revision {
        self.client
    }

    /// Whether there may be anything that one end cannot read.
    pub fn is_uneven(&self) -> bool {
        self.client < NEWEST || self.server < NEWEST
    }

    /// The client's request as the server is to read it; `None` if that is as it is.
    pub fn client_request(&self, request: Message<'_>) -> Option<Bytes> {
        downlevel::client_request(request, self.server)
    }

    /// The client's answer as the server is to read it; `None` if that is as it is.
    pub fn client_answer(&self, answer: Message<'_>) -> Option<Bytes> {
        downlevel::client_answer(answer, self.server)
    }

    pub fn server_request(&self, request: Message<'_>) -> Passed {
        downlevel::server_request(request, self.client, &self.declared)
    }

    /// The server's answer to a request of this `method`; `None` if it stays as it is.
    pub fn server_answer(&self, answer: Message<'_>, method: &str) -> Option<Bytes> {
        match answer.kind() {
            Kind::Response => downlevel::response(answer, method, self.client),
            // What it becomes is the result of a tool.
            Kind::Error if method == methods::TOOLS_CALL => {
                downlevel::error(answer, self.client, &self.declared)
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::bridge::message::Owned;

    fn scan(value: &Value) -> Owned {
        Owned::scan(value.to_string()).unwrap()
    }

    fn between(client: Revision, server: Revision) -> Agreement {
        let hello = scan(&json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
            "capabilities": { "elicitation": {} } } }));
        Agreement::new(client, server, hello.lend())
    }

    #[test]
    fn only_the_newest_two_need_nothing() {
        for client in Revision::LEGACY {
            for server in Revision::LEGACY {
                let both_newest = client == NEWEST && server == NEWEST;
                assert_eq!(between(client, server).is_uneven(), !both_newest, "{client} {server}");
            }
        }
    }

    #[test]
    fn an_error_becomes_a_result_of_tools_only() {
        let error = scan(&json!({ "jsonrpc": "2.0", "id": 1, "error": { "code": -32042, "message": "m",
            "data": { "elicitations": [{ "url": "https://x", "message": "Log in" }] } } }));
        let uneven = between(Revision::V2025_06_18, NEWEST);
        assert!(uneven.server_answer(error.lend(), "tools/call").is_some());
        assert_eq!(uneven.server_answer(error.lend(), "prompts/get"), None);
    }

    #[test]
    fn each_end_counts_for_what_it_hears() {
        let told = scan(&json!({ "jsonrpc": "2.0", "id": 1, "result": { "content": [
            { "type": "resource_link", "name": "log", "uri": "file:///log" }] } }));
        let complete = scan(&json!({ "jsonrpc": "2.0", "id": 1, "method": "completion/complete", "params": {
            "ref": {}, "context": {} } }));
        let sampled =
            scan(&json!({ "jsonrpc": "2.0", "id": 1, "result": { "role": "assistant", "model": "m",
            "content": [{ "type": "text", "text": "t" }] } }));
        let old_client = between(Revision::V2025_03_26, NEWEST);
        assert!(old_client.server_answer(told.lend(), "tools/call").is_some());
        assert_eq!(old_client.client_request(complete.lend()), None);
        let old_server = between(NEWEST, Revision::V2025_03_26);
        assert_eq!(old_server.server_answer(told.lend(), "tools/call"), None);
        assert!(old_server.client_request(complete.lend()).is_some());
        assert!(old_server.client_answer(sampled.lend()).is_some());
    }
}
