use serde_json::json;

use super::*;
use crate::bridge::message::Owned;

fn scan(value: &Value) -> Owned {
    Owned::scan(value.to_string()).unwrap()
}

fn result(method: &str, result: &Value, client: Revision) -> Option<Value> {
    let told = scan(&json!({ "jsonrpc": "2.0", "id": 1, "result": result }));
    let bytes = response(told.lend(), method, client)?;
    Some(serde_json::from_slice::<Value>(&bytes).unwrap()["result"].take())
}

#[test]
fn blocks_are_said_in_older_words() {
    let told = json!({ "content": [
        { "type": "audio", "data": "QUJD", "mimeType": "audio/wav" },
        { "type": "resource_link", "name": "log", "uri": "file:///log" },
        { "type": "text", "text": "t" },
    ], "structuredContent": { "a": 1 }, "isError": false });
    let audio = json!({ "type": "resource", "resource": { "uri": "about:audio", "mimeType": "audio/wav", "blob": "QUJD" } });
    let link = json!({ "type": "text", "text": "log: file:///log" });
    for (client, want) in [
        (Revision::V2024_11_05, Some(json!([audio, link, { "type": "text", "text": "t" }]))),
        (Revision::V2025_03_26, Some(json!([told["content"][0], link, { "type": "text", "text": "t" }]))),
        (Revision::V2025_06_18, None),
    ] {
        let found = result("tools/call", &told, client);
        assert_eq!(found.as_ref().map(|found| &found["content"]), want.as_ref(), "{client}");
        assert!(found.is_none_or(|found| found.get("structuredContent").is_none()));
    }
    let prompt = json!({ "messages": [{ "role": "user", "content": told["content"][1] }] });
    let found = result("prompts/get", &prompt, Revision::V2025_03_26).unwrap();
    assert_eq!(found["messages"][0], json!({ "role": "user", "content": link }));
}

