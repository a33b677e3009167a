//! What people get wrong, and what they are told.

use super::said;

/// A manifest, and for each of its mistakes the place and how the message begins.
#[rustfmt::skip]
const MALFORMED: &[(&str, &[&str])] = &[
    ("", &["1:1 no backends in here: it is empty"]),
    ("\n\n", &["1:1 no backends in here: it is empty"]),
    ("# only a comment\n", &["1:1 no backends in here: it is empty"]),
    ("---\n---\n", &["1:1 no backends in here: it is empty"]),
    ("null", &["1:1 no backends in here: it is empty"]),
    ("just text", &["1:1 a manifest must be a mapping, not text"]),
    ("42", &["1:1 a manifest must be a mapping, not a number"]),
    ("true", &["1:1 a manifest must be a mapping, not true or false"]),
    ("- id: a", &["1:1 a manifest must be a mapping, not a list"]),
    ("[]", &["1:1 a manifest must be a mapping, not a list"]),
    ("{}", &["1:1 no backends in here"]),
    ("servers:", &["1:1 `servers` must be a list, not nothing"]),
    ("servers: null", &["1:1 `servers` must be a list, not nothing"]),
    ("servers: {}", &["1:1 `servers` must be a list, not a mapping"]),
    ("servers: text", &["1:1 `servers` must be a list, not text"]),
    ("servers: 5", &["1:1 `servers` must be a list, not a number"]),
    ("servers: [5]", &["1:11 a backend must be a mapping, not a number"]),
    ("servers: [null]", &["1:11 a backend must be a mapping, not nothing"]),
    ("servers: [[]]", &["1:11 a backend must be a mapping, not a list"]),
    ("servers:\n  - text\n", &["2:5 a backend must be a mapping, not text"]),
    ("server: []", &["1:1 unknown field `server`"]),
    ("Servers: []", &["1:1 unknown field `Servers`"]),
    ("backend: []", &["1:1 unknown field `backend`"]),
    ("mcpservers: {}", &["1:1 unknown field `mcpservers`"]),
    ("servers: []\nversion: 1\n", &["2:1 unknown field `version`"]),
    ("servers: []\nbackends: []\n", &["2:1 `servers` and `backends` are the same field"]),
    ("servers: []\nservers: []\n", &["2:1 key `servers` stands twice in one mapping"]),
    ("apiVersion: v1\nkind: Backend\n", &["1:1 unknown field `apiVersion`", "2:1 unknown field `kind`"]),
    ("servers: []\n---\nserver: []\n", &["3:1 unknown field `server`"]),
    ("servers:\n\t- id: a\n", &["2:2 a tab in the indentation"]),
    ("servers:\n  - id: a\n\truntime: {}\n", &["2:9 a tab in the indentation"]),
    ("servers: [", &["1:10 unclosed bracket '['"]),
    ("servers: [1, 2", &["1:10 unclosed bracket '['"]),
    ("servers: {a: 1", &["1:10 unclosed bracket '{'"]),
    ("servers: 'abc", &["1:10 unclosed quote"]),
    ("servers: \"abc", &["1:10 unclosed quote"]),
    ("servers: \"\\q\"", &["1:10 an unknown escape in double quotes"]),
    ("a: b: c", &["1:5 mapping values are not allowed in this context"]),
    ("servers:\n  - id: a\n - id: b\n", &["3:2 while parsing a block mapping, did not find expected key"]),
    ("servers:\n- id: a\n   runtime: x\n", &["3:11 mapping values are not allowed in this context"]),
    ("servers: *nope", &["1:10 alias references unknown anchor"]),
    ("servers: !custom []", &["1:18 unsupported tag `!custom`"]),
    ("servers: @x", &["1:10 unexpected character: `@'"]),
    ("servers: `x`", &["1:10 unexpected character: ``'"]),
    ("%YAML 3.0\n---\nservers: []", &["1:1 unsupported YAML major version"]),
    ("servers: ]", &["1:10 misplaced bracket"]),
    ("servers: }", &["1:10 misplaced bracket"]),
    ("key without colon\nservers: []", &["2:8 mapping values are not allowed in this context"]),
    ("? [a]\n: b", &["1:3 a key that is no text"]),
    ("{servers: [], }x", &["1:16 something that does not belong to what stands before it"]),
    ("servers: &a [*a]", &["1:14 an alias within what it stands for"]),
    ("servers: !!int abc", &["1:16 invalid u64"]),
    ("servers: [.inf]", &["1:11 a number that JSON does not have"]),
    ("servers: [1e999]", &["1:11 a number that JSON does not have"]),
    ("servers: \u{0000}", &["1:10 unexpected character: `\\u{0}'"]),
    ("servers: \u{0007}", &["1:10 unexpected character: `\\u{7}'"]),
    ("servers: |\n bad\nindent: [", &["3:9 unclosed bracket '['"]),
    ("servers:\n  - runtime: {type: tcp}\n", &["2:5 a backend without `id`"]),
    ("servers:\n  - id:\n    runtime: {type: tcp}\n", &["2:7 `id` must be text, not nothing"]),
    ("servers:\n  - id: ''\n    runtime: {type: tcp}\n", &["2:9 `id` is empty"]),
    ("servers:\n  - id: 5\n    runtime: {type: tcp}\n", &["2:9 `id` must be text, not a number"]),
    ("servers:\n  - id: A\n    runtime: {type: tcp}\n", &["2:9 \"A\" is not a backend name: use 1 to 32 of a-z, 0-9 and '-', starting with a letter, not ending with '-'"]),
    ("servers:\n  - id: a_b\n    runtime: {type: tcp}\n", &["2:9 \"a_b\" is not a backend name: use 1 to 32 of a-z, 0-9 and '-', starting with a letter, not ending with '-'"]),
    ("servers:\n  - id: -a\n    runtime: {type: tcp}\n", &["2:9 \"-a\" is not a backend name: use 1 to 32 of a-z, 0-9 and '-', starting with a letter, not ending with '-'"]),
    ("servers:\n  - id: a-\n    runtime: {type: tcp}\n", &["2:9 \"a-\" is not a backend name: use 1 to 32 of a-z, 0-9 and '-', starting with a letter, not ending with '-'"]),
    ("servers:\n  - id: a.b\n    runtime: {type: tcp}\n", &["2:9 \"a.b\" is not a backend name: use 1 to 32 of a-z, 0-9 and '-', starting with a letter, not ending with '-'"]),
    ("servers:\n  - id: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n    runtime: {type: tcp}\n", &["2:9 \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\" is not a backend name: use 1 to 32 of a-z, 0-9 and '-', starting with a letter, not ending with '-'"]),
    ("servers:\n  - id: é\n    runtime: {type: tcp}\n", &["2:9 \"é\" is not a backend name: use 1 to 32 of a-z, 0-9 and '-', starting with a letter, not ending with '-'"]),
    ("servers:\n  - id: [a]\n    runtime: {type: tcp}\n", &["2:9 `id` must be text, not a list"]),
    ("servers:\n  - id: true\n    runtime: {type: tcp}\n", &["2:9 `id` must be text, not true or false"]),
    ("servers:\n  - {id: a, name: b, runtime: {type: tcp}}\n", &["2:13 `id` and `name` are the same field"]),
    ("servers:\n  - {id: a, runtime: {type: tcp}}\n  - {id: a, runtime: {type: tcp}}\n", &["3:10 backend \"a\" stands twice"]),
    ("servers: [{id: a, runtime: {type: tcp}}]\n---\nservers: [{id: b, runtime: {type: tcp}}, {id: a, runtime: {type: tcp}}]\n", &["3:47 backend \"a\" stands twice"]),
    ("servers:\n  - id: a\n    comand: x\n    runtime: {type: tcp}\n", &["3:5 unknown field `comand` in backend \"a\""]),
    ("servers:\n  - id: a\n    command: x\n    runtime: {type: tcp}\n", &["3:5 unknown field `command` in backend \"a\""]),
    ("servers:\n  - id: a\n    displayName: x\n    runtime: {type: tcp}\n", &["3:5 unknown field `displayName` in backend \"a\""]),
    ("servers:\n  - id: a\n    tag: [x]\n    runtime: {type: tcp}\n", &["3:5 unknown field `tag` in backend \"a\""]),
    ("servers:\n  - id: a\n    runtme: {type: tcp}\n", &["3:5 unknown field `runtme` in backend \"a\"", "2:5 no `runtime` in backend \"a\""]),
    ("servers:\n  - id: a\n    evn: {}\n    runtime: {type: tcp}\n", &["3:5 unknown field `evn` in backend \"a\""]),
    ("servers:\n  - id: a\n    enabled: true\n    runtime: {type: tcp}\n", &["3:5 unknown field `enabled` in backend \"a\""]),
    ("servers:\n  - id: a\n    command: x\n", &["3:5 unknown field `command` in backend \"a\"", "2:5 no `runtime` in backend \"a\""]),
    ("servers:\n  - ID: a\n    runtime: {type: tcp}\n", &["2:5 unknown field `ID`", "2:5 a backend without `id`"]),
    ("servers:\n  - id: a\n    id: a\n    runtime: {type: tcp}\n", &["3:5 key `id` stands twice in one mapping"]),
    ("servers:\n  - id: a\n    runtime: {type: tcp, host: x, host: y}\n", &["3:35 key `host` stands twice in one mapping"]),
    ("servers:\n  - id: a\n    runtime: {type: tcp, a: {b: 1, b: 2}}\n", &["3:36 key `b` stands twice in one mapping"]),
    ("servers:\n  - id: a\n    env: {A: b, A: c}\n    runtime: {type: tcp, type: tcp}\n", &["3:17 key `A` stands twice in one mapping", "4:26 key `type` stands twice in one mapping"]),
    ("servers:\n  - id: a\n", &["2:5 no `runtime` in backend \"a\""]),
    ("servers:\n  - id: a\n    runtime:\n", &["3:12 `runtime` must be a mapping, not nothing"]),
    ("servers:\n  - id: a\n    runtime: local-process\n", &["3:14 `runtime` must be a mapping, not text"]),
    ("servers:\n  - id: a\n    runtime: [tcp]\n", &["3:14 `runtime` must be a mapping, not a list"]),
    ("servers:\n  - id: a\n    runtime: {}\n", &["3:5 `runtime` without `type`"]),
    ("servers:\n  - id: a\n    runtime: {typ: tcp}\n", &["3:5 `runtime` without `type`"]),
    ("servers:\n  - id: a\n    runtime: {command: x}\n", &["3:5 `runtime` without `type`"]),
    ("servers:\n  - id: a\n    runtime: {type: 5}\n", &["3:21 `type` must be text, not a number"]),
    ("servers:\n  - id: a\n    runtime: {type: }\n", &["3:19 `type` must be text, not nothing"]),
    ("servers:\n  - id: a\n    runtime: {type: ''}\n", &["3:21 `type` is empty"]),
    ("servers:\n  - id: a\n    runtime: {type: Local_Process}\n", &["3:21 \"Local_Process\" is not a runtime type: use up to 63 of a-z, 0-9 and '-'"]),
    ("servers:\n  - id: a\n    runtime: {type: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx}\n", &["3:21 \"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\" is not a runtime type: use up to 63 of a-z, 0-9 and '-'"]),
    ("servers:\n  - id: a\n    tags: x\n    runtime: {type: tcp}\n", &["3:11 `tags` must be a list, not text"]),
    ("servers:\n  - id: a\n    tags: [1]\n    runtime: {type: tcp}\n", &["3:12 a tag must be text, not a number"]),
    ("servers:\n  - id: a\n    tags: [x, 'a b']\n    runtime: {type: tcp}\n", &["3:15 \"a b\" is not a tag: 1 to 63 bytes without commas or spaces"]),
    ("servers:\n  - id: a\n    tags: ['a,b']\n    runtime: {type: tcp}\n", &["3:12 \"a,b\" is not a tag: 1 to 63 bytes without commas or spaces"]),
    ("servers:\n  - id: a\n    tags: ['']\n    runtime: {type: tcp}\n", &["3:12 \"\" is not a tag: 1 to 63 bytes without commas or spaces"]),
    ("servers:\n  - id: a\n    tags: {x: y}\n    runtime: {type: tcp}\n", &["3:11 `tags` must be a list, not a mapping"]),
    ("servers:\n  - id: a\n    tags: [[x]]\n    runtime: {type: tcp}\n", &["3:12 a tag must be text, not a list"]),
    ("servers:\n  - id: a\n    env: [A=b]\n    runtime: {type: tcp}\n", &["3:10 `env` must be a mapping, not a list"]),
    ("servers:\n  - id: a\n    env: {PORT: 8080}\n    runtime: {type: tcp}\n", &["3:17 `env.PORT` must be text, not a number"]),
    ("servers:\n  - id: a\n    env: {DEBUG: true}\n    runtime: {type: tcp}\n", &["3:18 `env.DEBUG` must be text, not true or false"]),
    ("servers:\n  - id: a\n    env: {A: null}\n    runtime: {type: tcp}\n", &["3:14 `env.A` must be text, not nothing"]),
    ("servers:\n  - id: a\n    env: {A: {b: c}}\n    runtime: {type: tcp}\n", &["3:14 `env.A` must be text, not a mapping"]),
    ("servers:\n  - id: a\n    env: {'A=B': c}\n    runtime: {type: tcp}\n", &["3:18 an environment entry needs a name without '=' and no NUL byte"]),
    ("servers:\n  - id: a\n    env: {'': c}\n    runtime: {type: tcp}\n", &["3:15 an environment entry needs a name without '=' and no NUL byte"]),
    ("servers:\n  - id: a\n    env: text\n    runtime: {type: tcp}\n", &["3:10 `env` must be a mapping, not text"]),
    ("servers:\n  - id: a\n    disabled: maybe\n    runtime: {type: tcp}\n", &["3:15 `disabled` must be true or false, not text"]),
    ("servers:\n  - id: a\n    disabled: 1\n    runtime: {type: tcp}\n", &["3:15 `disabled` must be true or false, not a number"]),
    ("servers:\n  - id: a\n    disabled: yes\n    runtime: {type: tcp}\n", &["3:15 `disabled` must be true or false, not text"]),
    ("servers:\n  - id: a\n    era: old\n    runtime: {type: tcp}\n", &["3:10 \"old\" is not an era: use auto, legacy or modern"]),
    ("servers:\n  - id: a\n    era: 2025\n    runtime: {type: tcp}\n", &["3:10 `era` must be text, not a number"]),
    ("servers:\n  - id: a\n    display_name: 5\n    runtime: {type: tcp}\n", &["3:19 `display_name` must be text, not a number"]),
    ("servers:\n  - id: a\n    display_name: [x]\n    runtime: {type: tcp}\n", &["3:19 `display_name` must be text, not a list"]),
    ("{\"mcpServers\": []}", &["1:16 `mcpServers` must be a mapping, not a list"]),
    ("{\"mcpServers\": {\"a\": {}}}", &["1:17 server `a` has neither `command` nor `url`"]),
    ("{\"mcpServers\": {\"a\": {\"command\": \"x\", \"url\": \"http://x\"}}}", &["1:39 both `command` and `url`"]),
    ("{\"mcpServers\": {\"a\": {\"command\": 5}}}", &["1:34 `command` must be text, not a number"]),
    ("{\"mcpServers\": {\"a\": {\"command\": \"x\", \"args\": \"y\"}}}", &["1:47 `args` must be a list, not text"]),
    ("{\"mcpServers\": {\"a\": {\"command\": \"x\", \"env\": []}}}", &["1:46 `env` must be a mapping, not a list"]),
    ("{\"mcpServers\": {\"a\": {\"command\": \"x\", \"args\": [{}]}}}", &["1:48 an argument must be text, not a mapping"]),
    ("{\"mcpServers\": {\"a\": \"x\"}}", &["1:22 `a` must be a mapping, not text"]),
    ("{\"mcpServers\": {\"a\": {\"url\": 5}}}", &["1:30 `url` must be text, not a number"]),
    ("{\"mcpServers\": {\"a\": {\"url\": \"http://x\", \"headers\": {\"X\": null}}}}", &["1:59 `headers.X` must be text, not nothing"]),
    ("{\"mcpServers\": {\"a\": {\"command\": \"x\"}, \"a\": {\"command\": \"y\"}}}", &["1:40 key `a` stands twice in one mapping"]),
    ("{\"mcpServers\": {\"a\": {\"command\": \"x\",, }}}", &["1:38 unexpected EOF while parsing an implicit flow mapping"]),
    ("{\"mcpServers\": {\"a\": {\"command\": \"x\" \"y\": 1}}}", &["1:38 invalid trailing content after double-quoted scalar"]),
    ("{\"mcpServers\": ", &["1:1 unclosed bracket '{'"]),
    ("{\"servers\": {\"a\": {\"type\": \"stdio\"}}, \"inputs\": []}", &["1:14 server `a` has neither `command` nor `url`"]),
    ("{\"servers\": {\"a\": {\"command\": \"x\"}}, \"other\": 1}", &["1:38 unknown field `other`"]),
    ("{\"mcpServers\": {\"a\": {\"command\": \"x\"}}", &["1:1 unclosed bracket '{'"]),
    ("{\"servers\": [{\"id\": \"a\"}]}", &["1:15 no `runtime` in backend \"a\""]),
];

