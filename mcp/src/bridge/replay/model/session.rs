//! A legacy client and a modern server, with a [`LegacySession`] between them.

use std::collections::{BTreeMap, VecDeque};

use serde_json::{Value, json};

use super::{Choices, parse, scan};
use crate::bridge::legacy_session::{LegacySession, SessionOptions, SessionOutput, SessionTimer};
use crate::bridge::message::Exchange;
use crate::bridge::state::TaskHandle;

/// A call: how many questions each of its rounds has; none is a round with a state alone.
pub type Plan = Vec<usize>;

/// Of one game, one call, one round.
const CALLS_MAX: usize = 4;
const ROUNDS_MAX: usize = 4;
const QUESTIONS_MAX: usize = 3;

/// Plays calls of these plans to their ends, in the order that `choices` gives. The client cancels those
/// that `cancels` says.
///
/// # Panics
/// A call was not executed once, a question not answered once, or an answer did not arrive.
pub fn play(plans: Vec<Plan>, cancels: Vec<bool>, choices: &mut Choices<'_>) {
    House::new(plans, cancels).play(choices);
}

/// Plans that choices give as well; nothing if they are too few.
pub(in crate::bridge::replay) fn any(choices: &mut Choices<'_>) -> Option<()> {
    let calls = 1 + choices.next(CALLS_MAX)?;
    let plans: Vec<(Plan, bool)> = (0..calls).map(|_| any_plan(choices)).collect::<Option<_>>()?;
    let (plans, cancels) = plans.into_iter().unzip();
    play(plans, cancels, choices);
    Some(())
}

fn any_plan(choices: &mut Choices<'_>) -> Option<(Plan, bool)> {
    let count = choices.next(ROUNDS_MAX + 1)?;
    let rounds = (0..count).map(|_| choices.next(QUESTIONS_MAX + 1)).collect::<Option<_>>()?;
    Some((rounds, choices.next(2)? == 1))
}

struct House {
    plans: Vec<Plan>,
    /// Calls that the client cancels while they are open.
    cancels: Vec<bool>,
    session: LegacySession,
    started: usize,
    answers: Vec<Option<Value>>,
    dropped: Vec<bool>,
    /// Requests to the client that it has not answered.
    asked: Vec<Value>,
    up: VecDeque<(u64, Value)>,
    down: VecDeque<(u64, Value)>,
    timers: BTreeMap<SessionTimer, u64>,
    finished: Vec<usize>,
}

#[derive(Clone, Copy, Debug)]
enum Move {
    Start,
    Up,
    Down,
    Answer(usize),
    Fire(SessionTimer),
    Cancel(usize),
}

impl House {
    fn new(plans: Vec<Plan>, cancels: Vec<bool>) -> Self {
        let options = SessionOptions {
            backend: "b".to_owned(),
            ask_prefix: "secret".to_owned(),
            call_timeout_ms: 1_000_000,
            over_http: true,
        };
        let mut house = Self {
            answers: vec![None; plans.len()],
            dropped: vec![false; plans.len()],
            finished: vec![0; plans.len()],
            plans,
            cancels,
            session: LegacySession::new(options),
            started: 0,
            asked: Vec::new(),
            up: VecDeque::new(),
            down: VecDeque::new(),
            timers: BTreeMap::new(),
        };
        let initialize = json!({ "jsonrpc": "2.0", "id": "init", "method": "initialize", "params": {
            "protocolVersion": "2025-11-25", "capabilities": { "elicitation": {} },
            "clientInfo": { "name": "c", "version": "1" } } });
        house.session.request(Exchange(1_000), scan(&initialize).lend(), true, TaskHandle::None);
        house.settle();
        house.take(Move::Up);
        house.take(Move::Down);
        house
    }

    fn play(mut self, choices: &mut Choices<'_>) {
        while let Some(moves) = self.moves() {
            let choice = choices.next(moves.len()).unwrap_or(0);
            self.take(moves[choice]);
        }
        self.check();
    }

    fn moves(&self) -> Option<Vec<Move>> {
        let mut moves = Vec::new();
        if self.started < self.plans.len() {
            moves.push(Move::Start);
        }
        if !self.up.is_empty() {
            moves.push(Move::Up);
        }
        if !self.down.is_empty() {
            moves.push(Move::Down);
        }
        moves.extend((0..self.asked.len()).map(Move::Answer));
        let pause = self.timers.keys().find(|timer| matches!(timer, SessionTimer::Pause(_)));
        moves.extend(pause.map(|timer| Move::Fire(*timer)));
        let open = |at: &usize| *at < self.started && self.answers[*at].is_none() && !self.dropped[*at];
        moves.extend((0..self.plans.len()).filter(|at| self.cancels[*at] && open(at)).map(Move::Cancel));
        (!moves.is_empty()).then_some(moves)
    }

