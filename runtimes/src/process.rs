//! Where processes start and end.
//!
//! A process is started without a shell, with a small environment and clean descriptors, signals and
//! limits. It ends in steps (stdin closed, SIGTERM, SIGKILL), all its descendants with it, and is always
//! reaped.
//!
//! - [`supervised`]: with a supervisor, which survives the node
//! - [`spawner`]: where supervisors come from
//! - [`cgroup`]: limits for all of them together
//! - [`group`]: without one
//! - [`descriptors`]: how many files may be open
//! - [`pages`]: what of this program is mapped
//! - [`exit`]: how it ended, in words

#[cfg(target_os = "linux")]
mod cgroup;
pub mod descriptors;
mod exit;
mod group;
pub mod pages;
#[cfg(target_os = "linux")]
mod spawner;
#[cfg(target_os = "linux")]
mod supervised;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::{Arc, Once};
use std::time::Duration;

use omcp_core::{GatewayError, StderrSink};
use rustix::process::Pid;
use tokio::process::{ChildStderr, ChildStdin, ChildStdout};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use self::group::Grouped;
#[cfg(target_os = "linux")]
use self::supervised::Supervised;
use crate::stderr;
use crate::supervisor;
pub use crate::supervisor::word::Usage;

/// What a process sees of the node's own environment. The rest may hold the node's secrets.
pub const INHERITED_ENV: [&str; 9] =
    ["PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "USER", "LOGNAME", "SHELL"];
/// How long SIGKILL may take to show. Only a process stuck inside the kernel needs longer.
const KILL_WAIT: Duration = Duration::from_secs(5);
/// How long the last lines of stderr may take to arrive once the process is gone.
const STDERR_WAIT: Duration = Duration::from_millis(200);

/// What to start.
#[derive(Clone)]
pub struct ProcessSpec {
    /// Absolute path, or one relative to `working_dir`.
    pub program: PathBuf,
    pub args: Vec<String>,
    /// Added to [`INHERITED_ENV`]. Holds secrets: never logged.
    pub env: BTreeMap<String, String>,
    pub working_dir: Option<PathBuf>,
    /// Its own directory, which the supervisor removes after its end, whatever became of the node.
    pub private_dir: Option<PathBuf>,
}

/// The bounds that a process and its descendants live in. They hold where it has a supervisor.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    /// Memory of all of them, bytes; of each, where no cgroup is delegated to the node.
    pub memory_len_max: Option<u64>,
    /// Processes and threads at a time. Holds only where a cgroup is delegated to the node.
    pub pids_max: Option<u32>,
    /// Whether set-user-id programs such as `sudo` work.
    pub new_privileges: bool,
}

/// How long each step of ending a process may take before the next one.
#[derive(Clone, Copy, Debug)]
pub struct StopGrace {
    /// From the end of its input.
    pub stdin_closed: Duration,
    /// From SIGTERM.
    pub terminated: Duration,
}

impl Default for StopGrace {
    fn default() -> Self {
        Self { stdin_closed: Duration::from_secs(2), terminated: Duration::from_secs(3) }
    }
}

/// The two pipes of a started process.
pub struct Pipes {
    pub stdin: ChildStdin,
    pub stdout: ChildStdout,
}

impl ProcessSpec {
    /// Starts the process. Its stderr goes to `sink`, line by line, from now on.
    ///
    /// # Errors
    /// `Unreachable`: the system refused to start it. The program is named, its arguments are not.
    pub async fn spawn(&self, sink: Arc<dyn StderrSink>) -> Result<(Process, Pipes), GatewayError> {
        self.spawn_within(&Limits::default(), sink).await
    }

    /// [`ProcessSpec::spawn`] within bounds.
    ///
    /// # Errors
    /// As [`ProcessSpec::spawn`].
    pub async fn spawn_within(
        &self,
        limits: &Limits,
        sink: Arc<dyn StderrSink>,
    ) -> Result<(Process, Pipes), GatewayError> {
        let (keeper, pipes, stderr) = self.start(limits, &*sink).await.map_err(|error| {
            let text = format!("could not start {}", self.program.display());
            GatewayError::unreachable(text).with_source(error)
        })?;
        Ok(self.kept(keeper, pipes, stderr, sink))
    }

    fn kept(
        &self,
        keeper: Keeper,
        pipes: Pipes,
        stderr: ChildStderr,
        sink: Arc<dyn StderrSink>,
    ) -> (Process, Pipes) {
        let stderr = tokio::spawn(stderr::drain(stderr, sink.clone()));
        let process = Process {
            program: self.program.clone(),
            keeper,
            stderr,
            sink,
            born: Instant::now(),
            oom_kills_before: exit::system_oom_kills(),
            asked: false,
            told: false,
        };
        (process, pipes)
    }

    async fn start(
        &self,
        limits: &Limits,
        sink: &dyn StderrSink,
    ) -> io::Result<(Keeper, Pipes, ChildStderr)> {
        #[cfg(target_os = "linux")]
        if supervisor::is_ready() {
            let confined = cgroup::confine(limits);
            if let Some(note) = &confined.note {
                tracing::warn!(program = %self.program.display(), "{note}");
                sink.line(note.as_bytes());
            }
            let started = Box::pin(Supervised::start(self, limits, &confined)).await;
            let (process, stdin, stdout, stderr) = started.inspect_err(|_| {
                // Its supervisor removes it, where there is one.
                confined.group.iter().for_each(|group| drop(std::fs::remove_dir(group)));
            })?;
            return Ok((Keeper::Supervised(process), Pipes { stdin, stdout }, stderr));
        }
        unsupervised(limits, sink);
        let (process, stdin, stdout, stderr) = Grouped::start(self)?;
        Ok((Keeper::Grouped(process), Pipes { stdin, stdout }, stderr))
    }
}

