//! Manifests with mistakes: each is refused with its place and its reason, and nothing is written.

use std::path::PathBuf;

use omcp_tests::harness::Cluster;
use omcp_tests::harness::manifest::stdio;
use omcp_tests::harness::omcp::Ended;

/// What the suite promises to try at least.
const CASES_MIN: usize = 100;

/// A manifest, the line its mistake is on, and words of the reason.
struct Case {
    text: String,
    line: usize,
    words: &'static [&'static str],
}

fn case(text: impl Into<String>, line: usize, words: &'static [&'static str]) -> Case {
    Case { text: text.into(), line, words }
}

/// One backend whose runtime has these lines; they start at line 5.
fn runtime(lines: &str, line: usize, words: &'static [&'static str]) -> Case {
    case(
        format!("servers:\n  - id: one\n    display_name: One\n    runtime:\n{}", indented(lines, 6)),
        line,
        words,
    )
}

/// One backend with these lines beside a good runtime; they start at line 4.
fn beside(lines: &str, line: usize, words: &'static [&'static str]) -> Case {
    let good = "    runtime: { type: local-process, command: x }";
    case(format!("servers:\n  - id: one\n{good}\n{}", indented(lines, 4)), line, words)
}

fn indented(lines: &str, width: usize) -> String {
    lines.lines().map(|line| format!("{:width$}{line}\n", "")).collect()
}

fn not_yaml() -> Vec<Case> {
    vec![
        case("servers: [", 1, &[]),
        case("servers: }", 1, &[]),
        case("servers:\n\t- id: one\n", 2, &[]),
        case("servers:\n  - id: \"one\n", 2, &[]),
        case("servers:\n  - id: one\n    id: two\n", 3, &["id"]),
        case("servers: []\nservers: []\n", 2, &["servers"]),
        case("servers: *nobody\n", 1, &[]),
        case("servers:\n  - id: one\n   runtime: {}\n", 3, &[]),
        case("%YAML 9.9\n---\nservers: []\n...\n}", 0, &[]),
        case("servers: [{id: one, runtime: {type: local-process, command: x}}", 1, &[]),
        case("\u{0}", 1, &[]),
        case("{\"servers\": [", 1, &[]),
        case("{\"servers\": [{\"id\": \"one\",,}]}", 1, &[]),
        case(format!("servers: {}1{}", "[".repeat(2_000), "]".repeat(2_000)), 0, &[]),
        case(format!("servers: {}1{}", "{a: ".repeat(2_000), "}".repeat(2_000)), 0, &[]),
        case(
            "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\nservers: [*f,*f,*f,*f,*f,*f,*f,*f,*f]\n",
            0,
            &[],
        ),
    ]
}

fn not_a_manifest() -> Vec<Case> {
    vec![
        case("", 0, &[]),
        case("# nothing\n", 0, &[]),
        case("just a text\n", 1, &[]),
        case("42\n", 1, &[]),
        case("- id: one\n", 1, &[]),
        case("servers: 1\n", 1, &["servers"]),
        case("servers: one\n", 1, &["servers"]),
        case("servers: { id: one }\n", 1, &[]),
        case("servers: [one]\n", 1, &[]),
        case("servers: [[]]\n", 1, &[]),
        case("servers: [null]\n", 1, &[]),
        case("severs: []\n", 1, &["severs", "servers"]),
        case("servers: []\nextra: 1\n", 2, &["extra"]),
        case("servers: []\nbackends: []\n", 2, &[]),
        case("servers:\n  - {}\n", 2, &[]),
        case("servers:\n  - runtime: { type: local-process, command: x }\n", 2, &["id"]),
        case("servers:\n  - id: one\n", 2, &["runtime"]),
        case("servers:\n  - id: one\n    runtime: local-process\n", 3, &["runtime"]),
        case("servers:\n  - id: one\n    runtime: []\n", 3, &["runtime"]),
        case("servers:\n  - id: one\n    runtime: {}\n", 3, &["type"]),
        case("servers:\n  - id: one\n    runtime: null\n", 3, &["runtime"]),
        case("servers:\n  - id: one\n    runtime: { type: null }\n", 3, &["type"]),
        case("servers:\n  - id: one\n    runtime: { type: 7 }\n", 3, &["type"]),
        case("servers:\n  - id: one\n    runtime: { type: \"\" }\n", 3, &["type"]),
    ]
}

fn bad_names() -> Vec<Case> {
    let long = "a".repeat(33);
    let names = [
        "One", "1one", "-one", "one-", "one two", "one_two", "one.two", "öne", "../one", "one/two",
        "\\\"\\\"", &long, "one\\n",
    ];
    let mut cases: Vec<_> = names
        .iter()
        .map(|name| {
            let text =
                format!("servers:\n  - id: \"{name}\"\n    runtime: {{ type: local-process, command: x }}\n");
            case(text, 2, &["a-z"])
        })
        .collect();
    for id in ["7", "null", "true", "[]", "{}"] {
        cases.push(case(
            format!("servers:\n  - id: {id}\n    runtime: {{ type: local-process, command: x }}\n"),
            2,
            &["id"],
        ));
    }
    let twice = "  - id: one\n    runtime: { type: local-process, command: x }\n";
    cases.push(case(format!("servers:\n{twice}{twice}"), 4, &["one"]));
    cases
}

