use std::sync::Mutex;

use omcp_core::runtime::NoStderr;
use tokio::io::AsyncReadExt;
use tokio::time::Instant;

use super::*;

fn shell(script: &str) -> ProcessSpec {
    ProcessSpec {
        program: "/bin/sh".into(),
        args: vec!["-c".into(), script.into()],
        env: BTreeMap::from([("DECLARED".to_owned(), "yes".to_owned())]),
        working_dir: Some("/".into()),
    }
}

fn start(script: &str) -> (Process, Pipes) {
    shell(script).spawn(Arc::new(NoStderr)).unwrap()
}

const QUICK: StopGrace =
    StopGrace { stdin_closed: Duration::from_millis(100), terminated: Duration::from_millis(200) };

fn alive(pid: u32) -> bool {
    // A zombie has no command line.
    std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|text| !text.is_empty())
}

async fn first_line(stdout: &mut ChildStdout) -> String {
    let mut line = Vec::new();
    while let Ok(byte) = stdout.read_u8().await {
        if byte == b'\n' {
            break;
        }
        line.push(byte);
    }
    String::from_utf8(line).unwrap()
}

async fn until_dead(pid: u32) {
    let end = Instant::now() + Duration::from_secs(5);
    while alive(pid) {
        assert!(Instant::now() < end, "process {pid} lives on");
        sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn the_status_of_an_exit_is_told() {
    let (mut process, _pipes) = start("exit 3");
    process.exited().await;
    assert_eq!(process.describe(), "process /bin/sh exited with status 3");
    let (mut process, _pipes) = start("kill -9 $$");
    process.exited().await;
    assert_eq!(process.describe(), "process /bin/sh was ended by signal 9");
}

#[tokio::test]
async fn closed_stdin_is_enough_for_the_polite() {
    let (mut process, pipes) = start("cat");
    drop(pipes);
    process.stop(StopGrace::default()).await.unwrap();
    assert_eq!(process.exit().unwrap().code(), Some(0), "no signal was needed");
    process.stop(StopGrace::default()).await.unwrap();
}

#[tokio::test]
async fn sigterm_is_asked_before_sigkill() {
    let (mut process, mut pipes) = start("trap 'exit 7' TERM; echo ready; while :; do sleep 0.01; done");
    assert_eq!(first_line(&mut pipes.stdout).await, "ready");
    process.stop(StopGrace { terminated: Duration::from_secs(5), ..QUICK }).await.unwrap();
    assert_eq!(process.exit().unwrap().code(), Some(7));
}

#[tokio::test]
async fn who_ignores_sigterm_is_killed() {
    let (mut process, mut pipes) = start("trap '' TERM; echo ready; while :; do sleep 1; done");
    assert_eq!(first_line(&mut pipes.stdout).await, "ready");
    process.stop(QUICK).await.unwrap();
    assert_eq!(process.describe(), "process /bin/sh was ended by signal 9");
}

#[tokio::test]
async fn a_grandchild_goes_too() {
    for leader_exits_first in [false, true] {
        let tail = if leader_exits_first { "exit 1" } else { "cat" };
        let (mut process, mut pipes) = start(&format!("sleep 300 & echo $!; {tail}"));
        let grandchild = first_line(&mut pipes.stdout).await.parse().unwrap();
        if leader_exits_first {
            process.exited().await;
        } else {
            assert!(alive(grandchild));
            drop(pipes);
            process.stop(QUICK).await.unwrap();
        }
        until_dead(grandchild).await;
    }
}

#[tokio::test]
async fn dropping_kills_and_reaps() {
    let (process, mut pipes) = start("sleep 300 & echo $!; wait");
    let (leader, grandchild) = (process.pid(), first_line(&mut pipes.stdout).await.parse().unwrap());
    drop(process);
    until_dead(leader).await;
    until_dead(grandchild).await;
    let end = Instant::now() + Duration::from_secs(5);
    while std::path::Path::new(&format!("/proc/{leader}")).exists() {
        assert!(Instant::now() < end, "not reaped");
        sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn only_the_allowed_environment_is_seen() {
    let (mut process, mut pipes) = start("env; pwd");
    let mut text = String::new();
    pipes.stdout.read_to_string(&mut text).await.unwrap();
    process.exited().await;
    assert!(text.contains("DECLARED=yes\n") && text.ends_with("\n/\n"), "{text}");
    let set_by_the_shell = ["PWD", "OLDPWD", "SHLVL", "_", "DECLARED"];
    for name in text.lines().filter_map(|line| Some(line.split_once('=')?.0)) {
        assert!(INHERITED_ENV.contains(&name) || set_by_the_shell.contains(&name), "{name}");
    }
    let withheld = |(name, _): &(String, String)| !INHERITED_ENV.contains(&name.as_str());
    assert!(std::env::vars().any(|variable| withheld(&variable)), "the test has something to withhold");
}

#[derive(Default)]
struct Counted(Mutex<Vec<usize>>);

impl StderrSink for Counted {
    fn line(&self, line: &[u8]) {
        self.0.lock().unwrap().push(line.len());
    }
}

#[tokio::test]
async fn a_flood_of_stderr_neither_blocks_nor_fills() {
    let counted = Arc::new(Counted::default());
    let script = "yes | head -c 3000000 >&2; head -c 100000 /dev/zero >&2; echo done";
    let (mut process, mut pipes) = shell(script).spawn(counted.clone()).unwrap();
    assert_eq!(first_line(&mut pipes.stdout).await, "done");
    drop(pipes);
    process.stop(QUICK).await.unwrap();
    let lens = counted.0.lock().unwrap();
    assert!((100..1000).contains(&lens.len()), "{}", lens.len());
    assert!(lens.iter().all(|len| *len <= stderr::LINE_LEN_MAX));
}

#[tokio::test]
async fn a_start_that_fails_names_the_program() {
    let spec = ProcessSpec { program: "/etc/passwd".into(), ..shell("") };
    let Err(error) = spec.spawn(Arc::new(NoStderr)) else { panic!("it started") };
    assert_eq!(error.to_string(), "could not start /etc/passwd");
    assert!(error.chain().contains("denied"), "{}", error.chain());
}
