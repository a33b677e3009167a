//! Where processes start and end.
//!
//! A process is started without a shell, in a process group of its own, with a small environment.
//! It ends in steps (stdin closed, SIGTERM, SIGKILL), its whole group with it, and is always reaped.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use omcp_core::{GatewayError, StderrSink};
use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::stderr;

/// What a process sees of the node's own environment. The rest may hold the node's secrets.
pub const INHERITED_ENV: [&str; 9] =
    ["PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "USER", "LOGNAME", "SHELL"];
/// How long SIGKILL may take to show. Only a process stuck inside the kernel needs longer.
const KILL_WAIT: Duration = Duration::from_secs(5);
/// How long the last lines of stderr may take to arrive once the process is gone.
const STDERR_WAIT: Duration = Duration::from_millis(200);
/// How often to look whether a process group still has members; there is no event for that.
const GROUP_POLL: Duration = Duration::from_millis(20);

/// What to start.
#[derive(Clone)]
pub struct ProcessSpec {
    /// Absolute path, or one relative to `working_dir`.
    pub program: PathBuf,
    pub args: Vec<String>,
    /// Added to [`INHERITED_ENV`]. Holds secrets: never logged.
    pub env: BTreeMap<String, String>,
    pub working_dir: Option<PathBuf>,
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
    pub fn spawn(&self, sink: Arc<dyn StderrSink>) -> Result<(Process, Pipes), GatewayError> {
        let mut child = self.command().spawn().map_err(|error| self.not_started().with_source(error))?;
        let group = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        let streams = (group, child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(group), Some(stdin), Some(stdout), Some(stderr)) = streams else {
            return Err(self.not_started());
        };
        let stderr = tokio::spawn(stderr::drain(stderr, sink));
        let process = Process {
            program: self.program.clone(),
            child: Some(child),
            group,
            exit: None,
            gone: false,
            stderr,
        };
        Ok((process, Pipes { stdin, stdout }))
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.args).env_clear().envs(inherited_env()).envs(&self.env);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.process_group(0).kill_on_drop(true);
        if let Some(dir) = &self.working_dir {
            command.current_dir(dir);
        }
        command
    }

    fn not_started(&self) -> GatewayError {
        GatewayError::unreachable(format!("could not start {}", self.program.display()))
    }
}

fn inherited_env() -> impl Iterator<Item = (&'static str, OsString)> {
    INHERITED_ENV.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?)))
}

/// A started process and its group.
pub struct Process {
    program: PathBuf,
    /// `None` once handed to the reaper.
    child: Option<Child>,
    /// The id of the process and of its group.
    group: Pid,
    exit: Option<ExitStatus>,
    /// Nothing of the group is left. Its id may belong to somebody else, so it is not signalled again.
    gone: bool,
    stderr: JoinHandle<()>,
}

impl Process {
    pub fn pid(&self) -> u32 {
        self.group.as_raw_nonzero().get().unsigned_abs()
    }

    /// How it ended, once that was seen.
    pub fn exit(&self) -> Option<ExitStatus> {
        self.exit
    }

    /// `process PROGRAM exited with status 3`, or whatever is known.
    pub fn describe(&self) -> String {
        let program = self.program.display();
        match self.exit {
            Some(status) => format!("process {program} {}", describe_exit(status)),
            None => format!("process {program} runs"),
        }
    }

    /// Waits until the process ends by itself. What it leaves in its group is killed. Cancel safe.
    pub async fn exited(&mut self) {
        self.reap().await;
        if !self.gone {
            self.signal(Signal::KILL);
            self.gone = true;
        }
    }

    /// Ends the process. Its stdin has to be closed already, and its stdout be read meanwhile.
    ///
    /// # Errors
    /// `Timeout`: it survived SIGKILL for some seconds. It is reaped whenever it does end.
    pub async fn stop(&mut self, grace: StopGrace) -> Result<(), GatewayError> {
        let steps = [
            (None, grace.stdin_closed),
            (Some(Signal::TERM), grace.terminated),
            (Some(Signal::KILL), KILL_WAIT),
        ];
        for (signal, wait) in steps {
            if let Some(signal) = signal {
                self.signal(signal);
            }
            if timeout(wait, self.group_gone()).await.is_ok() {
                self.finish_stderr().await;
                return Ok(());
            }
        }
        let text = format!("process {} (pid {}) survived SIGKILL", self.program.display(), self.pid());
        Err(GatewayError::timeout(text))
    }

    async fn reap(&mut self) {
        if let (None, Some(child)) = (self.exit, &mut self.child) {
            // An error means that nobody can tell any more; the process is no child of ours.
            self.exit = Some(child.wait().await.unwrap_or_default());
        }
    }

    async fn group_gone(&mut self) {
        self.reap().await;
        while !self.gone {
            self.gone = test_kill_process_group(self.group).is_err();
            if !self.gone {
                sleep(GROUP_POLL).await;
            }
        }
    }

    fn signal(&self, signal: Signal) {
        // The only failure is that nobody is left.
        let _ = kill_process_group(self.group, signal);
    }

    async fn finish_stderr(&mut self) {
        if !self.stderr.is_finished() && timeout(STDERR_WAIT, &mut self.stderr).await.is_err() {
            self.stderr.abort();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.gone {
            self.signal(Signal::KILL);
        }
        let Some(mut child) = self.child.take() else {
            return;
        };
        let stderr = self.stderr.abort_handle();
        // Without an executor tokio's own orphan queue reaps it.
        if let Ok(executor) = tokio::runtime::Handle::try_current() {
            executor.spawn(async move {
                let _ = child.wait().await;
                sleep(STDERR_WAIT).await;
                stderr.abort();
            });
        }
    }
}

fn describe_exit(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exited with status {code}"),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => "ended".to_owned(),
    }
}

#[cfg(test)]
mod tests;
