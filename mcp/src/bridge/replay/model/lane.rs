//! Modern clients and a legacy server, with a [`LegacyLane`] between them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::{Value, json};

use super::{Choices, parse, scan};
use crate::bridge::capabilities::ClientCapabilities;
use crate::bridge::legacy_lane::{LaneOptions, LaneOutput, LaneTimer, LegacyLane};
use crate::bridge::message::Exchange;
use crate::bridge::state::{RequestState, Resume};

const META: &str = "io.modelcontextprotocol";
/// Of one game, one call, one round.
const CALLS_MAX: usize = 4;
const ROUNDS_MAX: usize = 3;
const QUESTIONS_MAX: usize = 3;

/// A call: how many questions each of its rounds has, and whether its client answers them.
#[derive(Clone, Debug)]
pub struct Plan {
    pub rounds: Vec<usize>,
    pub fate: Fate,
}

#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Fate {
    Answers,
    /// Answers one question at a time.
    Hesitates,
    /// Hangs up while it waits.
    HangsUp,
}

/// Plays calls of these plans to their ends, in the order that `choices` gives.
///
/// A call whose questions went to a client that never comes back waits for its time-out, as scripts show. So
/// one that hangs up has the lane to itself.
///
/// # Panics
/// A call was not executed once, a question not answered once, or an answer did not arrive.
pub fn play(mut plans: Vec<Plan>, choices: &mut Choices<'_>) {
    if plans.len() > 1 {
        let hangs_up = plans.iter_mut().filter(|plan| plan.fate == Fate::HangsUp);
        hangs_up.for_each(|plan| plan.fate = Fate::Answers);
    }
    House::new(plans).play(choices);
}

/// Plans that choices give as well; nothing if they are too few.
pub(in crate::bridge::replay) fn any(choices: &mut Choices<'_>) -> Option<()> {
    let calls = 1 + choices.next(CALLS_MAX)?;
    let plans = (0..calls).map(|_| Plan::any(choices)).collect::<Option<_>>()?;
    play(plans, choices);
    Some(())
}

impl Plan {
    fn any(choices: &mut Choices<'_>) -> Option<Self> {
        let count = choices.next(ROUNDS_MAX + 1)?;
        let rounds = (0..count).map(|_| Some(1 + choices.next(QUESTIONS_MAX)?)).collect::<Option<_>>()?;
        let fates = [Fate::Answers, Fate::Answers, Fate::Hesitates, Fate::HangsUp];
        Some(Self { rounds, fate: fates[choices.next(fates.len())?] })
    }
}

/// What the client of one call does.
#[derive(Default)]
struct Client {
    waits: Option<Exchange>,
    suspended: Option<(Value, RequestState)>,
    answer: Option<Value>,
    gone: bool,
}

/// What the server does for one call.
struct Work {
    id: Value,
    round: usize,
    open: BTreeSet<String>,
    heard: Vec<String>,
}

struct House {
    plans: Vec<Plan>,
    lane: LegacyLane,
    clients: Vec<Client>,
    exchanges: BTreeMap<Exchange, usize>,
    started: usize,
    work: BTreeMap<usize, Work>,
    executed: Vec<usize>,
    up: VecDeque<Value>,
    down: VecDeque<Value>,
    timers: BTreeMap<LaneTimer, u64>,
    asked: u64,
    numbers: u64,
}

