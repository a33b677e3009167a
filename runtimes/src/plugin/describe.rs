//! Asks a plugin what it is and whether it is ready.

use std::sync::Arc;
use std::time::Duration;

use omcp_core::GatewayError;
use omcp_proto::plugin::PROTOCOL;
use omcp_proto::plugin::v1::plugin_service_client::PluginServiceClient;
use omcp_proto::plugin::v1::plugin_service_server::SERVICE_NAME;
use omcp_proto::plugin::v1::{DescribeRequest, DescribeResponse};
use tokio::time::timeout;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::description::Description;
use super::wire;

/// Longest description taken, bytes: a dozen types with the longest schema.
const DESCRIPTION_LEN_MAX: usize = 4 * 1024 * 1024;

/// What the plugin says of itself, if it speaks our protocol and is ready; `known`, if it is the same.
///
/// # Errors
/// `Timeout` after `wait`; `Unsupported` without a common version; `Unreachable` if it is not ready;
/// what [`wire::broken`] makes of the rest.
pub async fn describe(
    channel: &Channel,
    wait: Duration,
    known: Option<Arc<Description>>,
) -> Result<Arc<Description>, GatewayError> {
    let asked = async {
        let told = ask(channel).await.map_err(|status| wire::broken("the plugin", &status))?;
        let plugin = format!("plugin {} {}", wire::bounded(&told.name), wire::bounded(&told.version));
        wire::check_protocol(&plugin, told.protocol_min, told.protocol_max)?;
        check_health(channel, &plugin).await?;
        let types = told.runtime_types.into_iter().map(|kind| (kind.name, kind.settings_schema_json));
        let types: Vec<_> = types.collect();
        match known.filter(|known| known.says(&told.name, &told.version, &types)) {
            Some(known) => Ok(known),
            None => Description::new(told.name, told.version, types).map(Arc::new),
        }
    };
    timeout(wait, asked).await.unwrap_or_else(|_| {
        let ms = wait.as_millis();
        Err(GatewayError::timeout(format!("the plugin did not describe itself in {ms} ms")))
    })
}

async fn ask(channel: &Channel) -> Result<DescribeResponse, Status> {
    let request = DescribeRequest {
        build: env!("CARGO_PKG_VERSION").to_owned(),
        protocol_min: PROTOCOL,
        protocol_max: PROTOCOL,
    };
    let client = PluginServiceClient::new(channel.clone());
    Ok(client.max_decoding_message_size(DESCRIPTION_LEN_MAX).describe(request).await?.into_inner())
}

async fn check_health(channel: &Channel, plugin: &str) -> Result<(), GatewayError> {
    let request = HealthCheckRequest { service: SERVICE_NAME.to_owned() };
    match HealthClient::new(channel.clone()).check(request).await {
        Ok(checked) if checked.get_ref().status() == ServingStatus::NotServing => {
            Err(GatewayError::unreachable(format!("{plugin} says that it is not serving")))
        }
        Ok(_) => Ok(()),
        // A plugin that does not serve health is always ready.
        Err(status) if matches!(status.code(), Code::Unimplemented | Code::NotFound) => Ok(()),
        Err(status) => Err(wire::broken(plugin, &status)),
    }
}
