//! Clients of the handshake revisions at the aggregate: one session with all backends.

use anyhow::{Result, ensure};
use omcp_tests::harness::client::{Exchange, Http, Legacy};
use omcp_tests::harness::wait::{self, holds};
use serde_json::{Value, json};

use super::{ALL, House, LEGACY, answer_to, tool};

#[tokio::test(flavor = "multi_thread")]
async fn calls_reach_their_backend() -> Result<()> {
    let house = House::build().await;
    let client = Legacy::connect(&house.endpoint()).await?;
    for backend in ALL {
        assert_eq!(client.tool(&tool(backend, "echo"), json!({ "message": backend })).await?, backend);
        let params = json!({ "name": tool(backend, "progress"), "arguments": { "steps": 3 },
            "_meta": { "progressToken": 7 } });
        let mut exchange = client.open_as(json!("id"), "tools/call", params).await?;
        exchange.result().await?;
        let tokens: Vec<&Value> =
            exchange.before.iter().map(|message| &message["params"]["progressToken"]).collect();
        assert_eq!(tokens, [7; 3], "{backend}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_session_has_one_with_each_backend() -> Result<()> {
    let house = House::build().await;
    let (one, two) = (Legacy::connect(&house.endpoint()).await?, Legacy::connect(&house.endpoint()).await?);
    let sessions = |backend: &str| house.cluster.status(backend, "node-0")["sessions"].clone();
    assert_eq!(sessions("legacy-stdio"), 0, "nothing is opened before it is needed");
    for backend in LEGACY {
        for count in ["1", "2", "3"] {
            assert_eq!(one.tool(&tool(backend, "counter"), json!({})).await?, count, "{backend}");
        }
        assert_eq!(two.tool(&tool(backend, "counter"), json!({})).await?, "1", "{backend}");
    }
    let pid = one.tool(&tool("legacy-stdio", "pid"), json!({})).await?;
    assert_ne!(two.tool(&tool("legacy-stdio", "pid"), json!({})).await?, pid);
    assert_eq!(one.delete().await?.status, 200);
    wait::until("the session's process to end", async || {
        let alive = std::path::Path::new(&format!("/proc/{pid}")).exists();
        holds(!alive, "alive")
    })
    .await;
    let ping = json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" });
    assert_eq!(one.post(&ping).await?.status, 404);
    assert_eq!(two.request("ping", json!({})).await?, json!({}));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_belongs_to_its_endpoint() -> Result<()> {
    let house = House::build().await;
    let client = Legacy::connect(&house.endpoint()).await?;
    let http = Http::default();
    let ping = json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" }).to_string();
    let headers = [
        ("mcp-session-id", client.session()),
        ("content-type", "application/json"),
        ("accept", "application/json, text/event-stream"),
    ];
    for (url, status) in [
        (house.endpoint(), 200),
        (format!("{}?tags=both", house.endpoint()), 404),
        (format!("{}/legacy-stdio", house.endpoint()), 404),
    ] {
        let reply = http.request(http::Method::POST, &url, &headers, ping.as_bytes()).await?;
        assert_eq!(reply.status, status, "{url}");
    }
    Ok(())
}

/// The next request of a server on an exchange.
async fn question(exchange: &mut Exchange) -> Result<Value> {
    loop {
        let message = exchange.next().await?.expect("a question before the end");
        if message.get("method").is_some() && message.get("id").is_some() {
            return Ok(message);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_backends_ask_at_the_same_time_is_answered() -> Result<()> {
    let house = House::build().await;
    let client = Legacy::connect(&house.endpoint()).await?;
    let mut open = Vec::new();
    for backend in ALL {
        let params =
            json!({ "name": tool(backend, "test_elicitation"), "arguments": { "message": backend } });
        let mut exchange = client.open("tools/call", params).await?;
        let question = question(&mut exchange).await?;
        assert_eq!(question["params"]["message"], format!("[{backend}] {backend}"));
        open.push((backend, exchange, question));
    }
    let ids: Vec<&Value> = open.iter().map(|(_, _, question)| &question["id"]).collect();
    ensure!(ids.iter().all(|id| ids.iter().filter(|other| other == &id).count() == 1), "{ids:?}");
    // The last question is answered first: each answer finds its backend.
    for (backend, mut exchange, question) in open.into_iter().rev() {
        let content = json!({ "username": backend, "email": "a@b" });
        client.respond(&question, json!({ "action": "accept", "content": content })).await?;
        let result = exchange.result().await?;
        ensure!(result.to_string().contains(backend), "{backend}: {result}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn several_questions_of_one_call_are_answered() -> Result<()> {
    let house = House::build().await;
    let client = Legacy::connect(&house.endpoint()).await?;
    for backend in ALL {
        let params = json!({ "name": tool(backend, "test_input_required_result_multiple_inputs") });
        let mut exchange = client.open("tools/call", params).await?;
        for _ in 0..3 {
            let question = question(&mut exchange).await?;
            client.respond(&question, answer_to(&question)).await?;
        }
        let result = exchange.result().await?;
        assert_eq!(result["content"][0]["text"], "Hello, Ada! Paris (2 roots)", "{backend}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn resources_prompts_and_completions_reach_their_backend() -> Result<()> {
    let house = House::build().await;
    let client = Legacy::connect(&house.endpoint()).await?;
    for backend in ALL {
        let uri = format!("{backend}+test://template/7/data");
        let read = client.request("resources/read", json!({ "uri": uri })).await?;
        assert_eq!(read["contents"][0]["uri"], uri, "{backend}");
        let name = tool(backend, "test_prompt_with_embedded_resource");
        let arguments = json!({ "resourceUri": "test://x" });
        let prompt = client.request("prompts/get", json!({ "name": name, "arguments": arguments })).await?;
        let uri = &prompt["messages"][0]["content"]["resource"]["uri"];
        assert_eq!(*uri, format!("{backend}+test://x"), "{prompt}");
        let reference =
            json!({ "type": "ref/resource", "uri": format!("{backend}+test://template/{{id}}/data") });
        let params = json!({ "ref": reference, "argument": { "name": "id", "value": "" } });
        let completion = client.request("completion/complete", params).await?;
        ensure!(completion["completion"]["values"].is_array(), "{backend}: {completion}");
        let missing = format!("{backend}+test://missing");
        let mut exchange = client.open("resources/read", json!({ "uri": missing })).await?;
        assert_eq!(exchange.status, 200);
        assert_eq!(exchange.error().await?["data"]["uri"], missing, "{backend}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn updates_and_logs_name_their_backend() -> Result<()> {
    let house = House::build().await;
    let client = Legacy::connect(&house.endpoint()).await?;
    let mut stream = client.stream(None).await?;
    client.request("logging/setLevel", json!({ "level": "debug" })).await?;
    for backend in ALL {
        let owned = json!({ "uri": format!("{backend}+test://watched-resource") });
        client.request("resources/subscribe", owned.clone()).await?;
        let touch = tool(backend, "touch_resource");
        client.tool(&touch, json!({ "uri": "test://watched-resource" })).await?;
        let message = stream.message().await?.expect("an update");
        assert_eq!(message["method"], "notifications/resources/updated", "{backend}");
        assert_eq!(message["params"]["uri"], owned["uri"]);
        client.request("resources/unsubscribe", owned).await?;
        let params = json!({ "name": tool(backend, "test_tool_with_logging") });
        let mut exchange = client.open("tools/call", params).await?;
        exchange.result().await?;
        let mut loggers: Vec<String> = Vec::new();
        for message in &exchange.before {
            loggers.extend(message["params"]["logger"].as_str().map(str::to_owned));
        }
        while loggers.len() < 3 {
            let message = stream.message().await?.expect("a log message");
            loggers.extend(message["params"]["logger"].as_str().map(str::to_owned));
        }
        ensure!(loggers.iter().all(|logger| logger.starts_with(backend)), "{backend}: {loggers:?}");
    }
    let mut exchange = client.open("logging/setLevel", json!({ "level": "loud" })).await?;
    assert_eq!(exchange.error().await?["code"], -32602);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_call_ends_and_others_do_not() -> Result<()> {
    let house = House::build().await;
    let client = Legacy::connect(&house.endpoint()).await?;
    for backend in ALL {
        let call = async |id: &str, ms: u64| {
            let params = json!({ "name": tool(backend, "progress"),
                "arguments": { "steps": 1, "delay_ms": ms }, "_meta": { "progressToken": id } });
            client.open_as(json!(id), "tools/call", params).await?.under_way().await
        };
        let mut doomed = call("doomed", 60_000).await?;
        let mut other = call("other", 1000).await?;
        client.notify("notifications/cancelled", json!({ "requestId": "doomed" })).await?;
        // No answer is sent for it: what there is of its stream ends.
        let rest = doomed.next().await?;
        ensure!(rest.is_none(), "{backend}: {rest:?}");
        other.result().await?;
        assert_eq!(client.tool(&tool(backend, "echo"), json!({ "message": "x" })).await?, "x", "{backend}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn many_calls_at_once_keep_their_answers() -> Result<()> {
    let house = House::build().await;
    let client = Legacy::connect(&house.endpoint()).await?;
    let calls = (0..210).map(|number| {
        let client = client.clone();
        tokio::spawn(async move {
            let message = format!("call {number}");
            let name = tool(ALL[number % ALL.len()], "echo");
            (client.tool(&name, json!({ "message": message })).await, message)
        })
    });
    for call in calls.collect::<Vec<_>>() {
        let (answer, message) = call.await?;
        assert_eq!(answer?, message);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_owns_is_refused() -> Result<()> {
    let house = House::build().await;
    let client = Legacy::connect(&house.endpoint()).await?;
    for (method, params, code) in [
        ("tools/call", json!({ "name": "nobody__echo" }), -32602),
        ("tools/call", json!({ "name": "echo" }), -32602),
        ("prompts/get", json!({}), -32602),
        ("resources/read", json!({ "uri": "nobody+x://y" }), -32002),
        ("tools/list", json!({ "cursor": "none of ours" }), -32602),
        ("vendor/unheard-of", json!({}), -32601),
        ("server/discover", json!({}), -32601),
        ("initialize", json!({ "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {} }), 0),
    ] {
        let mut exchange = client.open(method, params).await?;
        assert_eq!(exchange.status, 200, "{method}");
        if code != 0 {
            assert_eq!(exchange.error().await?["code"], code, "{method}");
        }
    }
    Ok(())
}
