//! SEP-2322: calls that ask, with state and without, another call in between, and a result of no type.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::conformance_client::client::Client;
use crate::conformance_client::form;
use crate::conformance_client::target::Target;
use crate::harness::client::{Exchange, Legacy, Modern};

/// The tools that ask, and what they say in the end.
const ASKING: [(&str, &str); 2] =
    [("test_mrtr_echo_state", "echo-state-ok"), ("test_mrtr_no_state", "no-state-ok")];
const UNRELATED: &str = "test_mrtr_unrelated";
const UNTYPED: &str = "test_mrtr_no_result_type";

pub async fn play(target: &Target) -> Result<()> {
    let client = Client::connect(target).await?;
    client.tools().await?;
    for (tool, end) in ASKING {
        let result = match &client {
            Client::Legacy(client) => in_session(client, tool).await?,
            Client::Modern(client) => in_rounds(client, tool).await?,
        };
        ensure!(result["content"][0]["text"] == end, "{tool}: {result}");
    }
    let result = client.request("tools/call", call(UNTYPED)).await?;
    ensure!(result["content"][0]["text"] == "no-result-type-test-ok", "{result}");
    client.close().await
}

async fn in_rounds(client: &Modern, tool: &str) -> Result<Value> {
    let asked = client.request("tools/call", call(tool)).await?;
    ensure!(asked["resultType"] == "input_required", "{asked}");
    client.request("tools/call", call(UNRELATED)).await?;
    client.request("tools/call", form::answered(tool, &asked)).await
}

/// In a session the server's question comes before the result.
async fn in_session(client: &Legacy, tool: &str) -> Result<Value> {
    let mut exchange = client.open("tools/call", call(tool)).await?;
    let question = question(&mut exchange).await?;
    client.request("tools/call", call(UNRELATED)).await?;
    client.respond(&question, form::accepted(&question["params"])).await?;
    exchange.result().await
}

async fn question(exchange: &mut Exchange) -> Result<Value> {
    loop {
        let message = exchange.next().await?.context("the call ends without a question")?;
        if message["method"] == "elicitation/create" {
            return Ok(message);
        }
    }
}

fn call(tool: &str) -> Value {
    json!({ "name": tool, "arguments": {} })
}
