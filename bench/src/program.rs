//! A child process that says where it listens, and ends with us.

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::process;

/// How long a program may take until it listens.
const START_TIMEOUT: Duration = Duration::from_secs(30);
/// Lines kept of what it says.
const LINES_KEPT: usize = 20;

/// A running program.
#[derive(Debug)]
pub struct Program {
    child: Child,
    /// Where it listens, by what for: `mcp`, `admin`, `sync`; empty if it does not say.
    addresses: BTreeMap<String, SocketAddr>,
    output: Output,
}

impl Program {
    /// Starts a program on one core and waits until it listens for everything expected.
    ///
    /// # Errors
    /// If it does not.
    pub fn start(mut command: Command, core: usize, expected: &[&str]) -> Result<Self> {
        command.env("NO_COLOR", "1").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let (addresses, output) = (BTreeMap::new(), Output::default());
        let mut program = Self { child: spawn(command, core)?, addresses, output };
        let lines = program.read_output()?;
        program.wait(&lines, expected)?;
        Ok(program)
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where it listens for this purpose.
    ///
    /// # Errors
    /// If it never said.
    pub fn address(&self, purpose: &str) -> Result<SocketAddr> {
        self.addresses
            .get(purpose)
            .copied()
            .with_context(|| format!("the program does not listen for {purpose:?}"))
    }

    /// The last lines that it printed.
    pub fn last_words(&self) -> String {
        self.output.lines().make_contiguous().join("\n")
    }

    fn read_output(&mut self) -> Result<Receiver<String>> {
        let (lines, receiver) = mpsc::channel();
        let stdout = self.child.stdout.take().context("the program has no stdout")?;
        let stderr = self.child.stderr.take().context("the program has no stderr")?;
        self.output.follow(stdout, lines.clone());
        self.output.follow(stderr, lines);
        Ok(receiver)
    }

    fn wait(&mut self, lines: &Receiver<String>, expected: &[&str]) -> Result<()> {
        let deadline = Instant::now() + START_TIMEOUT;
        while expected.iter().any(|purpose| !self.addresses.contains_key(*purpose)) {
            let Ok(line) = lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) else {
                bail!("the program does not listen for {expected:?}; it said:\n{}", self.last_words());
            };
            self.addresses.extend(addresses(&line));
        }
        Ok(())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Nothing to be done if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A child inherits the core of the thread that starts it.
fn spawn(mut command: Command, core: usize) -> Result<Child> {
    let program = command.get_program().display().to_string();
    let spawned = thread::spawn(move || -> Result<Child> {
        process::pin(core)?;
        Ok(command.spawn()?)
    });
    let spawned = spawned.join().map_err(|_| anyhow::anyhow!("the starting thread panicked"))?;
    spawned.with_context(|| format!("start {program}"))
}

/// What a program printed last, on both channels.
#[derive(Clone, Debug, Default)]
struct Output(Arc<Mutex<VecDeque<String>>>);

impl Output {
    fn lines(&self) -> MutexGuard<'_, VecDeque<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads a channel for as long as the program lives, so that it never blocks.
    fn follow(&self, channel: impl Read + Send + 'static, listener: Sender<String>) {
        let output = self.clone();
        thread::spawn(move || {
            for line in BufReader::new(channel).lines().map_while(Result::ok) {
                output.keep(line.clone());
                // Nobody listens any more once the program is up.
                let _ = listener.send(line);
            }
        });
    }

    fn keep(&self, line: String) {
        let mut lines = self.lines();
        if lines.len() == LINES_KEPT {
            lines.pop_front();
        }
        lines.push_back(line);
    }
}

/// Addresses in a line such as `mcp listening on http://ADDR` or `listening mcp=http://ADDR admin=ADDR`.
fn addresses(line: &str) -> Vec<(String, SocketAddr)> {
    let subject = line.split_once("listening on").map_or("", |(subject, _)| subject.trim());
    let found = line.split_whitespace().filter_map(|word| {
        let (purpose, url) = word.split_once('=').unwrap_or((subject, word));
        let address = url.strip_prefix("http://").unwrap_or(url).parse().ok()?;
        Some((purpose.to_owned(), address))
    });
    found.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_found_by_purpose() {
        let address = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        assert_eq!(addresses("listening on http://127.0.0.1:1"), [(String::new(), address(1))]);
        assert_eq!(addresses("admin listening on http://127.0.0.1:2"), [("admin".to_owned(), address(2))]);
        let both = [("mcp".to_owned(), address(3)), ("admin".to_owned(), address(4))];
        assert_eq!(addresses("listening mcp=http://127.0.0.1:3 admin=127.0.0.1:4"), both);
        assert_eq!(addresses("starting"), []);
    }
}
