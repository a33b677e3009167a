//! The spawner: this program once more, started by the first process of a node, from which the supervisors
//! are forked. They share its memory, which a supervisor of its own loading would not, and start sooner.
//!
//! It adopts what a supervisor that somebody kills leaves behind, and ends it.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::OwnedFd;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::process::{Pid, Signal, WaitOptions, getpid, kill_process, set_child_subreaper, setsid};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout, stdin};
use rustix::thread::set_name;

use super::ladder::Ladder;
use super::request::Request;
use super::word::Word;
use super::{keep, sys, tree};

/// Serves the node behind standard input until it and all supervisors are gone. The exit code, also that of
/// each supervisor.
pub fn run() -> i32 {
    match Spawner::start().and_then(Spawner::serve) {
        Ok(Some(request)) => keep::run(request),
        Ok(None) => 0,
        Err(error) => {
            let _ = writeln!(io::stderr(), "{}: {error}", super::NAME);
            1
        }
    }
}

struct Spawner {
    node: OwnedFd,
    node_lives: bool,
    signals: OwnedFd,
    supervisors: HashSet<Pid>,
    /// The end of what supervisors left behind.
    strays: Ladder,
}

impl Spawner {
    fn start() -> io::Result<Self> {
        sys::close_from(3);
        sys::default_signals();
        let signals = sys::signals()?;
        let _ = set_name(c"omcp-spawner");
        let node = fcntl_dupfd_cloexec(stdin(), 3)?;
        let null = File::open("/dev/null")?;
        dup2_stdin(&null)?;
        dup2_stdout(&null)?;
        setsid()?;
        set_child_subreaper(Some(getpid()))?;
        // Who reads what the node complains about waits for the node's end, not for ours.
        dup2_stderr(&null)?;
        Ok(Self { node, node_lives: true, signals, supervisors: HashSet::new(), strays: Ladder::default() })
    }

    /// Comes back in each supervisor, with its request, and without one at the end.
    fn serve(mut self) -> io::Result<Option<Request>> {
        loop {
            if self.reap() && !self.node_lives {
                return Ok(None);
            }
            if self.strays.step(Instant::now()).is_some() {
                self.end_strays();
                continue;
            }
            if self.wait()
                && let Some(request) = self.take()
                && let Some(mine) = self.fork(request)
            {
                return Ok(Some(mine));
            }
        }
    }

    /// Waits for all that have ended. Whether no child is left.
    fn reap(&mut self) -> bool {
        loop {
            match rustix::process::wait(WaitOptions::NOHANG) {
                Ok(Some((pid, _))) => {
                    if self.supervisors.remove(&pid) {
                        self.strays.exited(Instant::now());
                    }
                }
                Err(Errno::INTR) => {}
                Ok(None) => return false,
                Err(_) => return true,
            }
        }
    }

    fn end_strays(&mut self) {
        let strays = tree::children(getpid()).into_iter().filter(|pid| !self.supervisors.contains(pid));
        let strays: Vec<_> = strays.collect();
        for stray in &strays {
            tree::signal(*stray, Signal::KILL);
            let _ = kill_process(*stray, Signal::KILL);
        }
        if strays.is_empty() {
            self.strays = Ladder::default();
        }
    }

    /// Whether the node has something to say, once it has, a child has ended, or a step is due.
    fn wait(&self) -> bool {
        let left = self.strays.deadline().map(|at| at.saturating_duration_since(Instant::now()));
        let left = left.and_then(|left| Timespec::try_from(left).ok());
        let mut both = [PollFd::new(&self.signals, PollFlags::IN), PollFd::new(&self.node, PollFlags::IN)];
        let watched = if self.node_lives { &mut both[..] } else { &mut both[..1] };
        if poll(watched, left.as_ref()).is_err() {
            return false;
        }
        let [signals, node] = both.map(|one| !one.revents().is_empty());
        if signals {
            // Whatever it is: nobody but the node ends a spawner, and children are waited for anyway.
            let mut record = [0; sys::SIGNAL_LEN];
            while rustix::io::read(&self.signals, &mut record).is_ok() {}
        }
        node
    }

    fn take(&mut self) -> Option<Request> {
        match Request::receive(&self.node) {
            Ok(Some(request)) => return Some(request),
            Ok(None) => self.node_lives = false,
            // A request without its descriptors: too many files are open. The node sees its socket close.
            Err(error) if error.kind() == ErrorKind::InvalidData => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => self.node_lives = false,
        }
        None
    }

    /// `Some` in the supervisor.
    fn fork(&mut self, mut request: Request) -> Option<Request> {
        match sys::fork() {
            Ok(None) => return Some(request),
            Ok(Some(pid)) => {
                self.supervisors.insert(pid);
            }
            Err(error) => {
                let errno = error.raw_os_error().unwrap_or(libc::EAGAIN);
                let _ = request.node.write_all(&Word::Refused { errno }.encode());
            }
        }
        None
    }
}
