//! The SDK's configuration: whom it asks, where, and as whom.

use std::time::Duration;

use aws_config::{BehaviorVersion, ConfigLoader, Region};
use aws_credential_types::Credentials;
use aws_sdk_lambda::Client;
use aws_sdk_lambda::config::{SharedCredentialsProvider, StalledStreamProtectionConfig};
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use http::Uri;
use omcp_core::GatewayError;
use tokio::time::timeout;

use super::dialer::Dialer;
use super::{CONCURRENCY_MAX, LambdaSettings};

/// For the region to be found, where settings and environment name none: the machine is asked then.
const LOAD_WAIT: Duration = Duration::from_secs(10);

/// # Errors
/// `InvalidSettings`, naming the field, for what the schema cannot express or what references brought.
pub fn check(settings: &LambdaSettings) -> Result<(), GatewayError> {
    let invalid = |text: &str| Err(GatewayError::invalid_settings(text));
    if settings.function.is_empty() || settings.function.contains(char::is_whitespace) {
        return invalid("function: is no function name and no ARN");
    }
    if !(1..=CONCURRENCY_MAX).contains(&settings.concurrency_max) {
        return invalid("concurrency_max: has to be between 1 and 256");
    }
    match (arn_region(&settings.function), settings.region.as_deref()) {
        (Some(named), Some(region)) if named != region => {
            return invalid("region: differs from the region in the ARN of function; remove one of them");
        }
        _ => {}
    }
    if settings.endpoint_url.as_deref().is_some_and(|url| !is_http(url)) {
        return invalid("endpoint_url: is no URL; write http://HOST or https://HOST");
    }
    match (&settings.access_key_id, &settings.secret_access_key) {
        (Some(_), None) => invalid("secret_access_key: is missing beside access_key_id"),
        (None, Some(_)) => invalid("access_key_id: is missing beside secret_access_key"),
        (None, None) if settings.session_token.is_some() => {
            invalid("session_token: needs access_key_id and secret_access_key")
        }
        _ => Ok(()),
    }
}

fn is_http(url: &str) -> bool {
    let uri: Option<Uri> = url.parse().ok();
    uri.is_some_and(|uri| uri.host().is_some() && matches!(uri.scheme_str(), Some("http" | "https")))
}

/// The region in `arn:aws:lambda:REGION:ACCOUNT:function:NAME`.
fn arn_region(function: &str) -> Option<&str> {
    function.strip_prefix("arn:").and_then(|arn| arn.split(':').nth(2)).filter(|region| !region.is_empty())
}

/// The client for one backend. Credentials are looked up when they are first needed, and renewed by the
/// SDK.
///
/// # Errors
/// `InvalidSettings`: no region is known. `Timeout`: it was not found in time.
pub async fn client(settings: &LambdaSettings) -> Result<Client, GatewayError> {
    let config = timeout(LOAD_WAIT, loader(settings).load()).await.map_err(|_| {
        let seconds = LOAD_WAIT.as_secs();
        GatewayError::timeout(format!("the AWS region was not found in {seconds} s; set region"))
    })?;
    if config.region().is_none() {
        let text = "region: is not set, and neither AWS_REGION nor an AWS profile of the node names one";
        return Err(GatewayError::invalid_settings(text));
    }
    Ok(Client::new(&config))
}

fn loader(settings: &LambdaSettings) -> ConfigLoader {
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(Dialer::new(settings))
        // What may have run is never invoked twice; the caller decides about the rest.
        .retry_config(RetryConfig::disabled())
        // The node's deadline counts; a function may well be silent for minutes.
        .timeout_config(
            TimeoutConfig::builder().connect_timeout(settings.connect_timeout_ms.duration()).build(),
        )
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
    if let Some(region) = settings.region.as_deref().or(arn_region(&settings.function)) {
        loader = loader.region(Region::new(region.to_owned()));
    }
    if let Some(url) = &settings.endpoint_url {
        loader = loader.endpoint_url(url);
    }
    if let Some(profile) = &settings.profile {
        loader = loader.profile_name(profile);
    }
    match own_credentials(settings) {
        Some(own) => loader.credentials_provider(SharedCredentialsProvider::new(own)),
        None => loader,
    }
}

fn own_credentials(settings: &LambdaSettings) -> Option<Credentials> {
    let (id, secret) = (settings.access_key_id.as_ref()?, settings.secret_access_key.as_ref()?);
    Some(Credentials::new(id, secret, settings.session_token.clone(), None, "settings"))
}
