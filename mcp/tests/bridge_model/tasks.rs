//! Modern clients that look at tasks of a legacy server and listen to them, with a [`LegacyLane`] between them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use omcp_mcp::bridge::capabilities::ClientCapabilities;
use omcp_mcp::bridge::legacy_lane::{LaneOptions, LaneOutput, LaneTimer, LegacyLane};
use omcp_mcp::bridge::message::Exchange;
use omcp_mcp::bridge::state::{HeardTasks, Resume};
use proptest::prelude::*;
use serde_json::{Value, json};

use omcp_mcp::bridge::replay::model::{Choices, parse, scan};

use super::all::all;

const META: &str = "io.modelcontextprotocol";

/// A task: how many questions each of its rounds has, and how it ends.
#[derive(Clone, Debug)]
pub struct Plan {
    rounds: Vec<usize>,
    end: End,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum End {
    Result,
    Error,
    /// Its client cancels it once it has it.
    Cancelled,
}

/// What the client of one task knows.
#[derive(Default)]
struct Client {
    task: Option<u64>,
    /// A request of its is on its way.
    waits: bool,
    /// Questions that it has seen and not answered.
    asked: Vec<(String, Value)>,
    answered: BTreeSet<String>,
    cancels: bool,
    listens: bool,
    end: Option<Value>,
}

/// What the server does for one task.
#[derive(Default)]
struct Work {
    round: usize,
    open: BTreeSet<String>,
    heard: usize,
    /// Those that were not sent yet: nobody has asked for the result.
    unsent: Vec<String>,
    result: Option<Value>,
    cancelled: bool,
}

#[derive(Clone, Copy, Debug)]
enum Move {
    Start,
    Up,
    Down,
    Look(usize),
    Update(usize),
    Cancel(usize),
    Listen(usize),
    Fire(LaneTimer),
}

struct House {
    plans: Vec<Plan>,
    lane: LegacyLane,
    clients: Vec<Client>,
    exchanges: BTreeMap<Exchange, usize>,
    listens: BTreeMap<Exchange, usize>,
    started: usize,
    work: BTreeMap<usize, Work>,
    up: VecDeque<Value>,
    down: VecDeque<Value>,
    timers: BTreeMap<LaneTimer, u64>,
    questions: u64,
    numbers: u64,
}

impl House {
    fn new(plans: Vec<Plan>) -> Self {
        let options = LaneOptions {
            client_info: br#"{"name":"c","version":"1"}"#.as_slice().into(),
            capabilities: ClientCapabilities::parse(br#"{"elicitation":{}}"#),
            hears: true,
            shared: true,
            call_timeout_ms: 1_000_000,
            served: &["2026-07-28"],
        };
        let mut house = Self {
            clients: plans.iter().map(|_| Client::default()).collect(),
            plans,
            lane: LegacyLane::open(options),
            exchanges: BTreeMap::new(),
            listens: BTreeMap::new(),
            started: 0,
            work: BTreeMap::new(),
            up: VecDeque::new(),
            down: VecDeque::new(),
            timers: BTreeMap::new(),
            questions: 0,
            numbers: 0,
        };
        house.settle();
        house
    }

    fn play(mut self, choices: &mut Choices<'_>) {
        while let Some(moves) = self.moves() {
            let choice = choices.next(moves.len()).unwrap_or(0);
            self.take(moves[choice]);
        }
        for exchange in std::mem::take(&mut self.listens).into_keys() {
            self.lane.gone(exchange);
        }
        self.settle();
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
            if client.waits || client.task.is_none() || client.end.is_some() {
                continue;
            }
            if !client.listens {
                moves.push(Move::Listen(at));
            }
            if self.plans[at].end == End::Cancelled && !client.cancels {
                moves.push(Move::Cancel(at));
            }
            moves.push(if client.asked.is_empty() { Move::Look(at) } else { Move::Update(at) });
        }
        let short = |timer: &&LaneTimer| matches!(timer, LaneTimer::Gather(_) | LaneTimer::News(_));
        let gathers = self.timers.keys().find(short);
        moves.extend(gathers.map(|timer| Move::Fire(*timer)));
        (!moves.is_empty()).then_some(moves)
    }

