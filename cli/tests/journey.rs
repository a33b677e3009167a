//! The program as people use it: both planes in one process, and every exit code they can meet.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value as Json;

/// `omcp up --demo` on free ports; killed if the test fails.
struct Up {
    child: Child,
    server: String,
}

impl Up {
    fn start(state: &Path) -> Self {
        let mut child = omcp()
            .args(["up", "--demo", "--free-ports", "-o", "json", "--state-dir"])
            .arg(state)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut text = String::new();
        for line in BufReader::new(child.stdout.as_mut().unwrap()).lines() {
            let line = line.unwrap();
            text.push_str(&line);
            if line == "}" {
                break;
            }
        }
        if text.is_empty() {
            let mut said = String::new();
            child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
            panic!("omcp up did not start: {said}");
        }
        let said: Json = serde_json::from_str(&text).unwrap();
        Self { child, server: said["admin_url"].as_str().unwrap().to_owned() }
    }

    fn run_with(&self, args: &[&str], input: &str) -> Output {
        let mut child = omcp()
            .args(["--server", &self.server])
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A command that does not read its input may be gone already.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        child.wait_with_output().unwrap()
    }

    /// Ends with a code; what it wrote to standard output.
    fn ends(&self, code: i32, args: &[&str], input: &str) -> String {
        let output = self.run_with(args, input);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn json(&self, args: &[&str]) -> Json {
        serde_json::from_str(&self.ends(0, args, "")).unwrap()
    }

    fn interrupt(mut self) -> Option<i32> {
        signal("INT", self.child.id());
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(20) {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("omcp up did not end");
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn omcp() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_omcp"));
    command.env_remove("OMCP_SERVER").env_remove("OMCP_NODE_URL").env("NO_COLOR", "1");
    command
}

/// Waits until a program has a handler for SIGINT. Before that, the signal would simply end it.
fn until_it_minds_interrupts(pid: u32) {
    let began = Instant::now();
    while !minds_interrupts(pid) {
        assert!(began.elapsed() < Duration::from_secs(20), "it has no handler for SIGINT");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn minds_interrupts(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
    u64::from_str_radix(caught.trim(), 16).unwrap() & 0x2 != 0
}

fn signal(name: &str, pid: u32) {
    assert!(Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status().unwrap().success());
}

#[test]
fn a_day_with_omcp() {
    let state = tempfile::tempdir().unwrap();
    let up = Up::start(state.path());

    assert_eq!(up.ends(0, &["call", "demo.echo", "message=hello"], ""), "hello\n");
    assert_eq!(up.ends(9, &["call", "demo.fail"], ""), "failing is what this tool is for\n");
    up.ends(2, &["call", "demo.nope"], "");
    up.ends(3, &["call", "nope.echo"], "");
    assert!(up.ends(0, &["tools", "demo", "-o", "name"], "").starts_with("demo.echo\ndemo.add\n"));

    let broken = "servers: [{id: broken, runtime: {type: local-process, command: /nonexistent/x}}]";
    up.ends(1, &["diff", "-f", "-"], broken);
    assert_eq!(up.ends(0, &["apply", "-f", "-", "--dry-run"], broken), "broken created (dry run)\n");
    up.ends(8, &["apply", "-f", "-", "--wait"], broken);
    up.ends(0, &["diff", "-f", "-"], broken);
    up.ends(3, &["get", "nope"], "");

    let wrong = up.run_with(
        &["apply", "-f", "-", "-o", "json"],
        "servers:\n  - id: a\n    runtime: {type: local-process, comand: x}\n",
    );
    assert_eq!(wrong.status.code(), Some(2));
    let said: Json = serde_json::from_slice(&wrong.stderr).unwrap();
    let problem = said["error"]["problems"].as_array().unwrap().iter().find(|p| p["hint"] != "").unwrap();
    assert_eq!((problem["line"].as_u64(), problem["column"].as_u64()), (Some(3), Some(36)), "{said}");
    assert!(problem["hint"].as_str().unwrap().contains("command"), "{said}");

    let exported = up.ends(0, &["export"], "");
    up.ends(0, &["diff", "-f", "-", "--prune"], &exported);
    let shown = up.ends(0, &["get", "-o", "yaml"], "");
    up.ends(0, &["diff", "-f", "-", "--prune"], &shown);
    up.ends(2, &["apply", "-f", "-", "--prune"], "servers: []");
    up.ends(0, &["delete", "broken", "--wait"], "");
    up.ends(3, &["delete", "broken"], "");
    assert_eq!(up.ends(0, &["get", "-o", "name"], ""), "demo\n");

    let statuses = up.json(&["status", "demo", "-o", "json"]);
    let pid = statuses["statuses"][0]["pids"][0].as_u64().unwrap();
    assert_eq!(up.interrupt(), Some(0));
    assert!(!Path::new(&format!("/proc/{pid}")).exists(), "the demo backend is gone too");

    let again = Up::start(state.path());
    assert_eq!(again.ends(0, &["call", "demo.add", "a:=1", "b:=2"], ""), "3\n");
}

#[test]
fn without_a_control_plane() {
    let output = omcp().args(["--server", "http://127.0.0.1:9", "get", "-o", "json"]).output().unwrap();
    assert_eq!(output.status.code(), Some(5));
    assert!(output.stdout.is_empty());
    let said: Json = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!(said["error"]["exit_code"], 5);
}

#[test]
fn wrong_usage_is_2_and_help_is_0() {
    for (args, code) in
        [(vec!["get", "--nonsense"], 2), (vec![], 2), (vec!["--help"], 0), (vec!["--version"], 0)]
    {
        assert_eq!(omcp().args(&args).output().unwrap().status.code(), Some(code), "{args:?}");
    }
}

#[test]
fn a_second_omcp_up_says_so() {
    let first = tempfile::tempdir().unwrap();
    let up = Up::start(first.path());
    let output = omcp()
        .args(["up", "--ephemeral", "--admin-port", up.server.rsplit(':').next().unwrap()])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("another omcp seems to run"), "{said}");
}

#[test]
fn a_port_in_use_ends_omcp_up() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let output =
        omcp().args(["up", "--ephemeral", "--admin-port", &address.port().to_string()]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("{address} is taken")) && said.contains("--free-ports"), "{said}");
}

#[test]
fn the_small_print() {
    let state = tempfile::tempdir().unwrap();
    let up = Up::start(state.path());

    let script = up.ends(0, &["completion", "bash"], "");
    assert!(script.contains("complete -F _omcp"), "{script}");
    let mut bash = Command::new("bash").args(["-n"]).stdin(Stdio::piped()).spawn().unwrap();
    bash.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    assert!(bash.wait().unwrap().success(), "bash reads it");
    up.ends(2, &["completion", "nosuchshell"], "");

    let explained = up.ends(0, &["explain", "remote-http.url"], "");
    assert!(explained.starts_with("remote-http.url ") && explained.contains("http://"), "{explained}");
    up.ends(3, &["explain", "remote-http.nope"], "");

    let noisy = "servers: [{id: noisy, runtime: {type: local-process, command: sh, args: [-c, 'echo a line >&2; exit 3']}}]";
    assert_eq!(up.ends(0, &["apply", "-f", "-"], noisy), "noisy created\n");
    let began = Instant::now();
    while !up.ends(0, &["logs", "noisy"], "").contains("a line") {
        assert!(began.elapsed() < Duration::from_secs(20), "the log never came");
        std::thread::sleep(Duration::from_millis(50));
    }
    up.ends(3, &["logs", "nope"], "");
    up.ends(3, &["logs", "noisy", "--node", "nope"], "");

    up.ends(0, &["diff", "-f", "-"], noisy);
    up.ends(1, &["diff", "-f", "-"], &noisy.replace("exit 3", "exit 4"));
    up.ends(2, &["diff", "-f", "-"], "servers: [{id: noisy}]");
    up.ends(2, &["diff", "-f", "/nonexistent.yaml"], "");
    assert_eq!(up.ends(0, &["get", "-o", "name"], ""), "demo\nnoisy\n");

    let exported = up.ends(0, &["export"], "");
    assert_eq!(up.ends(0, &["apply", "-f", "-"], &exported), "demo unchanged\nnoisy unchanged\n");
    assert_eq!(up.ends(0, &["delete", "noisy"], ""), "noisy deleted\n");
    assert_eq!(up.ends(0, &["get", "-o", "name"], ""), "demo\n");
    up.ends(0, &["delete", "noisy", "--ignore-missing"], "");
}

#[test]
fn interrupted_is_130() {
    let state = tempfile::tempdir().unwrap();
    let up = Up::start(state.path());
    let child = omcp().args(["--server", &up.server, "call", "demo.slow", "ms:=60000"]).spawn().unwrap();
    until_it_minds_interrupts(child.id());
    // Time for the call to get under way. That it is, is not needed.
    std::thread::sleep(Duration::from_millis(700));
    signal("INT", child.id());
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(130));
}

#[test]
fn waiting_after_an_edit() {
    let state = tempfile::tempdir().unwrap();
    let up = Up::start(state.path());
    let edit = |script: &str, options: &[&str]| {
        let output = omcp()
            .args(["--server", &up.server, "edit", "demo"])
            .args(options)
            .env_remove("VISUAL")
            .env("EDITOR", format!("{script} ; :"))
            .output()
            .unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let wait = ["--wait", "--wait-timeout", "20s"];
    let (code, said) = edit("echo >> $1; echo '# a comment' >> $1", &wait);
    assert_eq!((code, said.as_str()), (Some(0), "nothing changed\n"));
    let (code, said) = edit("sed -i 's/Demo backend/Renamed/' $1", &wait);
    assert_eq!(code, Some(0), "a name builds nothing: {said}");
    assert_eq!(edit("sed -i 's/Renamed/Other/' $1", &["--dry-run"]).0, Some(0));
    let (code, said) = edit("sed -i 's|command: .*|command: /nonexistent/x|' $1", &wait);
    assert_eq!(code, Some(8), "an older readiness does not count: {said}");
}

#[test]
fn waiting_for_more_than_a_watch_may_name() {
    let state = tempfile::tempdir().unwrap();
    let up = Up::start(state.path());
    let servers = |range: std::ops::Range<u32>| {
        let entry =
            |n| format!("  - {{id: b{n}, disabled: true, runtime: {{type: local-process, command: x}}}}\n");
        range.map(entry).collect::<String>()
    };
    let (first, second) = (servers(0..600), servers(600..1100));
    let wait = ["apply", "-f", "-", "--wait"];
    up.ends(0, &wait, &format!("servers:\n{first}"));
    up.ends(0, &wait, &format!("servers:\n{second}"));
    let said = up.ends(0, &wait, &format!("servers:\n{first}{second}"));
    assert_eq!(said.matches(" unchanged\n").count(), 1100);
}

#[test]
fn editing_is_guarded() {
    let state = tempfile::tempdir().unwrap();
    let up = Up::start(state.path());
    let edit = |script: &str| {
        let output = omcp()
            .args(["--server", &up.server, "edit", "demo"])
            .env_remove("VISUAL")
            .env("EDITOR", format!("{script} ; :"))
            .output()
            .unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert_eq!(edit("true").0, Some(0));
    assert_eq!(edit("sed -i 's/Demo backend/Renamed/' $1").0, Some(0));
    assert_eq!(up.json(&["get", "demo", "-o", "json"])["backends"][0]["display_name"], "Renamed");
    let (code, said) = edit("sed -i 's/command:/comand:/' $1");
    assert_eq!(code, Some(2), "left unchanged after the refusal: {said}");
    let server = &up.server;
    let program = env!("CARGO_BIN_EXE_omcp");
    let meanwhile = format!(
        "printf 'servers: [{{id: demo, runtime: {{type: local-process, command: x}}}}]' | {program} --server {server} apply -f -; sed -i 's/Renamed/Mine/' $1"
    );
    let (code, said) = edit(&meanwhile);
    assert_eq!(code, Some(6), "{said}");
    let kept = said.split("kept in ").nth(1).and_then(|rest| rest.split(';').next()).unwrap();
    assert!(std::fs::read_to_string(kept).unwrap().contains("Mine"));
    std::fs::remove_file(kept).unwrap();
}
