//! Questions of servers, answered through another node than the one that passed them on.

use anyhow::{Context, Result, ensure};
use omcp_tests::harness::client::{Exchange, Legacy, Modern};
use serde_json::{Value, json};

use super::House;

async fn question(exchange: &mut Exchange) -> Result<Value> {
    loop {
        let message = exchange.next().await?.context("a question before the end")?;
        if message.get("method").is_some() && message.get("id").is_some() {
            return Ok(message);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_client_answers_through_another_node() -> Result<()> {
    let house = House::build().await;
    for backend in ["stdio", "http", "modern-stdio", "modern-http"] {
        let client = Legacy::connect(&house.endpoint(0, backend)).await?;
        let ask = json!({ "name": "test_elicitation", "arguments": { "message": "who?" } });
        // Asked through the second node, answered through the third, of a session that lives on the first.
        let mut exchange = client.at(&house.endpoint(1, backend)).open("tools/call", ask).await?;
        let question = question(&mut exchange).await?;
        let answer = json!({ "action": "accept", "content": { "username": "ada" } });
        client.at(&house.endpoint(2, backend)).respond(&question, answer).await?;
        let result = exchange.result().await?;
        ensure!(result.to_string().contains("ada"), "{backend}: {result}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stateless_client_goes_on_at_another_node() -> Result<()> {
    let house = House::build().await;
    for backend in ["legacy-stdio", "http", "sse"] {
        let client = Modern::new(&house.endpoint(0, backend));
        let mut params = json!({ "name": "test_elicitation", "arguments": { "message": "who?" } });
        let asked = client.request("tools/call", params.clone()).await?;
        let (key, _) =
            asked["inputRequests"].as_object().and_then(|asked| asked.iter().next()).context("asked")?;
        params["requestState"] = asked["requestState"].clone();
        params["inputResponses"] = json!({ key: { "action": "accept", "content": { "username": "ada" } } });
        let answer = client.at(&house.endpoint(2, backend)).request("tools/call", params).await?;
        ensure!(answer.to_string().contains("ada"), "{backend}: {answer}");
    }
    Ok(())
}
