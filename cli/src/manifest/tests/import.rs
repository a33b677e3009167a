//! `mcpServers` and the `servers` of VS Code.

use super::*;

fn notes(loaded: &Loaded) -> Vec<String> {
    let mark = |note: &Note| if note.warning { "warning" } else { "note" };
    loaded.notes.iter().map(|note| format!("{}: {}: {}", mark(note), note.backend, note.message)).collect()
}

/// Name, type and settings of the only backend.
fn one(text: &str) -> (String, String, String) {
    let loaded = read(text).unwrap();
    let [backend] = loaded.backends.as_slice() else { panic!("{:?}", loaded.backends) };
    let spec = backend.spec.clone().unwrap();
    (backend.name.clone(), spec.runtime_type, spec.settings_json)
}

#[test]
fn shapes() {
    for (entry, runtime_type, settings) in [
        (
            r#"{"command": "npx", "args": ["-y", "x@1", 5], "cwd": "/w"}"#,
            "local-process",
            r#"{"command":"npx","args":["-y","x@1","5"],"working_dir":"/w"}"#,
        ),
        (r#"{"type": "stdio", "command": "x"}"#, "local-process", r#"{"command":"x"}"#),
        (r#"{"url": "https://x/mcp"}"#, "remote-http", r#"{"url":"https://x/mcp"}"#),
        (r#"{"url": "https://x/sse"}"#, "remote-sse", r#"{"url":"https://x/sse"}"#),
        (r#"{"url": "https://x/sse/?k=1"}"#, "remote-sse", r#"{"url":"https://x/sse/?k=1"}"#),
        (r#"{"type": "http", "url": "https://x/sse"}"#, "remote-http", r#"{"url":"https://x/sse"}"#),
        (r#"{"transport": "sse", "url": "https://x/y"}"#, "remote-sse", r#"{"url":"https://x/y"}"#),
        (
            r#"{"type": "streamable-http", "serverUrl": "https://x/y"}"#,
            "remote-http",
            r#"{"url":"https://x/y"}"#,
        ),
        (
            r#"{"url": "https://x", "headers": {"X-Team": "a"}}"#,
            "remote-http",
            r#"{"url":"https://x","headers":{"X-Team":"a"}}"#,
        ),
    ] {
        for text in
            [format!(r#"{{"mcpServers": {{"a": {entry}}}}}"#), format!(r#"{{"servers": {{"a": {entry}}}}}"#)]
        {
            assert_eq!(one(&text), ("a".into(), runtime_type.into(), settings.into()), "{text}");
        }
    }
}

#[test]
fn comments_and_trailing_commas() {
    let text = "// my servers\n{\n\t\"mcpServers\": {\n\t\t/* one */ \"a\": { \"command\": \"//x\", \"args\": [\"b\",], },\n\t},\n}\n";
    assert_eq!(one(text).2, r#"{"command":"//x","args":["b"]}"#);
}

#[test]
fn secrets_become_references() {
    let loaded = read(
        r#"{"mcpServers": {
            "github": {"command": "x", "env": {"GITHUB_TOKEN": "ghp_abc", "MODE": "fast"}},
            "other": {"command": "x", "env": {"GITHUB_TOKEN": "ghp_def", "API_KEY": "${API_KEY}"}},
            "remote": {"url": "https://x", "headers": {"Authorization": "Bearer abc", "X-Api-Key": "k"}}
        }}"#,
    )
    .unwrap();
    let spec = |at: usize| loaded.backends[at].spec.clone().unwrap();
    assert_eq!(spec(0).env["GITHUB_TOKEN"], "${GITHUB_TOKEN}");
    assert_eq!(spec(0).env["MODE"], "fast");
    assert_eq!(spec(1).env["GITHUB_TOKEN"], "${OTHER_GITHUB_TOKEN}", "two secrets never share a name");
    assert_eq!(spec(1).env["API_KEY"], "${API_KEY}");
    assert_eq!(
        spec(2).settings_json,
        r#"{"url":"https://x","headers":{"Authorization":"Bearer ${REMOTE_AUTHORIZATION}","X-Api-Key":"${REMOTE_X_API_KEY}"}}"#
    );
    let notes = notes(&loaded);
    assert_eq!(notes.len(), 4);
    assert_eq!(
        notes[0],
        "warning: github: env.GITHUB_TOKEN looks like a secret: its value was replaced by ${GITHUB_TOKEN}; set GITHUB_TOKEN on the nodes"
    );
    assert!(notes.iter().all(|note| !note.contains("ghp_") && !note.contains("abc")), "{notes:?}");
}

#[test]
fn names_are_made_to_fit() {
    let text = r#"{"mcpServers": {"My Server!": {"command": "x"}, "my_server": {"command": "y"}, "1st": {"command": "z"}, "é": {"command": "w"}}}"#;
    let loaded = read(text).unwrap();
    let names: Vec<_> = loaded.backends.iter().map(|backend| backend.name.as_str()).collect();
    assert_eq!(names, ["my-server", "my-server-2", "mcp-1st", "mcp"]);
    assert_eq!(loaded.backends[0].spec.clone().unwrap().display_name, "My Server!");
    assert_eq!(
        notes(&loaded)[0],
        "note: my-server: \"My Server!\" is named my-server here: backend names are lower-case"
    );
}

#[test]
fn what_has_no_meaning_is_named() {
    let loaded = read(
        r#"{"inputs": [], "servers": {"a": {"command": "x", "disabled": true, "autoApprove": ["y"],
            "env": {"K": "${input:my-key}", "L": "${L:-default}"}}}}"#,
    )
    .unwrap();
    let spec = loaded.backends[0].spec.clone().unwrap();
    assert!(spec.disabled);
    assert_eq!((spec.env["K"].as_str(), spec.env["L"].as_str()), ("${MY_KEY}", "${L}"));
    assert_eq!(
        notes(&loaded),
        [
            "note: a: autoApprove has no meaning for a gateway and is left out",
            "warning: a: ${input:my-key} became ${MY_KEY}; set MY_KEY on the nodes",
            "warning: a: ${L:-default} became ${L}; set L on the nodes",
        ]
    );
}

#[test]
fn importing_twice_gives_the_same() {
    let text = r#"{"mcpServers": {"A b": {"command": "x", "env": {"T_TOKEN": "1"}}}}"#;
    assert_eq!(read(text).unwrap().backends, read(text).unwrap().backends);
}

#[test]
fn other_members_of_a_client_configuration_are_left_alone() {
    let loaded =
        read(r#"{"numStartups": 5, "mcpServers": {"a": {"command": "x"}}, "theme": "dark"}"#).unwrap();
    assert_eq!(loaded.backends.len(), 1);
}
