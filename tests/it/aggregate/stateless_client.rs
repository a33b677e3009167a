//! Clients of 2026-07-28 at the aggregate: what concerns one backend reaches it, and comes back.

use anyhow::{Result, ensure};
use omcp_tests::harness::client::Modern;
use omcp_tests::harness::wait::{self, holds};
use serde_json::{Value, json};

use super::{ALL, House, answer_to, refused, tool};

#[tokio::test(flavor = "multi_thread")]
async fn calls_reach_their_backend() -> Result<()> {
    let house = House::build().await;
    let client = Modern::new(&house.endpoint());
    for backend in ALL {
        assert_eq!(client.tool(&tool(backend, "echo"), json!({ "message": backend })).await?, backend);
        let params = json!({ "name": tool(backend, "progress"), "arguments": { "steps": 3 },
            "_meta": { "progressToken": "t" } });
        let mut exchange = client.open("tools/call", params).await?;
        exchange.result().await?;
        let tokens: Vec<&Value> =
            exchange.before.iter().map(|message| &message["params"]["progressToken"]).collect();
        assert_eq!(tokens, ["t"; 3], "{backend}");
        let large = client.tool(&tool(backend, "big"), json!({ "bytes": 1 << 20 })).await?;
        assert_eq!(large.len(), 1 << 20, "{backend}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn resources_prompts_and_completions_reach_their_backend() -> Result<()> {
    let house = House::build().await;
    let client = Modern::new(&house.endpoint());
    for backend in ALL {
        for uri in ["test://static-text", "test://template/7/data"] {
            let uri = format!("{backend}+{uri}");
            let read = client.request("resources/read", json!({ "uri": uri })).await?;
            assert_eq!(read["contents"][0]["uri"], uri, "{backend}");
        }
        let name = tool(backend, "test_prompt_with_embedded_resource");
        let arguments = json!({ "resourceUri": "test://x" });
        let prompt = client.request("prompts/get", json!({ "name": name, "arguments": arguments })).await?;
        let uri = &prompt["messages"][0]["content"]["resource"]["uri"];
        assert_eq!(*uri, format!("{backend}+test://x"), "{prompt}");
        let result =
            client.request("tools/call", json!({ "name": tool(backend, "test_embedded_resource") })).await?;
        assert_eq!(result["content"][0]["resource"]["uri"], format!("{backend}+test://embedded-resource"));
        let reference = json!({ "type": "ref/prompt", "name": tool(backend, "test_prompt_with_arguments") });
        let params = json!({ "ref": reference, "argument": { "name": "arg1", "value": "par" } });
        let completion = client.request("completion/complete", params).await?;
        assert_eq!(completion["completion"]["values"], json!(["paris", "park", "party"]), "{backend}");
        let missing = format!("{backend}+test://missing");
        let error = refused(&client, "resources/read", json!({ "uri": missing })).await?;
        assert_eq!((&error["code"], &error["data"]["uri"]), (&json!(-32602), &json!(missing)), "{error}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_backends_ask_is_answered() -> Result<()> {
    let house = House::build().await;
    let client = Modern::new(&house.endpoint());
    for backend in ALL {
        let mut params = json!({ "name": tool(backend, "test_input_required_result_multiple_inputs") });
        let mut answer = client.request("tools/call", params.clone()).await?;
        let mut prompts = Vec::new();
        while answer["resultType"] == "input_required" {
            let questions = answer["inputRequests"].as_object().cloned().unwrap_or_default();
            prompts.extend(
                questions.values().filter_map(|asked| asked["params"]["message"].as_str().map(str::to_owned)),
            );
            params["inputResponses"] =
                questions.iter().map(|(key, asked)| (key.clone(), answer_to(asked))).collect();
            params["requestState"] = answer["requestState"].clone();
            answer = client.request("tools/call", params.clone()).await?;
        }
        assert_eq!(answer["content"][0]["text"], "Hello, Ada! Paris (2 roots)", "{backend}");
        ensure!(prompts.iter().all(|prompt| prompt.starts_with(&format!("[{backend}] "))), "{prompts:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn log_messages_name_their_backend() -> Result<()> {
    let house = House::build().await;
    let client = Modern::new(&house.endpoint());
    for backend in ALL {
        let meta = json!({ "io.modelcontextprotocol/logLevel": "debug" });
        let params = json!({ "name": tool(backend, "test_tool_with_logging"), "_meta": meta });
        let mut exchange = client.open("tools/call", params).await?;
        exchange.result().await?;
        let loggers: Vec<&str> =
            exchange.before.iter().filter_map(|message| message["params"]["logger"].as_str()).collect();
        ensure!(
            loggers.len() == 3 && loggers.iter().all(|logger| logger.starts_with(backend)),
            "{backend}: {loggers:?}"
        );
    }
    Ok(())
}

/// Waits until a task asks something or has ended.
async fn no_longer_working(client: &Modern, task: &str, meta: &Value) -> Value {
    wait::until("the task to go on", async || {
        let look = json!({ "taskId": task, "_meta": meta });
        let task = client.request("tasks/get", look).await.map_err(|error| format!("{error:#}"))?;
        holds(task["status"] != "working", task.to_string()).map(|()| task)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_belong_to_their_backend() -> Result<()> {
    let house = House::build().await;
    let client = Modern::new(&house.endpoint());
    let able = json!({ "extensions": { "io.modelcontextprotocol/tasks": {} }, "elicitation": {} });
    let meta = json!({ "io.modelcontextprotocol/clientCapabilities": able });
    for backend in ["http", "modern-stdio", "legacy-stdio", "legacy-http"] {
        let params = json!({ "name": tool(backend, "failing_job"), "_meta": meta });
        let begun = client.request("tools/call", params).await?;
        let task = begun["taskId"].as_str().unwrap_or_default().to_owned();
        ensure!(task.starts_with("g1."), "{begun}");
        let ended = no_longer_working(&client, &task, &meta).await;
        assert_eq!(ended["taskId"], task, "{ended}");
        let foreign = json!({ "taskId": "unknown", "_meta": meta });
        assert_eq!(refused(&client, "tasks/get", foreign).await?["code"], -32602);
        let undeclared = json!({ "taskId": task });
        assert_eq!(refused(&client, "tasks/get", undeclared).await?["code"], -32021);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_are_listened_to_at_their_owners() -> Result<()> {
    let house = House::build().await;
    let client = Modern::new(&house.endpoint());
    let able = json!({ "extensions": { "io.modelcontextprotocol/tasks": {} }, "elicitation": {} });
    let meta = json!({ "io.modelcontextprotocol/clientCapabilities": able });
    let mut open = Vec::new();
    for backend in ["http", "modern-stdio", "legacy-stdio", "legacy-http"] {
        // It ends when it is answered, and so not before somebody listens.
        let params = json!({ "name": tool(backend, "confirm_delete"), "_meta": meta });
        let made = client.request("tools/call", params).await?;
        let task = made["taskId"].as_str().unwrap_or_default().to_owned();
        let asking = no_longer_working(&client, &task, &meta).await;
        assert_eq!(asking["status"], "input_required", "{backend}: {asking}");
        open.push(task);
    }
    let named = json!({ "taskIds": ([&open[..], &["unknown".to_owned()]].concat()) });
    let undeclared = refused(&client, "subscriptions/listen", json!({ "notifications": named })).await?;
    assert_eq!(undeclared["code"], -32021);
    let wanted = json!({ "notifications": named, "_meta": meta });
    let mut listen = client.open("subscriptions/listen", wanted).await?;
    let first = listen.next().await?.expect("an acknowledgement");
    let mut granted: Vec<String> =
        serde_json::from_value(first["params"]["notifications"]["taskIds"].clone())?;
    granted.sort_unstable();
    open.sort_unstable();
    assert_eq!(granted, open, "{first}");
    for task in &open {
        let answer = json!({ "confirm": { "action": "accept", "content": { "confirm": true } } });
        let update = json!({ "taskId": task, "inputResponses": answer, "_meta": meta });
        client.request("tasks/update", update).await?;
    }
    while !open.is_empty() {
        let told = listen.next().await?.expect("news");
        assert_eq!(told["method"], "notifications/tasks", "{told}");
        assert_eq!(told["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], listen.id);
        if told["params"]["status"] == "completed" {
            open.retain(|task| told["params"]["taskId"] != *task);
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn resources_are_watched_at_their_owners() -> Result<()> {
    let house = House::build().await;
    let client = Modern::new(&house.endpoint());
    let uri = |backend: &str| format!("{backend}+test://watched-resource");
    let mut uris: Vec<String> = ALL.iter().map(|backend| uri(backend)).collect();
    uris.push("nobody+test://watched-resource".to_owned());
    let wanted = json!({ "notifications": { "resourceSubscriptions": uris } });
    let mut listen = client.open("subscriptions/listen", wanted).await?;
    let first = listen.next().await?.expect("an acknowledgement");
    let granted = &first["params"]["notifications"]["resourceSubscriptions"];
    // Of legacy backends over HTTP+SSE and pipes the lane is shared with the call that touches the resource.
    assert_eq!(granted.as_array().map(Vec::len), Some(ALL.len()), "{first}");
    for backend in ALL {
        client.tool(&tool(backend, "touch_resource"), json!({ "uri": "test://watched-resource" })).await?;
        let told = listen.next().await?.expect("an update");
        assert_eq!(told["method"], "notifications/resources/updated", "{backend}");
        assert_eq!(told["params"]["uri"], uri(backend));
        assert_eq!(told["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], 1);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_owns_is_refused() -> Result<()> {
    let house = House::build().await;
    let client = Modern::new(&house.endpoint());
    for (method, params) in [
        ("tools/call", json!({ "name": "nobody__echo" })),
        ("tools/call", json!({ "name": "echo" })),
        ("tools/call", json!({ "name": "http__no_such_tool" })),
        ("prompts/get", json!({ "name": "nobody__p" })),
        ("resources/read", json!({ "uri": "nobody+x://y" })),
        ("resources/read", json!({ "uri": "test://static-text" })),
        ("tools/list", json!({ "cursor": "none of ours" })),
        ("subscriptions/listen", json!({})),
    ] {
        let error = refused(&client, method, params.clone()).await?;
        assert_eq!(error["code"], -32602, "{method} {params}: {error}");
    }
    let mut exchange = client.open("vendor/unheard-of", json!({})).await?;
    assert_eq!(exchange.status, 404);
    assert_eq!(exchange.error().await?["code"], -32601);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_only_one_backend_has_needs_no_prefix() -> Result<()> {
    let house = House::build().await;
    let client = Modern::new(&format!("{}?tags=remote", house.endpoint()));
    assert_eq!(client.tool("echo", json!({ "message": "x" })).await?, "x");
    let read = client.request("resources/read", json!({ "uri": "test://static-text" })).await?;
    assert_eq!(read["contents"][0]["uri"], "http+test://static-text");
    let read = client.request("resources/read", json!({ "uri": "test://template/1/data" })).await?;
    assert_eq!(read["contents"][0]["uri"], "http+test://template/1/data");
    Ok(())
}
