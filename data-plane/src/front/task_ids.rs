//! [`TaskIds`]: what modern clients know the tasks of legacy servers by, sealed. A task lives on a lane and its id
//! names the node of that; nobody else's id opens anything.

use std::sync::Arc;
use std::time::Duration;

use http::{Response, StatusCode};
use omcp_core::{GatewayError, McpMessage};
use omcp_mcp::bridge::capabilities::{self, ClientCapabilities};
use omcp_mcp::bridge::failure;
use omcp_mcp::bridge::message::Message;
use omcp_mcp::bridge::state::TaskCreated;
use omcp_mcp::methods;
use omcp_mcp::token::content::{self, NodeTag};
use omcp_mcp::token::{Binding, Purpose};

use super::body::Body;
use super::kept::Kept;
use super::reply;
use crate::backends::bridge::legacy_lane::LegacyLane;
use crate::backends::bridge::principal::Principal;
use crate::members::Members;

/// Tasks kept on a node; the oldest give way.
const TASKS_MAX: usize = 16 * 1024;

/// A handle on all tasks of a node. Cheap to clone.
#[derive(Clone)]
pub struct TaskIds {
    kept: Arc<Kept<(LegacyLane, u64)>>,
    members: Arc<Members>,
}

/// What an id stands for.
pub enum Opened {
    /// A task of this lane, by the number it has there.
    Here(LegacyLane, u64),
    /// A task on another node.
    Elsewhere(NodeTag),
}

/// Tasks are for those who know of them: the answer to whoever does not say so on the very request.
pub fn refuse(message: &McpMessage) -> Option<Response<Body>> {
    let request = Message::new(message.bytes(), message.envelope());
    if !methods::is_about_task(request.method()) || ClientCapabilities::of_modern(request).tasks {
        return None;
    }
    let answer = failure::missing_capability(&request.id(), &capabilities::required_tasks());
    Some(reply::json_with_status(StatusCode::BAD_REQUEST, answer))
}

/// The token of a task of a backend.
fn binding<'a>(backend: &'a str, principal: &'a Principal) -> Binding<'a> {
    Binding { purpose: Purpose::Task, endpoint: backend, principal: principal.as_str() }
}

impl TaskIds {
    pub fn new(members: Arc<Members>) -> Self {
        Self { kept: Arc::new(Kept::new(TASKS_MAX)), members }
    }

    /// Seals the id of a task for its client.
    ///
    /// # Errors
    /// There is no randomness.
    pub fn seal(
        &self,
        principal: &Principal,
        backend: &str,
        lane: LegacyLane,
        created: &TaskCreated,
    ) -> Result<String, GatewayError> {
        let lifetime = Duration::from_millis(created.ttl_ms());
        let id = self.kept.keep((lane, created.task), lifetime)?;
        let content = content::Task::Kept { owner: self.members.me(), id };
        self.members.keys().seal(binding(backend, principal), lifetime, &content.to_bytes())
    }

    /// What an id stands for; None if it is none, somebody else's, or of a task that is lost.
    pub fn open(&self, principal: &Principal, backend: &str, id: &str) -> Option<Opened> {
        let content = self.members.keys().open(binding(backend, principal), id)?;
        let Some(content::Task::Kept { owner, id }) = content::Task::from_bytes(&content) else {
            return None;
        };
        if owner != self.members.me() {
            return Some(Opened::Elsewhere(owner));
        }
        let (lane, number) = self.kept.get(&id)?;
        lane.is_open().then_some(Opened::Here(lane, number))
    }
}
