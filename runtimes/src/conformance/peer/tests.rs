use super::*;

fn hear(machine: &mut Machine, message: &Value) -> Vec<Action> {
    machine.hear(message.to_string().as_bytes())
}

fn call(machine: &mut Machine, id: u64, method: &str, params: Value) -> Vec<Action> {
    hear(machine, &json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }))
}

fn said(actions: &[Action]) -> Vec<Value> {
    let text = |action: &Action| match action {
        Action::Say { message, .. } => serde_json::from_str(message).unwrap(),
        other => json!(format!("{other:?}")),
    };
    actions.iter().map(text).collect()
}

#[test]
fn held_calls_are_answered_last_one_first() {
    let mut machine = Machine::new();
    assert!(call(&mut machine, 1, "kit/echo", json!({ "hold": 2, "n": 1 })).is_empty());
    let answers = said(&call(&mut machine, 2, "kit/echo", json!({ "hold": 2, "n": 2 })));
    assert_eq!((&answers[0]["id"], &answers[1]["id"]), (&json!(2), &json!(1)));
    assert_eq!(answers[1]["result"]["echo"]["n"], 1);
}

#[test]
fn a_large_answer_has_exactly_that_many_bytes() {
    for len in [100, 4096] {
        let [Action::Say { message, .. }] =
            &call(&mut Machine::new(), 7, "kit/large", json!({ "len": len }))[..]
        else {
            panic!("one answer")
        };
        assert_eq!(message.len(), len);
    }
}

#[test]
fn progress_comes_at_once_and_the_answer_when_it_may() {
    let mut machine = Machine::new();
    let params = json!({ "count": 2, "_meta": { "progressToken": "t" } });
    let progress = said(&call(&mut machine, 1, "kit/progress", params));
    assert_eq!((progress.len(), &progress[1]["params"]["progress"]), (2, &json!(2)));
    let go = hear(&mut machine, &json!({ "jsonrpc": "2.0", "method": "notifications/kit/go" }));
    assert_eq!(said(&go)[0]["id"], 1);
}

#[test]
fn a_question_is_answered_before_the_call_is() {
    let mut machine = Machine::new();
    let question = &said(&call(&mut machine, 1, "kit/ask", json!({ "question": "q" })))[0];
    let result = json!({ "jsonrpc": "2.0", "id": question["id"], "result": { "a": 1 } });
    assert_eq!(said(&hear(&mut machine, &result))[0]["result"]["said"], json!({ "a": 1 }));
}

#[test]
fn cancelled_calls_are_remembered() {
    let mut machine = Machine::new();
    assert!(call(&mut machine, 1, "kit/wait", json!({})).is_empty());
    let cancelled =
        json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": 1 } });
    assert_eq!(hear(&mut machine, &cancelled), [Action::Forget { call: json!(1) }]);
    assert_eq!(said(&call(&mut machine, 2, "kit/cancelled", json!({})))[0]["result"]["ids"], json!([1]));
}

#[test]
fn a_token_comes_first() {
    let right = json!({ "token": "t" });
    assert_eq!(said(&call(&mut Machine::guarded("t"), 1, AUTHENTICATE, right))[0]["result"], json!({}));
    for (method, params) in [(AUTHENTICATE, json!({ "token": "u" })), ("initialize", json!({}))] {
        let refusal = call(&mut Machine::guarded("t"), 1, method, params);
        assert_eq!((&said(&refusal)[0]["error"]["code"], &refusal[1]), (&json!(-32001), &Action::HangUp));
    }
}
