//! The admin tool as scripts see it: exit codes, forms of output, help.

use std::fs;

use omcp_tests::harness::Cluster;
use omcp_tests::harness::manifest::{manifest, stdio};
use omcp_tests::harness::omcp;
use serde_json::json;

const COMMANDS: [&str; 17] = [
    "up",
    "apply",
    "diff",
    "get",
    "describe",
    "status",
    "delete",
    "edit",
    "export",
    "nodes",
    "runtimes",
    "explain",
    "tools",
    "call",
    "stdio",
    "logs",
    "completion",
];
/// Nobody listens there.
const NOWHERE: &str = "http://127.0.0.1:9";

#[test]
fn every_command_has_help() {
    let all = omcp::run(NOWHERE, &["--help"], "").expect(0).stdout;
    for command in COMMANDS {
        assert!(all.contains(&format!("  {command} ")), "{command} is not in\n{all}");
        let help = omcp::run(NOWHERE, &[command, "--help"], "").expect(0).stdout;
        assert!(help.contains(&format!("Usage: omcp {command}")), "{command}:\n{help}");
    }
}

#[test]
fn wrong_usage_is_2() {
    for arguments in [
        &[][..],
        &["aply"],
        &["apply"],
        &["get", "--no-such-flag"],
        &["-o", "xml", "get"],
        &["call"],
        &["delete"],
    ] {
        assert_eq!(omcp::run(NOWHERE, arguments, "").code, 2, "{arguments:?}");
    }
    let hint = omcp::run(NOWHERE, &["aply"], "").stderr;
    assert!(hint.contains("apply"), "{hint}");
}

#[test]
fn an_unreachable_control_plane_is_5_and_named() {
    for arguments in [&["get"][..], &["nodes"], &["status"], &["export"], &["delete", "one"]] {
        let ended = omcp::run(NOWHERE, arguments, "").expect(5);
        assert!(
            ended.stderr.contains("127.0.0.1:9") && ended.stdout.is_empty(),
            "{arguments:?}: {}",
            ended.stderr
        );
    }
}

#[test]
fn exit_codes_are_as_documented() {
    let cluster = Cluster::start(1);
    cluster.apply(&[stdio("one", &[])]);
    let file = cluster.folder().join("changed.yaml");
    fs::write(&file, manifest(&[stdio("one", &["--page-size", "5"])])).expect("a file can be written");
    let file = file.display().to_string();
    for (arguments, code) in [
        (&["get", "one"][..], 0),
        (&["get", "nobody"], 3),
        (&["describe", "nobody"], 3),
        (&["delete", "nobody"], 3),
        (&["delete", "nobody", "--ignore-missing"], 0),
        (&["explain", "nothing"], 3),
        (&["diff", "-f", &file], 1),
        (&["apply", "-f", &file, "--dry-run"], 0),
        (&["diff", "-f", &file], 1),
        (&["apply", "-f", "/no/such/file.yaml"], 2),
        (&["call", "one.echo", "message=hello"], 0),
        (&["call", "one.test_error_handling"], 9),
        (&["call", "nobody.echo"], 3),
        (&["logs", "nobody"], 3),
    ] {
        let ended = cluster.omcp(arguments);
        assert_eq!(ended.code, code, "{arguments:?}\n{}", ended.text());
        assert!(matches!(code, 0 | 1 | 9) || !ended.stderr.is_empty(), "{arguments:?} says nothing");
    }
}

#[test]
fn what_is_exported_is_what_was_applied() {
    let cluster = Cluster::start(1);
    let mut one = stdio("one", &["--era", "both"]);
    one["display_name"] = json!("Number: one, \"quoted\"");
    one["tags"] = json!(["a", "b"]);
    one["env"] = json!({ "TOKEN": "${NOT_SET_ANYWHERE}", "EMPTY": "" });
    let mut two = stdio("two", &[]);
    two["disabled"] = json!(true);
    cluster.try_apply_text(&manifest(&[one, two]), &[]).expect(0);
    let exported = cluster.omcp(&["export"]).expect(0).stdout;
    let before = cluster.omcp(&["get", "-o", "json"]).expect(0).stdout;
    let again = cluster.try_apply_text(&exported, &[]).expect(0);
    assert!(again.stdout.contains("unchanged") && !again.stdout.contains("updated"), "{}", again.stdout);
    assert_eq!(cluster.omcp(&["get", "-o", "json"]).expect(0).stdout, before);
    cluster.omcp(&["delete", "one", "two"]).expect(0);
    cluster.try_apply_text(&exported, &[]).expect(0);
    assert_eq!(cluster.omcp(&["export"]).expect(0).stdout, exported);
}

#[test]
fn every_form_of_output_is_what_it_says() {
    let cluster = Cluster::start(1);
    cluster.apply(&[stdio("one", &[])]);
    for command in
        [&["get"][..], &["status"], &["nodes"], &["runtimes"], &["describe", "one"], &["tools", "one"]]
    {
        let form = |form| cluster.omcp(&[command, &["-o", form]].concat()).expect(0).stdout;
        assert!(serde_json::from_str::<serde_json::Value>(&form("json")).is_ok(), "{command:?}");
        assert!(!form("table").contains('\u{1b}'), "{command:?} is coloured where nobody sees it");
        for other in ["yaml", "wide"] {
            assert!(!form(other).trim().is_empty(), "{command:?} -o {other}");
        }
    }
    assert_eq!(cluster.omcp(&["get", "-o", "name"]).expect(0).stdout, "one\n");
    assert_eq!(cluster.omcp(&["call", "one.add", "a:=2", "b:=40"]).expect(0).stdout.trim(), "42");
    for shell in ["bash", "zsh", "fish"] {
        assert!(cluster.omcp(&["completion", shell]).expect(0).stdout.contains("omcp"), "{shell}");
    }
}
