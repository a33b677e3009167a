//! What clients carry is sealed, and good for one principal at one endpoint. A foreign, stolen or changed one is
//! answered as one that never was, byte for byte.

mod cursors;
mod events;
mod states;
mod tasks;

use anyhow::{Context, Result, ensure};
use omcp_tests::harness::client::modern::{headers_of, with_envelope};
use omcp_tests::harness::node::Node;
use serde_json::{Value, json};

use crate::envoy::{Envoy, JSON};

/// A stateless client with a name.
#[derive(Clone, Copy)]
struct Person<'a> {
    envoy: &'a Envoy,
    node: &'a Node,
    name: &'a str,
}

impl<'a> Person<'a> {
    fn called(self, name: &'a str) -> Self {
        Self { name, ..self }
    }

    /// The answer to a request as it comes: every request has the same id.
    async fn told(&self, path: &str, method: &str, params: Value) -> Result<(u16, String)> {
        let message = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": with_envelope(params) });
        let headers = headers_of(&message);
        let headers = headers.iter().map(|(name, value)| (*name, value.as_str()));
        let headers: Vec<_> = JSON.into_iter().chain(headers).collect();
        let reply = self.envoy.post(self.node, path, self.name, &message, &headers).await?;
        let status = reply.status.as_u16();
        Ok((status, String::from_utf8(reply.bytes().await?.to_vec())?))
    }

    async fn result(&self, path: &str, method: &str, params: Value) -> Result<Value> {
        let (status, text) = self.told(path, method, params).await?;
        // Some servers stream every answer; it is the last event.
        let last = text.rsplit("data: ").next().unwrap_or_default();
        let mut answer: Value = serde_json::from_str(last).with_context(|| format!("{status} {text}"))?;
        ensure!(answer.get("result").is_some(), "{method}: {text}");
        Ok(answer["result"].take())
    }
}

/// What can be wrong with a handle, whatever it is for.
fn spoilt(good: &str) -> [String; 4] {
    let letter = |at: usize| if &good[at..=at] == "A" { "B" } else { "A" };
    let altered = |at: usize| format!("{}{}{}", &good[..at], letter(at), &good[at + 1..]);
    [altered(4), altered(good.len() / 2), altered(good.len() - 2), good[..good.len() - 4].to_owned()]
}