impl House {
    fn new(plans: Vec<Plan>) -> Self {
        let options = LaneOptions {
            client_info: br#"{"name":"c","version":"1"}"#.as_slice().into(),
            capabilities: ClientCapabilities::parse(br#"{"elicitation":{}}"#),
            hears: true,
            shared: false,
            call_timeout_ms: 1_000,
            served: &["2026-07-28"],
        };
        let mut house = Self {
            clients: plans.iter().map(|_| Client::default()).collect(),
            executed: vec![0; plans.len()],
            plans,
            lane: LegacyLane::open(options),
            exchanges: BTreeMap::new(),
            started: 0,
            work: BTreeMap::new(),
            up: VecDeque::new(),
            down: VecDeque::new(),
            timers: BTreeMap::new(),
            asked: 0,
            numbers: 0,
        };
        house.settle();
        house
    }

    fn play(mut self, choices: &mut Choices<'_>) {
        while let Some(moves) = self.moves() {
            match choices.next(moves.len()) {
                Some(choice) => self.take(moves[choice]),
                // The rest in any order, each move at once.
                None => self.take(moves[0]),
            }
        }
        self.check();
    }

    /// What could happen next; `None` if nothing can.
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
        for (at, client) in self.clients.iter().enumerate() {
            let hangs_up = self.plans[at].fate == Fate::HangsUp;
            if client.suspended.is_some() && !hangs_up {
                moves.push(Move::Retry(at));
            }
            if client.waits.is_some() && hangs_up {
                moves.push(Move::HangUp(at));
            }
        }
        // Time passes only when nothing else does, but for the short wait for further questions.
        let gathers = self.timers.keys().find(|timer| matches!(timer, LaneTimer::Gather(_)));
        moves.extend(gathers.map(|timer| Move::Fire(*timer)));
        (!moves.is_empty()).then_some(moves)
    }

    fn take(&mut self, step: Move) {
        match step {
            Move::Start => {
                let at = self.started;
                self.started += 1;
                self.send(at, None);
            }
            Move::Up => {
                let message = self.up.pop_front().expect("a message");
                self.serve(&message);
            }
            Move::Down => {
                let message = self.down.pop_front().expect("a message");
                self.lane.upstream(scan(&message).lend());
            }
            Move::Retry(at) => {
                let (requests, state) = self.clients[at].suspended.take().expect("a state");
                self.send(at, Some((requests, state)));
            }
            Move::HangUp(at) => {
                let exchange = self.clients[at].waits.take().expect("a wait");
                self.clients[at].gone = true;
                self.lane.gone(exchange);
            }
            Move::Fire(timer) => {
                self.timers.remove(&timer);
                self.lane.fire(timer);
            }
        }
        self.settle();
    }

    fn send(&mut self, at: usize, retry: Option<(Value, RequestState)>) {
        self.numbers += 1;
        let exchange = Exchange(self.numbers);
        let mut params = json!({ "name": "work", "arguments": { "call": at }, "_meta": {
            format!("{META}/protocolVersion"): "2026-07-28",
            format!("{META}/clientCapabilities"): { "elicitation": {} },
        } });
        let resume = match retry {
            None => Resume::First,
            Some((requests, state)) => {
                let take = if self.plans[at].fate == Fate::Hesitates { 1 } else { usize::MAX };
                let answers = requests.as_object().expect("requests").iter().take(take);
                params["inputResponses"] = answers
                    .map(|(key, asked)| {
                        let echo = &asked["params"]["message"];
                        (key.clone(), json!({ "action": "accept", "content": { "echo": echo } }))
                    })
                    .collect();
                params["requestState"] = json!("sealed");
                Resume::With(state)
            }
        };
        let request =
            json!({ "jsonrpc": "2.0", "id": self.numbers, "method": "tools/call", "params": params });
        self.exchanges.insert(exchange, at);
        self.clients[at].waits = Some(exchange);
        self.lane.request(exchange, scan(&request).lend(), resume);
    }

    /// The server takes a message.
    fn serve(&mut self, message: &Value) {
        let id = message["id"].clone();
        match message["method"].as_str() {
            Some("initialize") => self.down.push_back(json!({ "jsonrpc": "2.0", "id": id, "result": {
                "protocolVersion": "2025-11-25", "capabilities": { "tools": {} },
                "serverInfo": { "name": "s", "version": "1" } } })),
            Some("tools/call") => {
                let call = message["params"]["arguments"]["call"].as_u64().expect("a number") as usize;
                assert_eq!(message["params"].get("requestState"), None);
                self.executed[call] += 1;
                self.work.insert(call, Work { id, round: 0, open: BTreeSet::new(), heard: Vec::new() });
                self.go_on(call);
            }
            Some("notifications/cancelled") => {
                let id = &message["params"]["requestId"];
                let call = self.work.iter().find(|(_, work)| work.id == *id).map(|(call, _)| *call);
                if let Some(call) = call {
                    self.work.remove(&call);
                }
            }
            Some("notifications/initialized") => {}
            Some(other) => panic!("unexpected {other}"),
            None => self.hear(&id, &message["result"]),
        }
    }

