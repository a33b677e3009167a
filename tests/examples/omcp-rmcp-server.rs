//! A server written with the official Rust SDK, over standard input and output. It speaks both eras, and asks its
//! client in the way of the era.
//!
//! `omcp-rmcp-server stdio NOTES`: a line is added to the file NOTES for every call that is cancelled.

#![expect(deprecated, reason = "what the newest revision has deprecated is served in all")]

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rmcp::handler::server::ServerHandler;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, CompleteRequestParams, CompleteResult,
    CompletionInfo, ContentBlock, ErrorData, GetPromptRequestParams, GetPromptResponse, GetPromptResult,
    Implementation, InputRequest, InputRequests, InputRequiredResult, ListPromptsResult, ListResourcesResult,
    ListToolsResult, LoggingLevel, LoggingMessageNotificationParam, PaginatedRequestParams,
    ProgressNotificationParam, Prompt, PromptArgument, PromptMessage, ProtocolVersion,
    ReadResourceRequestParams, ReadResourceResponse, ReadResourceResult, Resource, ResourceContents, Role,
    ServerCapabilities, ServerConfig, SetLevelRequestParams, Tool,
};
use rmcp::service::{RequestContext, RoleServer, ServiceExt};
use serde_json::{Map, Value, json};

/// Between two steps of progress.
const STEP: Duration = Duration::from_millis(30);
/// Longer than any client takes to cancel.
const LONGEST: Duration = Duration::from_secs(5);
const NOTE: &str = "note://first";
const COMPLETIONS: [&str; 3] = ["paris", "park", "berlin"];

type Context = RequestContext<RoleServer>;

struct Server {
    notes: PathBuf,
}

impl ServerHandler for Server {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder()
            .enable_tools()
            .enable_resources()
            .enable_prompts()
            .enable_completions()
            .enable_logging()
            .build();
        ServerConfig::new(capabilities).with_server_info(Implementation::new("rmcp-server", "1"))
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: Context,
    ) -> Result<ListToolsResult, ErrorData> {
        let numbers = json!({ "a": { "type": "integer" }, "b": { "type": "integer" } });
        let steps = json!({ "steps": { "type": "integer" } });
        Ok(ListToolsResult::with_all_items(vec![
            tool("add", "Adds two numbers.", &numbers),
            tool("count", "Reports progress in so many steps.", &steps),
            tool("fail", "Fails.", &json!({})),
            tool("ask", "Asks for a name.", &json!({})),
            tool("ask_all", "Asks for a name, a completion and roots.", &json!({})),
            tool("log", "Logs.", &json!({})),
            tool("linger", "Waits to be cancelled, and counts that.", &json!({})),
            tool("cancelled", "Counts the calls that were cancelled.", &json!({})),
        ]))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: Context,
    ) -> Result<CallToolResponse, ErrorData> {
        let arguments = Value::from(request.arguments.clone().unwrap_or_default());
        match &*request.name {
            "add" => match (arguments["a"].as_i64(), arguments["b"].as_i64()) {
                (Some(a), Some(b)) => Ok(said((a + b).to_string())),
                _ => Err(ErrorData::invalid_params("a and b have to be integers", None)),
            },
            "count" => count(arguments["steps"].as_u64().unwrap_or_default(), &context).await,
            "fail" => Ok(CallToolResult::error(vec![ContentBlock::text("this tool always fails")]).into()),
            "ask" => ask(&request, &context, json!({ "name": name() })).await,
            "ask_all" => {
                let questions =
                    json!({ "name": name(), "capital": capital(), "roots": { "method": "roots/list" } });
                ask(&request, &context, questions).await
            }
            "log" => log(&context).await,
            "linger" => self.linger(&context).await,
            "cancelled" => Ok(said(self.cancelled().to_string())),
            _ => Err(ErrorData::invalid_params("no such tool", None)),
        }
    }

    async fn complete(
        &self,
        request: CompleteRequestParams,
        _: Context,
    ) -> Result<CompleteResult, ErrorData> {
        let values = COMPLETIONS.iter().filter(|value| value.starts_with(&request.argument.value));
        let values = values.map(|value| (*value).to_owned()).collect();
        Ok(CompleteResult::new(CompletionInfo::with_all_values(values).map_err(internal)?))
    }

    async fn set_level(&self, _: SetLevelRequestParams, _: Context) -> Result<(), ErrorData> {
        Ok(())
    }

    async fn list_resources(
        &self,
        _: Option<PaginatedRequestParams>,
        _: Context,
    ) -> Result<ListResourcesResult, ErrorData> {
        Ok(ListResourcesResult::with_all_items(vec![Resource::new(NOTE, "first")]))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        _: Context,
    ) -> Result<ReadResourceResponse, ErrorData> {
        if request.uri != NOTE {
            let uri = json!({ "uri": request.uri });
            return Err(ErrorData::resource_not_found("no such note", Some(uri)));
        }
        Ok(ReadResourceResult::new(vec![ResourceContents::text("the first note", NOTE)]).into())
    }

    async fn list_prompts(
        &self,
        _: Option<PaginatedRequestParams>,
        _: Context,
    ) -> Result<ListPromptsResult, ErrorData> {
        let code = PromptArgument::new("code").with_required(true);
        let review = Prompt::new("review", Some("Asks for a review."), Some(vec![code]));
        Ok(ListPromptsResult::with_all_items(vec![review]))
    }

    async fn get_prompt(
        &self,
        request: GetPromptRequestParams,
        _: Context,
    ) -> Result<GetPromptResponse, ErrorData> {
        let code = Value::from(request.arguments.unwrap_or_default())["code"].clone();
        let text = format!("Please review: {}", code.as_str().unwrap_or_default());
        Ok(GetPromptResult::new(vec![PromptMessage::new_text(Role::User, text)]).into())
    }
}

