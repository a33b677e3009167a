//! Clients of the handshake revisions over Streamable HTTP.

use anyhow::{Result, ensure};
use omcp_tests::harness::client::{Exchange, Http, Legacy};
use serde_json::{Value, json};

use super::{ANY_FOR_LEGACY, House, LEGACY};

/// Reads an exchange to its end and answers what the server asks on the way.
async fn answer_questions(client: &Legacy, mut exchange: Exchange) -> Result<(Value, Vec<String>)> {
    let mut asked = Vec::new();
    loop {
        let message = exchange.next().await?.expect("the answer comes before the end");
        let Some(method) = message["method"].as_str() else { return Ok((message, asked)) };
        if message.get("id").is_some() {
            asked.push(method.to_owned());
            client.respond(&message, answer_to(method)).await?;
        }
    }
}

fn answer_to(method: &str) -> Value {
    match method {
        "elicitation/create" => {
            json!({ "action": "accept", "content": { "name": "Ada", "username": "ada" } })
        }
        "sampling/createMessage" => {
            json!({ "role": "assistant", "model": "m", "content": { "type": "text", "text": "Paris" } })
        }
        _ => json!({ "roots": [{ "uri": "file:///a" }, { "uri": "file:///b" }] }),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_and_calls() -> Result<()> {
    let house = House::build();
    for backend in ANY_FOR_LEGACY {
        let client = Legacy::connect(&house.endpoint(backend)).await?;
        let tools = client.request("tools/list", json!({})).await?;
        ensure!(tools["tools"].as_array().is_some_and(|tools| tools.len() > 30), "{backend}: {tools}");
        assert_eq!(client.tool("add", json!({ "a": 2, "b": 40 })).await?, "42", "{backend}");
        let resource = client.request("resources/read", json!({ "uri": "test://static-text" })).await?;
        assert_eq!(resource["contents"][0]["uri"], "test://static-text", "{backend}");
        let prompt = client.request("prompts/get", json!({ "name": "test_simple_prompt" })).await?;
        assert_eq!(prompt["messages"][0]["role"], "user", "{backend}");
        let templates = client.request("resources/templates/list", json!({})).await?;
        assert_eq!(
            templates["resourceTemplates"][0]["uriTemplate"], "test://template/{id}/data",
            "{backend}"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_revision_is_agreed_on_and_served() -> Result<()> {
    let house = House::build();
    for backend in ["http", "stdio"] {
        for version in ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"] {
            let client = Legacy::connect_with(Http::default(), &house.endpoint(backend), version).await?;
            assert_eq!(client.version(), version, "{backend}");
            assert_eq!(client.tool("echo", json!({ "message": version })).await?, version, "{backend}");
        }
        let client = Legacy::connect_with(Http::default(), &house.endpoint(backend), "1999-01-01").await?;
        assert_eq!(client.version(), "2025-11-25", "{backend}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_arrives_before_the_answer() -> Result<()> {
    let house = House::build();
    for backend in ANY_FOR_LEGACY {
        let client = Legacy::connect(&house.endpoint(backend)).await?;
        let params = json!({ "name": "progress", "arguments": { "steps": 5, "delay_ms": 20 },
            "_meta": { "progressToken": "mine" } });
        let mut exchange = client.open("tools/call", params).await?;
        let answer = exchange.result().await?;
        assert_eq!(answer["content"][0]["text"], "5 steps", "{backend}");
        let steps: Vec<_> = exchange.before.iter().map(|message| &message["params"]).collect();
        assert_eq!(steps.len(), 5, "{backend}: {steps:?}");
        ensure!(steps.iter().all(|step| step["progressToken"] == "mine"), "{backend}: {steps:?}");
        ensure!(
            steps.iter().zip(1..).all(|(step, number)| step["progress"] == number),
            "{backend}: {steps:?}"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn log_messages_arrive_from_the_level_that_was_set() -> Result<()> {
    let house = House::build();
    for backend in ANY_FOR_LEGACY {
        let client = Legacy::connect(&house.endpoint(backend)).await?;
        for (level, wanted) in [("error", 0), ("info", 3)] {
            client.request("logging/setLevel", json!({ "level": level })).await?;
            let mut exchange = client.open("tools/call", json!({ "name": "test_tool_with_logging" })).await?;
            exchange.result().await?;
            assert_eq!(exchange.before.len(), wanted, "{backend} at {level}: {:?}", exchange.before);
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_of_the_server_are_answered() -> Result<()> {
    let house = House::build();
    let elicitation = json!({ "name": "test_elicitation", "arguments": { "message": "who?" } });
    let sampling = json!({ "name": "test_sampling", "arguments": { "prompt": "capital?" } });
    let roots = json!({ "name": "test_input_required_result_list_roots" });
    let all = json!({ "name": "test_input_required_result_multiple_inputs" });
    for backend in ANY_FOR_LEGACY {
        for (params, asked, part) in [
            (&elicitation, 1, "ada"),
            (&sampling, 1, "LLM response: Paris"),
            (&roots, 1, "roots: file:///a, file:///b"),
            (&all, 3, "Hello, Ada! Paris (2 roots)"),
        ] {
            let client = Legacy::connect(&house.endpoint(backend)).await?;
            let exchange = client.open("tools/call", params.clone()).await?;
            let (answer, questions) = answer_questions(&client, exchange).await?;
            assert_eq!(questions.len(), asked, "{backend}: {questions:?}");
            let text = answer["result"]["content"][0]["text"].as_str().unwrap_or_default();
            ensure!(text.contains(part), "{backend}: {answer}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_call_ends_and_the_session_goes_on() -> Result<()> {
    let house = House::build();
    for backend in ANY_FOR_LEGACY {
        let client = Legacy::connect(&house.endpoint(backend)).await?;
        let params = json!({ "name": "progress", "arguments": { "steps": 1000, "delay_ms": 15 },
            "_meta": { "progressToken": 1 } });
        let mut exchange = client.open_as(json!("long"), "tools/call", params).await?;
        exchange.next().await?;
        client.notify("notifications/cancelled", json!({ "requestId": "long", "reason": "enough" })).await?;
        let mut late = 0;
        while let Ok(Some(message)) = exchange.next().await {
            ensure!(message.get("result").is_none(), "{backend}: {message}");
            late += 1;
        }
        ensure!(late < 500, "{backend}: {late} steps after it was cancelled");
        assert_eq!(client.tool("echo", json!({ "message": "still here" })).await?, "still here", "{backend}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_stream_is_resumed_where_it_broke() -> Result<()> {
    let house = House::build();
    for backend in ANY_FOR_LEGACY {
        let client = Legacy::connect(&house.endpoint(backend)).await?;
        let params = json!({ "name": "progress", "arguments": { "steps": 20, "delay_ms": 25 },
            "_meta": { "progressToken": 7 } });
        let mut exchange = client.open("tools/call", params).await?;
        for _ in 0..3 {
            exchange.next().await?;
        }
        let last = exchange.last_event_id.clone().expect("events of a resumable stream have ids");
        drop(exchange);
        let mut events = client.stream(Some(&last)).await?;
        let mut steps = Vec::new();
        let answer = loop {
            let message = events.message().await?.expect("the answer comes before the end");
            match message["params"]["progress"].as_u64() {
                Some(step) => steps.push(step),
                None => break message,
            }
        };
        assert_eq!(steps, (4..=20).collect::<Vec<u64>>(), "{backend}");
        assert_eq!(answer["result"]["content"][0]["text"], "20 steps", "{backend}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_gone_says_so_for_its_request() -> Result<()> {
    let house = House::build();
    let client = Legacy::connect(&house.endpoint("stdio")).await?;
    let params = json!({ "name": "progress", "arguments": { "steps": 2 }, "_meta": { "progressToken": 7 } });
    for id in [json!("a-b"), json!(17)] {
        let mut exchange = client.open_as(id.clone(), "tools/call", params.clone()).await?;
        exchange.result().await?;
        let last = exchange.last_event_id.expect("events of a resumable stream have ids");
        let mut parts: Vec<&str> = last.splitn(3, '-').collect();
        parts[0] = "999";
        let mut gone = client.stream(Some(&parts.join("-"))).await?;
        let lost = gone.message().await?.expect("an error");
        assert_eq!((&lost["id"], &lost["error"]["code"]), (&id, &json!(-32603)), "{lost}");
        assert_eq!(lost["error"]["data"]["reason"], "stream_lost", "{lost}");
        ensure!(gone.message().await?.is_none(), "and that is all");
    }
    let refused = client.stream(Some("somebody-elses")).await.err().map(|error| error.to_string());
    assert_eq!(refused.as_deref(), Some("GET answers 400 Bad Request"));
    assert_eq!(client.tool("echo", json!({ "message": "still here" })).await?, "still here");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_stream_of_an_http_server_gets_comments() -> Result<()> {
    let house = House::build();
    let client = Legacy::connect(&house.endpoint("http")).await?;
    let mut stream = client.stream(None).await?;
    let mut seen = stream.piece().await?;
    while seen != ":\n" {
        ensure!(!seen.is_empty() && !seen.starts_with(b": "), "no comment of the node's own before {seen:?}");
        seen = stream.piece().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_belongs_to_no_request_arrives_on_the_open_stream() -> Result<()> {
    let house = House::build();
    for backend in ANY_FOR_LEGACY {
        let client = Legacy::connect(&house.endpoint(backend)).await?;
        let mut stream = client.stream(None).await?;
        let uri = json!({ "uri": "test://watched-resource" });
        client.request("resources/subscribe", uri.clone()).await?;
        client.tool("touch_resource", uri.clone()).await?;
        let message = stream.message().await?.expect("an update");
        assert_eq!(message["method"], "notifications/resources/updated", "{backend}");
        assert_eq!(message["params"]["uri"], uri["uri"], "{backend}");
        client.request("resources/unsubscribe", uri.clone()).await?;
        client.tool("touch_resource", uri).await?;
        client.tool("test_trigger_tool_change", json!({})).await?;
        let message = stream.message().await?.expect("a change");
        assert_eq!(message["method"], "notifications/tools/list_changed", "{backend}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_session_is_gone_and_others_are_not() -> Result<()> {
    let house = House::build();
    for backend in ANY_FOR_LEGACY {
        let (gone, other) = (
            Legacy::connect(&house.endpoint(backend)).await?,
            Legacy::connect(&house.endpoint(backend)).await?,
        );
        assert_eq!(gone.delete().await?.status, 200, "{backend}");
        let ping = json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" });
        assert_eq!(gone.post(&ping).await?.status, 404, "{backend}");
        assert_eq!(gone.delete().await?.status, 404, "{backend}");
        assert_eq!(other.request("ping", json!({})).await?, json!({}), "{backend}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_do_not_see_each_other() -> Result<()> {
    let house = House::build();
    for backend in LEGACY {
        let (one, two) = (
            Legacy::connect(&house.endpoint(backend)).await?,
            Legacy::connect(&house.endpoint(backend)).await?,
        );
        for count in ["1", "2", "3"] {
            assert_eq!(one.tool("counter", json!({})).await?, count, "{backend}");
        }
        assert_eq!(two.tool("counter", json!({})).await?, "1", "{backend}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn completion_and_unknown_methods_pass() -> Result<()> {
    let house = House::build();
    for backend in ANY_FOR_LEGACY {
        let client = Legacy::connect(&house.endpoint(backend)).await?;
        let params = json!({ "ref": { "type": "ref/prompt", "name": "test_prompt_with_arguments" },
            "argument": { "name": "arg1", "value": "par" } });
        let completion = client.request("completion/complete", params).await?;
        assert_eq!(completion["completion"]["values"], json!(["paris", "park", "party"]), "{backend}");
        let mut exchange = client.open("vendor/unheard-of", json!({ "x": 1 })).await?;
        assert_eq!(exchange.status, 200, "{backend}");
        assert_eq!(exchange.error().await?["code"], -32601, "{backend}");
        client.notify("notifications/vendor/unheard-of", json!({})).await?;
        let mut exchange = client.open("tools/call", json!({ "name": "no such tool" })).await?;
        assert_eq!(exchange.error().await?["code"], -32602, "{backend}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn many_calls_at_once_keep_their_answers() -> Result<()> {
    let house = House::build();
    for backend in ANY_FOR_LEGACY {
        let client = Legacy::connect(&house.endpoint(backend)).await?;
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

#[tokio::test(flavor = "multi_thread")]
async fn ids_come_back_as_they_were_spelled() -> Result<()> {
    let house = House::build();
    for backend in ANY_FOR_LEGACY {
        let client = Legacy::connect(&house.endpoint(backend)).await?;
        for id in
            [json!(0), json!(-7), json!(9_007_199_254_740_991_u64), json!(""), json!("a\"b\\c\u{1F980}")]
        {
            let params = json!({ "name": "echo", "arguments": { "message": "x" } });
            let answer = client.open_as(id.clone(), "tools/call", params).await?.answer().await?;
            assert_eq!(answer["id"], id, "{backend}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn large_results_pass() -> Result<()> {
    let house = House::build();
    for backend in ANY_FOR_LEGACY {
        let client = Legacy::connect(&house.endpoint(backend)).await?;
        for bytes in [0, 65_536, 4 << 20] {
            assert_eq!(client.tool("big", json!({ "bytes": bytes })).await?.len(), bytes, "{backend}");
        }
    }
    Ok(())
}