#[test]
fn structured_content_leaves_words_behind() {
    for content in [json!(null), json!([]), json!([{ "type": "image" }])] {
        let mut told = json!({ "structuredContent": { "a": 1 } });
        if content.is_array() {
            told["content"] = content;
        }
        let found = result("tools/call", &told, Revision::V2025_03_26).unwrap();
        let last = found["content"].as_array().unwrap().last().unwrap().clone();
        assert_eq!(last, json!({ "type": "text", "text": r#"{"a":1}"# }));
    }
    let tools = json!({ "tools": [{ "name": "a", "outputSchema": { "type": "object" } }] });
    assert_eq!(
        result("tools/list", &tools, Revision::V2025_03_26).unwrap(),
        json!({ "tools": [{ "name": "a" }] })
    );
    assert_eq!(result("tools/list", &tools, Revision::V2025_06_18), None);
}

fn form(properties: Value) -> Question {
    let params = json!({ "message": "m", "requestedSchema": { "type": "object", "properties": properties } });
    Question::of_entry(json!({ "method": "elicitation/create", "params": params }).to_string().as_bytes())
        .unwrap()
}

#[test]
fn choices_become_plain_or_the_form_is_closed() {
    let titled = form(json!({ "z": { "type": "string", "title": "Z", "oneOf": [
        { "const": "a", "title": "A" }, { "const": "b" } ] }, "y": { "type": "boolean" } }));
    let Adapted::Ask(asked) = question(&titled, Revision::V2025_06_18) else { panic!("a question") };
    let params: Value = serde_json::from_slice(asked.params()).unwrap();
    let fields = &params["requestedSchema"]["properties"];
    assert_eq!(
        fields["z"],
        json!({ "type": "string", "title": "Z", "enum": ["a", "b"], "enumNames": ["A", "b"] })
    );
    assert_eq!(fields.as_object().unwrap().keys().collect::<Vec<_>>(), ["z", "y"], "order is the server's");
    assert_eq!(question(&titled, Revision::V2025_11_25), Adapted::Ask(titled.clone()));
    let many = form(json!({ "z": { "type": "array", "items": { "enum": ["a"] } } }));
    assert_eq!(question(&many, Revision::V2025_06_18), Adapted::Answered(CANCELLED));
}

#[test]
fn sampling_messages_hold_one_block() {
    let entry = json!({ "method": "sampling/createMessage", "params": { "messages": [
        { "role": "user", "content": [{ "type": "text", "text": "a" }] },
        { "role": "user", "content": [{ "type": "image" }, { "type": "text", "text": "b" }] },
        { "role": "user", "content": { "type": "audio", "mimeType": "audio/wav", "data": "" } },
        { "role": "user", "content": [] },
    ] } });
    let asked = Question::of_entry(entry.to_string().as_bytes()).unwrap();
    let Adapted::Ask(asked) = question(&asked, Revision::V2024_11_05) else { panic!("a question") };
    let params: Value = serde_json::from_slice(asked.params()).unwrap();
    let content: Vec<&Value> = params["messages"].as_array().unwrap().iter().map(|m| &m["content"]).collect();
    assert_eq!(
        content[..2],
        [&json!({ "type": "text", "text": "a" }), &json!({ "type": "text", "text": "b" })]
    );
    assert!(content[2]["text"].as_str().unwrap().contains("audio/wav"));
    assert_eq!(content[3], &json!({ "type": "text", "text": "" }));
}

#[test]
fn server_requests_pass_change_or_come_back() {
    let request = |params: Value| {
        scan(&json!({ "jsonrpc": "2.0", "id": 5, "method": "elicitation/create", "params": params }))
    };
    let nobody = ClientCapabilities::parse(b"{}");
    let url = request(json!({ "mode": "url", "url": "https://x", "message": "m" }));
    let Passed::Answered(back) = server_request(url.lend(), Revision::V2025_06_18, &nobody) else {
        panic!("an answer");
    };
    assert!(String::from_utf8_lossy(&back).contains("-32602"));
    assert_eq!(server_request(url.lend(), Revision::V2025_11_25, &nobody), Passed::Same);
    let plain = request(json!({ "message": "m", "requestedSchema": { "type": "object", "properties": {} } }));
    assert_eq!(server_request(plain.lend(), Revision::V2025_06_18, &nobody), Passed::Same);
    let titled = request(json!({ "message": "m", "requestedSchema": { "properties": {
        "a": { "oneOf": [{ "const": "x", "title": "X" }] } } } }));
    let Passed::Changed(sent) = server_request(titled.lend(), Revision::V2025_06_18, &nobody) else {
        panic!("a change");
    };
    let sent: Value = serde_json::from_slice(&sent).unwrap();
    assert_eq!(
        sent["params"]["requestedSchema"]["properties"]["a"],
        json!({ "enum": ["x"], "enumNames": ["X"] })
    );
    let many =
        request(json!({ "message": "m", "requestedSchema": { "properties": { "a": { "type": "array" } } } }));
    let Passed::Answered(back) = server_request(many.lend(), Revision::V2025_06_18, &nobody) else {
        panic!("an answer");
    };
    assert_eq!(back, &br#"{"jsonrpc":"2.0","id":5,"result":{"action":"cancel"}}"#[..]);
    let ping = scan(&json!({ "jsonrpc": "2.0", "id": 5, "method": "ping" }));
    assert_eq!(server_request(ping.lend(), Revision::V2024_11_05, &nobody), Passed::Same);
}

#[test]
fn older_servers_get_what_they_know() {
    let complete = scan(&json!({ "jsonrpc": "2.0", "id": 1, "method": "completion/complete", "params": {
        "ref": {}, "context": { "arguments": {} } } }));
    let sent = client_request(complete.lend(), Revision::V2025_03_26).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&sent).unwrap()["params"], json!({ "ref": {} }));
    assert_eq!(client_request(complete.lend(), Revision::V2025_06_18), None);

    let answer = |content: Value| {
        scan(
            &json!({ "jsonrpc": "2.0", "id": 1, "result": { "role": "assistant", "model": "m", "content": content } }),
        )
    };
    let text = json!({ "type": "text", "text": "t" });
    for (content, want) in [
        (json!([text]), Some(text.clone())),
        (json!([{ "type": "image" }, text]), Some(text.clone())),
        (text.clone(), None),
    ] {
        let sent = client_answer(answer(content).lend(), Revision::V2025_06_18);
        let found =
            sent.map(|sent| serde_json::from_slice::<Value>(&sent).unwrap()["result"]["content"].take());
        assert_eq!(found, want);
    }
    assert_eq!(client_answer(answer(json!([text])).lend(), Revision::V2025_11_25), None);
}

#[test]
fn an_error_that_wants_the_user_at_a_page_becomes_words() {
    let told = scan(&json!({ "jsonrpc": "2.0", "id": 1, "error": { "code": -32042, "message": "m", "data": {
        "elicitations": [{ "mode": "url", "url": "https://x", "message": "Log in" }] } } }));
    let able = ClientCapabilities::parse(br#"{"elicitation":{"url":{}}}"#);
    assert_eq!(error(told.lend(), Revision::V2025_11_25, &able), None);
    for (client, declared) in
        [(Revision::V2025_06_18, &able), (Revision::V2025_11_25, &ClientCapabilities::default())]
    {
        let text = String::from_utf8(error(told.lend(), client, declared).unwrap().to_vec()).unwrap();
        assert!(text.contains("Log in: https://x") && text.contains(r#""isError":true"#), "{text}");
    }
}
