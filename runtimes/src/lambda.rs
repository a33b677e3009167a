//! `lambda`: an MCP server that is an AWS Lambda function.
//!
//! One message is one invocation: its payload is the message as it is, what the function returns is the
//! answer, and `{}` answers a notification. This is the wire of `run-mcp-servers-with-aws-lambda`. Nothing
//! is open and nothing costs between two messages.
//!
//! In reading order:
//!
//! - [`connection`]: which invocations are under way, and what comes out of them
//! - [`exchange`]: from one message to its answer
//! - [`handshake`]: servers that insist on `initialize`, and functions that know none
//! - [`capabilities`]: what does not reach through a function, and is not promised
//! - [`function`]: one invocation; [`failure`]: what went wrong with it
//! - [`sdk`]: region and credentials; [`dialer`]: the SDK's requests over the node's own HTTP client

mod capabilities;
mod connection;
mod dialer;
mod exchange;
mod failure;
mod function;
mod handshake;
mod sdk;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use omcp_core::{BackendConnection, GatewayError, Runtime, RuntimeContext, RuntimeType};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::sync::OnceCell;

use self::connection::LambdaConnection;
use self::function::Function;
use crate::settings::Millis;

/// Most invocations at once that settings may allow: a lane has no more calls in flight.
const CONCURRENCY_MAX: u16 = 256;
/// Invocations at once unless the settings say otherwise: an account has 1000 for all its functions.
const CONCURRENCY_DEFAULT: u16 = 64;

/// An MCP server that is an AWS Lambda function, invoked with one JSON-RPC message at a time.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LambdaSettings {
    /// Name, ARN or partial ARN of the function; may end in `:VERSION` or `:ALIAS`.
    #[schemars(length(min = 1, max = 170))]
    pub function: String,
    /// Version or alias to invoke. Default: the one that `function` ends in, else `$LATEST`.
    #[serde(default)]
    #[schemars(length(min = 1, max = 128))]
    pub qualifier: Option<String>,
    /// AWS region, for instance `eu-west-1`. Default: that of the ARN in `function`, else that of the
    /// node: `AWS_REGION`, its AWS profile, the machine it runs on.
    #[serde(default)]
    #[schemars(length(min = 1, max = 64))]
    pub region: Option<String>,
    /// URL of another Lambda endpoint, http:// or https://: a VPC endpoint, an emulator. Default: that
    /// of AWS in the region.
    #[serde(default)]
    #[schemars(length(max = 4096), regex(pattern = r"^(https?://|\$\{)"))]
    pub endpoint_url: Option<String>,
    /// Profile in the AWS files of the node (`~/.aws/config`) to take credentials and region from.
    /// Default: `AWS_PROFILE` of the node, else `default`.
    #[serde(default)]
    #[schemars(length(min = 1, max = 128))]
    pub profile: Option<String>,
    /// Access key id; write a reference, such as `${BILLING_KEY_ID}`. Default: the credentials of the
    /// node, by the SDK's chain: environment, profile, web identity, container, machine.
    #[serde(default)]
    #[schemars(length(min = 1, max = 256))]
    pub access_key_id: Option<String>,
    /// The secret that belongs to `access_key_id`; write a reference.
    #[serde(default)]
    #[schemars(length(min = 1, max = 256))]
    pub secret_access_key: Option<String>,
    /// Session token of temporary credentials, with `access_key_id`; write a reference.
    #[serde(default)]
    #[schemars(length(min = 1, max = 8192))]
    pub session_token: Option<String>,
    /// Time for name look-up, TCP and TLS together, milliseconds. Default 5000.
    #[serde(default)]
    pub connect_timeout_ms: Millis<5_000>,
    /// Time for one call, waiting for a free invocation and a cold start included, milliseconds.
    /// Default 300000; a function itself runs for 900000 at most.
    #[serde(default)]
    pub call_timeout_ms: Millis<300_000>,
    /// Most invocations under way at once, on each node; further calls wait for their turn. 1 to 256,
    /// default 64.
    #[serde(default = "concurrency_default")]
    #[schemars(range(min = 1, max = CONCURRENCY_MAX))]
    pub concurrency_max: u16,
}

fn concurrency_default() -> u16 {
    CONCURRENCY_DEFAULT
}

/// The type `lambda`.
#[derive(Debug)]
pub struct Lambda;

impl RuntimeType for Lambda {
    const NAME: &'static str = "lambda";
    type Settings = LambdaSettings;

    fn create(
        &self,
        settings: LambdaSettings,
        context: RuntimeContext,
    ) -> Result<Box<dyn Runtime>, GatewayError> {
        if !context.env.is_empty() {
            return Err(GatewayError::invalid_settings(
                "env has no meaning for a lambda backend: set the environment of the function in AWS, and \
                 remove env from the backend",
            ));
        }
        sdk::check(&settings)?;
        Ok(Box::new(LambdaRuntime { settings, function: OnceCell::new() }))
    }
}

struct LambdaRuntime {
    settings: LambdaSettings,
    /// Shared by all connections, as its bounds are.
    function: OnceCell<Arc<Function>>,
}

#[async_trait]
impl Runtime for LambdaRuntime {
    /// Invokes nothing. Where the region is not in the settings, it is looked up once.
    async fn connect(&self) -> Result<Box<dyn BackendConnection>, GatewayError> {
        let load = async || Function::load(&self.settings).await.map(Arc::new);
        let function = self.function.get_or_try_init(load).await?;
        Ok(Box::new(LambdaConnection::new(Arc::clone(function))))
    }

    fn call_timeout(&self) -> Duration {
        self.settings.call_timeout_ms.duration()
    }

    fn only_answers(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests;
