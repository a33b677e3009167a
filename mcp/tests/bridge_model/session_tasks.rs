//! A legacy client that wants tasks of a modern server, with a [`LegacySession`] between them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use omcp_mcp::bridge::legacy_session::{LegacySession, SessionOptions, SessionOutput, SessionTimer};
use omcp_mcp::bridge::message::Exchange;
use omcp_mcp::bridge::state::{NewTaskKind, TaskHandle};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use omcp_mcp::bridge::replay::model::{Choices, parse, scan};

use super::all::all;

const RELATED: &str = "io.modelcontextprotocol/related-task";
const NOW_MS: u64 = 1_000_000_000_000;
/// The exchange of the handshake.
const OPENING: Exchange = Exchange(1_000_000);

/// A call: whether the server asks something before it answers, and what it answers.
#[derive(Clone, Debug)]
pub struct Plan {
    asks_first: bool,
    answer: Answer,
    /// How often the client lets go of `tasks/result` and comes back.
    leaves: usize,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Answer {
    AtOnce,
    /// A task that asks so many questions, all at once, and ends well or with an error.
    Task {
        questions: usize,
        ends_well: bool,
    },
}

#[derive(Default)]
struct Client {
    /// The name of the task and what it stands for.
    task: Option<(String, TaskHandle)>,
    /// The request that is on its way.
    waits: Option<Exchange>,
    /// Requests of the server for this one, by exchange.
    asked: Vec<(Exchange, Value)>,
    left: usize,
    end: Option<Value>,
}

/// What the server knows of a task.
#[derive(Default)]
struct Work {
    open: BTreeSet<String>,
}

#[derive(Clone, Copy, Debug)]
enum Move {
    Start,
    Up,
    Down,
    Result(usize),
    Leave(usize),
    Answer(usize),
    Fire(SessionTimer),
}

struct House {
    plans: Vec<Plan>,
    session: LegacySession,
    clients: Vec<Client>,
    exchanges: BTreeMap<Exchange, usize>,
    started: usize,
    work: BTreeMap<usize, Work>,
    up: VecDeque<(u64, Value)>,
    down: VecDeque<(u64, Value)>,
    timers: BTreeSet<SessionTimer>,
    numbers: u64,
}

impl House {
    fn new(plans: Vec<Plan>) -> Self {
        let options = SessionOptions {
            backend: "b".to_owned(),
            ask_prefix: "secret".to_owned(),
            call_timeout_ms: 1_000_000,
            over_http: true,
        };
        let mut house = Self {
            clients: plans.iter().map(|_| Client::default()).collect(),
            plans,
            session: LegacySession::new(options),
            exchanges: BTreeMap::new(),
            started: 0,
            work: BTreeMap::new(),
            up: VecDeque::new(),
            down: VecDeque::new(),
            timers: BTreeSet::new(),
            numbers: 0,
        };
        let initialize = json!({ "jsonrpc": "2.0", "id": "init", "method": "initialize", "params": {
            "protocolVersion": "2025-11-25", "capabilities": { "elicitation": {} },
            "clientInfo": { "name": "c", "version": "1" } } });
        house.session.request(OPENING, scan(&initialize).lend(), true, TaskHandle::None);
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
        if !self.up.is_empty() {
            moves.push(Move::Up);
        }
        if !self.down.is_empty() {
            moves.push(Move::Down);
        }
        if self.started < self.plans.len() {
            moves.push(Move::Start);
        }
        for (at, client) in self.clients.iter().enumerate() {
            if !client.asked.is_empty() {
                moves.push(Move::Answer(at));
            }
            if client.task.is_none() || client.end.is_some() {
                continue;
            }
            match client.waits {
                None => moves.push(Move::Result(at)),
                Some(_) if client.left < self.plans[at].leaves => moves.push(Move::Leave(at)),
                Some(_) => {}
            }
        }
        let polls = self.timers.iter().find(|timer| matches!(timer, SessionTimer::Poll(_)));
        moves.extend(polls.map(|timer| Move::Fire(*timer)));
        (!moves.is_empty()).then_some(moves)
    }

