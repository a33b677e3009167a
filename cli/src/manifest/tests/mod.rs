mod hostile;
mod import;
mod malformed;
mod places;
mod round_trip;

use std::sync::Arc;

use super::*;

/// Reads one text.
fn read(text: &str) -> Result<Loaded, Vec<Problem>> {
    load(&[Arc::new(Source::new("<stdin>", text))])
}

/// What is wrong with a text: `line:column message`.
fn said(text: &str) -> Vec<String> {
    let place = |problem: &Problem| problem.place().replacen("<stdin>:", "", 1);
    let problems = read(text).err().unwrap_or_default();
    problems.iter().map(|problem| format!("{} {}", place(problem), problem.message)).collect()
}

#[test]
fn the_format_as_it_is_documented() {
    let text = r#"
servers:                      # `backends:` is the same key
  - id: postgres
    display_name: PostgreSQL tools
    tags: [database, production]
    runtime:
      type: local-process
      command: postgres-mcp
      args: ["--host=${DB_HOST}"]
      working_dir: /opt/mcp
    env: { PGPASSWORD: "${PGPASSWORD}" }
---
backends:
  - name: mine
    era: legacy
    disabled: true
    runtime: { type: my-custom-runtime, timeout_seconds: 9007199254740993, ratio: 1.50, options: { z: 1, a: [] } }
"#;
    let loaded = read(text).unwrap();
    let [postgres, mine] = loaded.backends.as_slice() else { panic!("{:?}", loaded.backends) };
    let spec = postgres.spec.clone().unwrap();
    assert_eq!((postgres.name.as_str(), spec.display_name.as_str()), ("postgres", "PostgreSQL tools"));
    assert_eq!(spec.tags, ["database", "production"]);
    assert_eq!(spec.runtime_type, "local-process");
    assert_eq!(
        spec.settings_json,
        r#"{"command":"postgres-mcp","args":["--host=${DB_HOST}"],"working_dir":"/opt/mcp"}"#
    );
    assert_eq!(spec.env["PGPASSWORD"], "${PGPASSWORD}");
    let spec = mine.spec.clone().unwrap();
    assert_eq!((spec.era.as_str(), spec.disabled), ("legacy", true));
    assert_eq!(
        spec.settings_json,
        r#"{"timeout_seconds":9007199254740993,"ratio":1.50,"options":{"z":1,"a":[]}}"#
    );
}

#[test]
fn aliases_and_merge_keys() {
    let text = "servers:
  - id: a
    runtime: &shared { type: tcp, host: x, port: 1 }
  - id: b
    runtime: { <<: *shared, port: 2 }
";
    let loaded = read(text).unwrap();
    let settings = |at: usize| loaded.backends[at].spec.clone().unwrap().settings_json;
    assert_eq!(settings(0), r#"{"host":"x","port":1}"#);
    let merged: serde_json::Value = serde_json::from_str(&settings(1)).unwrap();
    assert_eq!(merged, serde_json::json!({"host": "x", "port": 2}));
}

#[test]
fn several_sources_are_checked_together() {
    let one = Arc::new(Source::new("one.yaml", "servers: [{id: a, runtime: {type: tcp}}]"));
    let two = Arc::new(Source::new("two.yaml", "servers: [{id: a, runtime: {type: tcp}}, {id: b}]"));
    let problems = load(&[one, two]).unwrap_err();
    let said: Vec<_> =
        problems.iter().map(|problem| format!("{} {}", problem.place(), problem.message)).collect();
    assert_eq!(
        said,
        ["two.yaml:1:43 no `runtime` in backend \"b\"", "two.yaml:1:16 backend \"a\" stands twice"]
    );
    assert_eq!(problems[1].hint.as_deref(), Some("it stands first at one.yaml:1:16; rename one of them"));
}

#[test]
fn a_byte_order_mark_and_carriage_returns_are_harmless() {
    let loaded = read("\u{feff}servers:\r\n  - id: a\r\n    runtime: {type: tcp}\r\n").unwrap();
    assert_eq!(loaded.backends[0].name, "a");
}
