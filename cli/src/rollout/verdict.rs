//! [`Verdict`]: whether a node is done with a revision, and what it makes of its backends.

use std::collections::BTreeSet;

use omcp_proto::v1::{BackendState, NodeBackendStatus, NodeRollout, NodeState};

use crate::context::backend_name;
use crate::manifest::node::Node;
use crate::style;
use crate::word;

/// What is waited for.
#[derive(Clone, Debug, Default)]
pub struct Goal {
    pub revision: u64,
    /// The backends that matter; empty means all.
    pub backends: Vec<String>,
    /// Those of them that nodes build anew: what they said about an older definition does not count.
    pub rebuilt: BTreeSet<String>,
}

/// What one node makes of the revision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    pub node: String,
    /// It was there when the wait began, and is no longer.
    pub disconnected: bool,
    pub applied: bool,
    /// It holds a mass removal back.
    pub held: bool,
    /// Number of backends that are as asked.
    pub ready: usize,
    /// Backends it has not made up its mind about.
    pub waiting: Vec<String>,
    pub failing: Vec<Failing>,
}

/// A backend that does not serve as asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failing {
    pub backend: String,
    pub state: &'static str,
    pub reason: String,
    pub stderr_tail: Vec<String>,
}

impl Goal {
    pub fn judge(&self, node: &NodeRollout) -> Verdict {
        let mut verdict = Verdict {
            node: node.node.clone(),
            applied: node.applied_revision >= self.revision,
            held: node.state() == NodeState::HeldMassRemoval,
            ..Verdict::default()
        };
        node.backends.iter().for_each(|status| self.sort(status, &mut verdict));
        verdict.waiting.sort();
        verdict.failing.sort_by(|one, other| one.backend.cmp(&other.backend));
        verdict
    }

    fn sort(&self, status: &NodeBackendStatus, verdict: &mut Verdict) {
        let backend = backend_name(status);
        match word::backend_state(status) {
            _ if self.is_stale(backend, status) => verdict.waiting.push(backend.to_owned()),
            BackendState::Ready | BackendState::Degraded | BackendState::Idle | BackendState::Stopped => {
                verdict.ready += 1;
            }
            state @ (BackendState::Failing | BackendState::CrashLoop | BackendState::Rejected) => {
                verdict.failing.push(Failing {
                    backend: backend.to_owned(),
                    state: word::backend_word(state),
                    reason: word::reason(status),
                    stderr_tail: status.status.clone().unwrap_or_default().stderr_tail,
                })
            }
            BackendState::Starting | BackendState::Unspecified => verdict.waiting.push(backend.to_owned()),
        }
    }

    /// Whether a status speaks of an older definition than the one that is waited for.
    fn is_stale(&self, backend: &str, status: &NodeBackendStatus) -> bool {
        let said = status.status.as_ref().map_or(0, |said| said.revision);
        let rejected = status.rejection.as_ref().map_or(0, |found| found.revision);
        self.rebuilt.contains(backend) && said.max(rejected) < self.revision
    }
}

impl Verdict {
    /// Of a node that left: what it had applied is not served any more.
    pub fn disconnected(node: &str) -> Self {
        Self { node: node.to_owned(), disconnected: true, ..Self::default() }
    }

    pub fn is_done(&self) -> bool {
        self.applied && self.waiting.is_empty()
    }

    /// One line: how far the node is.
    pub fn line(&self) -> String {
        let progress = match (self.disconnected, self.applied) {
            (true, _) => "disconnected",
            (false, true) => "applied",
            (false, false) => "waiting for the revision",
        };
        let mut parts = vec![progress.to_owned()];
        if self.ready > 0 {
            parts.push(format!("{} ready", self.ready));
        }
        if !self.waiting.is_empty() {
            parts.push(format!("{} starting ({})", self.waiting.len(), some(&self.waiting)));
        }
        if !self.failing.is_empty() {
            let names: Vec<_> = self.failing.iter().map(|failing| failing.backend.clone()).collect();
            parts.push(format!("{} not serving ({})", names.len(), some(&names)));
        }
        let mark = match (self.is_done(), self.failing.is_empty()) {
            (true, true) => style::good("✓"),
            (true, false) => style::error("✗"),
            (false, _) => style::warning("…"),
        };
        format!("{mark} {}   {}", style::printable(&self.node), parts.join(", "))
    }

