//! [`Envoy`]: one that speaks to a node as other nodes do, and so says for whom. Clients cannot.

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Method;
use omcp_mcp::token::content::NodeTag;
use omcp_mcp::token::{Key, KeyId};
use omcp_proto::v1::Keyring;
use omcp_tests::harness::client::{Http, Reply};
use omcp_tests::harness::node::Node;
use prost::Message;
use serde_json::Value;

/// What every client sends.
pub const JSON: [(&str, &str); 2] =
    [("accept", "application/json, text/event-stream"), ("content-type", "application/json")];

pub struct Envoy {
    pub key: Key,
}

/// What a node's keyring file holds.
pub fn keyring(file: &[u8]) -> Result<Keyring> {
    let content = file.len().checked_sub(32).context("a checksum")?;
    Ok(Keyring::decode(&file[..content])?)
}

impl Envoy {
    /// One with the keys of the fleet that `node` belongs to.
    pub fn of(node: &Node) -> Result<Self> {
        let keyring = keyring(&std::fs::read(node.state().join("keyring"))?)?;
        let active = keyring.keys.iter().find(|key| key.id == keyring.active).context("an active key")?;
        let secret = active.secret.as_slice().try_into()?;
        Ok(Self { key: Key::new(KeyId(keyring.active), secret) })
    }

    /// The mark of a POST request to the node named `to`.
    pub fn mark(&self, to: &str, path: &str, principal: &str, body: &[u8]) -> Result<String> {
        let at_s = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs();
        let hash = blake3::hash(body);
        let to = NodeTag::of(to);
        let parts: [&[u8]; 6] = [
            b"POST",
            path.as_bytes(),
            to.as_bytes(),
            &at_s.to_le_bytes(),
            principal.as_bytes(),
            hash.as_bytes(),
        ];
        let said: Vec<u8> =
            parts.iter().flat_map(|part| [&(part.len() as u64).to_le_bytes()[..], part].concat()).collect();
        let [principal, hash, mark] = [principal.as_bytes(), hash.as_bytes(), &self.key.mark(&said)]
            .map(|part| URL_SAFE_NO_PAD.encode(part));
        Ok(format!("{}.{at_s}.{principal}.{hash}.{mark}", self.key.id()))
    }

    /// Posts a message on behalf of `principal`.
    pub async fn post(
        &self,
        node: &Node,
        path: &str,
        principal: &str,
        message: &Value,
        headers: &[(&str, &str)],
    ) -> Result<Reply> {
        let body = message.to_string();
        let mark = self.mark(node.name(), path, principal, body.as_bytes())?;
        let headers = [headers, &[("omcp-hop", mark.as_str())]].concat();
        let url = format!("{}{path}", node.mcp);
        Http::default().request(Method::POST, &url, &headers, body.as_bytes()).await
    }
}
