//! Listens of modern clients to tasks of a legacy server. Each task is told of on the lane that made it, so one
//! listen may be on several lanes; to its client it is one.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::task::{Context, Poll};

use omcp_core::{GatewayError, McpMessage};
use omcp_mcp::bridge::edits::Edits;
use omcp_mcp::bridge::filter::Filter;
use omcp_mcp::bridge::message::Message;
use omcp_mcp::bridge::state::{HeardTasks, Resume};
use omcp_mcp::object::member;
use omcp_mcp::token::content::NodeTag;

use super::task_ids::{Opened, TaskIds};
use crate::backends::bridge::legacy_lane::{Exchanged, Heard, LegacyLane};
use crate::backends::bridge::principal::Principal;

/// The tasks of one lane by their numbers there, with the client's names for them.
type OfLane = (LegacyLane, BTreeMap<u64, String>);

/// What a listen names that is its client's.
#[derive(Default)]
pub struct Named {
    here: Vec<OfLane>,
    elsewhere: Option<NodeTag>,
}

impl Named {
    /// Of the tasks in `params.notifications`; what else is named there is none.
    pub fn of(request: Message<'_>, tasks: &TaskIds, principal: &Principal, backend: &str) -> Self {
        let mut named = Self::default();
        for name in filter(request).map(|filter| filter.tasks).unwrap_or_default() {
            match tasks.open(principal, backend, &name) {
                Some(Opened::Here(lane, number)) => named.add(lane, number, name),
                Some(Opened::Elsewhere(owner)) => named.elsewhere = named.elsewhere.or(Some(owner)),
                None => {}
            }
        }
        named
    }

    fn add(&mut self, lane: LegacyLane, number: u64, name: String) {
        match self.here.iter_mut().find(|(other, _)| other.is(&lane)) {
            Some((_, tasks)) => drop(tasks.insert(number, name)),
            None => self.here.push((lane, BTreeMap::from([(number, name)]))),
        }
    }

    /// Another node that has tasks of it, if this one has none. What several nodes have, one of them tells of.
    pub fn owner(&self) -> Option<NodeTag> {
        self.elsewhere.filter(|_| self.here.is_empty())
    }

    /// Listens on every lane; None if there is no task. A lane that has ended has lost its tasks.
    ///
    /// # Errors
    /// As [`LegacyLane::request`], of the lane that hears everything else as well.
    pub fn listen(self, message: &McpMessage) -> Result<Option<(LegacyLane, Listening)>, GatewayError> {
        let mut lanes = self.here.into_iter();
        let Some((lane, here)) = lanes.next() else { return Ok(None) };
        let (mut others, mut elsewhere) = (Vec::new(), Vec::new());
        for (other, here) in lanes {
            let names: Vec<String> = here.values().cloned().collect();
            let Some(sent) = of_tasks_only(message, names.clone()) else { continue };
            let heard = HeardTasks { here, elsewhere: Vec::new() };
            if let Ok(exchanged) = other.request(sent, Resume::Tasks(heard), None) {
                others.push(Other { exchanged, acknowledged: false });
                elsewhere.extend(names);
            }
        }
        let heard = Resume::Tasks(HeardTasks { here, elsewhere });
        let first = lane.request(message.clone(), heard, None)?;
        Ok(Some((lane, Listening { first, others, acknowledged: false })))
    }
}

/// The same listen, to tasks and nothing else.
fn of_tasks_only(message: &McpMessage, tasks: Vec<String>) -> Option<McpMessage> {
    let (bytes, wanted) = (message.bytes(), Filter { tasks, ..Filter::default() });
    let mut edits = Edits::new(bytes);
    edits.replace(member(bytes, message.envelope().params_range()?, "notifications")?, wanted.to_json());
    Some(McpMessage::trusted(edits.apply()))
}

fn filter(request: Message<'_>) -> Option<Filter> {
    request.param("notifications").filter(|raw| raw.first() == Some(&b'{')).map(Filter::parse)
}

/// One request, mostly on one lane. Dropping it tells the server that nobody waits.
pub struct Listening {
    first: Exchanged,
    others: Vec<Other>,
    acknowledged: bool,
}

struct Other {
    exchanged: Exchanged,
    acknowledged: bool,
}

impl From<Exchanged> for Listening {
    fn from(first: Exchanged) -> Self {
        Self { first, others: Vec::new(), acknowledged: false }
    }
}

impl Listening {
    /// The next message; `None` if a lane is lost.
    pub async fn next(&mut self) -> Option<Heard> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Heard>> {
        let heard = self.first.poll_next(cx);
        if heard.is_ready() {
            self.acknowledged = true;
            return heard;
        }
        // Nothing comes before the acknowledgement, which is for all.
        if !self.acknowledged {
            return Poll::Pending;
        }
        let ready = self.others.iter_mut().map(|other| other.poll_next(cx)).find(Poll::is_ready);
        ready.unwrap_or(Poll::Pending)
    }
}

impl Other {
    /// All but its own acknowledgement.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Heard>> {
        loop {
            match self.exchanged.poll_next(cx) {
                Poll::Ready(Some(Heard::Message(_))) if !self.acknowledged => self.acknowledged = true,
                heard => return heard,
            }
        }
    }
}
