//! What is written can be read again, unchanged.

use omcp_proto::v1::BackendSpec;

use super::*;

fn backend(name: &str, runtime_type: &str, settings_json: &str) -> ManifestBackend {
    let spec = BackendSpec {
        runtime_type: runtime_type.into(),
        settings_json: settings_json.into(),
        ..BackendSpec::default()
    };
    ManifestBackend { name: name.into(), spec: Some(spec) }
}

#[test]
fn yaml_looks_as_people_write_it() {
    let mut postgres = backend(
        "postgres",
        "local-process",
        r#"{"command":"postgres-mcp","args":["--host=${DB_HOST}","x"],"limits":{"calls":5},"empty":{},"none":[]}"#,
    );
    let spec = postgres.spec.as_mut().unwrap();
    spec.display_name = "PostgreSQL: tools".into();
    spec.tags = vec!["database".into(), "production".into()];
    spec.lifecycle = Some(omcp_proto::v1::Lifecycle {
        idle_timeout_ms: Some(60_000),
        retry: "idempotent".into(),
        recovery: "recreate".into(),
        ..Default::default()
    });
    spec.env = [("PGPASSWORD".to_owned(), "${PGPASSWORD}".to_owned())].into();
    let text = write::yaml(&write::manifest(&[postgres, backend("b", "tcp", "")]));
    assert_eq!(
        text,
        r#"servers:
  - id: postgres
    display_name: "PostgreSQL: tools"
    tags: [database, production]
    runtime:
      type: local-process
      command: postgres-mcp
      args: ["--host=${DB_HOST}", x]
      limits:
        calls: 5
      empty: {}
      none: []
    env:
      PGPASSWORD: "${PGPASSWORD}"
    lifecycle:
      idle_timeout_ms: 60000
      retry: idempotent
      recovery: recreate
  - id: b
    runtime:
      type: tcp
"#
    );
}

#[test]
fn every_text_survives() {
    let odd = [
        "",
        " ",
        "a ",
        " a",
        "a: b",
        "a #b",
        "# a",
        "- a",
        "true",
        "No",
        "null",
        "~",
        "1",
        "0x1",
        "1e3",
        ".5",
        "012",
        "1_000",
        "2024-01-01",
        "a\nb",
        "a\n",
        "\n",
        "\ttab",
        "é€😀",
        "\u{7f}\u{85}\u{2028}\u{feff}",
        "'",
        "\"",
        "\\",
        "*a",
        "&a",
        "!a",
        "%a",
        "@a",
        "`a`",
        "|",
        ">",
        "[",
        "]",
        "{",
        "}",
        ",",
        "?",
        ":",
        "<<",
        "=",
        "y",
        "inf",
        ".inf",
        "NaN",
        "/usr/bin",
        "a/b c@1+2=3",
        "--x",
        "${A}",
    ];
    for text in odd {
        let json = serde_json::json!({"value": text, "list": [text, [text]], "map": {text: {text: text}}})
            .to_string();
        let written = [backend("a", "x", &json)];
        for output in [write::yaml(&write::manifest(&written)), write::json(&write::manifest(&written))] {
            assert_eq!(
                read(&output).map(|loaded| loaded.backends).ok().as_deref(),
                Some(&written[..]),
                "{output}"
            );
        }
    }
}

#[test]
fn every_number_survives() {
    let json = r#"{"a":9007199254740993,"b":-1,"c":1.50,"d":1e3,"e":123456789012345678901234567890,"f":0.1,"g":-0.0,"h":18446744073709551615}"#;
    let written = [backend("a", "x", json)];
    for output in [write::yaml(&write::manifest(&written)), write::json(&write::manifest(&written))] {
        assert_eq!(read(&output).unwrap().backends, written, "{output}");
    }
}

#[test]
fn nested_lists_survive() {
    let json = r#"{"a":[[1,[2]],{"b":[{"c":1},{"d":[]}]},[],{}],"l":["LONG","LONG"]}"#
        .replace("LONG", &"x".repeat(60));
    let written = [backend("a", "x", &json)];
    let output = write::yaml(&write::manifest(&written));
    assert_eq!(read(&output).unwrap().backends, written, "{output}");
}

#[test]
fn mcp_servers_there_and_back() {
    let written = [
        backend("a", "local-process", r#"{"command":"x","args":["y"],"working_dir":"/z"}"#),
        backend("b", "remote-http", r#"{"url":"https://x/sse","headers":{"X":"y"}}"#),
        backend("c", "remote-sse", r#"{"url":"https://x/y"}"#),
        backend("d", "tcp", "{}"),
    ];
    let (document, left_out) = write::mcp_servers(&written);
    assert_eq!(left_out, ["d"]);
    assert_eq!(read(&write::json(&document)).unwrap().backends, written[..3]);
}

#[test]
fn another_yaml_reader_understands_it_the_same_way() {
    let settings = r#"{"command":"/bin/x","args":["No","012","a: b","1e3","~"],"n":9007199254740993,"deep":{"list":[[],{}]}}"#;
    let text = write::yaml(&write::manifest(&[backend("a", "local-process", settings)]));
    let read: serde_json::Value = serde_yaml::from_str(&text).unwrap();
    let runtime = &read["servers"][0]["runtime"];
    let mut wanted: serde_json::Value = serde_json::from_str(settings).unwrap();
    wanted["type"] = "local-process".into();
    assert_eq!(*runtime, wanted, "{text}");
}