fn bad_fields() -> Vec<Case> {
    let many_tags: String = (0..33).map(|number| format!("t{number}, ")).collect();
    let many_env: String = (0..129).map(|number| format!("N{number}: x, ")).collect();
    vec![
        beside("dispaly_name: One", 4, &["dispaly_name", "display_name"]),
        beside("display_name: []", 4, &["display_name"]),
        beside(&format!("display_name: {}", "x".repeat(201)), 4, &["display_name"]),
        beside("tags: one", 4, &["tags"]),
        beside("tags: { a: b }", 4, &["tags"]),
        beside("tags: [one, [two]]", 4, &["tags"]),
        beside("tags: [\"a b\"]", 4, &["tags"]),
        beside("tags: [\"a,b\"]", 4, &["tags"]),
        beside("tags: [\"\"]", 4, &["tags"]),
        beside(&format!("tags: [{}]", "x".repeat(64)), 4, &["tags"]),
        beside(&format!("tags: [{many_tags}]"), 4, &["tags"]),
        beside("env: [A=b]", 4, &["env"]),
        beside("env: text", 4, &["env"]),
        beside("env: { A: [1] }", 4, &["env"]),
        beside("env: { \"A=B\": x }", 4, &["env"]),
        beside("env: { \"\": x }", 4, &["env"]),
        beside(&format!("env: {{ {many_env} }}"), 4, &["env"]),
        beside("era: stone", 4, &["era"]),
        beside("era: 7", 4, &["era"]),
        beside("disabled: maybe", 4, &["disabled"]),
        beside("disabled: 1", 4, &["disabled"]),
        beside("command: x", 4, &["command"]),
        beside("runtime: { type: local-process, command: y }", 4, &["runtime"]),
        beside("env: { A: \"${\" }", 4, &["env"]),
        beside("env: { A: \"${}\" }", 4, &["env"]),
        beside("env: { A: \"${not a name}\" }", 4, &["env"]),
    ]
}

/// Only the control plane knows these rules; the place is still that of the manifest.
fn bad_settings() -> Vec<Case> {
    vec![
        runtime("type: local-process", 4, &["command"]),
        runtime("type: local-process\ncomand: x", 6, &["comand", "command"]),
        runtime("type: local-process\ncommand: \"\"", 6, &["command"]),
        runtime("type: local-process\ncommand: [x]", 6, &["command"]),
        runtime("type: local-process\ncommand: 7", 6, &["command"]),
        runtime("type: local-process\ncommand: x\nargs: one", 7, &["args"]),
        runtime("type: local-process\ncommand: x\nargs: { a: b }", 7, &["args"]),
        runtime("type: local-process\ncommand: x\nargs:\n  - one\n  - [two]", 9, &["args"]),
        runtime("type: local-process\ncommand: x\nargs:\n  - one\n  - 2", 9, &["args"]),
        runtime("type: local-process\ncommand: x\nworking_dir: [a]", 7, &["working_dir"]),
        runtime("type: local-process\ncommand: x\nstart_timeout_ms: soon", 7, &["start_timeout_ms"]),
        runtime("type: local-process\ncommand: x\nstart_timeout_ms: -1", 7, &["start_timeout_ms"]),
        runtime("type: local-process\ncommand: x\nstart_timeout_ms: 0", 7, &["start_timeout_ms"]),
        runtime("type: local-process\ncommand: x\ncall_timeout_ms: 1.5", 7, &["call_timeout_ms"]),
        runtime("type: local-process\ncommand: x\nline_len_max: 1", 7, &["line_len_max"]),
        runtime("type: local-process\ncommand: x\nurl: http://localhost", 7, &["url"]),
        runtime("type: remote-http", 4, &["url"]),
        runtime("type: remote-http\nurl: 7", 6, &["url"]),
        runtime("type: remote-http\nurl: \"ftp://example.com\"", 6, &["url"]),
        runtime("type: remote-http\nurl: \"\"", 6, &["url"]),
        runtime("type: remote-http\nurl: http://localhost\nheaders: [a]", 7, &["headers"]),
        runtime("type: remote-http\nurl: http://localhost\nheaders: { A: 1 }", 7, &["headers"]),
        runtime("type: remote-http\nurl: http://localhost\ncommand: x", 7, &["command"]),
        runtime("type: remote-sse\nurl: [x]", 6, &["url"]),
        runtime("type: remote-sse\nurll: http://localhost", 6, &["urll", "url"]),
    ]
}

#[test]
fn are_refused_with_place_and_reason() {
    let cluster = Cluster::start(1);
    cluster.apply(&[stdio("standing", &[])]);
    let before = cluster.omcp(&["export", "-o", "json"]).expect(0).stdout;
    let groups = [not_yaml(), not_a_manifest(), bad_names(), bad_fields(), bad_settings()];
    let cases: Vec<_> = groups.into_iter().flatten().collect();
    assert!(cases.len() >= CASES_MIN, "only {} manifests", cases.len());
    let file = cluster.folder().join("team.yaml");
    let wrong: Vec<_> = cases.iter().filter_map(|case| complaint(&cluster, &file, case)).collect();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    assert_eq!(cluster.omcp(&["export", "-o", "json"]).expect(0).stdout, before);
    cluster.apply(&[stdio("standing", &[])]);
}

/// What is wrong with the answer to one manifest; none if it is as it should be.
fn complaint(cluster: &Cluster, file: &PathBuf, case: &Case) -> Option<String> {
    std::fs::write(file, &case.text).expect("a file can be written");
    let path = file.display().to_string();
    let Ended { code, stdout, stderr } = cluster.omcp(&["apply", "-f", &path]);
    let place = if case.line == 0 { "team.yaml".to_owned() } else { format!("team.yaml:{}:", case.line) };
    let missing: Vec<_> =
        case.words.iter().copied().chain([place.as_str()]).filter(|word| !stderr.contains(word)).collect();
    let fine = code == 2 && stdout.is_empty() && missing.is_empty() && !stderr.contains("panicked");
    let shown: String = case.text.chars().take(200).collect();
    (!fine).then(|| format!("---- {shown}\n---- exit {code}, without {missing:?}:\n{stdout}{stderr}"))
}
