//! Clients of 2024-11-05, over HTTP+SSE.

use anyhow::{Result, ensure};
use omcp_tests::harness::client::Sse;
use serde_json::json;

use super::{ANY_FOR_LEGACY, House};

#[tokio::test(flavor = "multi_thread")]
async fn lists_calls_and_progress() -> Result<()> {
    let house = House::build();
    for backend in ANY_FOR_LEGACY {
        let mut client = Sse::connect(&house.sse_endpoint(backend)).await?;
        ensure!(client.message_url.contains(&format!("/sse/{backend}/message")), "{}", client.message_url);
        let tools = client.request("tools/list", json!({})).await?;
        ensure!(tools["tools"].as_array().is_some_and(|tools| tools.len() > 30), "{backend}: {tools}");
        assert_eq!(client.tool("add", json!({ "a": 2, "b": 40 })).await?, "42", "{backend}");
        let params =
            json!({ "name": "progress", "arguments": { "steps": 3 }, "_meta": { "progressToken": "t" } });
        client.request("tools/call", params).await?;
        let tokens: Vec<_> =
            client.others.iter().map(|message| &message["params"]["progressToken"]).collect();
        assert_eq!(tokens, ["t"; 3], "{backend}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_may_ask() -> Result<()> {
    let house = House::build();
    for backend in ANY_FOR_LEGACY {
        let mut client = Sse::connect(&house.sse_endpoint(backend)).await?;
        let params = json!({ "name": "test_sampling", "arguments": { "prompt": "capital?" } });
        client
            .post(&json!({ "jsonrpc": "2.0", "id": "q", "method": "tools/call", "params": params }))
            .await?;
        let question = client.next().await?;
        assert_eq!(question["method"], "sampling/createMessage", "{backend}");
        let answer =
            json!({ "role": "assistant", "model": "m", "content": { "type": "text", "text": "Paris" } });
        client.post(&json!({ "jsonrpc": "2.0", "id": question["id"], "result": answer })).await?;
        let result = client.next().await?;
        assert_eq!(result["id"], "q", "{backend}");
        assert_eq!(result["result"]["content"][0]["text"], "LLM response: Paris", "{backend}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn subscriptions_are_told() -> Result<()> {
    let house = House::build();
    for backend in ANY_FOR_LEGACY {
        let mut client = Sse::connect(&house.sse_endpoint(backend)).await?;
        let uri = json!({ "uri": "test://watched-resource" });
        client.request("resources/subscribe", uri.clone()).await?;
        client.tool("touch_resource", uri).await?;
        if client.others.is_empty() {
            let message = client.next().await?;
            client.others.push(message);
        }
        assert_eq!(client.others[0]["method"], "notifications/resources/updated", "{backend}");
    }
    Ok(())
}
