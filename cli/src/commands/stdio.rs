//! `omcp stdio`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use omcp_core::runtime::NoStderr;
use omcp_core::{
    BackendConnection, BackendName, GatewayError, NodeIdentity, RuntimeContext, RuntimeType as _,
};
use omcp_runtimes::remote_http::RemoteHttp;
use serde_json::json;

use crate::context::Context;
use crate::endpoint::Endpoint;
use crate::exit::Outcome;
use crate::failure::{Cause, Failure};
use crate::stdio::Relay;

/// Serve a backend, or all, on standard input and output, for clients that start their MCP servers as programs
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  omcp stdio
  omcp stdio github --node-url http://127.0.0.1:4180

In the configuration file of a client:
  {\"mcpServers\": {\"github\": {\"command\": \"omcp\", \"args\": [\"stdio\", \"github\"]}}}")]
pub struct Args {
    /// Name of a backend; all of them behind one server if none is given
    #[arg(value_name = "BACKEND")]
    backend: Option<String>,

    #[command(flatten)]
    endpoint: Endpoint,
}

pub async fn run(args: Args, context: &Context) -> Result<Outcome, Failure> {
    if let (Some(backend), false) = (&args.backend, args.endpoint.is_fixed()) {
        context.backend(backend).await?;
    }
    let mut last: Option<String> = None;
    let dial = async || {
        let url = args.endpoint.url(args.backend.as_deref(), last.as_deref(), context).await?;
        let connection = connect(&url, args.endpoint.call_timeout()).await;
        last = Some(url);
        connection
    };
    Relay::new(tokio::io::stdin(), tokio::io::stdout(), dial).await?.run().await?;
    Ok(Outcome::Done)
}

async fn connect(url: &str, call_timeout: Duration) -> Result<Box<dyn BackendConnection>, Failure> {
    let refused =
        |error: &GatewayError| Failure::new(Cause::Invalid, format!("talk to {url}"), error.chain());
    let settings = json!({ "url": url, "call_timeout_ms": call_timeout.as_millis() as u64 });
    let settings = serde_json::from_value(settings)
        .map_err(|error| Failure::new(Cause::Invalid, "read --call-timeout", error.to_string()))?;
    let runtime = RemoteHttp.create(settings, this_program()).map_err(|error| refused(&error))?;
    runtime.connect().await.map_err(|error| refused(&error))
}

/// What a runtime is told of where it runs; nothing of it leaves the program.
fn this_program() -> RuntimeContext {
    let nobody = || Arc::from("");
    RuntimeContext {
        backend: "stdio".parse::<BackendName>().expect("a valid name"),
        env: BTreeMap::new(),
        stderr: Arc::new(NoStderr),
        node: NodeIdentity { name: nobody(), id: nobody(), boot_id: nobody() },
    }
}