    fn take(&mut self, step: Move) {
        match step {
            Move::Start => {
                let at = self.started;
                self.started += 1;
                self.send(at, "tools/call", json!({ "name": "work", "arguments": { "task": at } }));
            }
            Move::Up => {
                let message = self.up.pop_front().expect("a message");
                self.serve(&message);
            }
            Move::Down => {
                let message = self.down.pop_front().expect("a message");
                self.lane.upstream(scan(&message).lend());
            }
            Move::Look(at) => self.send(at, "tasks/get", json!({})),
            Move::Cancel(at) => {
                self.clients[at].cancels = true;
                self.send(at, "tasks/cancel", json!({}));
            }
            Move::Update(at) => {
                let (key, asked) = self.clients[at].asked.pop().expect("a question");
                assert!(self.clients[at].answered.insert(key.clone()), "{key} is asked twice");
                let echo = &asked["params"]["message"];
                let answer = json!({ "action": "accept", "content": { "echo": echo } });
                self.send(at, "tasks/update", json!({ "inputResponses": { key: answer } }));
            }
            Move::Listen(at) => self.listen(at),
            Move::Fire(timer) => {
                self.timers.remove(&timer);
                self.lane.fire(timer);
            }
        }
        self.settle();
    }

    fn listen(&mut self, at: usize) {
        self.clients[at].listens = true;
        self.numbers += 1;
        let exchange = Exchange(self.numbers);
        let number = self.clients[at].task.expect("a task");
        let here = BTreeMap::from([(number, format!("task {number}"))]);
        let params = json!({ "notifications": { "taskIds": [format!("task {number}")] }, "_meta": meta() });
        let request = json!({ "jsonrpc": "2.0", "id": self.numbers, "method": "subscriptions/listen", "params": params });
        self.listens.insert(exchange, at);
        let resume = Resume::Tasks(HeardTasks { here, elsewhere: vec![] });
        self.lane.request(exchange, scan(&request).lend(), resume);
    }

    fn send(&mut self, at: usize, method: &str, mut params: Value) {
        self.numbers += 1;
        let exchange = Exchange(self.numbers);
        params["_meta"] = meta();
        let resume = self.clients[at].task.map_or(Resume::First, Resume::Task);
        if let Resume::Task(number) = resume {
            params["taskId"] = json!(format!("task {number}"));
        }
        let request = json!({ "jsonrpc": "2.0", "id": self.numbers, "method": method, "params": params });
        self.exchanges.insert(exchange, at);
        self.clients[at].waits = true;
        self.lane.request(exchange, scan(&request).lend(), resume);
    }

    fn serve(&mut self, message: &Value) {
        let id = message["id"].clone();
        let task = || message["params"]["taskId"].as_str().and_then(|id| id.strip_prefix("T")?.parse().ok());
        let result = match message["method"].as_str() {
            Some("initialize") => json!({ "protocolVersion": "2025-11-25", "capabilities": { "tools": {},
                "tasks": { "requests": { "tools": { "call": {} } } } },
                "serverInfo": { "name": "s", "version": "1" } }),
            Some("tools/list") => {
                json!({ "tools": [{ "name": "work", "execution": { "taskSupport": "optional" } }] })
            }
            Some("tools/call") => {
                assert!(message["params"]["task"]["ttl"].is_u64(), "{message}");
                let at = message["params"]["arguments"]["task"].as_u64().expect("a number") as usize;
                assert!(self.work.insert(at, Work::default()).is_none(), "called twice");
                self.go_on(at);
                json!({ "task": { "taskId": format!("T{at}"), "status": "working", "ttl": 60_000 } })
            }
            Some("tasks/get") => self.tell(task().expect("a task")),
            Some("tasks/cancel") => {
                let at = task().expect("a task");
                let work = self.work.get_mut(&at).expect("work");
                work.cancelled = true;
                work.open.clear();
                self.announce(at);
                self.answer_result(at);
                self.tell(at)
            }
            Some("tasks/result") => {
                let at = task().expect("a task");
                let work = self.work.get_mut(&at).expect("work");
                assert!(work.result.is_none(), "two requests for one result");
                work.result = Some(id);
                self.ask(at);
                return self.answer_result(at);
            }
            Some("notifications/initialized") => return,
            Some(other) => panic!("unexpected {other}"),
            None => return self.hear(&id, &message["result"]),
        };
        self.down.push_back(json!({ "jsonrpc": "2.0", "id": id, "result": result }));
    }

