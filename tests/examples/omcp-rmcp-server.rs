//! A server written with the official Rust SDK, over standard input and output. It speaks both eras, and asks its
//! client in the way of the era.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use rmcp::handler::server::ServerHandler;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, ElicitRequest,
    ElicitRequestParams, ErrorData, GetPromptRequestParams, GetPromptResponse, GetPromptResult,
    Implementation, InputRequest, InputRequiredResult, ListPromptsResult, ListResourcesResult,
    ListToolsResult, PaginatedRequestParams, ProgressNotificationParam, Prompt, PromptArgument,
    PromptMessage, ProtocolVersion, ReadResourceRequestParams, ReadResourceResponse, ReadResourceResult,
    Resource, ResourceContents, Role, ServerCapabilities, ServerConfig, Tool,
};
use rmcp::service::{RequestContext, RoleServer, ServiceExt};
use serde_json::{Value, json};

/// Between two steps of progress.
const STEP: Duration = Duration::from_millis(30);
const NOTE: &str = "note://first";
const NAME: &str = "name";

type Context = RequestContext<RoleServer>;

struct Server;

impl ServerHandler for Server {
    fn get_info(&self) -> ServerConfig {
        let capabilities =
            ServerCapabilities::builder().enable_tools().enable_resources().enable_prompts().build();
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
            "ask" => ask(&request, &context).await,
            _ => Err(ErrorData::invalid_params("no such tool", None)),
        }
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

fn tool(name: &'static str, what: &'static str, properties: &Value) -> Tool {
    let schema = json!({ "type": "object", "properties": properties });
    Tool::new(name, what, Arc::new(schema.as_object().cloned().unwrap_or_default()))
}

fn said(text: String) -> CallToolResponse {
    CallToolResult::success(vec![ContentBlock::text(text)]).into()
}

async fn count(steps: u64, context: &Context) -> Result<CallToolResponse, ErrorData> {
    for step in 1..=steps {
        if let Some(token) = context.meta.get_progress_token() {
            let progress = ProgressNotificationParam::new(token, step as f64).with_total(steps as f64);
            context.peer.notify_progress(progress).await.map_err(internal)?;
        }
        tokio::time::sleep(STEP).await;
    }
    Ok(said(format!("{steps} steps")))
}

async fn ask(request: &CallToolRequestParams, context: &Context) -> Result<CallToolResponse, ErrorData> {
    let modern = context.protocol_version().is_some_and(|version| version >= ProtocolVersion::V_2026_07_28);
    let answer = match (&request.input_responses, modern) {
        (Some(answers), _) => answers.get(NAME).cloned().unwrap_or_default(),
        (None, true) => {
            let question = InputRequest::Elicitation(ElicitRequest::new(question()?));
            return Ok(InputRequiredResult::from_input_requests([(NAME.to_owned(), question)].into()).into());
        }
        (None, false) => {
            let answer = context.peer.create_elicitation(question()?).await.map_err(internal)?;
            serde_json::to_value(answer).map_err(internal)?
        }
    };
    Ok(said(match answer["action"].as_str() {
        Some("accept") => format!("Hello, {}!", answer["content"]["name"].as_str().unwrap_or_default()),
        other => other.unwrap_or_default().to_owned(),
    }))
}

fn question() -> Result<ElicitRequestParams, ErrorData> {
    let schema =
        json!({ "type": "object", "properties": { "name": { "type": "string" } }, "required": ["name"] });
    let question = json!({ "mode": "form", "message": "What is your name?", "requestedSchema": schema });
    serde_json::from_value(question).map_err(internal)
}

fn internal(error: impl std::fmt::Display) -> ErrorData {
    ErrorData::internal_error(error.to_string(), None)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    Server.serve(rmcp::transport::stdio()).await?.waiting().await?;
    Ok(())
}
