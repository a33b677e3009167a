//! Bodies that are no message.

/// What is no JSON at all: -32700, and no id.
pub fn not_json() -> Vec<(String, Vec<u8>)> {
    let whole = r#"{"jsonrpc":"2.0","id":77,"method":"ping"}"#;
    let mut texts: Vec<(String, Vec<u8>)> = [
        "",
        " ",
        "{",
        "}",
        "nonsense",
        "{'jsonrpc':'2.0'}",
        "NaN",
        "{\"jsonrpc\":\"2.0\",}",
        "{\"a\":01}",
        "{\"a\":+1}",
        "{\"a\":.5}",
        "{\"a\":1.}",
        "{\"a\":0x1}",
        "{\"a\":Infinity}",
        "{\"a\" 1}",
        "{a:1}",
        "{\"a\":\"\\x\"}",
        "{\"a\":\"\\u12\"}",
        "{\"a\":tru}",
        "{\"a\":\"b}",
        "// comment\n{}",
        "\u{feff}{}",
        "{\"a\":\"line\nbreak\"}",
        "{\"a\":\"tab\there\"}",
        "{\"a\":\"\u{1}\"}",
        "[1,2",
        "{\"jsonrpc\":\"2.0\",\"id\":77,\"method\":\"ping\"",
    ]
    .iter()
    .map(|text| (format!("{text:?}"), text.as_bytes().to_vec()))
    .collect();
    for (name, bytes) in [
        ("not UTF-8", &b"{\"jsonrpc\":\"2.0\",\"id\":77,\"method\":\"\xff\xfe\"}"[..]),
        ("an overlong slash", b"{\"jsonrpc\":\"2.0\",\"id\":77,\"method\":\"a\xc0\xafb\"}"),
        ("a bare surrogate", b"{\"jsonrpc\":\"2.0\",\"id\":77,\"method\":\"\xed\xa0\x80\"}"),
        ("a cut character", b"{\"jsonrpc\":\"2.0\",\"id\":77,\"method\":\"\xe2\x82\"}"),
        ("zeroes", b"\0\0\0\0"),
        ("gzip", b"\x1f\x8b\x08\x00\x00\x00\x00\x00"),
        ("UTF-16", b"{\0}\0"),
    ] {
        texts.push((name.to_owned(), bytes.to_vec()));
    }
    // What a pipe would take for two messages.
    for (name, text) in [
        ("two lines", format!("{whole}\n{whole}")),
        ("two on a line", format!("{whole}{whole}")),
        ("a tail", format!("{whole} x")),
        ("a line end inside a text", whole.replace("ping", "pi\nng")),
        ("a carriage return inside a text", whole.replace("ping", "pi\rng")),
    ] {
        texts.push((name.to_owned(), text.into_bytes()));
    }
    texts
}

/// JSON that is no JSON-RPC 2.0: -32600, with the id if there is a readable one.
pub fn not_json_rpc() -> Vec<(String, Vec<u8>)> {
    let mut texts: Vec<String> = [
        "1",
        "\"ping\"",
        "null",
        "true",
        "{}",
        "{\"id\":77}",
        "{\"method\":\"ping\"}",
        "{\"id\":77,\"method\":\"ping\"}",
        "{\"jsonrpc\":\"1.0\",\"id\":77,\"method\":\"ping\"}",
        "{\"jsonrpc\":2.0,\"id\":77,\"method\":\"ping\"}",
        "{\"jsonrpc\":null,\"id\":77,\"method\":\"ping\"}",
        "{\"jsonrpc\":\"2.0\",\"id\":77}",
        "{\"jsonrpc\":\"2.0\",\"id\":77,\"method\":1}",
        "{\"jsonrpc\":\"2.0\",\"id\":77,\"method\":null}",
        "{\"jsonrpc\":\"2.0\",\"id\":77,\"method\":{}}",
        "{\"jsonrpc\":\"2.0\",\"id\":77,\"method\":\"ping\",\"params\":[]}",
        "{\"jsonrpc\":\"2.0\",\"id\":77,\"method\":\"ping\",\"params\":1}",
        "{\"jsonrpc\":\"2.0\",\"id\":77,\"method\":\"ping\",\"params\":\"x\"}",
        "{\"jsonrpc\":\"2.0\",\"id\":77,\"result\":{},\"error\":{\"code\":1,\"message\":\"x\"}}",
        "{\"jsonrpc\":\"2.0\",\"result\":{}}",
    ]
    .map(str::to_owned)
    .to_vec();
    for id in ["null", "true", "{}", "[]", "1.5", "[1]", "-0.1"] {
        texts.push(format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"ping\"}}"));
    }
    texts.into_iter().map(|text| (text.clone(), text.into_bytes())).collect()
}

/// What two readers could understand differently, or never finish reading: -32600.
pub fn ambiguous() -> Vec<(String, Vec<u8>)> {
    let request = |params: &str| {
        format!("{{\"jsonrpc\":\"2.0\",\"id\":77,\"method\":\"tools/call\",\"params\":{params}}}")
    };
    let mut texts = vec![
        (
            "jsonrpc twice",
            "{\"jsonrpc\":\"2.0\",\"jsonrpc\":\"2.0\",\"id\":77,\"method\":\"ping\"}".to_owned(),
        ),
        ("id twice", "{\"jsonrpc\":\"2.0\",\"id\":77,\"id\":78,\"method\":\"ping\"}".to_owned()),
        (
            "method twice",
            "{\"jsonrpc\":\"2.0\",\"id\":77,\"method\":\"ping\",\"method\":\"tools/call\"}".to_owned(),
        ),
        (
            "method twice, spelled differently",
            "{\"jsonrpc\":\"2.0\",\"id\":77,\"method\":\"ping\",\"\\u006dethod\":\"x\"}".to_owned(),
        ),
        (
            "params twice",
            "{\"jsonrpc\":\"2.0\",\"id\":77,\"method\":\"ping\",\"params\":{},\"params\":{}}".to_owned(),
        ),
        ("name twice", request("{\"name\":\"echo\",\"name\":\"die\"}")),
        ("name twice, spelled differently", request("{\"name\":\"echo\",\"n\\u0061me\":\"die\"}")),
        ("arguments twice", request("{\"name\":\"echo\",\"arguments\":{},\"arguments\":{}}")),
        ("_meta twice", request("{\"name\":\"echo\",\"_meta\":{},\"_meta\":{}}")),
        (
            "a member of _meta twice",
            request("{\"name\":\"echo\",\"_meta\":{\"progressToken\":1,\"progressToken\":2}}"),
        ),
    ];
    for (name, open, close) in [("arrays", "[", "]"), ("objects", "{\"a\":", "}")] {
        for depth in [130, 1_000, 100_000] {
            let value = format!("{}1{}", open.repeat(depth), close.repeat(depth));
            let text = request(&format!("{{\"name\":\"echo\",\"arguments\":{{\"x\":{value}}}}}"));
            texts.push((name, text));
        }
    }
    let many = vec!["0"; 200_000].join(",");
    texts
        .push(("many elements", request(&format!("{{\"name\":\"echo\",\"arguments\":{{\"x\":[{many}]}}}}"))));
    texts
        .into_iter()
        .enumerate()
        .map(|(number, (name, text))| (format!("{name} ({number})"), text.into_bytes()))
        .collect()
}