impl Server {
    async fn linger(&self, context: &Context) -> Result<CallToolResponse, ErrorData> {
        progress(context, 1, 2).await?;
        tokio::select! {
            () = context.ct.cancelled() => {}
            () = tokio::time::sleep(LONGEST) => return Ok(said("nobody cancelled".to_owned())),
        }
        let notes = OpenOptions::new().append(true).create(true).open(&self.notes);
        notes.and_then(|mut notes| notes.write_all(b"cancelled\n")).map_err(internal)?;
        Err(internal("cancelled"))
    }

    fn cancelled(&self) -> usize {
        fs::read_to_string(&self.notes).map_or(0, |notes| notes.lines().count())
    }
}

fn tool(name: &'static str, what: &'static str, properties: &Value) -> Tool {
    let schema = json!({ "type": "object", "properties": properties });
    Tool::new(name, what, Arc::new(schema.as_object().cloned().unwrap_or_default()))
}

fn said(text: String) -> CallToolResponse {
    CallToolResult::success(vec![ContentBlock::text(text)]).into()
}

async fn count(steps: u64, context: &Context) -> Result<CallToolResponse, ErrorData> {
    for step in 1..=steps {
        progress(context, step, steps).await?;
        tokio::time::sleep(STEP).await;
    }
    Ok(said(format!("{steps} steps")))
}

async fn progress(context: &Context, step: u64, steps: u64) -> Result<(), ErrorData> {
    let Some(token) = context.meta.get_progress_token() else {
        return Ok(());
    };
    let progress = ProgressNotificationParam::new(token, step as f64).with_total(steps as f64);
    context.peer.notify_progress(progress).await.map_err(internal)
}

async fn log(context: &Context) -> Result<CallToolResponse, ErrorData> {
    if !is_modern(context) || context.meta.log_level().is_some() {
        let line = LoggingMessageNotificationParam::new(LoggingLevel::Info, json!("this tool always logs"));
        context.peer.notify_logging_message(line).await.map_err(internal)?;
    }
    Ok(said("logged".to_owned()))
}

fn is_modern(context: &Context) -> bool {
    context.protocol_version().is_some_and(|version| version >= ProtocolVersion::V_2026_07_28)
}

/// Asks these questions, by key, and says what the answers are.
async fn ask(
    request: &CallToolRequestParams,
    context: &Context,
    questions: Value,
) -> Result<CallToolResponse, ErrorData> {
    let questions: InputRequests = serde_json::from_value(questions).map_err(internal)?;
    let answers = match &request.input_responses {
        Some(answers) => serde_json::to_value(answers).map_err(internal)?,
        None if is_modern(context) => return Ok(InputRequiredResult::from_input_requests(questions).into()),
        None => pushed(context, questions).await?,
    };
    Ok(said(told(&answers)))
}

async fn pushed(context: &Context, questions: InputRequests) -> Result<Value, ErrorData> {
    let mut answers = Map::new();
    for (key, question) in questions {
        let answer = match question {
            InputRequest::Elicitation(form) => {
                serde_json::to_value(context.peer.create_elicitation(form.params).await.map_err(internal)?)
            }
            InputRequest::CreateMessage(prompt) => {
                serde_json::to_value(context.peer.create_message(prompt.params).await.map_err(internal)?)
            }
            _ => serde_json::to_value(context.peer.list_roots().await.map_err(internal)?),
        };
        answers.insert(key, answer.map_err(internal)?);
    }
    Ok(answers.into())
}

fn told(answers: &Value) -> String {
    let (name, capital, roots) =
        (&answers["name"], &answers["capital"]["content"], &answers["roots"]["roots"]);
    let greeting = match name["action"].as_str() {
        Some("accept") => format!("Hello, {}!", name["content"]["name"].as_str().unwrap_or_default()),
        other => other.unwrap_or_default().to_owned(),
    };
    let block = capital.get(0).unwrap_or(capital);
    match (block["text"].as_str(), roots.as_array()) {
        (Some(capital), Some(roots)) => format!("{greeting} {capital}, {} roots", roots.len()),
        _ => greeting,
    }
}

fn name() -> Value {
    let schema =
        json!({ "type": "object", "properties": { "name": { "type": "string" } }, "required": ["name"] });
    let params = json!({ "mode": "form", "message": "What is your name?", "requestedSchema": schema });
    json!({ "method": "elicitation/create", "params": params })
}

fn capital() -> Value {
    let text = json!({ "type": "text", "text": "What is the capital of France?" });
    let params = json!({ "messages": [{ "role": "user", "content": text }], "maxTokens": 10 });
    json!({ "method": "sampling/createMessage", "params": params })
}

fn internal(error: impl std::fmt::Display) -> ErrorData {
    ErrorData::internal_error(error.to_string(), None)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let notes = std::env::args_os().nth(2).context("usage: omcp-rmcp-server stdio NOTES")?.into();
    Server { notes }.serve(rmcp::transport::stdio()).await?.waiting().await?;
    Ok(())
}
