//! Client and backend of different eras: what the one has and the other has not.

use std::time::Duration;

use anyhow::{Result, ensure};
use omcp_tests::harness::client::{Exchange, Http, Legacy, Modern};
use serde_json::{Value, json};

use super::House;

const CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
const SERVER_INFO: &str = "io.modelcontextprotocol/serverInfo";

/// Backends with a handshake only.
pub const HANDSHAKE: [&str; 3] = ["legacy-stdio", "legacy-http", "sse"];
/// Backends without one.
pub const STATELESS: [&str; 2] = ["modern-stdio", "modern-http"];

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_backend_is_discovered() -> Result<()> {
    let house = House::build();
    for backend in HANDSHAKE {
        let client = Modern::new(&house.endpoint(backend));
        let found = client.request("server/discover", json!({})).await?;
        assert_eq!(found["supportedVersions"], json!(["2026-07-28"]), "{backend}");
        assert_eq!(found["capabilities"].get("tasks"), None, "{backend}: {found}");
        ensure!(found["capabilities"]["tools"].is_object(), "{backend}: {found}");
        ensure!(found["_meta"][SERVER_INFO]["name"].is_string(), "{backend}: {found}");
        assert_eq!((&found["ttlMs"], &found["cacheScope"]), (&json!(0), &json!("private")), "{backend}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stateless_backend_shakes_hands() -> Result<()> {
    let house = House::build();
    for backend in STATELESS {
        let client = Legacy::connect(&house.endpoint(backend)).await?;
        ensure!(!client.session().is_empty(), "{backend}: no session");
        ensure!(client.server["serverInfo"]["name"].is_string(), "{backend}: {}", client.server);
        let capabilities = &client.server["capabilities"];
        ensure!(capabilities["logging"].is_object(), "{backend}: {capabilities}");
        let tasks = capabilities["extensions"].get("io.modelcontextprotocol/tasks");
        assert_eq!(tasks, None, "{backend}: {capabilities}");
        let tools = client.request("tools/list", json!({})).await?;
        for member in ["resultType", "ttlMs", "cacheScope"] {
            assert_eq!(tools.get(member), None, "{backend}: {tools}");
        }
        assert_eq!(client.request("ping", json!({})).await?, json!({}), "{backend}");
    }
    Ok(())
}

/// What a client says to a question, by its method.
fn answer_to(question: &Value) -> Value {
    match question["method"].as_str() {
        Some("elicitation/create") => json!({ "action": "accept", "content": { "name": "Ada" } }),
        Some("sampling/createMessage") => {
            json!({ "role": "assistant", "model": "m", "content": { "type": "text", "text": "Paris" } })
        }
        _ => json!({ "roots": [{ "uri": "file:///a" }, { "uri": "file:///b" }] }),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_handshake_backend_asks_becomes_required_input() -> Result<()> {
    let house = House::build();
    for backend in HANDSHAKE {
        let client = Modern::new(&house.endpoint(backend));
        let mut params = json!({ "name": "test_input_required_result_multiple_inputs" });
        let asked = client.request("tools/call", params.clone()).await?;
        assert_eq!(asked["resultType"], "input_required", "{backend}: {asked}");
        let questions = asked["inputRequests"].as_object().expect("questions");
        assert_eq!(questions.len(), 3, "{backend}: {asked}");
        params["requestState"] = asked["requestState"].clone();

        // Only one of three answers: the others are asked for again.
        let (first, question) = questions.iter().next().expect("a question");
        params["inputResponses"] = json!({ first: answer_to(question) });
        let again = client.request("tools/call", params.clone()).await?;
        let open = again["inputRequests"].as_object().expect("questions");
        ensure!(open.len() == 2 && !open.contains_key(first), "{backend}: {again}");
        params["inputResponses"] = open.iter().map(|(key, asked)| (key.clone(), answer_to(asked))).collect();

        // The state before the last is of no use any more.
        let mut exchange = client.open("tools/call", params.clone()).await?;
        assert_eq!(exchange.error().await?["data"]["reason"], "invalid_request_state", "{backend}");
        params["requestState"] = again["requestState"].clone();
        let answer = client.request("tools/call", params).await?;
        assert_eq!(answer["content"][0]["text"], "Hello, Ada! Paris (2 roots)", "{backend}");
        assert_eq!(answer["resultType"], "complete", "{backend}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_or_altered_state_is_no_state() -> Result<()> {
    let house = House::build();
    let client = Modern::new(&house.endpoint("legacy-stdio"));
    let ask = json!({ "name": "test_elicitation", "arguments": { "message": "who?" } });
    let asked = client.request("tools/call", ask.clone()).await?;
    let state = asked["requestState"].as_str().expect("a state");
    let answers = json!({ "user_details": { "action": "accept", "content": {} } });
    let with = |name: &str, message: &str, state: &str| json!({ "name": name, "arguments": { "message": message }, "requestState": state, "inputResponses": answers });
    let altered = format!("{}x", &state[..state.len() - 1]);
    let elsewhere = Modern::new(&house.endpoint("legacy-http"));
    for (client, params) in [
        (&client, with("test_elicitation", "who?", &altered)),
        (&client, with("test_elicitation", "who else?", state)),
        (&client, with("test_sampling", "who?", state)),
        (&elsewhere, with("test_elicitation", "who?", state)),
    ] {
        let mut exchange = client.open("tools/call", params).await?;
        assert_eq!(exchange.status, 200);
        let error = exchange.error().await?;
        assert_eq!(
            (&error["code"], &error["data"]["reason"]),
            (&json!(-32602), &json!("invalid_request_state"))
        );
    }
    let answer = client.request("tools/call", with("test_elicitation", "who?", state)).await?;
    ensure!(answer["content"][0]["text"].as_str().is_some_and(|text| text.contains("accept")), "{answer}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_capability_that_a_handshake_backend_misses_is_named() -> Result<()> {
    let house = House::build();
    for backend in HANDSHAKE {
        let client = Modern::new(&house.endpoint(backend));
        let params = json!({ "name": "test_missing_capability", "_meta": { CAPABILITIES: {} } });
        let mut exchange = client.open("tools/call", params).await?;
        assert_eq!(exchange.status, 400, "{backend}");
        let error = exchange.error().await?;
        assert_eq!(error["code"], -32021, "{backend}");
        assert_eq!(error["data"]["requiredCapabilities"], json!({ "sampling": {} }), "{backend}: {error}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn log_messages_come_only_to_who_wants_them() -> Result<()> {
    let house = House::build();
    for backend in HANDSHAKE {
        let client = Modern::new(&house.endpoint(backend));
        for (meta, wanted) in [
            (json!({}), 0),
            (json!({ "io.modelcontextprotocol/logLevel": "error" }), 0),
            (json!({ "io.modelcontextprotocol/logLevel": "debug" }), 3),
        ] {
            let params = json!({ "name": "test_tool_with_logging", "_meta": meta });
            let mut exchange = client.open("tools/call", params).await?;
            exchange.result().await?;
            assert_eq!(exchange.before.len(), wanted, "{backend}: {:?}", exchange.before);
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_says_no_ends_the_call() -> Result<()> {
    let house = House::build();
    for backend in STATELESS {
        let client = Legacy::connect(&house.endpoint(backend)).await?;
        let params = json!({ "name": "test_sampling", "arguments": { "prompt": "capital?" } });
        let mut exchange = client.open("tools/call", params).await?;
        let question = question(&mut exchange).await?;
        let refusal = json!({ "jsonrpc": "2.0", "id": question["id"], "error": { "code": -1, "message": "no, thank you" } });
        assert_eq!(client.post(&refusal).await?.status, 202, "{backend}");
        let result = exchange.result().await?;
        assert_eq!(result["isError"], true, "{backend}: {result}");
        ensure!(result.to_string().contains("no, thank you"), "{backend}: {result}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_from_another_session_is_none() -> Result<()> {
    let house = House::build();
    let endpoint = house.endpoint("modern-stdio");
    let (client, other) = (Legacy::connect(&endpoint).await?, Legacy::connect(&endpoint).await?);
    let params = json!({ "name": "test_elicitation", "arguments": { "message": "who?" } });
    let mut exchange = client.open("tools/call", params).await?;
    let question = question(&mut exchange).await?;
    other.respond(&question, json!({ "action": "decline" })).await?;
    other.request("ping", json!({})).await?;
    client.respond(&question, json!({ "action": "accept", "content": { "username": "ada" } })).await?;
    let result = exchange.result().await?;
    ensure!(result.to_string().contains("ada"), "{result}");
    Ok(())
}

/// The first request of the server on an exchange.
pub async fn question(exchange: &mut Exchange) -> Result<Value> {
    loop {
        let message = exchange.next().await?.expect("a question before the end");
        if message.get("method").is_some() && message.get("id").is_some() {
            return Ok(message);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_anonymous_call_that_waits_holds_up_nobody() -> Result<()> {
    let house = House::build();
    let client = Modern::new(&house.endpoint("legacy-stdio"));
    let ask = json!({ "name": "test_elicitation", "arguments": { "message": "who?" } });
    let mut states = Vec::new();
    for _ in 0..3 {
        states.push(client.request("tools/call", ask.clone()).await?["requestState"].clone());
    }
    let call = client.tool("echo", json!({ "message": "still here" }));
    assert_eq!(tokio::time::timeout(Duration::from_secs(20), call).await??, "still here");
    for state in states {
        let mut params = ask.clone();
        params["requestState"] = state;
        params["inputResponses"] = json!({ "user_details": { "action": "decline" } });
        let answer = client.request("tools/call", params).await?;
        ensure!(
            answer["content"][0]["text"].as_str().is_some_and(|text| text.contains("decline")),
            "{answer}"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_to_open_is_asked_for_in_either_era() -> Result<()> {
    let house = House::build();
    let able = json!({ "elicitation": { "form": {}, "url": {} } });
    for backend in HANDSHAKE {
        let client = Modern::new(&house.endpoint(backend));
        let mut params = json!({ "name": "open_page", "_meta": { CAPABILITIES: able } });
        let asked = client.request("tools/call", params.clone()).await?;
        let page = json!({ "mode": "url", "url": "https://example.com/login", "message": "Log in" });
        assert_eq!(asked["inputRequests"]["page"]["params"], page, "{backend}: {asked}");
        params["requestState"] = asked["requestState"].clone();
        params["inputResponses"] = json!({ "page": { "action": "accept" } });
        let answer = client.request("tools/call", params).await?;
        assert_eq!(answer["content"][0]["text"], r#"The user said "accept""#, "{backend}");

        let mut exchange = client.open("tools/call", json!({ "name": "open_page" })).await?;
        assert_eq!(exchange.status, 400, "{backend}");
        let error = exchange.error().await?;
        assert_eq!(
            error["data"]["requiredCapabilities"],
            json!({ "elicitation": { "url": {} } }),
            "{backend}"
        );
    }
    for backend in STATELESS {
        let endpoint = house.endpoint(backend);
        let client = Legacy::connect_as(Http::default(), &endpoint, "2025-11-25", able.clone()).await?;
        let mut exchange = client.open("tools/call", json!({ "name": "open_page" })).await?;
        let question = question(&mut exchange).await?;
        assert_eq!(question["params"]["url"], "https://example.com/login", "{backend}");
        ensure!(question["params"]["elicitationId"].is_string(), "{backend}: {question}");
        client.respond(&question, json!({ "action": "decline" })).await?;
        let result = exchange.result().await?;
        assert_eq!(result["content"][0]["text"], r#"The user said "decline""#, "{backend}");

        let unable = Legacy::connect(&endpoint).await?;
        let result = unable.request("tools/call", json!({ "name": "open_page" })).await?;
        ensure!(result["isError"] == true && result.to_string().contains("url"), "{backend}: {result}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_client_gets_what_it_can_read() -> Result<()> {
    let house = House::build();
    for backend in STATELESS {
        let endpoint = house.endpoint(backend);
        for (version, kind) in [("2024-11-05", "resource"), ("2025-03-26", "audio"), ("2025-11-25", "audio")]
        {
            let client = Legacy::connect_with(Http::default(), &endpoint, version).await?;
            let result = client.request("tools/call", json!({ "name": "test_audio_content" })).await?;
            assert_eq!(result["content"][0]["type"], kind, "{backend} {version}: {result}");
        }
        // A form with several choices at once cannot be shown, so it counts as closed.
        let client = Legacy::connect_with(Http::default(), &endpoint, "2025-06-18").await?;
        let params = json!({ "name": "test_elicitation_sep1330_enums" });
        let mut exchange = client.open("tools/call", params).await?;
        let result = exchange.result().await?;
        ensure!(result.to_string().contains("cancel"), "{backend}: {result}");
        ensure!(exchange.before.iter().all(|message| message.get("id").is_none()), "{backend}");
    }
    Ok(())
}
