//! What clients carry is good for one principal at one endpoint. Whatever else is wrong with it, it is unknown.

use anyhow::{Context, Result, ensure};
use http::Method;
use omcp_mcp::token::{Key, KeyId};
use omcp_tests::harness::client::{Http, Legacy, Modern};
use serde_json::{Value, json};

use super::{House, NODES};
use crate::envoy::{Envoy, JSON, keyring};

/// The secrets in a node's keyring file.
pub fn secrets(file: &[u8]) -> Result<Vec<Vec<u8>>> {
    Ok(keyring(file)?.keys.into_iter().map(|key| key.secret).collect())
}

fn ping() -> Value {
    json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" })
}

/// The token with one letter replaced.
fn altered(token: &str, at: usize) -> String {
    let letter = if &token[at..=at] == "A" { "B" } else { "A" };
    format!("{}{letter}{}", &token[..at], &token[at + 1..])
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_wrong_with_a_session_it_is_not_found() -> Result<()> {
    let house = House::build().await;
    for (backend, other) in [("stdio", "legacy-stdio"), ("http", "sse"), ("modern-http", "http")] {
        let client = Legacy::connect(&house.endpoint(0, backend)).await?;
        let foreign = Legacy::connect(&house.endpoint(0, other)).await?;
        let gone = Legacy::connect(&house.endpoint(0, backend)).await?;
        gone.delete().await?;
        let good = client.session();
        let bad = [
            "unknown".to_owned(),
            String::from("g1.00000000.AAAA"),
            altered(good, 4),
            altered(good, good.len() / 2),
            altered(good, good.len() - 2),
            good[..good.len() - 4].to_owned(),
            foreign.session().to_owned(),
            gone.session().to_owned(),
        ];
        let mut answers = Vec::new();
        for (id, node) in bad.iter().flat_map(|id| (0..NODES).map(move |node| (id, node))) {
            // Of a deleted session of an HTTP server, that server says so, in its own words.
            if backend == "http" && id == gone.session() {
                continue;
            }
            let reply = client.at(&house.endpoint(node, backend)).with_session(id).post(&ping()).await?;
            answers.push((reply.status, reply.json().await?));
        }
        answers.dedup();
        ensure!(answers.len() == 1 && answers[0].0 == 404, "{backend}: {answers:?}");
        assert_eq!(client.request("ping", json!({})).await?, json!({}), "{backend}");
    }
    Ok(())
}

/// Posts a message to the first node on behalf of `principal`: status, session id, answer.
async fn post(
    house: &House,
    envoy: &Envoy,
    principal: &str,
    message: &Value,
    more: &[(&str, &str)],
) -> Result<(u16, String, Value)> {
    let headers = [&JSON[..], more].concat();
    let reply = envoy.post(&house.cluster.nodes[0], "/mcp/stdio", principal, message, &headers).await?;
    let (status, session) = (reply.status.as_u16(), reply.header("mcp-session-id").to_owned());
    Ok((status, session, reply.json().await.unwrap_or_default()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_session_is_not_found() -> Result<()> {
    let house = House::build().await;
    let envoy = Envoy::of(&house.cluster.nodes[0])?;
    let params = json!({ "protocolVersion": "2025-06-18", "capabilities": {},
        "clientInfo": { "name": "alice", "version": "1" } });
    let hello = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params });
    let (status, session, _) = post(&house, &envoy, "alice", &hello, &[]).await?;
    ensure!(status == 200 && session.starts_with("g1."), "{status} {session}");
    let named = [("mcp-session-id", session.as_str())];
    assert_eq!(post(&house, &envoy, "alice", &ping(), &named).await?.0, 200);
    let stolen = post(&house, &envoy, "bob", &ping(), &named).await?;
    let unknown = post(&house, &envoy, "bob", &ping(), &[("mcp-session-id", "unknown")]).await?;
    assert_eq!((stolen.0, &stolen), (404, &unknown));
    // Nor is it a client's that comes without a name, at any node.
    let client = Legacy::connect(&house.endpoint(0, "stdio")).await?;
    for node in 0..NODES {
        let thief = client.at(&house.endpoint(node, "stdio")).with_session(&session);
        let reply = thief.post(&ping()).await?;
        assert_eq!((reply.status.as_u16(), reply.json().await?), (404, unknown.2.clone()));
    }
    assert_eq!(post(&house, &envoy, "alice", &ping(), &named).await?.0, 200, "it is still hers");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mark_that_is_none_of_the_fleet_opens_nothing() -> Result<()> {
    let house = House::build().await;
    let stranger = Envoy { key: Key::new(KeyId(1), &[7; 32]) };
    let known = Envoy { key: Key::new(Envoy::of(&house.cluster.nodes[0])?.key.id(), &[7; 32]) };
    for envoy in [stranger, known] {
        let (status, session, _) = post(&house, &envoy, "alice", &ping(), &[]).await?;
        assert_eq!((status, session.as_str()), (421, ""));
    }
    // A mark is for one body.
    let envoy = Envoy::of(&house.cluster.nodes[0])?;
    let mark = envoy.mark(house.cluster.nodes[0].name(), "/mcp/stdio", "alice", b"another")?;
    let headers =
        [("accept", "application/json"), ("content-type", "application/json"), ("omcp-hop", mark.as_str())];
    let url = house.endpoint(0, "stdio");
    let reply = Http::default().request(Method::POST, &url, &headers, ping().to_string().as_bytes()).await?;
    assert_eq!(reply.status, 421);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_wrong_with_a_state_it_is_no_state() -> Result<()> {
    let house = House::build().await;
    let client = Modern::new(&house.endpoint(0, "legacy-stdio"));
    let ask = json!({ "name": "test_elicitation", "arguments": { "message": "who?" } });
    let asked = client.request("tools/call", ask.clone()).await?;
    let good = asked["requestState"].as_str().context("a state")?;
    let foreign = Modern::new(&house.endpoint(0, "http")).request("tools/call", ask.clone()).await?;
    let foreign = foreign["requestState"].as_str().context("a state")?;
    let session = Legacy::connect(&house.endpoint(0, "legacy-stdio")).await?;
    for bad in ["", "unknown", foreign, session.session(), &altered(good, good.len() / 2)] {
        for node in 0..NODES {
            let mut params = ask.clone();
            params["requestState"] = json!(bad);
            let mut exchange =
                client.at(&house.endpoint(node, "legacy-stdio")).open("tools/call", params).await?;
            let error = exchange.error().await?;
            let told = (&error["code"], &error["data"]["reason"]);
            assert_eq!(told, (&json!(-32602), &json!("invalid_request_state")), "{bad:?} on node {node}");
        }
    }
    Ok(())
}