    fn tell(&self, at: usize) -> Value {
        let work = &self.work[&at];
        let status = match self.plans[at].end {
            _ if work.cancelled => "cancelled",
            _ if !work.open.is_empty() => "input_required",
            _ if work.round <= self.plans[at].rounds.len() => "working",
            End::Error => "failed",
            _ => "completed",
        };
        json!({ "taskId": format!("T{at}"), "status": status })
    }

    /// Begins the next round, or ends.
    fn go_on(&mut self, at: usize) {
        let work = self.work.get_mut(&at).expect("work");
        let count = self.plans[at].rounds.get(work.round).copied();
        work.round += 1;
        for _ in 0..count.unwrap_or(0) {
            self.questions += 1;
            let name = format!("q{at}.{}", self.questions);
            work.open.insert(name.clone());
            work.unsent.push(name);
        }
        match count {
            Some(0) => self.go_on(at),
            Some(_) => {
                self.announce(at);
                self.ask(at);
            }
            None => {
                self.announce(at);
                self.answer_result(at);
            }
        }
    }

    fn announce(&mut self, at: usize) {
        let told =
            json!({ "jsonrpc": "2.0", "method": "notifications/tasks/status", "params": self.tell(at) });
        self.down.push_back(told);
    }

    /// Questions go with the request for the result only.
    fn ask(&mut self, at: usize) {
        let work = self.work.get_mut(&at).expect("work");
        if work.result.is_none() {
            return;
        }
        for name in std::mem::take(&mut work.unsent) {
            let meta = json!({ format!("{META}/related-task"): { "taskId": format!("T{at}") } });
            self.down.push_back(json!({ "jsonrpc": "2.0", "id": name, "method": "elicitation/create",
                "params": { "message": format!("question {name}"), "_meta": meta } }));
        }
    }

    fn answer_result(&mut self, at: usize) {
        let plan = &self.plans[at];
        let work = self.work.get_mut(&at).expect("work");
        if !work.cancelled && work.round <= plan.rounds.len() {
            return;
        }
        let Some(id) = work.result.take() else { return };
        let answer = if work.cancelled || plan.end == End::Error {
            json!({ "jsonrpc": "2.0", "id": id, "error": { "code": -32000, "message": "over" } })
        } else {
            let result = json!({ "content": [], "task": at, "heard": work.heard });
            json!({ "jsonrpc": "2.0", "id": id, "result": result })
        };
        self.down.push_back(answer);
    }

    fn hear(&mut self, id: &Value, answer: &Value) {
        let name = id.as_str().expect("an id of ours");
        let at = name.strip_prefix('q').and_then(|name| name.split_once('.')?.0.parse().ok());
        let at: usize = at.expect("a task");
        let work = self.work.get_mut(&at).expect("work");
        if work.cancelled || answer["action"] == "cancel" {
            return;
        }
        assert!(work.open.remove(name), "{name} is answered twice");
        assert_eq!(answer["content"]["echo"], format!("question {name}"), "an answer to another question");
        work.heard += 1;
        if work.open.is_empty() {
            self.go_on(at);
        }
    }

    fn settle(&mut self) {
        let outputs: Vec<_> = self.lane.outputs().collect();
        for output in outputs {
            match output {
                LaneOutput::Upstream(message) => self.up.push_back(parse(&message)),
                LaneOutput::Client { exchange, message } => self.heard(exchange, &parse(&message)),
                LaneOutput::Answer { exchange, message, .. } => self.told(exchange, &parse(&message)),
                LaneOutput::Created { exchange, answer } => {
                    let client = self.client(exchange);
                    assert_eq!(client.task.replace(answer.task), None, "two tasks of one call");
                    let name = format!("task {}", answer.task);
                    let made = parse(&answer.answer(&name));
                    assert_eq!(made["result"]["resultType"], "task");
                    assert_eq!(made["result"]["taskId"], name);
                }
                LaneOutput::Arm { timer, after_ms } => {
                    self.timers.insert(timer, after_ms);
                }
                LaneOutput::Disarm(timer) => {
                    self.timers.remove(&timer);
                }
                LaneOutput::Opened => {}
                other => panic!("unexpected {other:?}"),
            }
        }
    }

    fn client(&mut self, exchange: Exchange) -> &mut Client {
        let at = self.exchanges.remove(&exchange).expect("an exchange that waits");
        let client = &mut self.clients[at];
        assert!(std::mem::take(&mut client.waits));
        client
    }

