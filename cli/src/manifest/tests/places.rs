//! Errors of the server find their way back.

use super::*;

const TEXT: &str = "servers:
  - id: first
    runtime: { type: tcp }
  - id: github
    tags: [a, b]
    runtime:
      type: local-process
      comand: github-mcp
      args: [one, two]
      headers: { X.Y: z }
    env: { A: b }
";

#[test]
fn paths_lead_to_places() {
    let loaded = read(TEXT).unwrap();
    for (path, message, place) in [
        ("backends[1].runtime.comand", "unknown field `comand`", "8:7"),
        ("backends[1].runtime.comand", "is not text", "8:15"),
        ("manifest.backends[1].runtime.args[1]", "is wrong", "9:19"),
        ("backends[1].runtime.args.1", "is wrong", "9:19"),
        ("backends[1].runtime.args", "is wrong", "9:7"),
        ("backends[1].runtime.headers.X.Y", "is wrong", "10:23"),
        ("backends[1].runtime.command", "is missing", "6:5"),
        ("backends[1].runtime", "is wrong", "6:5"),
        ("backends[1].env.A", "is wrong", "11:15"),
        ("backends[1].tags[9]", "is wrong", "5:5"),
        ("backends[1].spec.tags[0]", "is wrong", "5:12"),
        ("backends[1].name", "is taken", "4:9"),
        ("backends[0].runtime.type", "is not offered", "3:22"),
        ("backends[0]", "is wrong", "2:9"),
        ("backends[0].elsewhere", "is wrong", "2:9"),
    ] {
        let problem = loaded.problem(path, message).unwrap();
        assert_eq!(problem.place(), format!("<stdin>:{place}"), "{path}");
    }
    let reason = "is not a setting of runtime type local-process; did you mean command?";
    let problem = loaded.problem("backends[1].runtime.comand", reason).unwrap();
    assert_eq!(problem.message, "`runtime.comand` is not a setting of runtime type local-process");
    assert_eq!(
        (problem.place(), problem.hint.unwrap()),
        ("<stdin>:8:7".into(), "did you mean command?".into())
    );
    for path in ["", "prune", "backends[2].name", "backends[x]", "backends"] {
        assert!(loaded.problem(path, "is wrong").is_none(), "{path}");
    }
}

#[test]
fn imported_settings_have_places_too() {
    let loaded = read(r#"{"mcpServers": {"a": {"command": "x", "cwd": "/y", "args": ["z"]}}}"#).unwrap();
    for (path, place) in [
        ("backends[0].runtime.command", "1:34"),
        ("backends[0].runtime.args[0]", "1:61"),
        ("backends[0].runtime.working_dir", "1:46"),
        ("backends[0].name", "1:17"),
    ] {
        assert_eq!(loaded.problem(path, "is wrong").unwrap().place(), format!("<stdin>:{place}"), "{path}");
    }
}
