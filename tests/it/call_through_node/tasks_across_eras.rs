//! Tasks between the eras: looked at by clients that know of them, and driven by the gateway for the others.

use anyhow::{Context, Result, ensure};
use omcp_tests::harness::client::{Exchange, Http, Legacy, Modern};
use omcp_tests::harness::wait::{self, holds};
use serde_json::{Value, json};

use super::across_eras::{HANDSHAKE, STATELESS, question};
use super::{House, stateless_client};

const EXTENSION: &str = "io.modelcontextprotocol/tasks";
const RELATED_TASK: &str = "io.modelcontextprotocol/related-task";

/// A stateless client that can look at tasks.
struct Able(Modern);

impl Able {
    fn at(house: &House, backend: &str) -> Self {
        Self(Modern::new(&house.endpoint(backend)))
    }

    fn with(mut params: Value) -> Value {
        let able = json!({ "elicitation": {}, "extensions": { EXTENSION: {} } });
        params["_meta"] = json!({ stateless_client::CAPABILITIES: able });
        params
    }

    async fn request(&self, method: &str, params: Value) -> Result<Value> {
        self.0.request(method, Self::with(params)).await
    }

    async fn error(&self, method: &str, params: Value) -> Result<Value> {
        self.0.open(method, Self::with(params)).await?.error().await
    }

    /// Calls a tool that becomes a task, and returns its id.
    async fn begin(&self, tool: &str, arguments: Value) -> Result<String> {
        let made = self.request("tools/call", json!({ "name": tool, "arguments": arguments })).await?;
        ensure!(made["resultType"] == "task" && made.get("task").is_none(), "{made}");
        ensure!(made["ttlMs"].is_u64() && made.get("ttl").is_none(), "{made}");
        made["taskId"].as_str().map(str::to_owned).context("a task has an id")
    }

