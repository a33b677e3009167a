//! A session under a script.

use std::collections::BTreeSet;

use super::checks::{Exchanges, Peer, Timers, message};
use super::{Step, Transcript, steps};
use crate::bridge::failure::Reason;
use crate::bridge::legacy_session::{LegacySession, SessionOptions, SessionOutput, SessionTimer};
use crate::bridge::message::{Exchange, Message};
use crate::bridge::state::{NewTaskKind, TaskHandle};
use crate::envelope::{Envelope, Kind, ScanLimits};
use crate::{json, methods};

/// The time of every script.
const NOW_MS: u64 = 1_000_000_000_000;

struct Driver {
    session: LegacySession,
    exchanges: Exchanges,
    client: Peer,
    timers: Timers<SessionTimer>,
    /// Requests upstream that wait for a response.
    wires: BTreeSet<u64>,
    /// Those that may be a last word, which nothing takes back.
    parting: BTreeSet<u64>,
    transcript: Transcript,
}

pub(super) fn run(script: &[u8]) -> String {
    let options = SessionOptions {
        backend: "backend".to_owned(),
        ask_prefix: "s".to_owned(),
        call_timeout_ms: 300_000,
        over_http: true,
    };
    let mut driver = Driver {
        session: LegacySession::new(options),
        exchanges: Exchanges::default(),
        client: Peer::default(),
        timers: Timers::new(),
        wires: BTreeSet::new(),
        parting: BTreeSet::new(),
        transcript: Transcript::default(),
    };
    for (line, step) in steps(script) {
        driver.transcript.line(line);
        driver.step(&step);
        driver.settle();
    }
    driver.finish()
}

impl Driver {
    fn step(&mut self, step: &Step<'_>) {
        let sent = step.message.as_ref().map(|message| message.lend());
        match (step.command, step.number, sent) {
            ('c', Some(number), Some(sent))
                if sent.kind() == Kind::Request && self.exchanges.begin(Exchange(number), sent) =>
            {
                self.session.request(Exchange(number), sent, true, opened(sent));
            }
            ('n', None, Some(sent)) if sent.kind() == Kind::Notification => self.session.notify(sent),
            ('r', None, Some(sent)) if sent.method().is_empty() => self.session.response(sent),
            ('g', Some(number), None) if self.exchanges.leave(Exchange(number)) => {
                self.session.gone(Exchange(number));
            }
            ('u', Some(wire), Some(sent)) if self.wires.contains(&wire) => {
                if sent.method().is_empty() {
                    self.wires.remove(&wire);
                }
                self.session.upstream(wire, sent);
            }
            ('l', Some(wire), None) if self.wires.remove(&wire) => {
                self.session.lost(wire, Reason::StreamLost);
            }
            ('o' | 'x', None, None) => self.session.listens(step.command == 'o'),
            ('t', None, None) => {
                if let Some(timer) = self.timers.next() {
                    self.transcript.did(format_args!("fired {timer:?}"));
                    self.session.fire(timer);
                }
            }
            ('e', None, None) => self.session.close(),
            _ => {}
        }
    }

    fn settle(&mut self) {
        let outputs: Vec<_> = self.session.outputs().collect();
        for output in outputs {
            let did = &mut self.transcript;
            match output {
                SessionOutput::Upstream { wire, message: sent, endless } => {
                    assert!(self.wires.insert(wire), "request {wire} is sent twice");
                    let envelope = Envelope::scan(&sent, &ScanLimits::default()).ok();
                    let method = envelope.as_ref().and_then(|envelope| envelope.method(&sent));
                    if matches!(method, Some(methods::TASKS_CANCEL | methods::TASKS_UPDATE)) {
                        self.parting.insert(wire);
                    }
                    let kind = if endless { "listen" } else { "up" };
                    did.did(format_args!("{kind} u{wire} {}", message(&sent)));
                }
                SessionOutput::Cancel { wire } => {
                    assert!(self.wires.remove(&wire), "request {wire} is cancelled but not in flight");
                    did.did(format_args!("cancel u{wire}"));
                }
                // One that the client left alone is told nothing any more.
                SessionOutput::Client { exchange, message: sent } => {
                    self.client.told(&sent);
                    did.did(format_args!("client c{} {}", exchange.0, message(&sent)));
                }
                SessionOutput::Answer { exchange, message: sent } => {
                    self.exchanges.last(exchange, &sent);
                    did.did(format_args!("answer c{} {}", exchange.0, message(&sent)));
                }
                SessionOutput::Created { exchange, answer } => {
                    let sent = answer.answer(&sealed(&answer.kind), NOW_MS);
                    self.exchanges.last(exchange, &sent);
                    did.did(format_args!("created c{} {}", exchange.0, message(&sent)));
                }
                SessionOutput::Drop { exchange } => {
                    self.exchanges.dropped(exchange);
                    did.did(format_args!("drop c{}", exchange.0));
                }
                SessionOutput::General(sent) => did.did(format_args!("general {}", message(&sent))),
                SessionOutput::Opened(seed) => {
                    let seed = serde_json::to_string(&seed).expect("a seed always serialises");
                    did.did(format_args!("opened {seed}"));
                }
                SessionOutput::Arm { timer, after_ms } => {
                    self.timers.arm(timer, after_ms);
                    did.did(format_args!("arm {timer:?} {after_ms}"));
                }
                SessionOutput::Disarm(timer) => self.timers.disarm(timer),
            }
        }
    }

    /// The end of the session leaves nothing behind upstream but what it has just said.
    fn finish(mut self) -> String {
        let transcript = std::mem::take(&mut self.transcript);
        self.session.close();
        self.settle();
        assert_eq!(self.session.calls(), 0, "a closed session still has calls");
        let open: Vec<_> = self.wires.difference(&self.parting).collect();
        assert!(open.is_empty(), "a closed session still waits for {open:?}");
        transcript.0
    }
}

/// Names of tasks: `=T` is the server's `T`, and `7` a result of the session's own.
fn sealed(kind: &NewTaskKind) -> String {
    match kind {
        NewTaskKind::Upstream { task, .. } => format!("={task}"),
        NewTaskKind::Own(number) => number.to_string(),
    }
}

/// A driver would open the seal; here tasks are not sealed.
fn opened(request: Message<'_>) -> TaskHandle {
    let Some(name) = request.param("taskId").and_then(json::text) else {
        return TaskHandle::None;
    };
    match name.strip_prefix('=') {
        Some(task) => TaskHandle::Upstream(task.to_owned()),
        None => {
            name.parse().map_or(TaskHandle::None, |number| TaskHandle::Own { number, created_ms: NOW_MS })
        }
    }
}
