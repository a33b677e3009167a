//! One program: its log, and its end.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// A start, on a machine that is busy compiling.
const START_LIMIT: Duration = Duration::from_secs(30);
/// A clean end: nodes drain for as long as they are told to, 2 s if nobody says more, and then their backends may
/// take 10 s.
const END_LIMIT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(10);

/// A running program in a process group of its own, killed with all its group when dropped.
///
/// Its output is kept, and printed only if the test that holds it fails.
pub struct Process {
    name: String,
    child: Child,
    log: Log,
    /// Its end was seen. Its number may belong to somebody else, so its group is not signalled again.
    reaped: bool,
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn lines(&self) -> Vec<String> {
        self.0.lock().expect("nobody panics while logging").clone()
    }

    fn keep(&self, origin: &'static str, output: impl Read + Send + 'static) {
        let log = self.clone();
        thread::spawn(move || {
            for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
                let line = format!("{origin}{}", String::from_utf8_lossy(&line));
                log.0.lock().expect("nobody panics while logging").push(line);
            }
        });
    }
}

impl Process {
    /// # Panics
    /// It cannot be started.
    pub fn start(name: &str, command: &mut Command) -> Self {
        let command = command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("start {name}: {error}"));
        let log = Log::default();
        log.keep("", child.stdout.take().expect("its output is a pipe"));
        log.keep("  ", child.stderr.take().expect("its errors are a pipe"));
        Self { name: name.to_owned(), child, log, reaped: false }
    }

    /// What stands behind `word` in its output, up to the next space. Waits for it.
    ///
    /// # Panics
    /// It ended, or did not say so in time.
    pub fn says(&mut self, word: &str) -> String {
        let deadline = Instant::now() + START_LIMIT;
        loop {
            let lines = self.log.lines();
            let found = lines.iter().find_map(|line| line.split_once(word));
            if let Some((_, rest)) = found {
                return rest.split_whitespace().next().unwrap_or_default().to_owned();
            }
            let ended = self.child.try_wait().expect("a child can be waited for");
            self.reaped |= ended.is_some();
            assert!(ended.is_none(), "{} ended with {ended:?}:\n{}", self.name, self.output());
            assert!(Instant::now() < deadline, "{} never said {word:?}:\n{}", self.name, self.output());
            thread::sleep(POLL);
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything it wrote so far; errors are indented.
    pub fn output(&self) -> String {
        self.log.lines().join("\n")
    }

    pub fn is_running(&mut self) -> bool {
        let running = matches!(self.child.try_wait(), Ok(None));
        self.reaped |= !running;
        running
    }

    /// Ends it at once, as a power cut would.
    pub fn kill(&mut self) {
        self.signal_group(Signal::KILL);
        self.child.wait().expect("a killed child can be waited for");
        self.reaped = true;
    }

    /// Asks it to end, and waits until it has.
    ///
    /// # Panics
    /// It did not in time.
    pub fn terminate(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.end()
    }

    /// Sends it a signal, and nobody else.
    pub fn signal(&self, signal: Signal) {
        if !self.reaped {
            // It may have ended already.
            kill_process(self.group(), signal).ok();
        }
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// It does not come in time.
    pub fn end(&mut self) -> ExitStatus {
        self.wait(END_LIMIT).unwrap_or_else(|| panic!("{} does not end:\n{}", self.name, self.output()))
    }

    fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + limit;
        while Instant::now() < deadline {
            if let Ok(Some(status)) = self.child.try_wait() {
                self.reaped = true;
                return Some(status);
            }
            thread::sleep(POLL);
        }
        None
    }

    fn group(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    fn signal_group(&self, signal: Signal) {
        if !self.reaped {
            // An empty group is as good as a signalled one.
            kill_process_group(self.group(), signal).ok();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signal_group(Signal::KILL);
        self.child.wait().ok();
        if thread::panicking() {
            eprintln!("---- {} ----\n{}", self.name, self.output());
        }
    }
}

/// One of our programs, as `cargo build` leaves it beside the tests.
///
/// # Panics
/// It has not been built.
pub fn program(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("a running program has a path");
    let found = own.ancestors().skip(1).map(|folder| folder.join(name)).find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("{name} is not built: run cargo build --workspace --bins"))
}
