use std::sync::Mutex;

use omcp_core::runtime::NoStderr;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::AsyncReadExt;
use tokio::time::Instant;

use super::*;

fn shell(script: &str) -> ProcessSpec {
    ProcessSpec {
        program: "/bin/sh".into(),
        args: vec!["-c".into(), script.into()],
        env: BTreeMap::from([("DECLARED".to_owned(), "yes".to_owned())]),
        working_dir: Some("/".into()),
        private_dir: None,
    }
}

async fn start(script: &str) -> (Process, Pipes) {
    shell(script).spawn(Arc::new(NoStderr)).await.unwrap()
}

/// Without a supervisor.
fn start_grouped(script: &str) -> (Process, Pipes) {
    let spec = shell(script);
    let (process, stdin, stdout, stderr) = Grouped::start(&spec).unwrap();
    spec.kept(Keeper::Grouped(process), Pipes { stdin, stdout }, stderr, Arc::new(NoStderr))
}

/// Both ways.
async fn starts(script: &str) -> [(Process, Pipes); 2] {
    let supervised = start(script).await;
    assert!(matches!(supervised.0.keeper, Keeper::Supervised(_)));
    [supervised, start_grouped(script)]
}

const QUICK: StopGrace =
    StopGrace { stdin_closed: Duration::from_millis(100), terminated: Duration::from_millis(200) };

/// Enough on a machine that has other things to do.
const PATIENCE: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(10);

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
    let end = Instant::now() + PATIENCE;
    while alive(pid) {
        assert!(Instant::now() < end, "process {pid} lives on");
        sleep(POLL).await;
    }
}

/// One that has just been forked has no command line for a moment.
async fn until_alive(pid: u32) {
    let end = Instant::now() + PATIENCE;
    while !alive(pid) {
        assert!(Instant::now() < end, "process {pid} never ran");
        sleep(POLL).await;
    }
}

#[tokio::test]
async fn the_status_of_an_exit_is_told() {
    for (mut process, _pipes) in starts("exit 3").await {
        process.exited().await;
        assert_eq!(process.describe(), "process /bin/sh exited with status 3");
    }
    for (mut process, _pipes) in starts("kill -9 $$").await {
        process.exited().await;
        let told = process.describe();
        let begin = "process /bin/sh was ended by signal 9 (SIGKILL), which nobody here sent";
        assert!(told.starts_with(begin), "{told}");
    }
}

#[tokio::test]
async fn closed_stdin_is_enough_for_the_polite() {
    for (mut process, pipes) in starts("cat").await {
        drop(pipes);
        process.stop(StopGrace::default()).await.unwrap();
        assert_eq!(process.exit().unwrap().code(), Some(0), "no signal was needed");
        process.stop(StopGrace::default()).await.unwrap();
    }
}

#[tokio::test]
async fn sigterm_is_asked_before_sigkill() {
    for (mut process, mut pipes) in
        starts("trap 'exit 7' TERM; echo ready; while :; do sleep 0.01; done").await
    {
        assert_eq!(first_line(&mut pipes.stdout).await, "ready");
        process.stop(StopGrace { terminated: Duration::from_secs(20), ..QUICK }).await.unwrap();
        assert_eq!(process.exit().unwrap().code(), Some(7));
    }
}

#[tokio::test]
async fn who_ignores_sigterm_is_killed() {
    for (mut process, mut pipes) in starts("trap '' TERM; echo ready; while :; do sleep 1; done").await {
        assert_eq!(first_line(&mut pipes.stdout).await, "ready");
        process.stop(QUICK).await.unwrap();
        assert_eq!(process.describe(), "process /bin/sh was ended by signal 9");
    }
}

#[tokio::test]
async fn a_directory_of_its_own_goes_with_it() {
    for program in ["/bin/sh", "/no/such/program"] {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("left"), "").unwrap();
        let private_dir = Some(dir.path().to_owned());
        let spec = ProcessSpec { program: program.into(), private_dir, ..shell("exit 0") };
        let started = spec.spawn(Arc::new(NoStderr)).await;
        if let Ok((mut process, _pipes)) = started {
            process.exited().await;
        }
        let end = Instant::now() + PATIENCE;
        while dir.path().exists() {
            assert!(Instant::now() < end, "{program}: it is still there");
            sleep(POLL).await;
        }
    }
}

#[tokio::test]
async fn a_grandchild_goes_too() {
    for leader_exits_first in [false, true] {
        let tail = if leader_exits_first { "exit 1" } else { "cat" };
        for (mut process, mut pipes) in starts(&format!("sleep 300 & echo $!; {tail}")).await {
            let grandchild = first_line(&mut pipes.stdout).await.parse().unwrap();
            if leader_exits_first {
                process.exited().await;
            } else {
                until_alive(grandchild).await;
                drop(pipes);
                process.stop(QUICK).await.unwrap();
            }
            until_dead(grandchild).await;
        }
    }
}

