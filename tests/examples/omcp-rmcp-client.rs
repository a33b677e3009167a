//! What a client of the official Rust SDK gets from a server, as one JSON document on standard output.
//!
//! `omcp-rmcp-client legacy|modern PLAN URL`, or `... PLAN -- COMMAND ARGUMENTS` for a server on a pipe. Plan and
//! document are those of `tests/interop/clients`.

#![expect(deprecated, reason = "what the newest revision has deprecated is served in all")]

use std::collections::BTreeSet;
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use regex_lite::Regex;
use rmcp::model::{
    CallToolRequest, CallToolRequestParams, ClientConfig, CreateMessageRequestParams, CreateMessageResult,
    ElicitRequestParams, ElicitResult, Implementation, ListRootsResult, LoggingMessageNotificationParam,
    ProgressNotificationParam, ProtocolVersion, ResourceUpdatedNotificationParam, ServerNotification,
};
use rmcp::service::{
    ClientLifecycleMode, ClientServiceExt, NotificationContext, PeerRequestOptions, RequestContext,
    RoleClient, RunningService, ServiceError,
};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::{ClientHandler, ErrorData};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use tokio::process::Command;
use tokio::time::{sleep, timeout};

/// How long a server may take to ask what it asks at the greeting.
const GREETING: Duration = Duration::from_secs(20);
/// Some servers add tools once they have seen what the client can do.
const SETTLING: Duration = Duration::from_millis(700);
/// How long an update of a resource may take, a call to begin, and a count to change, seconds. Plans have less
/// patience where nothing of it comes, or where it comes again.
const PATIENCE_S: u64 = 20;
/// How long a cancelled call may take to end.
const EARLY: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(20);
/// Members of results that one era has.
const OF_AN_ERA: [&str; 2] = ["_meta", "resultType"];

/// What came without being the answer to anything.
#[derive(Default)]
struct Notes {
    asked: BTreeSet<&'static str>,
    progress: Vec<Value>,
    logs: Vec<Value>,
    updates: Vec<String>,
}

/// Answers whatever it is asked, and takes notes.
#[derive(Clone)]
struct Answering {
    plan: Arc<Value>,
    notes: Arc<Mutex<Notes>>,
}

impl Answering {
    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn answer<T: DeserializeOwned>(&self, method: &'static str, answer: Value) -> Result<T, ErrorData> {
        self.notes().asked.insert(method);
        model(answer).map_err(|error| ErrorData::internal_error(error.to_string(), None))
    }
}

impl ClientHandler for Answering {
    fn get_info(&self) -> ClientConfig {
        let can = json!({ "sampling": {}, "elicitation": { "form": {}, "url": {} }, "roots": { "listChanged": true } });
        ClientConfig::new(model(can).expect("these are capabilities"), Implementation::new("interop", "1"))
    }

    async fn create_message(
        &self,
        _: CreateMessageRequestParams,
        _: RequestContext<RoleClient>,
    ) -> Result<CreateMessageResult, ErrorData> {
        let content = json!({ "type": "text", "text": "Paris" });
        self.answer(
            "sampling/createMessage",
            json!({ "role": "assistant", "model": "m", "content": content }),
        )
    }

    async fn create_elicitation(
        &self,
        asked: ElicitRequestParams,
        _: RequestContext<RoleClient>,
    ) -> Result<ElicitResult, ErrorData> {
        let schema = plain(&asked)["requestedSchema"].take();
        let mut answer = json!({ "action": "accept" });
        if schema.is_object() {
            answer["content"] = filled(&schema);
        }
        self.answer("elicitation/create", answer)
    }

    async fn list_roots(&self, _: RequestContext<RoleClient>) -> Result<ListRootsResult, ErrorData> {
        let name = |uri: &str| uri.rsplit('/').next().unwrap_or_default().to_owned();
        let roots: Vec<Value> =
            texts(&self.plan["roots"]).map(|uri| json!({ "uri": uri, "name": name(uri) })).collect();
        self.answer("roots/list", json!({ "roots": roots }))
    }

