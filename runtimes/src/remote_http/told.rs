//! [`Told`]: what a client has set up in its session, to be set up again when the server has forgotten it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use omcp_core::McpMessage;
use omcp_mcp::methods;

/// Subscriptions that are remembered: a client with more subscribes again by itself, or goes without.
const SUBSCRIPTIONS_MAX: usize = 256;

#[derive(Default)]
pub struct Told {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    log_level: Option<McpMessage>,
    /// By URI.
    subscriptions: BTreeMap<String, McpMessage>,
}

impl Told {
    /// The server has agreed to this request.
    pub fn keep(&self, request: &McpMessage) {
        let uri = || request.envelope().target(request.bytes()).map(|uri| uri.into_owned());
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match request.method() {
            Some(methods::LOGGING_SET_LEVEL) => state.log_level = Some(request.clone()),
            Some(methods::RESOURCES_SUBSCRIBE) => {
                if let Some(uri) = uri()
                    && state.subscriptions.len() < SUBSCRIPTIONS_MAX
                {
                    state.subscriptions.insert(uri, request.clone());
                }
            }
            Some(methods::RESOURCES_UNSUBSCRIBE) => {
                drop(uri().and_then(|uri| state.subscriptions.remove(&uri)))
            }
            _ => {}
        }
    }

    /// The requests that bring a new session to where the old one was.
    pub fn all(&self) -> Vec<McpMessage> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.log_level.iter().chain(state.subscriptions.values()).cloned().collect()
    }
}
