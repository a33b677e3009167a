//! `--wait`: following a revision through the fleet until every node is done with it.
//!
//! - [`verdict`]: when a node is done, and whether that is good
//! - [`screen`]: one live line per node

pub mod screen;
pub mod verdict;

use std::collections::BTreeSet;
use std::time::Duration;

use omcp_proto::v1::{NodeRollout, WatchRolloutRequest};
use tokio::time::{Instant, timeout_at};
use tonic::{Code, Status};

use self::screen::Screen;
use self::verdict::{Goal, Verdict};
use crate::args::WriteOptions;
use crate::context::Context;
use crate::exit::Outcome;
use crate::failure::Failure;
use crate::manifest::node::Node;
use crate::output;
use crate::style;

/// Pause before a watch that broke is opened again: a control plane restarts in less.
const REOPEN_PAUSE: Duration = Duration::from_millis(500);

/// Most backends of one watch: the control plane refuses more.
const BACKENDS_MAX: usize = 1000;

/// How a wait ended.
#[derive(Debug)]
pub struct Report {
    pub verdicts: Vec<Verdict>,
    pub timed_out: bool,
    /// The control plane did not answer in the end.
    lost: bool,
}

impl Report {
    pub fn outcome(&self) -> Outcome {
        match (self.timed_out, self.verdicts.iter().any(|verdict| !verdict.failing.is_empty())) {
            (true, _) => Outcome::WaitTimedOut,
            (false, true) => Outcome::PartlyApplied,
            (false, false) => Outcome::Done,
        }
    }

    /// What is wrong, in one line; none if nothing is.
    pub fn problem(&self) -> Option<String> {
        let failing = self.verdicts.iter().flat_map(|verdict| &verdict.failing).next();
        match failing {
            Some(failing) => Some(format!("{} is {}: {}", failing.backend, failing.state, failing.reason)),
            None => self.timed_out.then(|| self.missing()),
        }
    }

    pub fn document(&self) -> Node {
        Node::map([
            ("timed_out".to_owned(), Node::flag(self.timed_out)),
            ("nodes".to_owned(), Node::list(self.verdicts.iter().map(Verdict::document))),
        ])
    }

    /// Says what is wrong, backend by backend, and what to do about it.
    fn explain(&self) {
        for verdict in &self.verdicts {
            verdict.failing.iter().for_each(|failing| output::say(&failing.explain(&verdict.node)));
            if verdict.held {
                output::say(&format!(
                    "{} holds back the removal of many backends: let it go on with `omcp nodes accept-removal {}`",
                    verdict.node, verdict.node
                ));
            }
        }
        if self.timed_out {
            output::say(&format!("{}: {}", style::warning("timed out"), self.missing()));
        }
    }

    fn missing(&self) -> String {
        let waiting: Vec<_> = self.verdicts.iter().filter(|verdict| !verdict.is_done()).collect();
        match waiting.as_slice() {
            _ if self.lost => "it is written, and the control plane stopped answering".to_owned(),
            [] => "it is written, and no node is connected; start one with omcp-data-plane".to_owned(),
            some => {
                let names: Vec<_> = some.iter().map(|verdict| named(verdict)).collect();
                format!("it is written, and still waiting for {}; see `omcp status`", names.join(", "))
            }
        }
    }
}

fn named(verdict: &Verdict) -> String {
    let note = if verdict.disconnected { " (disconnected)" } else { "" };
    format!("{}{note}", style::printable(&verdict.node))
}

/// Waits if `--wait` was given.
///
/// # Errors
/// The control plane refuses to say.
pub async fn wait(goal: Goal, options: &WriteOptions, context: &Context) -> Result<Option<Report>, Failure> {
    if !options.wait {
        return Ok(None);
    }
    note_unwatched(&goal);
    let report = watch(goal, Some(Screen::new()), options.wait_timeout, context).await?;
    report.explain();
    Ok(Some(report))
}

fn watched(goal: &Goal) -> &[String] {
    &goal.backends[..goal.backends.len().min(BACKENDS_MAX)]
}

fn note_unwatched(goal: &Goal) {
    let (watched, all) = (watched(goal).len(), goal.backends.len());
    if watched < all {
        output::say(&format!(
            "waiting for every node, and for the first {watched} of {all} backends; for the others see `omcp status`"
        ));
    }
}

/// Waits without a word.
///
/// # Errors
/// The control plane refuses to say.
pub async fn wait_quietly(goal: Goal, timeout: Duration, context: &Context) -> Result<Report, Failure> {
    watch(goal, None, timeout, context).await
}