    async fn on_progress(&self, told: ProgressNotificationParam, _: NotificationContext<RoleClient>) {
        self.notes().progress.push(json!([told.progress, told.total, told.message]));
    }

    async fn on_logging_message(
        &self,
        told: LoggingMessageNotificationParam,
        _: NotificationContext<RoleClient>,
    ) {
        self.notes().logs.push(told.data);
    }

    async fn on_resource_updated(
        &self,
        told: ResourceUpdatedNotificationParam,
        _: NotificationContext<RoleClient>,
    ) {
        self.notes().updates.push(told.uri);
    }
}

struct Survey {
    client: RunningService<RoleClient, Answering>,
    plan: Arc<Value>,
    modern: bool,
}

impl Survey {
    fn patience(&self) -> Duration {
        Duration::from_secs(self.plan["patience_s"].as_u64().unwrap_or(PATIENCE_S))
    }

    /// Waits for the server to ask what it asks at the greeting: afterwards, that would belong to a call.
    async fn settle(&self) {
        let greeting: Vec<&str> = texts(&self.plan["greeting"]).collect();
        if greeting.is_empty() {
            return sleep(SETTLING).await;
        }
        let greeted = || greeting.iter().all(|method| self.client.service().notes().asked.contains(*method));
        let heard = timeout(GREETING, async {
            while !greeted() {
                sleep(POLL).await;
            }
        });
        heard.await.ok();
    }

    async fn report(&self) -> Result<Value> {
        let mut report = Map::new();
        let tools = plain(&self.client.list_all_tools().await?);
        if self.plan["level"].is_string() && !self.modern {
            let level = model(json!({ "level": self.plan["level"] }))?;
            report.insert("level".to_owned(), answer(self.client.set_level(level).await));
        }
        report.insert("calls".to_owned(), self.calls().await?);
        if self.plan["cancel"].is_array() {
            report.insert("cancel".to_owned(), self.cancel().await?);
        }
        let known: BTreeSet<&str> = array(&self.plan["calls"])
            .chain(array(&self.plan["cancel"]))
            .filter_map(|call| call[0].as_str())
            .chain(self.plan["touch"][0].as_str())
            .chain(texts(&self.plan["skipped"]))
            .collect();
        let uncalled: Vec<&str> = array(&tools)
            .filter_map(|tool| tool["name"].as_str())
            .filter(|name| !known.contains(name))
            .collect();
        report.insert("uncalled".to_owned(), json!(uncalled));
        report.insert("tools".to_owned(), tools);
        let resources = answer(self.client.list_all_resources().await);
        report.insert("contents".to_owned(), self.contents(&resources).await?);
        report.insert("resources".to_owned(), resources);
        report.insert("templates".to_owned(), answer(self.client.list_all_resource_templates().await));
        report.insert("updates".to_owned(), self.updates().await?);
        report.insert("prompts".to_owned(), answer(self.client.list_all_prompts().await));
        report.insert("messages".to_owned(), self.messages().await?);
        report.insert("completions".to_owned(), self.completions().await?);
        Ok(Value::Object(report))
    }

    async fn calls(&self) -> Result<Value> {
        let mut calls = Vec::new();
        for call in array(&self.plan["calls"]) {
            calls.push(self.call(call).await?);
        }
        Ok(json!(calls))
    }

    async fn call(&self, call: &Value) -> Result<Value> {
        let mut params = json!({ "name": call[0], "arguments": call[1] });
        if self.plan["level"].is_string() && self.modern {
            params["_meta"] = json!({ "io.modelcontextprotocol/logLevel": self.plan["level"] });
        }
        *self.client.service().notes() = Notes::default();
        let mut result = answer(self.client.call_tool(model(params)?).await);
        if array(&self.plan["hidden"]).any(|hidden| hidden == &call[0]) {
            let names = result.as_object().into_iter().flat_map(Map::keys);
            let names: BTreeSet<&String> = names.filter(|name| !OF_AN_ERA.contains(&name.as_str())).collect();
            result = json!(names);
        }
        // Each notification has a task of its own: they may run a moment after the answer, and in any order.
        sleep(POLL).await;
        let mut notes = std::mem::take(&mut *self.client.service().notes());
        notes.progress.sort_by(|one, other| number(&one[0]).total_cmp(&number(&other[0])));
        let mut told =
            json!({ "name": call[0], "result": result, "progress": notes.progress, "asked": notes.asked });
        if self.plan["level"].is_string() {
            told["logs"] = json!(notes.logs);
        }
        Ok(told)
    }

