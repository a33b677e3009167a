//! [`Grouped`]: a process and its group, where there is no supervisor: other systems than Linux, and
//! programs whose `main` does not begin with [`crate::supervisor::enter`].
//!
//! What leaves its group, or outlives a node that is killed, is not found again.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::time::{sleep, timeout};

use super::{KILL_WAIT, ProcessSpec, StopGrace, inherited_env};

/// How often to look whether a process group still has members; there is no event for that.
const GROUP_POLL: Duration = Duration::from_millis(20);

pub struct Grouped {
    /// `None` once handed to the reaper.
    child: Option<Child>,
    /// The id of the process and of its group.
    group: Pid,
    exit: Option<ExitStatus>,
    /// Nothing of the group is left. Its id may belong to somebody else, so it is not signalled again.
    gone: bool,
}

impl Grouped {
    pub fn start(spec: &ProcessSpec) -> io::Result<(Self, ChildStdin, ChildStdout, ChildStderr)> {
        let mut child = command(spec).spawn()?;
        let group = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        let streams = (group, child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(group), Some(stdin), Some(stdout), Some(stderr)) = streams else {
            return Err(io::Error::other("a process without an id or without pipes"));
        };
        Ok((Self { child: Some(child), group, exit: None, gone: false }, stdin, stdout, stderr))
    }

    pub fn pid(&self) -> Pid {
        self.group
    }

    pub fn exit(&self) -> Option<ExitStatus> {
        self.exit
    }

    /// Waits until the process ends by itself. What it leaves in its group is killed. Cancel safe.
    pub async fn exited(&mut self) {
        self.reap().await;
        if !self.gone {
            self.signal(Signal::KILL);
            self.gone = true;
        }
    }

    /// Whether nothing of the group is left.
    pub async fn stop(&mut self, grace: StopGrace) -> bool {
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
                return true;
            }
        }
        false
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
}

impl Drop for Grouped {
    fn drop(&mut self) {
        if !self.gone {
            self.signal(Signal::KILL);
        }
        let Some(mut child) = self.child.take() else {
            return;
        };
        // Without an executor tokio's own orphan queue reaps it.
        if let Ok(executor) = tokio::runtime::Handle::try_current() {
            executor.spawn(async move { child.wait().await });
        }
    }
}

fn command(spec: &ProcessSpec) -> Command {
    let mut command = Command::new(&spec.program);
    command.args(&spec.args).env_clear().envs(inherited_env()).envs(&spec.env);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.process_group(0).kill_on_drop(true);
    if let Some(dir) = &spec.working_dir {
        command.current_dir(dir);
    }
    command
}
