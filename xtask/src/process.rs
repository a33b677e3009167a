//! A program with a log and a deadline.
//!
//! - [`family`]: what it has started

mod family;

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::folders;
use crate::process::family::Family;

/// How often a running program is looked at.
const POLL: Duration = Duration::from_millis(20);
/// For a program to end by itself what it has started, once it is asked to.
const TERM_WAIT: Duration = Duration::from_secs(15);
/// Lines of a log that are shown when its program failed.
const SHOWN_LINES: usize = 300;

/// What a program left behind.
pub struct Ended {
    pub status: ExitStatus,
    /// Standard output and standard error, in order.
    pub output: String,
    log: PathBuf,
}

impl Ended {
    /// Shows the end of the log.
    pub fn show(&self) {
        let lines: Vec<_> = self.output.lines().collect();
        lines[lines.len().saturating_sub(SHOWN_LINES)..].iter().for_each(|line| eprintln!("{line}"));
        eprintln!("(the whole log: {})", self.log.display());
    }

    /// # Errors
    /// It failed; its log has been shown.
    pub fn success(self) -> Result<Self> {
        if !self.status.success() {
            self.show();
            bail!("ended with {}", self.status);
        }
        Ok(self)
    }
}

/// Shows the last lines of a log.
pub fn show_end(name: &str, lines_max: usize) {
    let text = fs::read_to_string(folders::results(name)).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(lines_max)..].iter().for_each(|line| eprintln!("{line}"));
}

/// Runs `command` to its end, at most for `limit`; its output goes to `target/xtask/NAME.log`.
pub fn run(name: &str, command: &mut Command, limit: Duration) -> Result<Ended> {
    let (log, file) = new_log(&format!("{name}.log"))?;
    command.stderr(file.try_clone()?);
    finish(command, log, file, limit)
}

/// The same, for a program whose standard output is read by a program: its errors go to `NAME.errors.log`.
pub fn run_apart(name: &str, command: &mut Command, limit: Duration) -> Result<Ended> {
    let (log, file) = new_log(&format!("{name}.log"))?;
    command.stderr(new_log(&format!("{name}.errors.log"))?.1);
    finish(command, log, file, limit)
}

/// An empty log of this name, and its place.
pub fn new_log(name: &str) -> Result<(PathBuf, File)> {
    let log = folders::results(name);
    fs::create_dir_all(log.parent().expect("a log stands in a folder"))?;
    let file = File::create(&log).with_context(|| format!("create {}", log.display()))?;
    Ok((log, file))
}

fn finish(command: &mut Command, log: PathBuf, file: File, limit: Duration) -> Result<Ended> {
    let command = command.stdin(Stdio::null()).stdout(file);
    let shown = command.get_program().to_string_lossy().into_owned();
    let mut child = command.spawn().with_context(|| format!("start {shown}"))?;
    let status = wait(&mut child, limit);
    let output = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
    match status? {
        Some(status) => Ok(Ended { status, output, log }),
        None => bail!("{shown} was still running after {limit:?}, see {}", log.display()),
    }
}

/// Waits for the end, and makes one after `limit`: of the program, and of what it has started and leaves behind.
fn wait(child: &mut Child, limit: Duration) -> Result<Option<ExitStatus>> {
    let ended = wait_until(child, Instant::now() + limit)?;
    if ended.is_none() {
        let family = Family::of(child.id());
        Command::new("kill").args(["-TERM", &child.id().to_string()]).status().context("run kill")?;
        if wait_until(child, Instant::now() + TERM_WAIT)?.is_none() {
            child.kill()?;
            child.wait()?;
        }
        family.end(TERM_WAIT);
    }
    Ok(ended)
}

fn wait_until(child: &mut Child, deadline: Instant) -> Result<Option<ExitStatus>> {
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        thread::sleep(POLL);
    }
    Ok(None)
}