    /// Whether a cancelled call ends early, and how many such calls its server counts.
    async fn cancel(&self) -> Result<Value> {
        let (call, counting) = (&self.plan["cancel"][0], &self.plan["cancel"][1]);
        *self.client.service().notes() = Notes::default();
        let request = CallToolRequest::new(params(call)?);
        let call =
            self.client.send_cancellable_request(request.into(), PeerRequestOptions::no_options()).await?;
        let begun = timeout(self.patience(), async {
            while self.client.service().notes().progress.is_empty() {
                sleep(POLL).await;
            }
        });
        begun.await.ok();
        let start = Instant::now();
        call.cancel(None).await?;
        let mut told = json!({ "cancelled": true, "early": start.elapsed() < EARLY });
        if counting.is_array() {
            told["counted"] = self.counted(counting).await?;
        }
        Ok(told)
    }

    /// What a tool counts, once that is something.
    async fn counted(&self, counting: &Value) -> Result<Value> {
        let start = Instant::now();
        loop {
            let counted =
                plain(&self.client.call_tool(params(counting)?).await?)["content"][0]["text"].take();
            if counted != "0" || start.elapsed() > self.patience() {
                return Ok(counted);
            }
            sleep(POLL).await;
        }
    }

    async fn contents(&self, resources: &Value) -> Result<Value> {
        let mut contents = Map::new();
        let listed = array(resources).filter_map(|resource| resource["uri"].as_str());
        for uri in listed.chain(texts(&self.plan["resources"])) {
            let read = self.client.read_resource(model(json!({ "uri": uri }))?).await;
            contents.insert(uri.to_owned(), answer(read));
        }
        Ok(Value::Object(contents))
    }

    async fn updates(&self) -> Result<Value> {
        let mut updates = Map::new();
        for uri in texts(&self.plan["subscriptions"]) {
            let told = if self.modern { self.listen(uri).await? } else { self.subscribe(uri).await? };
            updates.insert(uri.to_owned(), told);
        }
        Ok(Value::Object(updates))
    }

    async fn touch(&self) -> Result<()> {
        self.client.call_tool(params(&self.plan["touch"])?).await?;
        Ok(())
    }

    /// Stateless clients share the server's processes: who comes next expects them as they were.
    async fn untouch(&self) -> Result<()> {
        if self.plan["untouch"].is_array() {
            self.client.call_tool(params(&self.plan["untouch"])?).await?;
        }
        Ok(())
    }

    /// A subscription of the newest revision: whether it is accepted, and what it brings.
    async fn listen(&self, uri: &str) -> Result<Value> {
        let mut opened = self.client.listen(model(json!({ "resourceSubscriptions": [uri] }))?).await?;
        let granted = opened.acknowledged().resource_subscriptions.iter().flatten().any(|known| known == uri);
        let mut told = json!({ "accepted": granted });
        if granted && self.plan["touch"].is_array() {
            self.touch().await?;
            let heard = timeout(self.patience(), opened.next()).await;
            told["heard"] = match heard {
                Ok(Ok(Some(ServerNotification::ResourceUpdatedNotification(update)))) => {
                    json!([update.params.uri])
                }
                _ => json!([]),
            };
            self.untouch().await?;
        }
        opened.cancel().await?;
        Ok(told)
    }

    /// A subscription of a session: whether it is accepted, and what it brings.
    async fn subscribe(&self, uri: &str) -> Result<Value> {
        let granted = self.client.subscribe(model(json!({ "uri": uri }))?).await.is_ok();
        let mut told = json!({ "accepted": granted });
        if granted && self.plan["touch"].is_array() {
            self.touch().await?;
            let heard = timeout(self.patience(), async {
                while self.client.service().notes().updates.is_empty() {
                    sleep(POLL).await;
                }
            });
            heard.await.ok();
            told["heard"] = json!(std::mem::take(&mut self.client.service().notes().updates));
            self.untouch().await?;
        }
        self.client.unsubscribe(model(json!({ "uri": uri }))?).await.ok();
        Ok(told)
    }