    /// News of a task: as true as if it had been looked at.
    fn heard(&self, exchange: Exchange, told: &Value) {
        let at = self.listens[&exchange];
        let client = &self.clients[at];
        let name = format!("task {}", client.task.expect("a task"));
        assert_eq!(told["params"]["_meta"][format!("{META}/subscriptionId")], exchange.0);
        if told["method"] == "notifications/subscriptions/acknowledged" {
            return assert_eq!(told["params"]["notifications"], json!({ "taskIds": [name] }));
        }
        assert_eq!(
            (&told["method"], &told["params"]["taskId"]),
            (&json!("notifications/tasks"), &json!(name))
        );
        let heard = &told["params"];
        match heard["status"].as_str().expect("a status") {
            "working" => assert_eq!(heard.get("inputRequests"), None),
            "input_required" => {
                let asked = heard["inputRequests"].as_object().expect("questions");
                assert!(
                    !asked.is_empty() && asked.keys().all(|key| !client.answered.contains(key)),
                    "{told}"
                );
            }
            "completed" => assert_eq!(heard["result"]["task"], at),
            "failed" => assert_eq!(heard["error"]["code"], -32000),
            _ => assert_eq!(heard.get("result"), None),
        }
    }

    fn told(&mut self, exchange: Exchange, answer: &Value) {
        let client = self.client(exchange);
        let task = client.task.expect("a task");
        let result = &answer["result"];
        assert_eq!(result["resultType"], "complete", "{answer}");
        let Some(status) = result["status"].as_str() else {
            assert_eq!(result.get("taskId"), None, "an acknowledgement says no more: {answer}");
            return;
        };
        assert_eq!(result["taskId"], format!("task {task}"));
        match status {
            "working" => assert_eq!(result.get("inputRequests"), None),
            "input_required" => {
                let asked = result["inputRequests"].as_object().expect("questions");
                assert!(!asked.is_empty());
                let new = asked.iter().filter(|(key, _)| !client.answered.contains(*key));
                client.asked = new.map(|(key, asked)| (key.clone(), asked.clone())).collect();
                assert_eq!(client.asked.len(), asked.len(), "an answered question is asked again");
            }
            _ => client.end = Some(result.clone()),
        }
    }

    fn check(&self) {
        for (at, (plan, client)) in self.plans.iter().zip(&self.clients).enumerate() {
            let end = client.end.as_ref().unwrap_or_else(|| panic!("task {at} of {:?}", self.plans));
            let questions: usize = plan.rounds.iter().sum();
            match (plan.end, end["status"].as_str().expect("a status")) {
                (End::Result, "completed") | (End::Cancelled, "completed") => {
                    let want = json!({ "content": [], "task": at, "heard": questions });
                    let mut result = end["result"].clone();
                    result.as_object_mut().expect("an object").remove("resultType");
                    assert_eq!(result, want);
                }
                (End::Error, "failed") => assert_eq!(end["error"]["code"], -32000),
                (End::Cancelled, "cancelled") => assert_eq!(end.get("result"), None),
                (want, status) => panic!("{want:?} is {status}"),
            }
        }
        assert!(self.lane.is_idle(), "nobody waits, and the lane lives on");
    }
}

fn meta() -> Value {
    json!({
        format!("{META}/protocolVersion"): "2026-07-28",
        format!("{META}/clientCapabilities"):
            { "elicitation": {}, "extensions": { format!("{META}/tasks"): {} } },
    })
}

fn plan() -> impl Strategy<Value = Plan> {
    let end = prop_oneof![Just(End::Result), Just(End::Error), Just(End::Cancelled)];
    (proptest::collection::vec(0..3_usize, 0..3), end).prop_map(|(rounds, end)| Plan { rounds, end })
}

proptest! {
    #[test]
    fn every_task_comes_to_its_end(
        plans in proptest::collection::vec(plan(), 1..4),
        choices in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        House::new(plans).play(&mut Choices::new(&choices));
    }
}

#[test]
fn in_whatever_order_it_comes() {
    for (rounds, end, depth) in
        [(vec![2], End::Result, 11), (vec![1], End::Cancelled, 11), (vec![], End::Error, 9)]
    {
        let plan = Plan { rounds, end };
        let played = all(depth, |choices| House::new(vec![plan.clone()]).play(choices));
        assert!(played >= 1, "{plan:?}: {played}");
    }
}
