use super::*;

mod differential;

fn scan(text: &str) -> Result<Envelope, ScanError> {
    Envelope::scan(text.as_bytes(), &ScanLimits::default())
}

fn kind_of(text: &str) -> ScanErrorKind {
    scan(text).expect_err(text).kind
}

const MODERN_CALL: &str = r#"{
  "jsonrpc": "2.0", "id": "a\u0062", "method": "tools/call",
  "params": {
    "name": "get_weather", "arguments": {"location": "Seattle"}, "request\u0053tate": "s",
    "_meta": {
      "progressToken": 17,
      "io.modelcontextprotocol/protocolVersion": "2026-07-28",
      "io.modelcontextprotocol/clientInfo": {"name": "c", "version": "1"},
      "io.modelcontextprotocol/clientCapabilities": {"sampling": {}},
      "io.modelcontextprotocol/logLevel": "info"
    }
  }
}"#;

#[test]
fn a_modern_call_shows_all_its_parts() {
    let bytes = MODERN_CALL.as_bytes();
    let envelope = scan(MODERN_CALL).unwrap();
    let at = |range: Option<Range<usize>>| &MODERN_CALL[range.unwrap()];
    assert_eq!(envelope.kind(), Kind::Request);
    assert_eq!(envelope.method(bytes), Some("tools/call"));
    assert_eq!(at(envelope.method_range()), r#""tools/call""#);
    assert_eq!(envelope.id(bytes), Some(&br#""a\u0062""#[..]));
    assert_eq!(envelope.target(bytes).unwrap(), "get_weather");
    assert_eq!(at(envelope.target_range()), r#""get_weather""#);
    assert_eq!(at(envelope.arguments_range()), r#"{"location": "Seattle"}"#);
    assert_eq!(at(envelope.request_state_range()), r#""s""#);
    assert_eq!(envelope.progress_token(bytes), Some(&b"17"[..]));
    assert_eq!(envelope.protocol_version(bytes).unwrap(), "2026-07-28");
    assert_eq!(at(envelope.client_capabilities_range()), r#"{"sampling": {}}"#);
    assert_eq!(at(envelope.client_info_range()), r#"{"name": "c", "version": "1"}"#);
    assert_eq!(envelope.log_level(bytes).unwrap(), "info");
    assert!(at(envelope.meta_range()).starts_with("{\n      \"progressToken\""));
    assert!(at(envelope.params_range()).ends_with("}\n  }"));
    assert!(envelope.has_raw_newline());
    assert_eq!((envelope.result_range(), envelope.error_code()), (None, None));
}

#[test]
fn responses_and_errors_show_theirs() {
    let text = r#"{"jsonrpc":"2.0","id":1.0,"result":{"resultType":"complete","content":[],
        "_meta":{"io.modelcontextprotocol/subscriptionId":"s"}}}"#;
    let envelope = scan(text).unwrap();
    assert_eq!((envelope.kind(), envelope.id(text.as_bytes())), (Kind::Response, Some(&b"1.0"[..])));
    assert_eq!(envelope.result_type(text.as_bytes()).unwrap(), "complete");
    assert_eq!(&text[envelope.subscription_id_range().unwrap()], "\"s\"");
    assert!(text[envelope.result_meta_range().unwrap()].starts_with("{\"io."));

    let text = r#"{"error":{"message":"m","code":-32601,"data":{"code":1}},"jsonrpc":"2.0","id":null}"#;
    let envelope = scan(text).unwrap();
    assert_eq!((envelope.kind(), envelope.error_code()), (Kind::Error, Some(-32601)));
    assert_eq!(envelope.id_range(), None);
    assert!(text[envelope.error_range().unwrap()].starts_with("{\"message\""));
}

#[test]
fn notifications_show_whom_they_are_about() {
    let text = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"x"}}"#;
    let envelope = scan(text).unwrap();
    assert_eq!(envelope.kind(), Kind::Notification);
    assert_eq!(envelope.request_id_param(text.as_bytes()), Some(&b"\"x\""[..]));

    let text =
        r#"{"params":{"progressToken":"t","progress":1},"jsonrpc":"2.0","method":"notifications/progress"}"#;
    assert_eq!(scan(text).unwrap().progress_token(text.as_bytes()), Some(&b"\"t\""[..]));
    let text = r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"progressToken":"t"}}"#;
    assert_eq!(scan(text).unwrap().progress_token_range(), None);
}

#[test]
fn the_target_depends_on_the_method() {
    for (method, want) in [
        ("tools/call", Some("n")),
        ("prompts/get", Some("n")),
        (r"tools\/call", Some("n")),
        ("resources/read", Some("u/ü")),
        ("resources/subscribe", Some("u/ü")),
        ("resources/unsubscribe", Some("u/ü")),
        ("tasks/get", Some("t")),
        ("tasks/update", Some("t")),
        ("tasks/cancel", Some("t")),
        ("tasks/result", Some("t")),
        ("tools/list", None),
    ] {
        let text = format!(
            r#"{{"params":{{"name":"n","uri":"u\/ü","taskId":"t"}},"jsonrpc":"2.0","id":1,"method":"{method}"}}"#
        );
        assert_eq!(scan(&text).unwrap().target(text.as_bytes()).as_deref(), want, "{method}");
    }
    let text = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":5}}"#;
    assert_eq!(scan(text).unwrap().target(text.as_bytes()), None);
}

#[test]
fn escapes_hide_nothing() {
    let text = r#"{"\u006asonrpc":"2.\u0030","\u0069d":1,"\u006dethod":"tools\/call",
        "\u0070arams":{"n\u0061me":"\u0078","_m\u0065ta":{"progress\u0054oken":3}}}"#;
    let envelope = scan(text).unwrap();
    assert_eq!(envelope.method(text.as_bytes()), Some("tools/call"));
    assert_eq!(envelope.target(text.as_bytes()).unwrap(), "x");
    assert_eq!(envelope.progress_token(text.as_bytes()), Some(&b"3"[..]));
}

/// Messages that two parsers could read differently. Every one is refused.
#[test]
fn smuggled_members_are_refused() {
    for text in [
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","method":"tools/call"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","\u006dethod":"tools/call"}"#,
        r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"a"}"#,
        r#"{"jsonrpc":"2.0","jsonrpc":"2.0","id":1,"method":"a"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"a","params":{},"params":{}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"a","x":1,"x":2}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","name":"b"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","n\u0061me":"b"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"a","params":{"_meta":{},"_meta":{}}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"a","params":{"_meta":{"progressToken":1,"progressToken":2}}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"a","params":{"_meta":{"x":1,"\u0078":2}}}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{},"result":{}}"#,
    ] {
        let error = scan(text).expect_err(text);
        assert_eq!((error.kind, error.code()), (ScanErrorKind::DuplicateKey, -32600), "{text}");
    }
    // Exact case: these members are other members.
    let text = r#"{"jsonrpc":"2.0","id":1,"method":"a","Method":"b","ID":2,"PARAMS":{"name":"x"}}"#;
    let envelope = scan(text).unwrap();
    assert_eq!((envelope.method(text.as_bytes()), envelope.params_range()), (Some("a"), None));
}