    /// Looks at a task until it is in a state.
    async fn until(&self, task: &str, status: &str) -> Value {
        wait::until(status, async || {
            let told = self.request("tasks/get", json!({ "taskId": task })).await;
            let told = told.map_err(|error| format!("{error:#}"))?;
            assert_eq!(told["taskId"], task, "{told}");
            holds(told["status"] == status, told.to_string()).map(|()| told)
        })
        .await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stateless_client_looks_at_the_tasks_of_a_handshake_backend() -> Result<()> {
    let house = House::build();
    for backend in HANDSHAKE {
        let client = Able::at(&house, backend);
        let found = client.request("server/discover", json!({})).await?;
        assert_eq!(found["capabilities"]["extensions"], json!({ EXTENSION: {} }), "{backend}: {found}");
        let at_once =
            client.request("tools/call", json!({ "name": "greet", "arguments": { "name": "Ada" } }));
        assert_eq!(at_once.await?["resultType"], "complete", "{backend}");

        let task = client.begin("multi_input", json!({})).await?;
        let asked = wait::until("both questions", async || {
            let asked = client.until(&task, "input_required").await;
            let both = asked["inputRequests"].as_object().is_some_and(|asked| asked.len() == 2);
            holds(both, asked.to_string()).map(|()| asked)
        })
        .await;
        let answer = |name: &str| json!({ "action": "accept", "content": { "name": name } });
        let update = json!({ "taskId": task, "inputResponses": { "first": answer("Ada"), "odd": {} } });
        let told = client.request("tasks/update", update).await?;
        assert_eq!(
            (&told["resultType"], told.get("taskId")),
            (&json!("complete"), None),
            "{backend}: {asked}"
        );
        let asked = client.until(&task, "input_required").await;
        let open: Vec<_> = asked["inputRequests"].as_object().expect("questions").keys().collect();
        assert_eq!(open, ["second"], "{backend}: {asked}");
        let update = json!({ "taskId": task, "inputResponses": { "second": answer("Bob") } });
        client.request("tasks/update", update).await?;
        let ended = client.until(&task, "completed").await;
        assert_eq!(ended["result"]["content"][0]["text"], "names: Ada, Bob", "{backend}: {ended}");
        assert_eq!(ended["result"]["_meta"].get(RELATED_TASK), None, "{backend}: {ended}");

        let task = client.begin("failing_job", json!({})).await?;
        let ended = client.until(&task, "completed").await;
        assert_eq!(ended["result"]["isError"], true, "{backend}: {ended}");
        let task = client.begin("protocol_error_job", json!({})).await?;
        let ended = client.until(&task, "failed").await;
        ensure!(ended["error"]["code"] == -32603 && ended.get("result").is_none(), "{backend}: {ended}");

        let task = client.begin("slow_compute", json!({ "seconds": 60 })).await?;
        let told = client.until(&task, "working").await;
        assert_eq!(told["statusMessage"], "computing for 60 s", "{backend}: {told}");
        let told = client.request("tasks/cancel", json!({ "taskId": task })).await?;
        assert_eq!((&told["resultType"], told.get("status")), (&json!("complete"), None), "{backend}");
        client.until(&task, "cancelled").await;
        client.request("tasks/cancel", json!({ "taskId": task })).await?;
    }
    Ok(())
}

/// Another id, by one letter in the middle.
fn altered(task: &str) -> String {
    let (head, tail) = task.split_at(task.len() / 2);
    let letter = if tail.starts_with('A') { "B" } else { "A" };
    format!("{head}{letter}{}", &tail[1..])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_is_for_who_made_it_and_says_that_it_knows_tasks() -> Result<()> {
    let house = House::build();
    let (client, elsewhere) = (Able::at(&house, "legacy-stdio"), Able::at(&house, "legacy-http"));
    let task = client.begin("slow_compute", json!({ "seconds": 60 })).await?;
    let altered = altered(&task);
    for method in ["tasks/get", "tasks/update", "tasks/cancel"] {
        let about = |task: &str| json!({ "taskId": task, "inputResponses": {} });
        for (client, task) in
            [(&client, "unheard-of"), (&client, altered.as_str()), (&elsewhere, task.as_str())]
        {
            assert_eq!(client.error(method, about(task)).await?["code"], -32602, "{method} {task}");
        }
        let mut exchange = client.0.open(method, about(&task)).await?;
        assert_eq!(exchange.status, 400, "{method}");
        let error = exchange.error().await?;
        assert_eq!(error["code"], -32021, "{method}");
        let required = json!({ "extensions": { EXTENSION: {} } });
        assert_eq!(error["data"]["requiredCapabilities"], required, "{method}");
    }
    client.until(&task, "working").await;
    Ok(())
}

/// The next news of a task in a stream of them.
async fn news(listen: &mut Exchange, task: &str) -> Result<Value> {
    let mut told = listen.next().await?.context("news")?;
    assert_eq!(told["method"], "notifications/tasks", "{told}");
    assert_eq!(told["params"]["taskId"], task, "{told}");
    Ok(told["params"].take())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stateless_client_hears_of_its_tasks() -> Result<()> {
    let house = House::build();
    for backend in HANDSHAKE.into_iter().chain(STATELESS) {
        let client = Able::at(&house, backend);
        let asking = client.begin("confirm_delete", json!({ "filename": "a" })).await?;
        client.until(&asking, "input_required").await;
        let other = client.begin("slow_compute", json!({ "seconds": 60 })).await?;
        let named = json!({ "notifications": { "taskIds": [asking, altered(&other), "unknown"] } });
        let mut listen = client.0.open("subscriptions/listen", Able::with(named)).await?;
        let id = listen.id.clone();
        let first = listen.next().await?.context("an acknowledgement")?;
        assert_eq!(first["params"]["notifications"], json!({ "taskIds": [asking] }), "{backend}: {first}");
        client.request("tasks/cancel", json!({ "taskId": other })).await?;
        let answer = json!({ "confirm": { "action": "accept", "content": { "confirm": true } } });
        client.request("tasks/update", json!({ "taskId": asking, "inputResponses": answer })).await?;
        let ended = loop {
            let told = news(&mut listen, &asking).await?;
            assert_eq!(told["_meta"]["io.modelcontextprotocol/subscriptionId"], id, "{backend}: {told}");
            ensure!(told["ttlMs"].is_u64() && told.get("ttl").is_none(), "{backend}: {told}");
            if told["status"] != "working" {
                break told;
            }
        };
        assert_eq!(ended["status"], "completed", "{backend}: {ended}");
        let looked = client.until(&asking, "completed").await;
        assert_eq!(ended["result"], looked["result"], "{backend}");

        let named = json!({ "notifications": { "taskIds": [asking] } });
        let mut undeclared = client.0.open("subscriptions/listen", named).await?;
        assert_eq!((undeclared.status.as_u16(), &undeclared.error().await?["code"]), (400, &json!(-32021)));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_of_a_client_without_a_name_has_its_lane_to_itself() -> Result<()> {
    let house = House::build();
    let client = Able::at(&house, "legacy-stdio");
    let pid = async || {
        let told = client.request("tools/call", json!({ "name": "pid", "arguments": {} })).await?;
        told["content"][0]["text"].as_str().map(str::to_owned).context("a process")
    };
    let first = pid().await?;
    assert_eq!(pid().await?, first, "lanes that are free are used");
    let task = client.begin("slow_compute", json!({ "seconds": 60 })).await?;
    let second = pid().await?;
    assert_ne!(second, first, "a question of the task could reach somebody else");
    client.request("tasks/cancel", json!({ "taskId": task })).await?;
    wait::until("the lane to be free", async || {
        let found = pid().await.map_err(|error| format!("{error:#}"))?;
        holds(found == first, found)
    })
    .await;
    // More tasks than may keep lanes leave some to take turns.
    for _ in 0..10 {
        client.begin("slow_compute", json!({ "seconds": 60 })).await?;
    }
    pid().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_listen_hears_of_tasks_on_several_lanes() -> Result<()> {
    let house = House::build();
    let client = Able::at(&house, "legacy-stdio");
    // Longer than it takes to listen: what was before is not told.
    let long = json!({ "seconds": 12 });
    let here = client.begin("slow_compute", long.clone()).await?;
    // A call that may be asked something has its lane to itself until it is answered.
    let held =
        client.request("tools/call", json!({ "name": "test_elicitation", "arguments": { "message": "?" } }));
    ensure!(held.await?["resultType"] == "input_required");
    let elsewhere = client.begin("slow_compute", long).await?;
    let mut both = [here, elsewhere];
    both.sort_unstable();
    let named = json!({ "notifications": { "taskIds": both, "toolsListChanged": true } });
    let mut listen = client.0.open("subscriptions/listen", Able::with(named)).await?;
    let first = listen.next().await?.context("an acknowledgement")?;
    let mut granted: Vec<String> =
        serde_json::from_value(first["params"]["notifications"]["taskIds"].clone())?;
    granted.sort_unstable();
    assert_eq!(granted, both, "{first}");
    let mut open: Vec<String> = both.to_vec();
    while !open.is_empty() {
        let told = listen.next().await?.context("news")?;
        if told["params"]["status"] == "completed" {
            open.retain(|task| told["params"]["taskId"] != *task);
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_backend_may_ask_before_it_makes_a_task() -> Result<()> {
    let house = House::build();
    for backend in HANDSHAKE {
        let client = Able::at(&house, backend);
        let mut params = json!({ "name": "test_tool_with_task" });
        let asked = client.request("tools/call", params.clone()).await?;
        assert_eq!(asked["resultType"], "input_required", "{backend}: {asked}");
        params["requestState"] = asked["requestState"].clone();
        params["inputResponses"] =
            json!({ "user_name": { "action": "accept", "content": { "name": "Ada" } } });
        let made = client.request("tools/call", params).await?;
        assert_eq!(made["resultType"], "task", "{backend}: {made}");
        let ended = client.until(made["taskId"].as_str().unwrap_or_default(), "completed").await;
        assert_eq!(ended["result"]["content"][0]["text"], "Hello, Ada!", "{backend}: {ended}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_handshake_backend_makes_a_task_of_is_driven_for_others() -> Result<()> {
    let house = House::build();
    for backend in HANDSHAKE {
        let client = Modern::new(&house.endpoint(backend));
        let meta = json!({ "progressToken": "mine" });
        let params = json!({ "name": "compute_job", "arguments": { "seconds": 3 }, "_meta": meta });
        let mut exchange = client.open("tools/call", params).await?;
        let result = exchange.result().await?;
        ensure!(result.to_string().contains("computed"), "{backend}: {result}");
        let told = &exchange.before[0]["params"];
        assert_eq!((&told["progressToken"], &told["message"]), (&json!("mine"), &json!("computing for 3 s")));

        let mut params = json!({ "name": "delete_job" });
        let asked = client.request("tools/call", params.clone()).await?;
        assert_eq!(asked["resultType"], "input_required", "{backend}: {asked}");
        params["requestState"] = asked["requestState"].clone();
        params["inputResponses"] =
            json!({ "confirm": { "action": "accept", "content": { "confirm": true } } });
        let result = client.request("tools/call", params).await?;
        assert_eq!(result["content"][0]["text"], "deleted the file", "{backend}: {result}");
    }
    // One server process, of which every lane is a session.
    let client = Modern::new(&house.endpoint("legacy-http"));
    let meta = json!({ "progressToken": "mine" });
    let params = json!({ "name": "compute_job", "arguments": { "seconds": 60 }, "_meta": meta });
    let mut hung_up = client.open("tools/call", params).await?;
    hung_up.next().await?.context("progress")?;
    drop(hung_up);
    cancelled_task(&client).await;
    Ok(())
}

async fn cancelled_task(client: &Modern) {
    wait::until("the task to be cancelled", async || {
        let count = client.tool("count_tasks", json!({ "status": "cancelled" })).await;
        let count = count.map_err(|error| format!("{error:#}"))?;
        holds(count == "1", count)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_client_looks_at_the_tasks_of_a_stateless_backend() -> Result<()> {
    let house = House::build();
    for backend in STATELESS {
        let client = Legacy::connect(&house.endpoint(backend)).await?;
        let offered = &client.server["capabilities"]["tasks"];
        assert_eq!(offered, &json!({ "cancel": {}, "requests": { "tools": { "call": {} } } }), "{backend}");
        let tools = client.request("tools/list", json!({})).await?;
        assert_eq!(tools["tools"][0]["execution"]["taskSupport"], "optional", "{backend}: {tools}");

        let task = begin(&client, "confirm_delete", json!({})).await?;
        until(&client, &task, "input_required").await;
        let mut exchange = client.open("tasks/result", json!({ "taskId": task })).await?;
        let asked = question(&mut exchange).await?;
        let related = json!({ RELATED_TASK: { "taskId": task } });
        assert_eq!(asked["params"]["_meta"], related, "{backend}: {asked}");
        client.respond(&asked, json!({ "action": "accept", "content": { "confirm": true } })).await?;
        let result = exchange.result().await?;
        assert_eq!(result["content"][0]["text"], "deleted the file", "{backend}: {result}");
        assert_eq!(result["_meta"], related, "{backend}: {result}");
        until(&client, &task, "completed").await;

        let task = begin(&client, "failing_job", json!({})).await?;
        until(&client, &task, "failed").await;
        assert_eq!(client.request("tasks/result", json!({ "taskId": task })).await?["isError"], true);
        let task = begin(&client, "protocol_error_job", json!({})).await?;
        until(&client, &task, "failed").await;
        assert_eq!(error(client.open("tasks/result", json!({ "taskId": task })).await?).await?, -32603);

        let task = begin(&client, "slow_compute", json!({ "seconds": 60 })).await?;
        let told = client.request("tasks/cancel", json!({ "taskId": task })).await?;
        ensure!(told["status"] == "cancelled" && told["taskId"] == *task, "{backend}: {told}");
        until(&client, &task, "cancelled").await;
        assert_eq!(error(client.open("tasks/cancel", json!({ "taskId": task })).await?).await?, -32602);
        assert_eq!(error(client.open("tasks/list", json!({})).await?).await?, -32601, "{backend}");
    }
    Ok(())
}

/// Calls a tool as a task, and returns its id.
async fn begin(client: &Legacy, tool: &str, arguments: Value) -> Result<String> {
    let params = json!({ "name": tool, "arguments": arguments, "task": { "ttl": 60_000 } });
    let made = client.request("tools/call", params).await?;
    let task = &made["task"];
    ensure!(task["status"] == "working" && task["ttl"].is_u64() && task.get("ttlMs").is_none(), "{made}");
    ensure!(task["createdAt"].as_str().is_some_and(|at| at.starts_with("20")), "{made}");
    task["taskId"].as_str().map(str::to_owned).context("a task has an id")
}

async fn until(client: &Legacy, task: &str, status: &str) {
    wait::until(status, async || {
        let told = client.request("tasks/get", json!({ "taskId": task })).await;
        let told = told.map_err(|error| format!("{error:#}"))?;
        holds(told["status"] == status && told.get("result").is_none(), told.to_string())
    })
    .await;
}

async fn error(mut exchange: Exchange) -> Result<Value> {
    Ok(exchange.error().await?["code"].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_needs_no_task_can_be_one() -> Result<()> {
    let house = House::build();
    for backend in STATELESS {
        let endpoint = house.endpoint(backend);
        let (client, other) = (Legacy::connect(&endpoint).await?, Legacy::connect(&endpoint).await?);
        let task = begin(&client, "greet", json!({ "name": "Ada" })).await?;
        until(&client, &task, "completed").await;
        let result = client.request("tasks/result", json!({ "taskId": task })).await?;
        assert_eq!(result["content"][0]["text"], "Hello, Ada!", "{backend}: {result}");
        assert_eq!(result["_meta"], json!({ RELATED_TASK: { "taskId": task } }), "{backend}: {result}");
        let altered = altered(&task);
        for (client, task) in [(&other, task.as_str()), (&client, "unheard-of"), (&client, altered.as_str())]
        {
            for method in ["tasks/get", "tasks/result", "tasks/cancel"] {
                let exchange = client.open(method, json!({ "taskId": task })).await?;
                assert_eq!(error(exchange).await?, -32602, "{backend} {method} {task}");
            }
        }
        let old = Legacy::connect_with(Http::default(), &endpoint, "2025-06-18").await?;
        assert_eq!(old.server["capabilities"].get("tasks"), None, "{backend}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_stateless_backend_makes_a_task_of_is_driven_for_others() -> Result<()> {
    let house = House::build();
    for backend in STATELESS {
        let client = Legacy::connect(&house.endpoint(backend)).await?;
        let meta = json!({ "progressToken": "mine" });
        let params = json!({ "name": "compute_job", "arguments": { "seconds": 3 }, "_meta": meta });
        let mut exchange = client.open("tools/call", params).await?;
        let result = exchange.result().await?;
        ensure!(result.to_string().contains("computed"), "{backend}: {result}");
        let told = &exchange.before[0]["params"];
        assert_eq!((&told["progressToken"], &told["message"]), (&json!("mine"), &json!("computing for 3 s")));

        let mut exchange = client.open("tools/call", json!({ "name": "delete_job" })).await?;
        let asked = question(&mut exchange).await?;
        assert_eq!(asked["params"].get("_meta"), None, "{backend}: {asked}");
        client.respond(&asked, json!({ "action": "accept", "content": { "confirm": true } })).await?;
        let result = exchange.result().await?;
        assert_eq!(result["content"][0]["text"], "deleted the file", "{backend}: {result}");

        let params = json!({ "name": "compute_job", "arguments": { "seconds": 60 }, "_meta": meta });
        let mut exchange = client.open_as(json!("cancel me"), "tools/call", params).await?;
        exchange.next().await?.context("progress")?;
        client.notify("notifications/cancelled", json!({ "requestId": "cancel me" })).await?;
        cancelled_task(&Modern::new(&house.endpoint(backend))).await;
    }
    Ok(())
}
