//! Clients of 2026-07-28.

use anyhow::{Result, ensure};
use omcp_tests::harness::client::Modern;
use omcp_tests::harness::wait::{self, holds};
use serde_json::{Value, json};

use super::{ANY_FOR_MODERN, House, MODERN};

const TASKS: &str = "io.modelcontextprotocol/tasks";
pub const CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";

#[tokio::test(flavor = "multi_thread")]
async fn lists_and_calls() -> Result<()> {
    let house = House::build();
    for backend in ANY_FOR_MODERN {
        let client = Modern::new(&house.endpoint(backend));
        let discovered = client.request("server/discover", json!({})).await?;
        assert_eq!(discovered["supportedVersions"], json!(["2026-07-28"]), "{backend}");
        let tools = client.request("tools/list", json!({})).await?;
        ensure!(tools["tools"].as_array().is_some_and(|tools| tools.len() > 30), "{backend}: {tools}");
        ensure!(tools["ttlMs"].is_u64() && tools["resultType"] == "complete", "{backend}: {tools}");
        assert_eq!(client.tool("add", json!({ "a": 2, "b": 40 })).await?, "42", "{backend}");
        let resource = client.request("resources/read", json!({ "uri": "test://static-text" })).await?;
        assert_eq!(resource["contents"][0]["uri"], "test://static-text", "{backend}");
        let params = json!({ "ref": { "type": "ref/prompt", "name": "test_prompt_with_arguments" },
            "argument": { "name": "arg1", "value": "par" } });
        let completion = client.request("completion/complete", params).await?;
        assert_eq!(completion["completion"]["total"], 3, "{backend}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_and_wanted_log_messages_arrive_before_the_answer() -> Result<()> {
    let house = House::build();
    for backend in ANY_FOR_MODERN {
        let client = Modern::new(&house.endpoint(backend));
        let params = json!({ "name": "progress", "arguments": { "steps": 4, "delay_ms": 10 },
            "_meta": { "progressToken": "mine" } });
        let mut exchange = client.open("tools/call", params).await?;
        exchange.result().await?;
        let tokens: Vec<_> =
            exchange.before.iter().map(|message| &message["params"]["progressToken"]).collect();
        assert_eq!(tokens, ["mine"; 4], "{backend}");
        for (meta, wanted) in [(json!({}), 0), (json!({ "io.modelcontextprotocol/logLevel": "info" }), 1)] {
            let mut exchange =
                client.open("tools/call", json!({ "name": "test_logging_tool", "_meta": meta })).await?;
            exchange.result().await?;
            assert_eq!(exchange.before.len(), wanted, "{backend}: {:?}", exchange.before);
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_are_asked_and_answered_in_rounds() -> Result<()> {
    let house = House::build();
    for backend in ANY_FOR_MODERN {
        let client = Modern::new(&house.endpoint(backend));
        let mut params = json!({ "name": "test_input_required_result_multi_round" });
        for (key, content) in [("step1", json!({ "name": "Ada" })), ("step2", json!({ "color": "red" }))] {
            let asked = client.request("tools/call", params.clone()).await?;
            assert_eq!(asked["resultType"], "input_required", "{backend}: {asked}");
            ensure!(asked["inputRequests"][key]["method"] == "elicitation/create", "{backend}: {asked}");
            params["inputResponses"] = json!({ key: { "action": "accept", "content": content } });
            params["requestState"] = asked["requestState"].clone();
        }
        let answer = client.request("tools/call", params).await?;
        assert_eq!(answer["content"][0]["text"], "Ada likes red", "{backend}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_undeclared_capability_is_named() -> Result<()> {
    let house = House::build();
    for backend in MODERN {
        let client = Modern::new(&house.endpoint(backend));
        let params = json!({ "name": "test_missing_capability", "_meta": { CAPABILITIES: {} } });
        let mut exchange = client.open("tools/call", params).await?;
        assert_eq!(exchange.status, 400, "{backend}");
        let error = exchange.error().await?;
        assert_eq!(error["code"], -32021, "{backend}");
        assert_eq!(error["data"]["requiredCapabilities"], json!({ "sampling": {} }), "{backend}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn subscriptions_tell_what_was_asked_for() -> Result<()> {
    let house = House::build();
    for backend in ANY_FOR_MODERN {
        let client = Modern::new(&house.endpoint(backend));
        let uri = "test://watched-resource";
        let wanted = json!({ "notifications": { "toolsListChanged": true, "resourceSubscriptions": [uri] } });
        let mut listening = client.open("subscriptions/listen", wanted.clone()).await?;
        let first = listening.next().await?.expect("an acknowledgement");
        assert_eq!(first["method"], "notifications/subscriptions/acknowledged", "{backend}");
        client.tool("touch_resource", json!({ "uri": uri })).await?;
        let update = listening.next().await?.expect("an update");
        assert_eq!(update["method"], "notifications/resources/updated", "{backend}");
        assert_eq!(update["params"]["uri"], uri, "{backend}");
        client.tool("test_trigger_prompt_change", json!({})).await?;
        client.tool("test_trigger_tool_change", json!({})).await?;
        let change = listening.next().await?.expect("a change");
        assert_eq!(change["method"], "notifications/tools/list_changed", "{backend}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_are_made_watched_and_cancelled() -> Result<()> {
    let house = House::build();
    let capabilities = json!({ CAPABILITIES: { "elicitation": {}, "extensions": { TASKS: {} } } });
    for backend in MODERN {
        let client = Modern::new(&house.endpoint(backend));
        let make = async |name: &str| -> Result<String> {
            let made = client.request("tools/call", json!({ "name": name, "_meta": capabilities })).await?;
            assert_eq!(made["resultType"], "task", "{backend}: {made}");
            Ok(made["taskId"].as_str().expect("a task has an id").to_owned())
        };
        let state = async |id: &str| -> Value {
            let params = json!({ "taskId": id, "_meta": capabilities });
            client.request("tasks/get", params).await.unwrap_or_else(|error| json!(format!("{error:#}")))
        };
        let asking = make("confirm_delete").await?;
        let question = wait::until("the task's question", async || {
            let state = state(&asking).await;
            holds(state["status"] == "input_required", state.clone()).map(|()| state)
        })
        .await;
        let key = question["inputRequests"].as_object().and_then(|asked| asked.keys().next().cloned());
        let answers = json!({ key.expect("a question has a key"): { "action": "accept", "content": { "confirm": true } } });
        let params = json!({ "taskId": asking, "inputResponses": answers, "_meta": capabilities });
        client.request("tasks/update", params).await?;
        wait::until("the task's result", async || {
            let state = state(&asking).await;
            holds(state["status"] == "completed" && state["result"]["content"].is_array(), state)
        })
        .await;
        let running = make("slow_compute").await?;
        client.request("tasks/cancel", json!({ "taskId": running, "_meta": capabilities })).await?;
        assert_eq!(state(&running).await["status"], "cancelled", "{backend}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_hangs_up_has_cancelled() -> Result<()> {
    let house = House::build();
    for backend in ANY_FOR_MODERN {
        let client = Modern::new(&house.endpoint(backend));
        for _ in 0..20 {
            let params = json!({ "name": "progress", "arguments": { "steps": 5000, "delay_ms": 1 },
                "_meta": { "progressToken": 1 } });
            let mut exchange = client.open("tools/call", params).await?;
            exchange.next().await?;
        }
        assert_eq!(client.tool("echo", json!({ "message": "still here" })).await?, "still here", "{backend}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_and_removed_methods_are_not_found() -> Result<()> {
    let house = House::build();
    for backend in ANY_FOR_MODERN {
        let client = Modern::new(&house.endpoint(backend));
        for method in ["vendor/unheard-of", "ping", "logging/setLevel", "resources/subscribe", "tasks/list"] {
            let mut exchange = client.open(method, json!({})).await?;
            assert_eq!(exchange.status, 404, "{backend} {method}");
            assert_eq!(exchange.error().await?["code"], -32601, "{backend} {method}");
        }
        let mut exchange = client.open("tools/call", json!({ "name": "no such tool" })).await?;
        assert_eq!(exchange.status, 200, "{backend}");
        assert_eq!(exchange.error().await?["code"], -32602, "{backend}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn many_calls_at_once_keep_their_answers() -> Result<()> {
    let house = House::build();
    for backend in ANY_FOR_MODERN {
        let client = Modern::new(&house.endpoint(backend));
        let calls = (0..200).map(|number| {
            let client = client.clone();
            tokio::spawn(async move {
                let message = format!("call {number}");
                (client.tool("echo", json!({ "message": message })).await, message)
            })
        });
        for call in calls.collect::<Vec<_>>() {
            let (answer, message) = call.await?;
            assert_eq!(answer?, message, "{backend}");
        }
    }
    Ok(())
}