#[test]
fn duplicates_are_found_among_many_names() {
    let names = |count: usize| (0..count).map(|n| format!(r#""k{n}":0,"#)).collect::<String>();
    for (count, repeat, fine) in
        [(40, "k3", false), (40, "k39", false), (16, "k15", false), (40, "k40", true), (15, "k15", true)]
    {
        let text = format!(r#"{{"jsonrpc":"2.0","method":"a","params":{{{}"{repeat}":0}}}}"#, names(count));
        assert_eq!(scan(&text).is_ok(), fine, "{repeat} after {count}");
    }
}

#[test]
fn what_is_called_id_twice_elsewhere_leaves_the_id() {
    for text in [
        r#"{"jsonrpc":"2.0","id":7,"method":"a","params":{"id":0,"id":0}}"#,
        r#"{"jsonrpc":"2.0","id":7,"method":"a","params":{"_meta":{"id":0,"\u0069d":0}}}"#,
    ] {
        let error = scan(text).expect_err(text);
        assert_eq!((error.kind, &text[error.id.unwrap()]), (ScanErrorKind::DuplicateKey, "7"), "{text}");
    }
    let text = r#"{"jsonrpc":"2.0","id":7,"id":7,"method":"a"}"#;
    assert_eq!(scan(text).expect_err(text).id, None);
}

#[test]
fn deeper_duplicates_are_the_business_of_the_backend() {
    let text = r#"{"jsonrpc":"2.0","id":1,"method":"a","params":{"arguments":{"x":1,"x":2}}}"#;
    assert!(scan(text).is_ok());
}

#[test]
fn shapes_that_are_no_message() {
    for text in [
        r#"{"id":1,"method":"a"}"#,
        r#"{"jsonrpc":"1.0","id":1,"method":"a"}"#,
        r#"{"jsonrpc":2.0,"id":1,"method":"a"}"#,
        r#"{"jsonrpc":"2.0","id":null,"method":"a"}"#,
        r#"{"jsonrpc":"2.0","id":true,"method":"a"}"#,
        r#"{"jsonrpc":"2.0","id":{},"method":"a"}"#,
        r#"{"jsonrpc":"2.0","id":[1],"method":"a"}"#,
        r#"{"jsonrpc":"2.0","id":1.5,"method":"a"}"#,
        r#"{"jsonrpc":"2.0","id":1e2,"method":"a"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":7}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":null}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"a","params":[]}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"a","params":"x"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"a","result":{}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"a","error":{}}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{}}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{},"error":null}"#,
        r#"{"jsonrpc":"2.0","result":{}}"#,
        r#"{"jsonrpc":"2.0","id":null,"result":{}}"#,
        r#"{"jsonrpc":"2.0","id":1,"error":"no"}"#,
        r#"{"jsonrpc":"2.0","id":1}"#,
        "{}",
        "1",
        "\"{}\"",
        "null",
    ] {
        assert_eq!(kind_of(text), ScanErrorKind::NotJsonRpc, "{text}");
    }
}

#[test]
fn ids_keep_their_spelling() {
    for id in ["1", "1.0", "1.000", "-7", "0", "-0", "99999999999999999999999", "\"\"", "\"1\"", "\"\\\"\""] {
        let text = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"a","params":null}}"#);
        assert_eq!(scan(&text).unwrap().id(text.as_bytes()), Some(id.as_bytes()));
    }
    let long = format!(r#"{{"jsonrpc":"2.0","id":"{}","method":"a"}}"#, "x".repeat(ID_LEN_MAX));
    assert_eq!(kind_of(&long), ScanErrorKind::NotJsonRpc);
}

#[test]
fn equal_ids_have_one_canonical_spelling() {
    for (raw, want) in [
        ("1", "1"),
        ("1.0", "1"),
        ("-3.00", "-3"),
        (r#""a""#, r#""a""#),
        (r#""\u0061""#, r#""a""#),
        (r#""a\/b""#, r#""a/b""#),
        (r#""1.0""#, r#""1.0""#),
        (r#""\"""#, r#""\"""#),
    ] {
        assert_eq!(canonical_id(raw.as_bytes()), want.as_bytes(), "{raw}");
    }
}

#[test]
fn the_id_of_a_refusal_is_given_only_if_it_is_one() {
    for (text, id) in [
        (r#"{"jsonrpc":"1.0","id":1,"method":"a"}"#, Some("1")),
        (r#"{"jsonrpc":"2.0","method":5,"id":"x"}"#, Some("\"x\"")),
        (r#"{"jsonrpc":"2.0","id":1,"method":"a","params":{"x":1,"x":1}}"#, Some("1")),
        (r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"a"}"#, None),
        (r#"{"jsonrpc":"2.0","id":1,"id":true,"method":"a"}"#, None),
        (r#"{"jsonrpc":"2.0","id":null,"method":"a"}"#, None),
        (r#"{"jsonrpc":"2.0","id":1.5,"method":"a"}"#, None),
        (r#"{"jsonrpc":"2.0","id":1,"method":"a""#, None),
    ] {
        let error = scan(text).expect_err(text);
        assert_eq!(error.id.map(|id| &text[id]), id, "{text}");
    }
}

#[test]
fn text_that_is_no_json_outranks_what_it_means() {
    for (text, kind) in [
        ("", ScanErrorKind::Empty),
        (" \r\n\t", ScanErrorKind::Empty),
        ("{", ScanErrorKind::NotJson),
        ("{}x", ScanErrorKind::NotJson),
        ("{} {}", ScanErrorKind::NotJson),
        ("\u{FEFF}{}", ScanErrorKind::NotJson),
        (r#"{"jsonrpc":"1.0","x":1,"x":01}"#, ScanErrorKind::NotJson),
        (r#"{"a":"\ud800"}"#, ScanErrorKind::NotJson),
        (r#"{"a":"\ud800\u0041"}"#, ScanErrorKind::NotJson),
        (r#"{"a":"\udc00"}"#, ScanErrorKind::NotJson),
        (r#"{"a":"\x"}"#, ScanErrorKind::NotJson),
        ("{\"a\":\"\n\"}", ScanErrorKind::NotJson),
        ("{\"a\":\"\0\"}", ScanErrorKind::NotJson),
        ("{'a':1}", ScanErrorKind::NotJson),
        ("{\"a\":1,}", ScanErrorKind::NotJson),
        ("[1,2", ScanErrorKind::NotJson),
        ("[1,2] ", ScanErrorKind::BatchArray),
        ("[]", ScanErrorKind::BatchArray),
        ("\u{a0}{}", ScanErrorKind::NotJson),
    ] {
        assert_eq!(kind_of(text), kind, "{text:?}");
    }
    let error = Envelope::scan(b"{\"a\":\"\xFF\"}", &ScanLimits::default()).unwrap_err();
    assert_eq!((error.kind, error.offset, error.code()), (ScanErrorKind::NotUtf8, 6, -32700));
}

#[test]
fn controls_are_found_at_every_place_of_long_strings() {
    for len in [0, 5, 8, 63, 64, 65, 200] {
        for control in ['\n', '\0', '\u{1F}'] {
            for tail in [0, 1, 9, 100] {
                let text = format!("{{\"a\":\"{}{control}{}\"}}", "x".repeat(len), "é".repeat(tail));
                let error = scan(&text).expect_err(&text);
                assert_eq!((error.kind, error.offset), (ScanErrorKind::NotJson, 6 + len), "{text:?}");
            }
        }
    }
}

#[test]
fn an_answer_may_hold_half_a_surrogate_pair() {
    assert!(
        scan(r#"{"jsonrpc":"2.0","id":1,"result":{"text":"\ud83d","\ud83d":"\udc00 \ud800\ud800"}}"#).is_ok()
    );
    assert!(scan(r#"{"jsonrpc":"2.0","id":1,"result":{"text":"\ud83"}}"#).is_err());
    assert!(scan(r#"{"jsonrpc":"2.0","id":1,"method":"a","params":{"text":"\ud83d"}}"#).is_err());
}

#[test]
fn depth_and_members_are_bounded() {
    let nested = |levels: usize| {
        format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"a","params":{{"x":{}{}}}}}"#,
            "[".repeat(levels),
            "]".repeat(levels)
        )
    };
    assert!(scan(&nested(126)).is_ok());
    let error = scan(&nested(127)).unwrap_err();
    assert_eq!((error.kind, error.code(), error.id.is_some()), (ScanErrorKind::TooDeep, -32600, true));
    let unlimited = ScanLimits { max_depth: usize::MAX, ..ScanLimits::default() };
    let error = Envelope::scan(nested(1_000_000).as_bytes(), &unlimited).unwrap_err();
    assert_eq!(error.kind, ScanErrorKind::TooDeep);

    let limits = ScanLimits { max_members: 4, ..ScanLimits::default() };
    let check = |text: &str| Envelope::scan(text.as_bytes(), &limits).map_err(|error| error.kind).err();
    let params =
        |params: &str| format!(r#"{{"jsonrpc":"2.0","id":1,"method":"a","params":{{"x":{params}}}}}"#);
    assert_eq!(check(&params("[1,2,3,4]")), None);
    assert_eq!(check(&params("[1,2,3,4,5]")), Some(ScanErrorKind::TooMany));
    assert_eq!(check(&params(r#"{"a":1,"b":1,"c":1,"d":1,"e":1}"#)), Some(ScanErrorKind::TooMany));
    assert_eq!(check(r#"{"jsonrpc":"2.0","id":1,"result":{"x":[1,2,3,4,5,6]}}"#), None);
    assert_eq!(check(r#"{"jsonrpc":"2.0","id":1,"result":1,"a":1,"b":1}"#), Some(ScanErrorKind::TooMany));
}

#[test]
fn newlines_between_tokens_are_noticed() {
    for (text, raw) in [
        (r#"{"jsonrpc":"2.0","method":"a\n"}"#.to_string(), false),
        ("{\"jsonrpc\":\"2.0\",\"method\":\"a\"}\n".to_string(), true),
        ("{\"jsonrpc\":\"2.0\",\"method\"\r:\"a\"}".to_string(), true),
        ("{\"jsonrpc\":\"2.0\",\"method\":\"a\",\"params\":{\"x\":[1,\n2]}}".to_string(), true),
        ("\n{\"jsonrpc\":\"2.0\",\"method\":\"a\"}".to_string(), true),
        ("{\"jsonrpc\":\"2.0\", \"method\":\t\"a\"}".to_string(), false),
    ] {
        assert_eq!(scan(&text).unwrap().has_raw_newline(), raw, "{text:?}");
        let compact = crate::splice::compact(text.as_bytes());
        assert!(!Envelope::scan(&compact, &ScanLimits::default()).unwrap().has_raw_newline());
    }
}

#[test]
fn messages_of_errors_say_what_and_where() {
    for (text, want) in [
        ("", "the message is empty"),
        ("[]", "batches are not accepted; send one message at a time"),
        ("{\"a\":01}", "the message is not valid JSON (at byte 6)"),
        (
            r#"{"jsonrpc":"2.0","id":true,"method":"a"}"#,
            "the message is not JSON-RPC 2.0: `id` must be a string or an integer (at byte 22)",
        ),
        (r#"{"a":1,"a":1}"#, "the message names a member twice (at byte 8)"),
    ] {
        assert_eq!(scan(text).unwrap_err().to_string(), want);
    }
}
