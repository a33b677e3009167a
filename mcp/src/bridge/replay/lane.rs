//! A lane under a script.

use super::checks::{Exchanges, Peer, Timers, message};
use super::{Step, Transcript, steps};
use crate::bridge::capabilities::ClientCapabilities;
use crate::bridge::filter::Filter;
use crate::bridge::legacy_lane::{LaneOptions, LaneOutput, LaneTimer, LegacyLane};
use crate::bridge::message::{Exchange, Message};
use crate::bridge::state::{HeardTasks, Resume};
use crate::envelope::Kind;
use crate::{json, methods};

const EVERYTHING: &[u8] =
    br#"{"sampling":{"tools":{}},"elicitation":{"form":{},"url":{}},"roots":{},"extensions":{}}"#;

struct Driver {
    lane: LegacyLane,
    exchanges: Exchanges,
    server: Peer,
    timers: Timers<LaneTimer>,
    transcript: Transcript,
}

pub(super) fn run(script: &[u8]) -> String {
    let mut steps = steps(script).peekable();
    let mut transcript = Transcript::default();
    let opening = steps.next_if(|(line, _)| line.starts_with(b"open {"));
    let declared = opening.as_ref().map_or(EVERYTHING, |(_, step)| step.rest);
    if let Some((line, _)) = opening {
        transcript.line(line);
    }
    let checked = serde_json::from_slice::<serde_json::Value>(declared).is_ok();
    let options = LaneOptions {
        client_info: br#"{"name":"client","version":"1"}"#.as_slice().into(),
        capabilities: ClientCapabilities::parse(if checked { declared } else { EVERYTHING }),
        hears: true,
        shared: false,
        call_timeout_ms: 300_000,
        served: &["2026-07-28"],
    };
    let lane = LegacyLane::open(options);
    let mut driver = Driver {
        lane,
        exchanges: Exchanges::default(),
        server: Peer::default(),
        timers: Timers::new(),
        transcript,
    };
    driver.settle();
    for (line, step) in steps {
        driver.transcript.line(line);
        driver.step(&step);
        driver.settle();
    }
    driver.finish()
}

impl Driver {
    fn step(&mut self, step: &Step<'_>) {
        let sent = step.message.as_ref().map(|message| message.lend());
        match (step.command, step.number.map(Exchange), sent) {
            ('c', Some(exchange), Some(sent))
                if sent.kind() == Kind::Request && self.exchanges.begin(exchange, sent) =>
            {
                self.lane.request(exchange, sent, opened(sent));
            }
            ('n', None, Some(sent)) if sent.kind() == Kind::Notification => self.lane.notify(sent),
            ('g', Some(exchange), None) if self.exchanges.leave(exchange) => self.lane.gone(exchange),
            ('u', None, Some(sent)) => {
                if sent.kind() == Kind::Request {
                    self.server.asks(sent);
                }
                self.lane.upstream(sent);
            }
            ('t', None, None) => {
                if let Some(timer) = self.timers.next() {
                    self.transcript.did(format_args!("fired {timer:?}"));
                    self.lane.fire(timer);
                }
            }
            ('e', None, None) => self.lane.ended(),
            _ => {}
        }
    }

    fn settle(&mut self) {
        let outputs: Vec<_> = self.lane.outputs().collect();
        for output in outputs {
            let did = &mut self.transcript;
            match output {
                LaneOutput::Upstream(sent) => {
                    self.server.told(&sent);
                    did.did(format_args!("up {}", message(&sent)));
                }
                LaneOutput::Client { exchange, message: sent } => {
                    self.exchanges.more(exchange);
                    self.exchanges.progress(exchange, &sent);
                    did.did(format_args!("client c{} {}", exchange.0, message(&sent)));
                }
                LaneOutput::Answer { exchange, status, message: sent } => {
                    self.exchanges.last(exchange, &sent);
                    did.did(format_args!("answer c{} {status} {}", exchange.0, message(&sent)));
                }
                LaneOutput::Suspend { exchange, answer } => {
                    let state = serde_json::to_string(&answer.state).expect("a state always serialises");
                    let sent = answer.answer(&state);
                    self.exchanges.last(exchange, &sent);
                    did.did(format_args!("suspend c{} {}", exchange.0, message(&sent)));
                }
                LaneOutput::Created { exchange, answer } => {
                    let sent = answer.answer(&answer.task.to_string());
                    self.exchanges.last(exchange, &sent);
                    did.did(format_args!("created c{} {}", exchange.0, message(&sent)));
                }
                LaneOutput::Arm { timer, after_ms } => {
                    self.timers.arm(timer, after_ms);
                    did.did(format_args!("arm {timer:?} {after_ms}"));
                }
                LaneOutput::Disarm(timer) => self.timers.disarm(timer),
                other => did.did(format_args!("{other:?}")),
            }
        }
    }

    /// The end of the connection answers whoever still waits.
    fn finish(mut self) -> String {
        let transcript = std::mem::take(&mut self.transcript);
        self.lane.ended();
        self.settle();
        let open: Vec<_> = self.exchanges.open().collect();
        assert!(open.is_empty(), "{open:?} still wait after the end of the lane");
        assert!(self.lane.is_idle(), "an ended lane still has calls");
        transcript.0
    }
}

/// A driver would open the seal; here neither states nor tasks are sealed.
fn opened(request: Message<'_>) -> Resume {
    if request.method() == methods::SUBSCRIPTIONS_LISTEN {
        let asked = request.param("notifications").filter(|raw| raw.first() == Some(&b'{'));
        let named = asked.map(|raw| Filter::parse(raw).tasks).unwrap_or_default();
        let here = named.into_iter().filter_map(|name| Some((name.parse().ok()?, name))).collect();
        return Resume::Tasks(HeardTasks { here, elsewhere: Vec::new() });
    }
    if let Some(raw) = request.param("taskId") {
        let number = json::text(raw).and_then(|text| text.parse().ok());
        return number.map_or(Resume::Invalid, Resume::Task);
    }
    match request.param("requestState") {
        None => Resume::First,
        Some(raw) => {
            let state = json::text(raw).and_then(|text| serde_json::from_str(&text).ok());
            state.map_or(Resume::Invalid, Resume::With)
        }
    }
}