    fn take(&mut self, step: Move) {
        match step {
            Move::Start => {
                let at = self.started;
                self.started += 1;
                let request = json!({ "jsonrpc": "2.0", "id": at, "method": "tools/call",
                                      "params": { "name": "work", "arguments": { "call": at } } });
                self.session.request(Exchange(at as u64), scan(&request).lend(), true, TaskHandle::None);
            }
            Move::Up => {
                let (wire, message) = self.up.pop_front().expect("a message");
                let answer = self.serve(&message);
                self.down.push_back((wire, answer));
            }
            Move::Down => {
                let (wire, message) = self.down.pop_front().expect("a message");
                self.session.upstream(wire, scan(&message).lend());
            }
            Move::Answer(at) => {
                let asked = self.asked.remove(at);
                let echo = &asked["params"]["message"];
                let answer = json!({ "jsonrpc": "2.0", "id": asked["id"],
                                     "result": { "action": "accept", "content": { "echo": echo } } });
                self.session.response(scan(&answer).lend());
            }
            Move::Fire(timer) => {
                self.timers.remove(&timer);
                self.session.fire(timer);
            }
            Move::Cancel(at) => {
                let cancelled = json!({ "jsonrpc": "2.0", "method": "notifications/cancelled",
                                        "params": { "requestId": at } });
                self.session.notify(scan(&cancelled).lend());
            }
        }
        self.settle();
    }

    /// The server answers a request from what it says alone.
    fn serve(&mut self, message: &Value) -> Value {
        let id = &message["id"];
        let params = &message["params"];
        assert_eq!(params["_meta"]["io.modelcontextprotocol/protocolVersion"], "2026-07-28");
        if message["method"] == "server/discover" {
            return json!({ "jsonrpc": "2.0", "id": id, "result": {
                "resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": {} } });
        }
        let call = params["arguments"]["call"].as_u64().expect("a number") as usize;
        let round = match params["requestState"].as_str() {
            None => 0,
            Some(state) => {
                let (of, round) = state.split_once('/').expect("a state of ours");
                assert_eq!(of, call.to_string(), "the state of another call");
                round.parse().expect("a round")
            }
        };
        if round > 0 {
            self.heard(call, round - 1, &params["inputResponses"]);
        }
        let result = match self.plans[call].get(round) {
            None => {
                self.finished[call] += 1;
                json!({ "resultType": "complete", "content": [], "call": call })
            }
            Some(count) => {
                let requests: serde_json::Map<_, _> =
                    (0..*count).map(|n| (format!("k{n}"), question(call, round, n))).collect();
                let mut result = json!({ "resultType": "input_required", "requestState": format!("{call}/{}", round + 1) });
                if *count > 0 {
                    result["inputRequests"] = requests.into();
                }
                result
            }
        };
        json!({ "jsonrpc": "2.0", "id": id, "result": result })
    }

    fn heard(&self, call: usize, round: usize, responses: &Value) {
        let count = self.plans[call][round];
        assert_eq!(responses.as_object().map_or(0, |answers| answers.len()), count, "{responses}");
        for n in 0..count {
            let echo = &responses[format!("k{n}")]["content"]["echo"];
            assert_eq!(*echo, question(call, round, n)["params"]["message"], "an answer to another question");
        }
    }

    fn settle(&mut self) {
        let outputs: Vec<_> = self.session.outputs().collect();
        for output in outputs {
            match output {
                SessionOutput::Upstream { wire, message, .. } => self.up.push_back((wire, parse(&message))),
                SessionOutput::Cancel { wire } => {
                    self.up.retain(|(of, _)| *of != wire);
                    self.down.retain(|(of, _)| *of != wire);
                }
                SessionOutput::Client { message, .. } => self.told(&parse(&message)),
                SessionOutput::Answer { exchange: Exchange(1_000), .. } => {}
                SessionOutput::Answer { exchange, message } => {
                    let answer = self.answers[exchange.0 as usize].replace(parse(&message));
                    assert_eq!(answer, None, "answered twice");
                }
                SessionOutput::Drop { exchange } => self.dropped[exchange.0 as usize] = true,
                SessionOutput::Arm { timer, after_ms } => {
                    self.timers.insert(timer, after_ms);
                }
                SessionOutput::Disarm(timer) => {
                    self.timers.remove(&timer);
                }
                SessionOutput::Opened(seed) => {
                    let text = serde_json::to_string(&seed).expect("text");
                    assert_eq!(serde_json::from_str::<Value>(&text).expect("JSON")["revision"], "2025-11-25");
                }
                SessionOutput::General(_) => panic!("nobody listens"),
                SessionOutput::Created { .. } => panic!("nobody wants a task"),
            }
        }
    }

    fn told(&mut self, message: &Value) {
        if message["method"] == "notifications/cancelled" {
            let id = &message["params"]["requestId"];
            self.asked.retain(|asked| asked["id"] != *id);
        } else {
            assert!(message["id"].as_str().expect("an id").starts_with("secret."));
            self.asked.push(message.clone());
        }
    }

    fn check(&self) {
        for at in 0..self.plans.len() {
            if self.dropped[at] {
                assert_eq!(self.answers[at], None, "a cancelled call is answered");
                continue;
            }
            let answer = self.answers[at].as_ref().unwrap_or_else(|| panic!("call {at} of {:?}", self.plans));
            let prompts = self.plans[at].iter().filter(|count| **count > 0).count();
            if prompts > 8 {
                assert_eq!(answer["result"]["isError"], true);
            } else {
                assert_eq!(answer["result"], json!({ "content": [], "call": at }), "{answer}");
                assert_eq!(self.finished[at], 1, "call {at} was executed");
            }
        }
        assert!(self.asked.is_empty(), "{:?} is left unanswered", self.asked);
        assert_eq!(self.session.calls(), 0);
    }
}

fn question(call: usize, round: usize, n: usize) -> Value {
    json!({ "method": "elicitation/create", "params": { "message": format!("question {call}.{round}.{n}") } })
}