#[test]
fn every_mistake_is_told_at_its_place() {
    for (text, want) in MALFORMED {
        assert_eq!(said(text), *want, "{text:?}");
    }
}

#[test]
fn the_table_is_long() {
    assert!(MALFORMED.len() >= 100, "{}", MALFORMED.len());
}

#[test]
fn limits_hold() {
    let backend = |rest: &str| format!("servers:\n  - id: a\n    runtime: {{type: tcp}}\n    {rest}\n");
    for (text, want) in [
        (format!("servers:\n  - id: {}\n    runtime: {{type: tcp}}\n", "a".repeat(33)), "2:9 \"aaaa"),
        (format!("servers:\n  - id: a\n    runtime: {{type: {}}}\n", "x".repeat(64)), "3:21 \"xxxx"),
        (
            format!("servers:\n  - id: a\n    runtime: {{type: tcp, x: '{}'}}\n", "x".repeat(65_536)),
            "3:5 `runtime` longer",
        ),
        (backend(&format!("display_name: {}", "n".repeat(201))), "4:19 `display_name` longer"),
        (
            backend(&format!("tags: [{}]", (0..33).map(|n| format!("t{n}, ")).collect::<String>())),
            "4:5 `tags` more than 32",
        ),
        (backend(&format!("tags: [{}]", "t".repeat(64))), "4:12 \"tttt"),
        (format!("servers: {}{}", "[".repeat(200), "]".repeat(200)), "1:57 nested too deep"),
        (format!("servers: {}1{}", "{a: ".repeat(100), "}".repeat(100)), "1:198 nested too deep"),
        ("---\n".repeat(3000), "1025:1 too many documents"),
        (bomb(), "6:11 aliases that expand"),
    ] {
        let said = said(&text);
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].starts_with(want), "{said:?}");
    }
}

/// Each line stands for nine times the one before.
fn bomb() -> String {
    let first = "a: &a [x,x,x,x,x,x,x,x,x]\n".to_owned();
    let lines = ["ab", "bc", "cd", "de", "ef", "fg"].map(|pair| {
        let (from, to) = pair.split_at(1);
        format!("{to}: &{to} [{}]\n", vec![format!("*{from}"); 9].join(","))
    });
    first + &lines.concat()
}
