//! [`Function`]: the function, and how it is invoked.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_sdk_lambda::Client;
use aws_sdk_lambda::operation::invoke::InvokeOutput;
use aws_smithy_types::Blob;
use bytes::Bytes;
use omcp_core::{GatewayError, McpMessage};
use tokio::sync::Semaphore;

use super::failure::Failure;
use super::{LambdaSettings, sdk};

/// Longest payload of a synchronous invocation, bytes: a limit of AWS for requests and for answers.
pub const PAYLOAD_LEN_MAX: usize = 6 * 1024 * 1024;
/// What is read of an answer: AWS lets some hundred bytes pass beyond its limit.
pub const ANSWER_LEN_MAX: usize = PAYLOAD_LEN_MAX + 64 * 1024;

pub struct Function {
    client: Client,
    name: String,
    qualifier: Option<String>,
    pub call_timeout: Duration,
    pub concurrency_max: u16,
    slots: Semaphore,
    /// It understood a modern message: it is no function that lacks a handshake only.
    modern: AtomicBool,
    /// The last answer to a handshake.
    greeting: Mutex<Option<Bytes>>,
    /// Handshakes that are repeated take turns, so that each is followed by the call it is for.
    pub handshakes: tokio::sync::Mutex<()>,
}

impl Function {
    /// # Errors
    /// As [`sdk::client`].
    pub async fn load(settings: &LambdaSettings) -> Result<Self, GatewayError> {
        Ok(Self {
            client: sdk::client(settings).await?,
            name: settings.function.clone(),
            qualifier: settings.qualifier.clone(),
            call_timeout: settings.call_timeout_ms.duration(),
            concurrency_max: settings.concurrency_max,
            slots: Semaphore::new(settings.concurrency_max.into()),
            modern: AtomicBool::new(false),
            greeting: Mutex::new(None),
            handshakes: tokio::sync::Mutex::new(()),
        })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Invokes it once, as soon as fewer than `concurrency_max` invocations are under way. What it
    /// returns is not looked at.
    ///
    /// # Errors
    /// It was not invoked, it failed, or AWS lost it on the way.
    pub async fn invoke(&self, payload: &[u8]) -> Result<Bytes, Failure> {
        if payload.len() > PAYLOAD_LEN_MAX {
            return Err(Failure::too_long(payload.len(), PAYLOAD_LEN_MAX));
        }
        // Nobody closes the semaphore.
        let _slot = self.slots.acquire().await.ok();
        let call = self.client.invoke().function_name(&self.name).set_qualifier(self.qualifier.clone());
        let sent = Box::pin(call.payload(Blob::new(payload)).send()).await;
        let output = sent.map_err(|error| Failure::of_sdk(&self.name, error))?;
        self.returned(output)
    }

    fn returned(&self, output: InvokeOutput) -> Result<Bytes, Failure> {
        let InvokeOutput { function_error, payload, .. } = output;
        let payload = payload.map(Blob::into_inner).unwrap_or_default();
        match function_error {
            Some(handling) => Err(Failure::of_function(&self.name, &handling, &payload)),
            None => Ok(payload.into()),
        }
    }

    /// It did not answer in time.
    pub fn late(&self) -> Failure {
        let (name, ms, most) = (&self.name, self.call_timeout.as_millis(), self.concurrency_max);
        let text = match self.slots.available_permits() {
            0 => format!(
                "function {name}: no answer in {ms} ms, and all {most} invocations are taken; see concurrency_max"
            ),
            _ => format!("function {name}: no answer in {ms} ms; see call_timeout_ms"),
        };
        GatewayError::timeout(text).into()
    }

    pub fn is_modern(&self) -> bool {
        self.modern.load(Ordering::Relaxed)
    }

    pub fn note_modern(&self) {
        self.modern.store(true, Ordering::Relaxed);
    }

    /// Keeps what the function's server said of itself.
    pub fn keep_greeting(&self, answer: &McpMessage) {
        let result = answer.envelope().result_range().map(|range| answer.bytes().slice(range));
        *self.greeting.lock().unwrap_or_else(PoisonError::into_inner) = result;
    }

    pub fn greeting(&self) -> Option<Bytes> {
        self.greeting.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