#[tokio::test]
async fn dropping_kills_and_reaps() {
    for (process, mut pipes) in starts("sleep 300 & echo $!; wait").await {
        let (leader, grandchild) = (process.pid(), first_line(&mut pipes.stdout).await.parse().unwrap());
        drop(process);
        until_dead(leader).await;
        until_dead(grandchild).await;
        let end = Instant::now() + PATIENCE;
        while std::path::Path::new(&format!("/proc/{leader}")).exists() {
            assert!(Instant::now() < end, "not reaped");
            sleep(POLL).await;
        }
    }
}

#[tokio::test]
async fn only_the_allowed_environment_is_seen() {
    let (mut process, mut pipes) = start("env; pwd").await;
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

/// What a backend's log would hold.
#[derive(Default)]
struct Log(Mutex<Vec<String>>);

impl StderrSink for Log {
    fn line(&self, line: &[u8]) {
        self.0.lock().unwrap().push(String::from_utf8_lossy(line).into_owned());
    }
}

#[tokio::test]
async fn an_end_that_nobody_asked_for_is_told_behind_its_last_words() {
    let log = Arc::new(Log::default());
    let (mut process, pipes) = shell("echo help >&2; exit 3").spawn(log.clone()).await.unwrap();
    process.exited().await;
    process.stop(QUICK).await.unwrap();
    process.stop(QUICK).await.unwrap();
    drop(pipes);
    let lines = log.0.lock().unwrap().clone();
    let [words, end] = &lines[..] else { panic!("{lines:?}") };
    let pid = process.pid();
    assert!(
        words == "help" && end.starts_with(&format!("[pid {pid}: process /bin/sh exited with status 3;"))
    );
    assert!(end.contains(" s of processor time and at most ") && end.ends_with(" MiB of memory]"), "{end}");
    let (mut process, pipes) = shell("cat").spawn(log.clone()).await.unwrap();
    drop(pipes);
    process.stop(QUICK).await.unwrap();
    assert_eq!(log.0.lock().unwrap().len(), 2, "who was asked to end is no news");
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
    let (mut process, mut pipes) = shell(script).spawn(counted.clone()).await.unwrap();
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
    let Err(error) = spec.spawn(Arc::new(NoStderr)).await else { panic!("it started") };
    assert_eq!(error.to_string(), "could not start /etc/passwd");
    assert!(error.chain().contains("denied"), "{}", error.chain());
}

/// What a script printed until its end.
async fn printed(spec: &ProcessSpec, limits: &Limits) -> String {
    let (mut process, mut pipes) = spec.spawn_within(limits, Arc::new(NoStderr)).await.unwrap();
    let mut text = String::new();
    pipes.stdout.read_to_string(&mut text).await.unwrap();
    process.exited().await;
    text
}

#[tokio::test]
async fn a_process_begins_with_a_clean_slate() {
    // Descriptors that nobody meant to pass on.
    let file = std::fs::File::open("/dev/null").unwrap();
    let leaked: Vec<_> = (0..3).map(|_| rustix::io::dup(&file).unwrap()).collect();
    let text = printed(&shell("ls /proc/$$/fd; umask; ulimit -c"), &Limits::default()).await;
    drop(leaked);
    assert_eq!(text.split_whitespace().collect::<Vec<_>>(), ["0", "1", "2", "0077", "0"]);
    // No shell: it blocks signals for moments.
    let status =
        ProcessSpec { program: "/bin/cat".into(), args: vec!["/proc/self/status".into()], ..shell("") };
    for (new_privileges, no_new) in [(false, "1"), (true, "0")] {
        let text = printed(&status, &Limits { new_privileges, ..Limits::default() }).await;
        let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        for name in ["SigBlk:", "SigIgn:", "SigCgt:"] {
            assert_eq!(field(name), Some("0000000000000000"), "{name}");
        }
        assert_eq!(field("NoNewPrivs:"), Some(no_new));
    }
}

#[tokio::test]
async fn a_program_finds_the_usual_limit_of_open_files() {
    let own = getrlimit(Resource::Nofile);
    let fewer = own.maximum.unwrap_or(4096) - 1;
    setrlimit(Resource::Nofile, Rlimit { current: Some(fewer), ..own }).unwrap();
    descriptors::raise_limit();
    assert_eq!(getrlimit(Resource::Nofile).current, own.maximum);
    let text = printed(&shell("ulimit -Sn; ulimit -Hn"), &Limits::default()).await;
    let found: Vec<u64> = text.lines().filter_map(|line| line.parse().ok()).collect();
    assert_eq!(found, [fewer, own.maximum.unwrap()], "{text}");
}

#[tokio::test]
async fn who_reads_no_more_ends_the_writer() {
    // SIGPIPE ends `yes`; a process that inherited our own deafness would complain instead.
    let (mut process, pipes) = start("yes; echo $? >&2").await;
    drop(pipes);
    process.exited().await;
    assert_eq!(process.exit().unwrap().code(), Some(0));
    let text = printed(&shell("(yes; echo $? >&2) 2>&1 | head -c 0; :"), &Limits::default()).await;
    assert_eq!(text, "");
    let text = printed(&shell("{ yes; echo $? >&3; } 3>&1 | :"), &Limits::default()).await;
    assert_eq!(text, "");
}

/// A shell script whose descendants hide: another session, a daemon whose parent is gone. All of them
/// ignore SIGTERM and the end of their input. Prints their pids, one line.
const HIDING: &str = r#"
trap '' TERM HUP
hide='trap "" TERM HUP; while :; do sleep 1; done'
sh -c "$hide" & a=$!
setsid sh -c "$hide" & b=$!
c=$(setsid sh -c "($hide) >/dev/null 2>&1 & echo \$!")
echo $a $b $c $$
while :; do sleep 1; done
"#;

async fn hidden(pipes: &mut Pipes) -> Vec<u32> {
    let line = first_line(&mut pipes.stdout).await;
    let pids: Vec<u32> = line.split(' ').map(|pid| pid.parse().unwrap()).collect();
    assert_eq!(pids.len(), 4, "{line}");
    for pid in &pids {
        until_alive(*pid).await;
    }
    pids
}

#[tokio::test]
async fn who_hides_is_found() {
    for way in ["stop", "drop", "exit"] {
        let (mut process, mut pipes) = start(HIDING).await;
        let pids = hidden(&mut pipes).await;
        match way {
            "stop" => process.stop(QUICK).await.unwrap(),
            "drop" => drop(process),
            _ => {
                let pid = Pid::from_raw(pids[3].cast_signed()).unwrap();
                rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
                process.exited().await;
                assert!(process.describe().contains("which nobody here sent"), "{}", process.describe());
            }
        }
        for pid in pids {
            until_dead(pid).await;
        }
    }
}

/// The supervisor of a process: its parent.
fn supervisor_of(pid: u32) -> Pid {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap();
    Pid::from_raw(parent.trim().parse().unwrap()).unwrap()
}

#[tokio::test]
async fn a_process_does_not_outlive_its_supervisor() {
    let (mut process, mut pipes) = start(HIDING).await;
    let pids = hidden(&mut pipes).await;
    let supervisor = supervisor_of(process.pid());
    let name = std::fs::read_to_string(format!("/proc/{supervisor}/comm")).unwrap();
    assert_eq!(name.trim(), supervisor::NAME);
    rustix::process::kill_process(supervisor, rustix::process::Signal::KILL).unwrap();
    process.exited().await;
    assert_eq!(process.describe(), "process /bin/sh was killed with its supervisor");
    for pid in pids {
        until_dead(pid).await;
    }
    process.stop(QUICK).await.unwrap();
}

#[tokio::test]
async fn a_supervisor_that_is_asked_to_end_ends_its_process() {
    let (mut process, mut pipes) =
        start("trap 'exit 5' TERM; echo ready; while :; do sleep 0.01; done").await;
    assert_eq!(first_line(&mut pipes.stdout).await, "ready");
    let supervisor = supervisor_of(process.pid());
    rustix::process::kill_process(supervisor, rustix::process::Signal::TERM).unwrap();
    process.exited().await;
    assert_eq!(process.describe(), "process /bin/sh exited with status 5");
}

#[tokio::test]
async fn the_steps_of_an_end_keep_their_order_and_their_time() {
    let script = "trap 'echo term $(date +%s%N)' TERM; echo ready; cat; echo closed $(date +%s%N); while :; do sleep 0.01; done";
    let (mut process, Pipes { stdin, mut stdout }) = start(script).await;
    assert_eq!(first_line(&mut stdout).await, "ready");
    // Long enough for a shell to say in time that its input has ended, and that it was asked to end.
    let grace = StopGrace { stdin_closed: Duration::from_secs(2), terminated: Duration::from_secs(2) };
    let begin = now();
    drop(stdin);
    let mut text = String::new();
    let (stopped, read) = tokio::join!(process.stop(grace), stdout.read_to_string(&mut text));
    stopped.unwrap();
    read.unwrap();
    let times: Vec<_> = text.lines().filter_map(|line| line.split_once(' ')).collect();
    let [("closed", closed), ("term", term)] = times[..] else { panic!("{text}") };
    let (closed, term): (u128, u128) = (closed.parse().unwrap(), term.parse().unwrap());
    assert!(closed >= begin && term >= begin + grace.stdin_closed.as_nanos(), "{begin} {text}");
    assert!(now() >= begin + (grace.stdin_closed + grace.terminated).as_nanos());
    assert_eq!(process.describe(), "process /bin/sh was ended by signal 9");
}

/// Nanoseconds as `date +%s%N` counts them.
fn now() -> u128 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos()
}

#[tokio::test]
async fn what_it_took_is_told() {
    let (mut process, pipes) = start("i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done").await;
    process.exited().await;
    drop(pipes);
    let usage = process.usage().unwrap();
    assert!(usage.user + usage.system > Duration::ZERO && usage.resident_max_kib > 100, "{usage:?}");
}