async fn watch(
    goal: Goal,
    screen: Option<Screen>,
    timeout: Duration,
    context: &Context,
) -> Result<Report, Failure> {
    let mut watch = Watch { goal, screen, verdicts: Vec::new(), lost: false };
    let timed_out = match timeout_at(Instant::now() + timeout, watch.until_done(context)).await {
        Ok(end) => end.map(|()| false)?,
        Err(_) => true,
    };
    Ok(Report { verdicts: watch.verdicts, timed_out, lost: watch.lost })
}

/// One watch, reopened as often as it breaks.
struct Watch {
    goal: Goal,
    screen: Option<Screen>,
    verdicts: Vec<Verdict>,
    lost: bool,
}

impl Watch {
    async fn until_done(&mut self, context: &Context) -> Result<(), Failure> {
        loop {
            match self.follow(context).await? {
                Ok(()) => return Ok(()),
                Err(status) if may_come_back(&status) => {
                    self.lost = true;
                    tokio::time::sleep(REOPEN_PAUSE).await;
                }
                Err(status) => return Err(Failure::rpc("watch the rollout", &status)),
            }
        }
    }

    async fn follow(&mut self, context: &Context) -> Result<Result<(), Status>, Failure> {
        let mut fleet = context.client()?.fleet();
        let (revision, backends) = (self.goal.revision, watched(&self.goal).to_vec());
        let request = WatchRolloutRequest { revision, backends };
        let mut stream = match fleet.watch_rollout(request).await {
            Ok(answer) => answer.into_inner(),
            Err(status) => return Ok(Err(status)),
        };
        loop {
            match stream.message().await {
                Ok(Some(state)) if self.take(&state.nodes) => return Ok(Ok(())),
                Ok(Some(_)) => {}
                Ok(None) => return Ok(Err(Status::unavailable("the control plane ended the watch"))),
                Err(status) => return Ok(Err(status)),
            }
        }
    }

    /// Takes the newest state; whether everything is done.
    fn take(&mut self, nodes: &[NodeRollout]) -> bool {
        self.lost = false;
        let left = self.left(nodes);
        self.verdicts = nodes.iter().map(|node| self.goal.judge(node)).chain(left).collect();
        self.verdicts.sort_by(|one, other| one.node.cmp(&other.node));
        if let Some(screen) = &mut self.screen {
            screen.show(&self.verdicts);
        }
        !self.verdicts.is_empty() && self.verdicts.iter().all(Verdict::is_done)
    }

    /// The nodes seen before that the control plane no longer names: it names connected ones only.
    fn left(&self, nodes: &[NodeRollout]) -> Vec<Verdict> {
        let connected: BTreeSet<_> = nodes.iter().map(|node| node.node.as_str()).collect();
        let seen = self.verdicts.iter().map(|verdict| verdict.node.as_str());
        seen.filter(|name| !connected.contains(name)).map(Verdict::disconnected).collect()
    }
}

fn may_come_back(status: &Status) -> bool {
    matches!(status.code(), Code::Unavailable | Code::Cancelled | Code::Unknown | Code::DeadlineExceeded)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch(names: &[&str]) -> Watch {
        let backends = names.iter().map(|name| (*name).to_owned()).collect();
        let goal = Goal { revision: 7, backends, ..Goal::default() };
        Watch { goal, screen: None, verdicts: Vec::new(), lost: false }
    }

    fn node(name: &str, applied_revision: u64) -> NodeRollout {
        NodeRollout { node: name.into(), applied_revision, ..NodeRollout::default() }
    }

    #[test]
    fn one_watch_names_a_thousand() {
        let goal = |count: usize| Goal { backends: vec!["a".into(); count], ..Goal::default() };
        assert_eq!([0, 1000, 1001].map(|count| watched(&goal(count)).len()), [0, 1000, 1000]);
    }

    #[test]
    fn a_node_that_left_is_not_done() {
        let mut watch = watch(&[]);
        assert!(!watch.take(&[node("b", 6), node("c", 7)]));
        assert!(!watch.take(&[node("c", 7)]), "b left");
        assert!(!watch.take(&[node("a", 7), node("c", 7)]), "b is still gone");
        let report = Report { verdicts: watch.verdicts.clone(), timed_out: true, lost: false };
        assert_eq!(report.outcome(), Outcome::WaitTimedOut);
        assert!(report.missing().contains("waiting for b (disconnected);"), "{}", report.missing());
        assert!(watch.verdicts[1].line().contains("disconnected"));
        assert!(watch.take(&[node("a", 7), node("b", 7), node("c", 7)]), "b is back");
        assert!(!watch.take(&[]), "all left");
    }
}
