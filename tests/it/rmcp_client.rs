//! The official Rust SDK as a client, of both eras.

#![expect(deprecated, reason = "sampling and roots are deprecated in the newest revision, and served in all")]

use anyhow::{Context, Result, ensure};
use omcp_tests::harness::Cluster;
use omcp_tests::harness::manifest::{http, stdio};
use omcp_tests::harness::server::Server;
use rmcp::model::{
    CallToolRequestParams, ClientCapabilities, ClientConfig, CreateMessageRequestParams, CreateMessageResult,
    ElicitRequestParams, ElicitResult, ElicitationAction, GetPromptRequestParams, Implementation,
    ListRootsResult, ProtocolVersion, ReadResourceRequestParams, Root, SamplingMessage,
};
use rmcp::service::{ClientLifecycleMode, ClientServiceExt, RequestContext, RoleClient, RunningService};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::{ClientHandler, ErrorData};
use serde_json::{Value, json};

/// Answers whatever it is asked.
#[derive(Clone)]
struct Answering;

impl ClientHandler for Answering {
    fn get_info(&self) -> ClientConfig {
        let capabilities =
            ClientCapabilities::builder().enable_elicitation().enable_sampling().enable_roots().build();
        ClientConfig::new(capabilities, Implementation::new("rmcp", "1"))
    }

    async fn create_elicitation(
        &self,
        _: ElicitRequestParams,
        _: RequestContext<RoleClient>,
    ) -> Result<ElicitResult, ErrorData> {
        Ok(ElicitResult::new(ElicitationAction::Accept).with_content(json!({ "name": "Ada" })))
    }

    async fn create_message(
        &self,
        _: CreateMessageRequestParams,
        _: RequestContext<RoleClient>,
    ) -> Result<CreateMessageResult, ErrorData> {
        Ok(CreateMessageResult::new(SamplingMessage::assistant_text("Paris"), "m".to_owned()))
    }

    async fn list_roots(&self, _: RequestContext<RoleClient>) -> Result<ListRootsResult, ErrorData> {
        Ok(ListRootsResult::new(vec![Root::new("file:///a")]))
    }
}

type Connected = RunningService<RoleClient, Answering>;

async fn text(client: &Connected, tool: &'static str, arguments: Value) -> Result<String> {
    let arguments = arguments.as_object().cloned().unwrap_or_default();
    let result = client.call_tool(CallToolRequestParams::new(tool).with_arguments(arguments)).await?;
    let result = serde_json::to_value(&result)?;
    result["content"][0]["text"].as_str().map(str::to_owned).with_context(|| format!("no text in {result}"))
}

async fn use_everything(client: &Connected) -> Result<()> {
    ensure!(client.list_all_tools().await?.len() > 30);
    assert_eq!(text(client, "add", json!({ "a": 2, "b": 40 })).await?, "42");
    assert_eq!(client.list_all_resources().await?.len(), 3);
    assert_eq!(client.list_all_resource_templates().await?.len(), 1);
    let read = client.read_resource(ReadResourceRequestParams::new("test://template/7/data")).await?;
    ensure!(serde_json::to_string(&read)?.contains("Data for ID: 7"));
    ensure!(client.list_all_prompts().await?.len() >= 5);
    let prompt = client.get_prompt(GetPromptRequestParams::new("test_simple_prompt")).await?;
    assert_eq!(prompt.messages.len(), 1);
    let values = client.complete_prompt_simple("test_prompt_with_arguments", "arg1", "par").await?;
    assert_eq!(values, ["paris", "park", "party"]);
    let all = text(client, "test_input_required_result_multiple_inputs", json!({})).await?;
    assert_eq!(all, "Hello, Ada! Paris (1 roots)");
    let missing = client.call_tool(CallToolRequestParams::new("no-such-tool")).await;
    ensure!(missing.is_err(), "{missing:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn uses_everything_in_either_era() -> Result<()> {
    let server = Server::http(&[]);
    let cluster = Cluster::start(1);
    cluster.apply(&[http("http", &server.url), stdio("stdio", &[])]);
    let modern = ClientLifecycleMode::Discover { preferred_versions: vec![ProtocolVersion::V_2026_07_28] };
    for backend in ["http", "stdio"] {
        for lifecycle in [ClientLifecycleMode::Initialize, modern.clone()] {
            let shown = format!("{backend} with {lifecycle:?}");
            let transport = StreamableHttpClientTransport::from_uri(cluster.nodes[0].endpoint(backend));
            let client =
                Answering.serve_with_lifecycle(transport, lifecycle).await.with_context(|| shown.clone())?;
            use_everything(&client).await.with_context(|| shown)?;
            client.cancel().await?;
        }
    }
    Ok(())
}