    fn hear(&mut self, id: &Value, answer: &Value) {
        let id = id.as_str().expect("an id of ours");
        let call = self.work.iter().find(|(_, work)| work.open.contains(id)).map(|(call, _)| *call);
        // Of a call that was cancelled.
        let Some(call) = call else { return };
        let work = self.work.get_mut(&call).expect("work");
        assert!(work.open.remove(id), "{id} is answered twice");
        if answer["action"] == "accept" {
            let echo = answer["content"]["echo"].as_str().expect("an echo");
            assert_eq!(echo, format!("question {id}"), "an answer to another question");
        } else {
            // A client that was asked for somebody else, and hung up.
            assert_eq!(answer["action"], "cancel");
        }
        work.heard.push(id.to_owned());
        if work.open.is_empty() {
            self.go_on(call);
        }
    }

    fn go_on(&mut self, call: usize) {
        let plan = &self.plans[call];
        let work = self.work.get_mut(&call).expect("work");
        let Some(count) = plan.rounds.get(work.round) else {
            let (id, heard) = (work.id.clone(), work.heard.len());
            self.work.remove(&call);
            let result = json!({ "content": [], "call": call, "heard": heard });
            return self.down.push_back(json!({ "jsonrpc": "2.0", "id": id, "result": result }));
        };
        work.round += 1;
        for _ in 0..*count {
            self.asked += 1;
            let id = format!("q{}", self.asked);
            self.down.push_back(json!({ "jsonrpc": "2.0", "id": id, "method": "elicitation/create",
                "params": { "message": format!("question {id}") } }));
            work.open.insert(id);
        }
    }

    fn settle(&mut self) {
        let outputs: Vec<_> = self.lane.outputs().collect();
        for output in outputs {
            match output {
                LaneOutput::Upstream(message) => self.up.push_back(parse(&message)),
                LaneOutput::Answer { exchange, message, .. } => {
                    let client = self.client(exchange);
                    assert!(client.answer.is_none(), "answered twice");
                    client.answer = Some(parse(&message));
                }
                LaneOutput::Suspend { exchange, answer } => {
                    let text = serde_json::to_string(&answer.state).expect("text");
                    let state = serde_json::from_str(&text).expect("a state");
                    let requests = parse(&answer.requests);
                    self.client(exchange).suspended = Some((requests, state));
                }
                LaneOutput::Arm { timer, after_ms } => {
                    self.timers.insert(timer, after_ms);
                }
                LaneOutput::Disarm(timer) => {
                    self.timers.remove(&timer);
                }
                LaneOutput::Client { .. } => panic!("nobody asked for notifications"),
                LaneOutput::Opened | LaneOutput::Changed(_) => {}
                LaneOutput::Created { .. } => panic!("nobody knows of tasks"),
                LaneOutput::Contradicted | LaneOutput::Closed => panic!("the lane is closed"),
            }
        }
    }

    fn client(&mut self, exchange: Exchange) -> &mut Client {
        let client = &mut self.clients[self.exchanges[&exchange]];
        assert_eq!(client.waits.take(), Some(exchange), "somebody is told who does not wait");
        client
    }

    fn check(&self) {
        for (at, (client, plan)) in self.clients.iter().zip(&self.plans).enumerate() {
            assert!(self.executed[at] <= 1, "call {at} was executed {} times", self.executed[at]);
            if plan.fate == Fate::HangsUp {
                assert!(
                    client.gone || client.answer.is_some() || client.suspended.is_some(),
                    "call {at} hangs"
                );
                continue;
            }
            let stuck = || format!("call {at} of {:?} has no answer", self.plans);
            let answer = client.answer.as_ref().unwrap_or_else(|| panic!("{}", stuck()));
            assert_eq!(answer["result"]["call"], at, "{answer}");
            assert_eq!(answer["result"]["heard"], plan.rounds.iter().sum::<usize>());
            assert_eq!(self.executed[at], 1);
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Move {
    Start,
    Up,
    Down,
    Retry(usize),
    HangUp(usize),
    Fire(LaneTimer),
}
