//! A child process that says where it listens, and ends with us.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::process;

/// How long a program may take until it listens.
const START_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest part of its log that an error message shows, bytes.
const SHOWN_LEN: usize = 2000;

/// A running program.
#[derive(Debug)]
pub struct Program {
    child: Child,
    /// Where it listens, by what for: `mcp`, `admin`, `sync`; empty if it does not say.
    addresses: BTreeMap<String, SocketAddr>,
    log: PathBuf,
}

impl Program {
    /// Starts a program on one core and waits until it listens for everything expected.
    ///
    /// # Errors
    /// If it does not.
    pub fn start(mut command: Command, core: usize, log: &Path, expected: &[&str]) -> Result<Self> {
        let stderr = File::create(log).with_context(|| format!("create {}", log.display()))?;
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr);
        let mut child = spawn(command, core)?;
        let lines = read_lines(child.stdout.take().context("the program has no stdout")?);
        let mut program = Self { child, addresses: BTreeMap::new(), log: log.to_owned() };
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

    fn wait(&mut self, lines: &Receiver<String>, expected: &[&str]) -> Result<()> {
        let deadline = Instant::now() + START_TIMEOUT;
        while expected.iter().any(|purpose| !self.addresses.contains_key(*purpose)) {
            let Ok(line) = lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) else {
                bail!("the program does not listen; it said: {}", self.last_words());
            };
            self.addresses.extend(addresses(&line));
        }
        Ok(())
    }

    /// The end of its log.
    pub fn last_words(&self) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&log[log.len().saturating_sub(SHOWN_LEN)..]).into_owned()
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

/// Reads what a program prints for as long as it lives, so that it never blocks.
fn read_lines(stdout: ChildStdout) -> Receiver<String> {
    let (lines, receiver): (Sender<String>, _) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            // Nobody listens any more once the program is up.
            let _ = lines.send(line);
        }
    });
    receiver
}

/// Addresses in a line such as `mcp listening on http://ADDR` or `listening mcp=http://ADDR admin=http://ADDR`.
fn addresses(line: &str) -> Vec<(String, SocketAddr)> {
    let subject = line.split_once("listening on").map_or("", |(subject, _)| subject.trim());
    let found = line.split_whitespace().filter_map(|word| {
        let (purpose, url) = word.split_once('=').unwrap_or((subject, word));
        let address = url.strip_prefix("http://")?.parse().ok()?;
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
        assert_eq!(addresses("listening mcp=http://127.0.0.1:3 admin=http://127.0.0.1:4"), both);
        assert_eq!(addresses("starting"), []);
    }
}
