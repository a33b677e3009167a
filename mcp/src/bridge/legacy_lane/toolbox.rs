//! [`Toolbox`]: which tools may be called as tasks. The server says so in its list, and nowhere else.

use std::collections::BTreeSet;

use super::call::Call;
use super::{LegacyLane, Wire};
use crate::bridge::edits::{object, pair};
use crate::bridge::limits::{TASK_TOOLS_MAX, TOOL_PAGES_MAX};
use crate::bridge::message::Message;
use crate::bridge::result::each_tool;
use crate::methods;
use crate::object::{member, member_text};

#[derive(Default)]
pub(super) enum Toolbox {
    /// Nobody has asked, or the list has changed.
    #[default]
    Unknown,
    Asked {
        /// The request of the next page.
        wire: u64,
        pages: usize,
        found: BTreeSet<String>,
        /// The list has changed meanwhile.
        outdated: bool,
    },
    Known(BTreeSet<String>),
}

impl Toolbox {
    /// Whether a call is to be made as a task: its tool can be one, and its client can look at it.
    pub fn makes_task(&self, call: &Call) -> bool {
        let request = call.request.lend();
        let tool = request.envelope().target(request.bytes());
        let known = |tool: &str| matches!(self, Self::Known(tools) if tools.contains(tool));
        may_make_task(call) && tool.is_some_and(|tool| known(&tool))
    }

    pub fn outdate(&mut self) {
        match self {
            Self::Asked { outdated, .. } => *outdated = true,
            _ => *self = Self::Unknown,
        }
    }
}

fn may_make_task(call: &Call) -> bool {
    call.capabilities.tasks && call.request.lend().method() == methods::TOOLS_CALL
}

impl LegacyLane {
    /// Whether a call has to wait until it is known whether it can be a task.
    pub(super) fn waits_for_tools(&mut self, call: u64) -> bool {
        let offered = self.profile().is_some_and(|profile| profile.traits.task_calls);
        if !offered || !self.calls.get(&call).is_some_and(may_make_task) {
            return false;
        }
        match &self.toolbox {
            Toolbox::Known(_) => return false,
            Toolbox::Asked { wire, .. } => {
                if let Some(Wire::Tools(waiting)) = self.wires.get_mut(wire) {
                    waiting.push(call);
                }
            }
            Toolbox::Unknown => {
                let wire = self.ask_server(Wire::Tools(vec![call]), methods::TOOLS_LIST, b"{}");
                self.toolbox = Toolbox::Asked { wire, pages: 1, found: BTreeSet::new(), outdated: false };
            }
        }
        true
    }

    /// A page of tools has come. Without it, what is known has to do.
    pub(super) fn tools_told(&mut self, waiting: Vec<u64>, response: Message<'_>) {
        let Toolbox::Asked { pages, mut found, outdated, .. } = std::mem::take(&mut self.toolbox) else {
            return;
        };
        collect(response, &mut found);
        let cursor = response.result_member("nextCursor").filter(|cursor| cursor.first() == Some(&b'"'));
        if let Some(cursor) = cursor.filter(|_| pages < TOOL_PAGES_MAX && found.len() < TASK_TOOLS_MAX) {
            let params = object(&pair("cursor", cursor));
            let wire = self.ask_server(Wire::Tools(waiting), methods::TOOLS_LIST, &params);
            self.toolbox = Toolbox::Asked { wire, pages: pages + 1, found, outdated };
            return;
        }
        self.toolbox = Toolbox::Known(found);
        waiting.into_iter().for_each(|call| self.send_first(call));
        if outdated {
            self.toolbox = Toolbox::Unknown;
        }
    }
}

fn collect(response: Message<'_>, found: &mut BTreeSet<String>) {
    let Some(result) = response.result_object() else {
        return;
    };
    let bytes = response.bytes();
    each_tool(response, result, |tool| {
        let execution = member(bytes, tool.clone(), "execution").filter(|at| bytes[at.start] == b'{');
        let support = execution.and_then(|execution| member_text(bytes, execution, "taskSupport"));
        let name = member_text(bytes, tool, "name").filter(|_| found.len() < TASK_TOOLS_MAX);
        if let (Some("optional" | "required"), Some(name)) = (support.as_deref(), name) {
            found.insert(name.into_owned());
        }
    });
}