    fn take(&mut self, step: Move) {
        match step {
            Move::Start => {
                let at = self.started;
                self.started += 1;
                let params =
                    json!({ "name": "work", "arguments": { "call": at }, "task": { "ttl": 60_000 } });
                self.send(at, "tools/call", params, TaskHandle::None);
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
            Move::Result(at) => {
                let (name, handle) = self.clients[at].task.clone().expect("a task");
                self.send(at, "tasks/result", json!({ "taskId": name }), handle);
            }
            Move::Leave(at) => {
                let client = &mut self.clients[at];
                let exchange = client.waits.take().expect("a wait");
                client.left += 1;
                client.asked.retain(|(of, _)| *of != exchange);
                self.exchanges.remove(&exchange);
                self.session.gone(exchange);
            }
            Move::Answer(at) => {
                let (_, asked) = self.clients[at].asked.remove(0);
                let echo = &asked["params"]["message"];
                let answer = json!({ "jsonrpc": "2.0", "id": asked["id"],
                                     "result": { "action": "accept", "content": { "echo": echo } } });
                self.session.response(scan(&answer).lend());
            }
            Move::Fire(timer) => {
                self.timers.remove(&timer);
                self.session.fire(timer);
            }
        }
        self.settle();
    }

    fn send(&mut self, at: usize, method: &str, params: Value, handle: TaskHandle) {
        self.numbers += 1;
        let exchange = Exchange(self.numbers);
        let request = json!({ "jsonrpc": "2.0", "id": self.numbers, "method": method, "params": params });
        self.exchanges.insert(exchange, at);
        self.clients[at].waits = Some(exchange);
        self.session.request(exchange, scan(&request).lend(), true, handle);
    }

    fn serve(&mut self, message: &Value) -> Value {
        let params = &message["params"];
        let task = || params["taskId"].as_str().and_then(|id| id.strip_prefix('T')?.parse::<usize>().ok());
        let result = match message["method"].as_str().expect("a request") {
            "server/discover" => json!({ "supportedVersions": ["2026-07-28"],
                "capabilities": { "extensions": { "io.modelcontextprotocol/tasks": {} } } }),
            "tools/call" => {
                assert_eq!(params.get("task"), None, "{message}");
                self.call(params["arguments"]["call"].as_u64().expect("a number") as usize, params)
            }
            "tasks/get" => self.tell(task().expect("a task")),
            "tasks/update" => {
                let work = self.work.get_mut(&task().expect("a task")).expect("work");
                for (key, answer) in params["inputResponses"].as_object().expect("answers") {
                    // A client that left and came back may have been asked twice.
                    work.open.remove(key);
                    assert_eq!(answer["content"]["echo"], format!("question {key}"));
                }
                json!({ "resultType": "complete" })
            }
            other => panic!("unexpected {other}"),
        };
        json!({ "jsonrpc": "2.0", "id": message["id"], "result": result })
    }

    fn call(&mut self, at: usize, params: &Value) -> Value {
        let plan = &self.plans[at];
        if plan.asks_first && params.get("inputResponses").is_none() {
            let first = json!({ "method": "elicitation/create", "params": { "message": "question first" } });
            return json!({ "resultType": "input_required", "requestState": "s", "inputRequests": { "first": first } });
        }
        match plan.answer {
            Answer::AtOnce => json!({ "resultType": "complete", "content": [], "call": at }),
            Answer::Task { questions, .. } => {
                let open = (0..questions).map(|n| format!("{at}.{n}")).collect();
                assert!(self.work.insert(at, Work { open }).is_none(), "called twice");
                json!({ "resultType": "task", "taskId": format!("T{at}"), "status": "working", "ttlMs": 60_000 })
            }
        }
    }

    fn tell(&self, at: usize) -> Value {
        let mut told = json!({ "resultType": "complete", "taskId": format!("T{at}") });
        let asked = |key: &String| {
            let params = json!({ "message": format!("question {key}") });
            (key.clone(), json!({ "method": "elicitation/create", "params": params }))
        };
        let open: Map<_, _> = self.work[&at].open.iter().map(asked).collect();
        let ends_well = matches!(self.plans[at].answer, Answer::Task { ends_well: true, .. });
        let (status, more, value) = if !open.is_empty() {
            ("input_required", "inputRequests", Value::Object(open))
        } else if ends_well {
            ("completed", "result", json!({ "resultType": "complete", "content": [], "call": at }))
        } else {
            ("failed", "error", json!({ "code": -32000, "message": "broken" }))
        };
        told["status"] = json!(status);
        told[more] = value;
        told
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
                SessionOutput::Client { exchange, message } => self.told(exchange, &parse(&message)),
                SessionOutput::Answer { exchange: OPENING, .. } => {}
                SessionOutput::Answer { exchange, message } => {
                    let answer = parse(&message);
                    let client = self.client(exchange);
                    assert!(client.task.is_some(), "a call is answered without a task: {answer}");
                    assert_eq!(client.end.replace(answer), None, "two ends");
                }
                SessionOutput::Created { exchange, answer } => {
                    let (name, handle) = match &answer.kind {
                        NewTaskKind::Upstream { task, .. } => {
                            (format!("={task}"), TaskHandle::Upstream(task.clone()))
                        }
                        NewTaskKind::Own(number) => {
                            let handle = TaskHandle::Own { number: *number, created_ms: NOW_MS };
                            (number.to_string(), handle)
                        }
                    };
                    let made = parse(&answer.answer(&name, NOW_MS));
                    assert_eq!(made["result"]["task"]["taskId"], name, "{made}");
                    assert_eq!(made["result"]["task"]["status"], "working", "{made}");
                    self.client(exchange).task = Some((name, handle));
                }
                SessionOutput::Arm { timer, .. } => {
                    self.timers.insert(timer);
                }
                SessionOutput::Disarm(timer) => {
                    self.timers.remove(&timer);
                }
                SessionOutput::Opened(_) => {}
                other => panic!("unexpected {other:?}"),
            }
        }
    }

