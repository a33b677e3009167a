//! Clients of 2024-11-05 with all backends, over HTTP+SSE.

use anyhow::{Result, ensure};
use omcp_tests::harness::client::Sse;
use serde_json::json;

use super::{ALL, House, names, owners, tool};

#[tokio::test(flavor = "multi_thread")]
async fn lists_calls_and_questions() -> Result<()> {
    let house = House::build().await;
    let mut client = Sse::connect(&format!("{}/sse", house.cluster.nodes[0].mcp)).await?;
    let list = client.request("tools/list", json!({})).await?;
    assert_eq!(owners(&names(&list["tools"], "name")), ALL);
    for backend in ALL {
        let sum = client.tool(&tool(backend, "add"), json!({ "a": 2, "b": 40 })).await?;
        assert_eq!(sum, "42", "{backend}");
        let params = json!({ "name": tool(backend, "test_sampling"), "arguments": { "prompt": "capital?" } });
        client
            .post(&json!({ "jsonrpc": "2.0", "id": "q", "method": "tools/call", "params": params }))
            .await?;
        let question = client.next().await?;
        assert_eq!(question["method"], "sampling/createMessage", "{backend}");
        let answer =
            json!({ "role": "assistant", "model": "m", "content": { "type": "text", "text": "Paris" } });
        client.post(&json!({ "jsonrpc": "2.0", "id": question["id"], "result": answer })).await?;
        let result = client.next().await?;
        assert_eq!(result["result"]["content"][0]["text"], "LLM response: Paris", "{backend}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_select_backends() -> Result<()> {
    let house = House::build().await;
    let mut client = Sse::connect(&format!("{}/sse?tags=both", house.cluster.nodes[0].mcp)).await?;
    let list = client.request("tools/list", json!({})).await?;
    ensure!(owners(&names(&list["tools"], "name")) == ["http", "stdio"], "{list}");
    Ok(())
}
