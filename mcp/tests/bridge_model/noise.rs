//! Any bytes are a script, and no peer, however strange, makes a machine break its promises.

use omcp_mcp::bridge::replay;
use proptest::prelude::*;

const META: &str = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{"elicitation":{"url":{},"form":{}},"roots":{}},"progressToken":1}"#;
/// Of a client that can look at tasks.
const ABLE: &str = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{"elicitation":{},"roots":{},"extensions":{"io.modelcontextprotocol/tasks":{}}}}"#;

/// Small numbers, so that scripts often speak of what exists.
fn number() -> impl Strategy<Value = u64> {
    0..12_u64
}

fn result() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("{}".to_owned()),
        Just("[]".to_owned()),
        Just(r#"{"protocolVersion":"2025-11-25","capabilities":{"logging":{},"resources":{"subscribe":true},"tools":{"listChanged":true},"tasks":{"requests":{"tools":{"call":{}}}}}}"#.to_owned()),
        Just(r#"{"supportedVersions":["2026-07-28"],"capabilities":{"logging":{},"resources":{"subscribe":true},"tools":{"listChanged":true}}}"#.to_owned()),
        Just(r#"{"resultType":"input_required","requestState":"s","inputRequests":{"a":{"method":"roots/list"},"b":{"method":"elicitation/create","params":{"mode":"url","url":"u","message":"m"}}}}"#.to_owned()),
        Just(r#"{"resultType":"input_required","requestState":"s"}"#.to_owned()),
        Just(r#"{"resultType":"task","taskId":"T","status":"working"}"#.to_owned()),
        Just(r#"{"task":{"taskId":"T","status":"working","statusMessage":"x"}}"#.to_owned()),
        Just(r#"{"taskId":"T","status":"input_required","inputRequests":{"c":{"method":"roots/list"}}}"#.to_owned()),
        Just(r#"{"taskId":"T","status":"completed","result":{}}"#.to_owned()),
        Just(r#"{"taskId":"T","status":"failed","error":{"code":1,"message":"x"}}"#.to_owned()),
        Just(r#"{"taskId":"T","status":"failed"}"#.to_owned()),
        Just(r#"{"taskId":"T","status":"cancelled","ttl":null}"#.to_owned()),
        Just(r#"{"tools":[{"name":"t","execution":{"taskSupport":"optional"}}],"nextCursor":"2"}"#.to_owned()),
        Just(r#"{"tools":[{"name":"t","execution":{"taskSupport":"required"}}]}"#.to_owned()),
        Just(r#"{"roots":[]}"#.to_owned()),
        Just(r#"{"action":"accept"}"#.to_owned()),
    ]
}

fn response() -> impl Strategy<Value = String> {
    let id = prop_oneof![number().prop_map(|n| n.to_string()), number().prop_map(|n| format!(r#""s.{n}""#))];
    let error = prop_oneof![
        Just(r#"{"code":-32601,"message":"m"}"#.to_owned()),
        Just(r#"{"code":-32602,"message":"m"}"#.to_owned()),
        Just(r#"{"code":-32042,"message":"m","data":{"elicitations":[{"mode":"url","url":"u","message":"m"}]}}"#.to_owned()),
        Just(r#"{"code":-32021,"message":"m","data":{"requiredCapabilities":{"extensions":{"io.modelcontextprotocol/tasks":{}}}}}"#.to_owned()),
        Just(r#"{"code":-32022,"message":"m"}"#.to_owned()),
    ];
    let body = prop_oneof![
        4 => result().prop_map(|result| format!(r#""result":{result}"#)),
        1 => error.prop_map(|error| format!(r#""error":{error}"#)),
    ];
    (id, body).prop_map(|(id, body)| format!(r#"{{"jsonrpc":"2.0","id":{id},{body}}}"#))
}

fn call() -> impl Strategy<Value = String> {
    let method = prop_oneof![
        Just("tools/call"),
        Just("tools/call"),
        Just("resources/read"),
        Just("tools/list"),
        Just("initialize"),
        Just("server/discover"),
        Just("subscriptions/listen"),
        Just("resources/subscribe"),
        Just("resources/unsubscribe"),
        Just("logging/setLevel"),
        Just("ping"),
        Just("tasks/get"),
        Just("tasks/get"),
        Just("tasks/update"),
        Just("tasks/cancel"),
        Just("tasks/result"),
        Just("x/y"),
    ];
    let more = prop_oneof![
        Just(r#""name":"t","uri":"u","level":"debug","#.to_owned()),
        Just(
            r#""notifications":{"toolsListChanged":true,"resourceSubscriptions":["u","v"],"taskIds":["2","4","5","7"]},"uri":"v","#
                .to_owned()
        ),
        Just(r#""name":"t","requestState":"s","inputResponses":{},"#.to_owned()),
        Just(r#""name":"t","task":{"ttl":5},"#.to_owned()),
        Just(r#""taskId":"=T","#.to_owned()),
        number().prop_map(|task| format!(
            r#""taskId":"{task}","inputResponses":{{"r1":{{"action":"accept"}},"s.2":{{"roots":[]}}}},"#
        )),
        Just(String::new()),
    ];
    (number(), method, more, prop_oneof![Just(META), Just(ABLE)]).prop_map(|(id, method, more, meta)| {
        format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{{{more}{meta}}}}}"#)
    })
}

fn question() -> impl Strategy<Value = String> {
    let method = prop_oneof![
        Just(r#""elicitation/create","params":{"message":"m"}"#),
        Just(
            r#""elicitation/create","params":{"message":"m","_meta":{"io.modelcontextprotocol/related-task":{"taskId":"T"}}}"#
        ),
        Just(r#""elicitation/create","params":{"mode":"url","url":"u","message":"m"}"#),
        Just(r#""sampling/createMessage","params":{}"#),
        Just(r#""roots/list""#),
        Just(r#""ping""#),
        Just(r#""x/y""#),
    ];
    (number(), method).prop_map(|(id, method)| format!(r#"{{"jsonrpc":"2.0","id":{id},"method":{method}}}"#))
}

fn notice() -> impl Strategy<Value = String> {
    let status = prop_oneof![
        Just("working"),
        Just("input_required"),
        Just("completed"),
        Just("failed"),
        Just("cancelled")
    ];
    let news = status.prop_map(|status| {
        format!(r#"{{"jsonrpc":"2.0","method":"notifications/tasks/status","params":{{"taskId":"T","status":"{status}"}}}}"#)
    });
    prop_oneof![3 => plain_notice(), 1 => news]
}

fn plain_notice() -> impl Strategy<Value = String> {
    (number(), prop_oneof![
        Just("notifications/progress"), Just("notifications/message"), Just("notifications/cancelled"),
        Just("notifications/tools/list_changed"), Just("notifications/resources/updated"),
        Just("notifications/subscriptions/acknowledged"), Just("notifications/x"),
    ]).prop_map(|(n, method)| format!(
        r#"{{"jsonrpc":"2.0","method":"{method}","params":{{"progressToken":{n},"requestId":{n},"level":"info","uri":"u/x","notifications":{{"resourceSubscriptions":["u"]}}}}}}"#
    ))
}

fn line() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => (0..40_u64, call()).prop_map(|(n, call)| format!("c{n} {call}")),
        4 => response().prop_map(|sent| format!("u {sent}")),
        4 => (number(), response()).prop_map(|(n, sent)| format!("u{n} {sent}")),
        2 => response().prop_map(|sent| format!("r {sent}")),
        2 => question().prop_map(|sent| format!("u {sent}")),
        2 => notice().prop_map(|sent| format!("u {sent}")),
        1 => (number(), notice()).prop_map(|(n, sent)| format!("u{n} {sent}")),
        1 => notice().prop_map(|sent| format!("n {sent}")),
        1 => (0..40_u64).prop_map(|n| format!("g{n}")),
        1 => number().prop_map(|n| format!("l{n}")),
        2 => Just("t".to_owned()),
        1 => prop_oneof![Just("o".to_owned()), Just("x".to_owned())],
        1 => Just("e".to_owned()),
    ]
}

const HANDSHAKE: &str = r#"u {"jsonrpc":"2.0","id":1,"result":{"protocolVersion":"2025-11-25","capabilities":{"logging":{},"resources":{"subscribe":true},"tools":{"listChanged":true},"tasks":{"requests":{"tools":{"call":{}}}}}}}"#;
const DISCOVERY: &str = r#"c99 {"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{"roots":{},"elicitation":{"url":{}}}}}
u1 {"jsonrpc":"2.0","id":1,"result":{"supportedVersions":["2026-07-28"],"capabilities":{"logging":{},"resources":{"subscribe":true},"tools":{"listChanged":true},"extensions":{"io.modelcontextprotocol/tasks":{}}}}}"#;

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn strange_peers(lines in proptest::collection::vec(line(), 0..50), opened in any::<bool>()) {
        let opening = |text: &str| if opened { format!("{text}\n") } else { String::new() };
        let script = lines.join("\n");
        let _ = replay::lane(format!("{}{script}", opening(HANDSHAKE)).as_bytes());
        let _ = replay::session(format!("{}{script}", opening(DISCOVERY)).as_bytes());
    }

    #[test]
    fn any_bytes(script in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = replay::lane(&script);
        let _ = replay::session(&script);
    }
}