fn unsupervised(limits: &Limits, sink: &dyn StderrSink) {
    if limits.memory_len_max.is_some() || limits.pids_max.is_some() {
        sink.line(b"[memory_limit_bytes and pids_limit do not hold: this process has no supervisor]");
    }
    static WARNED: Once = Once::new();
    WARNED.call_once(|| {
        tracing::warn!(
            "processes have no supervisor: what leaves their group, or outlives this program when it is killed, stays; on Linux, begin `main` with omcp_runtimes::supervisor::enter()"
        );
    });
}

fn inherited_env() -> impl Iterator<Item = (&'static str, OsString)> {
    INHERITED_ENV.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?)))
}

/// A started process and its descendants.
pub struct Process {
    program: PathBuf,
    keeper: Keeper,
    stderr: JoinHandle<()>,
    sink: Arc<dyn StderrSink>,
    born: Instant,
    /// Of the whole system.
    oom_kills_before: u64,
    /// It was to end while it ran.
    asked: bool,
    /// The sink knows that it has ended.
    told: bool,
}

enum Keeper {
    #[cfg(target_os = "linux")]
    Supervised(Supervised),
    Grouped(Grouped),
}

impl Process {
    pub fn pid(&self) -> u32 {
        let pid: Option<Pid> = match &self.keeper {
            #[cfg(target_os = "linux")]
            Keeper::Supervised(process) => process.pid(),
            Keeper::Grouped(process) => Some(process.pid()),
        };
        pid.map_or(0, |pid| pid.as_raw_nonzero().get().unsigned_abs())
    }

    /// How it ended, once that was seen.
    pub fn exit(&self) -> Option<ExitStatus> {
        match &self.keeper {
            #[cfg(target_os = "linux")]
            Keeper::Supervised(process) => process.exit(),
            Keeper::Grouped(process) => process.exit(),
        }
    }

    /// What it and its descendants took, once it has ended under a supervisor.
    pub fn usage(&self) -> Option<Usage> {
        match &self.keeper {
            #[cfg(target_os = "linux")]
            Keeper::Supervised(process) => process.usage(),
            Keeper::Grouped(_) => None,
        }
    }

    /// `process PROGRAM exited with status 3`, or whatever is known.
    pub fn describe(&self) -> String {
        let program = self.program.display();
        match (self.exit(), self.is_lost()) {
            (Some(_), true) => format!("process {program} was killed with its supervisor"),
            (Some(status), false) => {
                format!("process {program} {}", exit::describe(status, self.circumstances()))
            }
            (None, _) => format!("process {program} runs"),
        }
    }

    /// Waits until the process ends by itself. What it leaves is killed. Cancel safe.
    pub async fn exited(&mut self) {
        match &mut self.keeper {
            #[cfg(target_os = "linux")]
            Keeper::Supervised(process) => process.exited().await,
            Keeper::Grouped(process) => process.exited().await,
        }
    }

    /// Ends the process. Its stdin has to be closed already, and its stdout be read meanwhile.
    ///
    /// # Errors
    /// `Timeout`: it survived SIGKILL for some seconds. It is reaped whenever it does end.
    pub async fn stop(&mut self, grace: StopGrace) -> Result<(), GatewayError> {
        self.asked |= self.exit().is_none();
        let gone = match &mut self.keeper {
            #[cfg(target_os = "linux")]
            Keeper::Supervised(process) => process.stop(grace).await,
            Keeper::Grouped(process) => process.stop(grace).await,
        };
        if !gone {
            let text = format!("process {} (pid {}) survived SIGKILL", self.program.display(), self.pid());
            return Err(GatewayError::timeout(text));
        }
        self.finish_stderr().await;
        self.tell_end();
        Ok(())
    }

    /// An end that nobody asked for belongs behind its last words.
    fn tell_end(&mut self) {
        if std::mem::replace(&mut self.told, true) {
            return;
        }
        let (pid, how) = (self.pid(), self.describe());
        let took = exit::took(self.born.elapsed(), self.usage());
        tracing::debug!(pid, "{how}; {took}");
        if !self.asked {
            self.sink.ended(&format!("pid {pid}: {how}; {took}"));
        }
    }

    fn circumstances(&self) -> exit::Circumstances {
        let system_oom_kills = exit::system_oom_kills().saturating_sub(self.oom_kills_before);
        exit::Circumstances { asked: self.asked, usage: self.usage(), system_oom_kills }
    }

    fn is_lost(&self) -> bool {
        match &self.keeper {
            #[cfg(target_os = "linux")]
            Keeper::Supervised(process) => process.is_lost(),
            Keeper::Grouped(_) => false,
        }
    }

    async fn finish_stderr(&mut self) {
        if !self.stderr.is_finished() && timeout(STDERR_WAIT, &mut self.stderr).await.is_err() {
            self.stderr.abort();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let stderr = self.stderr.abort_handle();
        // Without an executor there is no task to abort either.
        if !stderr.is_finished()
            && let Ok(executor) = tokio::runtime::Handle::try_current()
        {
            executor.spawn(async move {
                sleep(STDERR_WAIT).await;
                stderr.abort();
            });
        }
    }
}

#[cfg(test)]
mod tests;
