use serde_json::{Value, json};

use super::*;

struct House(Arc<Members>);

impl House {
    fn build() -> Self {
        Self(Arc::new(Members::alone("here").unwrap()))
    }

    fn of(&self, who: &str, method: &str, params: Value) -> ServerHandles {
        let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let request = McpMessage::parse(request.to_string().into()).unwrap();
        ServerHandles::new(self.0.clone(), &"b".parse().unwrap(), &Principal::named(who), &request)
    }
}

fn read(message: &[u8]) -> Value {
    serde_json::from_slice(message).unwrap()
}

fn sent(handles: &mut ServerHandles) -> Result<Value, Value> {
    handles.open().map(|message| read(message.bytes())["params"].take()).map_err(|refusal| read(&refusal))
}

fn told(handles: &ServerHandles, said: Value) -> Value {
    let said = McpMessage::parse(said.to_string().into()).unwrap();
    let said =
        if said.method().is_some() { handles.seal_news(said).unwrap() } else { handles.seal_answer(said) };
    read(said.bytes())
}

fn result(handles: &ServerHandles, result: Value) -> Value {
    told(handles, json!({ "jsonrpc": "2.0", "id": 9, "result": result }))["result"].take()
}

#[test]
fn a_state_comes_back_with_its_request() {
    let house = House::build();
    let call = |who: &str, message: &str, state: Value| {
        let params = json!({ "name": "t", "arguments": { "message": message }, "requestState": state });
        house.of(who, "tools/call", params)
    };
    let long = "s".repeat(20_000);
    let given =
        result(&call("alice", "m", json!(null)), json!({ "requestState": long, "inputRequests": {} }));
    let state = &given["requestState"];
    assert_eq!(sent(&mut call("alice", "m", state.clone())).unwrap()["requestState"], long);
    let unknown = sent(&mut call("alice", "m", json!("unknown"))).unwrap_err();
    assert_eq!(unknown["error"]["data"]["reason"], "invalid_request_state");
    for mut foreign in
        [call("bob", "m", state.clone()), call("alice", "n", state.clone()), call("alice", "m", json!(1))]
    {
        assert_eq!(sent(&mut foreign).unwrap_err(), unknown);
    }
    let done = json!({ "resultType": "complete", "structuredContent": { "requestState": "x" } });
    assert_eq!(result(&call("alice", "m", json!(null)), done.clone()), done);
    let other = house.of("alice", "tools/list", json!({ "requestState": "theirs" }));
    assert_eq!(result(&other, json!({ "requestState": "x" })), json!({ "requestState": "x" }));
}

#[test]
fn a_task_has_the_name_that_its_client_knows() {
    let house = House::build();
    let made = result(
        &house.of("alice", "tools/call", json!({ "name": "t" })),
        json!({ "taskId": "T", "ttlMs": 60_000 }),
    );
    let name = made["taskId"].as_str().unwrap();
    assert_ne!(name, "T");
    let mut look = house.of("alice", "tasks/get", json!({ "taskId": name }));
    assert_eq!(sent(&mut look).unwrap(), json!({ "taskId": "T" }));
    assert_eq!(result(&look, json!({ "taskId": "T", "status": "working" }))["taskId"], name);
    for (who, id) in [("bob", name), ("alice", "T"), ("alice", "")] {
        let refusal = sent(&mut house.of(who, "tasks/get", json!({ "taskId": id }))).unwrap_err();
        assert_eq!(refusal, read(&unknown_task(b"1")), "{who} {id}");
    }
    let gone = result(
        &house.of("alice", "tools/call", json!({ "name": "t" })),
        json!({ "taskId": "T", "ttlMs": 0 }),
    );
    assert!(sent(&mut house.of("alice", "tasks/get", json!({ "taskId": gone["taskId"] }))).is_err());
    let long = house.of("alice", "tools/call", json!({ "name": "t" }));
    let said = json!({ "jsonrpc": "2.0", "id": 9, "result": { "taskId": "t".repeat(8_000) } });
    assert_eq!(told(&long, said)["error"]["data"]["reason"], "lane_unavailable");
    let news = json!({ "jsonrpc": "2.0", "method": "notifications/tasks", "params": { "taskId": "t".repeat(8_000) } });
    assert!(long.seal_news(McpMessage::parse(news.to_string().into()).unwrap()).is_none());
}

#[test]
fn a_listen_names_the_tasks_of_its_client() {
    let house = House::build();
    let task = |who: &str, id: &str| {
        let made = result(&house.of(who, "tools/call", json!({ "name": "t" })), json!({ "taskId": id }));
        made["taskId"].clone()
    };
    let (own, foreign) = (task("alice", "T"), task("bob", "U"));
    let named = json!({ "notifications": { "taskIds": [own, foreign, "V", 5], "toolsListChanged": true } });
    let mut listen = house.of("alice", "subscriptions/listen", named);
    assert_eq!(
        sent(&mut listen).unwrap()["notifications"],
        json!({ "taskIds": ["T"], "toolsListChanged": true })
    );
    let news = |method: &str, params: Value| {
        told(&listen, json!({ "jsonrpc": "2.0", "method": method, "params": params }))["params"].take()
    };
    assert_eq!(news("notifications/tasks", json!({ "taskId": "T" }))["taskId"], own);
    let granted = json!({ "notifications": { "taskIds": ["T"] } });
    let told = news("notifications/subscriptions/acknowledged", granted);
    assert_eq!(told["notifications"]["taskIds"], json!([own]));
}

#[test]
fn only_what_may_name_one_is_opened() {
    let named = |method: &str, params: &str| {
        let text = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#);
        may_name(&McpMessage::parse(text.into()).unwrap())
    };
    assert!(named("tools/call", r#"{"name":"t","requ\u0065stState":1}"#), "escapes hide nothing");
    assert!(named("tasks/cancel", "{}") && named("subscriptions/listen", "{}"));
    assert!(!named("tools/call", r#"{"name":"t","arguments":{"requestState":1}}"#));
    assert!(!named("tools/list", r#"{"requestState":1}"#));
}