    pub fn document(&self) -> Node {
        Node::map([
            ("node".to_owned(), Node::text(&self.node)),
            ("disconnected".to_owned(), Node::flag(self.disconnected)),
            ("applied".to_owned(), Node::flag(self.applied)),
            ("done".to_owned(), Node::flag(self.is_done())),
            ("ready".to_owned(), Node::number(self.ready as u64)),
            ("waiting".to_owned(), Node::list(self.waiting.iter().map(Node::text))),
            ("failing".to_owned(), Node::list(self.failing.iter().map(Failing::document))),
        ])
    }
}

impl Failing {
    /// What is wrong, and the last words of its process.
    pub fn explain(&self, node: &str) -> String {
        let reason = if self.reason.is_empty() { "the node gave no reason" } else { &self.reason };
        let mut text = format!(
            "{} {} is {} on {}: {}",
            style::error("✗"),
            self.backend,
            self.state,
            style::printable(node),
            style::printable(reason)
        );
        for line in &self.stderr_tail {
            text.push_str(&format!("\n    | {}", style::printable(line)));
        }
        text
    }

    fn document(&self) -> Node {
        Node::map([
            ("backend".to_owned(), Node::text(&self.backend)),
            ("state".to_owned(), Node::text(self.state)),
            ("reason".to_owned(), Node::text(&self.reason)),
            ("stderr_tail".to_owned(), Node::list(self.stderr_tail.iter().map(Node::text))),
        ])
    }
}

/// The first few names.
fn some(names: &[String]) -> String {
    // Two names of full length and the counts fit a line of 80 columns, which can then be redrawn.
    const SHOWN: usize = 1;
    let shown = names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN { format!("{shown}, ...") } else { shown }
}

#[cfg(test)]
mod tests {
    use omcp_proto::v1::{BackendStatus, Rejection};

    use super::*;

    fn status(backend: &str, state: BackendState, revision: u64) -> NodeBackendStatus {
        let status =
            BackendStatus { backend: backend.into(), state: state.into(), revision, ..Default::default() };
        NodeBackendStatus {
            node: "n".into(),
            status: Some(status),
            rejection: None,
            ..NodeBackendStatus::default()
        }
    }

    fn judge(applied_revision: u64, backends: Vec<NodeBackendStatus>) -> Verdict {
        let goal = Goal { revision: 7, backends: vec!["a".into()], rebuilt: ["a".to_owned()].into() };
        goal.judge(&NodeRollout { node: "n".into(), applied_revision, backends, ..Default::default() })
    }

    #[test]
    fn done_when_applied_and_settled() {
        for (applied, state, revision, done, failing) in [
            (7, BackendState::Ready, 7, true, 0),
            (8, BackendState::Ready, 8, true, 0),
            (7, BackendState::Stopped, 7, true, 0),
            (7, BackendState::Failing, 7, true, 1),
            (7, BackendState::Starting, 7, false, 0),
            (7, BackendState::Unspecified, 0, false, 0),
            (7, BackendState::Ready, 6, false, 0),
            (7, BackendState::Failing, 6, false, 0),
            (6, BackendState::Ready, 7, false, 0),
        ] {
            let verdict = judge(applied, vec![status("a", state, revision)]);
            assert_eq!((verdict.is_done(), verdict.failing.len()), (done, failing), "{state:?} {revision}");
        }
    }

    #[test]
    fn what_was_not_rebuilt_may_be_older() {
        assert!(judge(7, vec![status("b", BackendState::Ready, 3)]).is_done());
    }

    #[test]
    fn a_rejection_is_the_reason() {
        let mut said = status("a", BackendState::Starting, 0);
        let message = "no such setting".to_owned();
        said.rejection = Some(Rejection { revision: 7, field: "args".into(), message, ..Default::default() });
        let verdict = judge(7, vec![said]);
        assert!(verdict.is_done());
        assert_eq!(verdict.failing[0].reason, "args: no such setting");
        assert_eq!(verdict.failing[0].state, "rejected");
    }
}