    fn client(&mut self, exchange: Exchange) -> &mut Client {
        let at = self.exchanges.remove(&exchange).expect("an exchange that waits");
        let client = &mut self.clients[at];
        assert_eq!(client.waits.take(), Some(exchange));
        client
    }

    /// A request or a notification of the session. To a client that is gone it goes nowhere.
    fn told(&mut self, exchange: Exchange, message: &Value) {
        let Some(at) = self.exchanges.get(&exchange) else { return };
        let client = &mut self.clients[*at];
        if message["method"] == "notifications/cancelled" {
            let id = &message["params"]["requestId"];
            return client.asked.retain(|(_, asked)| asked["id"] != *id);
        }
        let related = client.task.as_ref().map(|(name, _)| json!({ RELATED: { "taskId": name } }));
        assert_eq!(message["params"].get("_meta"), related.as_ref(), "{message}");
        client.asked.push((exchange, message.clone()));
    }

    fn check(&self) {
        for (at, (plan, client)) in self.plans.iter().zip(&self.clients).enumerate() {
            let end = client.end.as_ref().unwrap_or_else(|| panic!("call {at} of {:?}", self.plans));
            let (name, _) = client.task.as_ref().expect("a task");
            if matches!(plan.answer, Answer::Task { ends_well: false, .. }) {
                assert_eq!(end["error"]["code"], -32000, "{end}");
                continue;
            }
            let meta = json!({ RELATED: { "taskId": name } });
            assert_eq!(end["result"], json!({ "_meta": meta, "content": [], "call": at }), "{end}");
        }
        assert_eq!(self.session.calls(), 0);
    }
}

fn plan() -> impl Strategy<Value = Plan> {
    let task = (0..3_usize, any::<bool>());
    let answer = prop_oneof![
        Just(Answer::AtOnce),
        task.prop_map(|(questions, ends_well)| Answer::Task { questions, ends_well }),
    ];
    (any::<bool>(), answer, 0..3_usize).prop_map(|(asks_first, answer, leaves)| Plan {
        asks_first,
        answer,
        leaves,
    })
}

proptest! {
    #[test]
    fn every_task_has_its_result(
        plans in proptest::collection::vec(plan(), 1..4),
        choices in proptest::collection::vec(any::<u8>(), 0..150),
    ) {
        House::new(plans).play(&mut Choices::new(&choices));
    }
}

#[test]
fn in_whatever_order_it_comes() {
    for (asks_first, answer, leaves, depth) in [
        (true, Answer::AtOnce, 1, 9),
        (false, Answer::Task { questions: 2, ends_well: true }, 1, 10),
        (true, Answer::Task { questions: 1, ends_well: false }, 1, 10),
    ] {
        let plan = Plan { asks_first, answer, leaves };
        let played = all(depth, |choices| House::new(vec![plan.clone()]).play(choices));
        assert!(played >= 1, "{plan:?}: {played}");
    }
}
