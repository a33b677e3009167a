//! Tasks of handshake servers, looked at through another node than the one that keeps them.

use anyhow::{Context, Result};
use omcp_tests::harness::client::Modern;
use omcp_tests::harness::wait::{self, holds};
use serde_json::{Value, json};

use super::House;

fn able(mut params: Value) -> Value {
    let able = json!({ "elicitation": {}, "extensions": { "io.modelcontextprotocol/tasks": {} } });
    params["_meta"] = json!({ "io.modelcontextprotocol/clientCapabilities": able });
    params
}

/// Looks at a task until it is in a state.
async fn until(client: &Modern, task: &str, status: &str) {
    wait::until(status, async || {
        let told = client.request("tasks/get", able(json!({ "taskId": task }))).await;
        let told = told.map_err(|error| format!("{error:#}"))?;
        holds(told["status"] == status, told.to_string())
    })
    .await;
}

/// Makes a task that ends when it is answered.
async fn begin(client: &Modern) -> Result<String> {
    let made = client.request("tools/call", able(json!({ "name": "confirm_delete" }))).await?;
    made["taskId"].as_str().map(str::to_owned).context("a task")
}

async fn answer(client: &Modern, task: &str) -> Result<()> {
    let answer = json!({ "action": "accept", "content": { "confirm": true } });
    let update = json!({ "taskId": task, "inputResponses": { "confirm": answer } });
    client.request("tasks/update", able(update)).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_is_looked_at_through_any_node() -> Result<()> {
    let mut house = House::build().await;
    for backend in ["legacy-stdio", "http", "sse"] {
        let client = Modern::new(&house.endpoint(0, backend));
        let task = begin(&client).await?;
        let there = client.at(&house.endpoint(1, backend));
        until(&there, &task, "input_required").await;
        answer(&client.at(&house.endpoint(2, backend)), &task).await?;
        until(&there, &task, "completed").await;
    }
    let client = Modern::new(&house.endpoint(0, "legacy-stdio"));
    let there = client.at(&house.endpoint(1, "legacy-stdio"));
    let task = begin(&client).await?;
    until(&there, &task, "input_required").await;
    let named = json!({ "notifications": { "taskIds": [task] } });
    let mut listen = there.open("subscriptions/listen", able(named.clone())).await?;
    let first = listen.next().await?.context("an acknowledgement")?;
    assert_eq!(first["params"]["notifications"], named["notifications"]);
    answer(&client.at(&house.endpoint(2, "legacy-stdio")), &task).await?;
    while listen.next().await?.context("news")?["params"]["status"] != "completed" {}

    let slow = json!({ "name": "slow_compute", "arguments": { "seconds": 60 } });
    let made = client.request("tools/call", able(slow)).await?;
    house.cluster.nodes[0].kill();
    let there = client.at(&house.endpoint(1, "legacy-stdio"));
    let mut exchange = there.open("tasks/get", able(json!({ "taskId": made["taskId"] }))).await?;
    assert_eq!(exchange.error().await?["code"], -32602);
    let named = json!({ "notifications": { "taskIds": [made["taskId"]] } });
    let mut listen = there.open("subscriptions/listen", able(named)).await?;
    let first = listen.next().await?.context("an acknowledgement")?;
    assert_eq!(first["params"]["notifications"], json!({}), "a task that is lost is left out");
    Ok(())
}