    async fn messages(&self) -> Result<Value> {
        let mut messages = Map::new();
        for (name, arguments) in self.plan["prompts"].as_object().into_iter().flatten() {
            let params = model(json!({ "name": name, "arguments": arguments }))?;
            messages.insert(name.clone(), answer(self.client.get_prompt(params).await));
        }
        Ok(Value::Object(messages))
    }

    async fn completions(&self) -> Result<Value> {
        let mut completions = Vec::new();
        for asked in array(&self.plan["completions"]) {
            let params = json!({ "ref": { "type": "ref/prompt", "name": asked[0] },
                                 "argument": { "name": asked[1], "value": asked[2] } });
            completions.push(answer(self.client.complete(model(params)?).await));
        }
        Ok(json!(completions))
    }
}

fn model<T: DeserializeOwned>(value: Value) -> serde_json::Result<T> {
    serde_json::from_value(value)
}

fn params(call: &Value) -> serde_json::Result<CallToolRequestParams> {
    model(json!({ "name": call[0], "arguments": call[1] }))
}

fn plain<T: Serialize>(value: &T) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}

fn answer<T: Serialize>(result: Result<T, ServiceError>) -> Value {
    match result {
        Ok(value) => plain(&value),
        Err(ServiceError::McpError(error)) => {
            json!({ "failed": error.message, "code": error.code, "data": error.data })
        }
        Err(error) => json!({ "failed": error.to_string() }),
    }
}

/// The required fields of a form, and nothing else.
fn filled(schema: &Value) -> Value {
    let value = |field: &Value| match field["type"].as_str() {
        _ if !field["default"].is_null() => field["default"].clone(),
        _ if !field["enum"][0].is_null() => field["enum"][0].clone(),
        Some("string") => json!("Ada"),
        Some("boolean") => json!(true),
        Some("array") => json!([]),
        _ => json!(1),
    };
    texts(&schema["required"]).map(|name| (name.to_owned(), value(&schema["properties"][name]))).collect()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_default()
}

fn array(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn texts(value: &Value) -> impl Iterator<Item = &str> {
    array(value).filter_map(Value::as_str)
}

/// Without what differs from run to run.
fn steady(text: String, plan: &Value) -> Result<String> {
    texts(&plan["volatile"])
        .try_fold(text, |text, pattern| Ok(Regex::new(pattern)?.replace_all(&text, "VOLATILE").into_owned()))
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [era, plan, target @ ..] = &arguments[..] else {
        anyhow::bail!("usage: omcp-rmcp-client legacy|modern PLAN URL");
    };
    let plan: Arc<Value> = Arc::new(serde_json::from_str(plan).context("read the plan")?);
    let modern = era == "modern";
    let lifecycle = match modern {
        true => ClientLifecycleMode::Discover { preferred_versions: vec![ProtocolVersion::V_2026_07_28] },
        false => ClientLifecycleMode::Initialize,
    };
    let answering = Answering { plan: Arc::clone(&plan), notes: Arc::default() };
    let client = match target {
        [url] => {
            let transport = StreamableHttpClientTransport::from_uri(url.clone());
            answering.serve_with_lifecycle(transport, lifecycle).await?
        }
        [_, program, arguments @ ..] => {
            let mut command = Command::new(program);
            command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
            let mut child = command.kill_on_drop(true).spawn()?;
            let pipes = child.stdout.take().zip(child.stdin.take()).context("its ends are pipes")?;
            // It ends with its input.
            tokio::spawn(async move { child.wait().await });
            answering.serve_with_lifecycle(pipes, lifecycle).await?
        }
        [] => anyhow::bail!("where is the server?"),
    };
    let survey = Survey { client, plan, modern };
    survey.settle().await;
    println!("{}", steady(survey.report().await?.to_string(), &survey.plan)?);
    survey.client.cancel().await?;
    Ok(())
}
