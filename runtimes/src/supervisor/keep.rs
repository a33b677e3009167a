//! The supervisor's own life: one thread, three descriptors, no allocation while it waits.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::process::{
    Pid, Resource, Rlimit, Signal, WaitOptions, chdir, getpid, getppid, getrlimit, set_child_subreaper,
    set_parent_process_death_signal, setrlimit, setsid, umask,
};
use rustix::stdio::{dup2_stderr, dup2_stdout};
use rustix::thread::{set_name, set_no_new_privs};

use super::ladder::{ALONE, Due, Ladder};
use super::order::{HEADER_LEN, Order};
use super::request::Request;
use super::word::{STOP_LEN, Stop, Usage, Word};
use super::{sys, tree};

/// Files of a process are its user's own, unless it decides otherwise.
const UMASK: Mode = Mode::RWXG.union(Mode::RWXO);

/// Takes an order from the node, and keeps what it starts until nothing of it is left. The exit code.
pub fn run(request: Request) -> i32 {
    match Supervisor::start(request) {
        Ok(Some(mut supervisor)) => supervisor.keep(),
        Ok(None) => {}
        Err(error) => {
            // A backend's log is where this goes: it tells why its process never started.
            let _ = writeln!(io::stderr(), "{}: {error}", super::NAME);
            return 1;
        }
    }
    0
}

struct Supervisor {
    node: UnixStream,
    signals: OwnedFd,
    main: Pid,
    ladder: Ladder,
    /// Whether the node's end of the socket is there.
    node_lives: bool,
    heard: Heard,
    leftovers: Leftovers,
}

/// What is there for the process alone.
struct Leftovers {
    cgroup: Option<PathBuf>,
    private_dir: Option<PathBuf>,
}

impl Leftovers {
    fn of(order: &Order) -> Self {
        Self { cgroup: order.cgroup.clone(), private_dir: order.private_dir.clone() }
    }

    fn remove(&self) {
        // Only an empty one can be removed, and it is: nobody is left.
        self.cgroup.iter().for_each(|cgroup| drop(std::fs::remove_dir(cgroup)));
        self.private_dir.iter().for_each(|dir| drop(std::fs::remove_dir_all(dir)));
    }
}

/// What came of a [`Stop`] so far.
#[derive(Default)]
struct Heard {
    bytes: [u8; STOP_LEN],
    len: usize,
}

impl Supervisor {
    /// `None`: the process could not be started, which the node has been told.
    fn start(request: Request) -> io::Result<Option<Self>> {
        let Request { mut node, input, output, errors } = request;
        dup2_stdout(&output)?;
        dup2_stderr(&errors)?;
        drop((output, errors));
        let signals = sys::signals()?;
        let _ = set_name(c"omcp-supervisor");
        setsid()?;
        set_child_subreaper(Some(getpid()))?;
        let order = receive(&mut node)?;
        bound(&order)?;
        let leftovers = Leftovers::of(&order);
        let started = spawn(&order, input);
        drop(order);
        let null = File::open("/dev/null")?;
        dup2_stdout(&null)?;
        dup2_stderr(&null)?;
        match started {
            Ok(main) => {
                chdir("/")?;
                let mut new = Self {
                    node,
                    signals,
                    main,
                    ladder: Ladder::default(),
                    node_lives: true,
                    heard: Heard::default(),
                    leftovers,
                };
                new.say(Word::Started { pid: main.as_raw_nonzero().get() });
                Ok(Some(new))
            }
            Err(error) => {
                leftovers.remove();
                let errno = error.raw_os_error().unwrap_or(libc::EINVAL);
                node.write_all(&Word::Refused { errno }.encode())?;
                Ok(None)
            }
        }
    }

    fn keep(&mut self) {
        loop {
            if self.reap() {
                break;
            }
            if let Some(due) = self.ladder.step(Instant::now()) {
                self.send(due);
                continue;
            }
            let (from_node, signalled) = self.wait();
            if from_node {
                self.listen();
            }
            if signalled {
                self.take_signals();
            }
        }
        let usage = self.usage();
        self.leftovers.remove();
        self.say(Word::Gone { usage });
    }

    /// Waits for all that have ended. Whether nobody is left: orphans become children of this process, so
    /// without a child there is no descendant.
    fn reap(&mut self) -> bool {
        loop {
            match rustix::process::wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) if pid == self.main => {
                    self.say(Word::Exited { status: status.as_raw(), usage: self.usage() });
                    self.ladder.exited(Instant::now());
                }
                Ok(Some(_)) | Err(Errno::INTR) => {}
                Ok(None) => return false,
                Err(_) => return true,
            }
        }
    }

    fn send(&self, due: Due) {
        let signal = match due {
            Due::Terminate => Signal::TERM,
            Due::Kill => Signal::KILL,
        };
        if due == Due::Kill
            && let Some(cgroup) = &self.leftovers.cgroup
        {
            // Before Linux 5.14 there is no such file; the tree is walked all the same.
            let _ = std::fs::write(cgroup.join("cgroup.kill"), "1");
        }
        tree::signal(getpid(), signal);
    }

    /// Whether the node and whether the system has something to say, once either has or a step is due.
    fn wait(&self) -> (bool, bool) {
        let left = self.ladder.deadline().map(|at| at.saturating_duration_since(Instant::now()));
        // Rounded up: a wait that ends just before its time would be repeated in haste.
        let left = left.and_then(|left| Timespec::try_from(left + Duration::from_micros(1)).ok());
        let mut both = [PollFd::new(&self.signals, PollFlags::IN), PollFd::new(&self.node, PollFlags::IN)];
        // A node that is gone has nothing to say, and would say so without end.
        let watched = if self.node_lives { &mut both[..] } else { &mut both[..1] };
        if poll(watched, left.as_ref()).is_err() {
            return (false, false);
        }
        (!both[1].revents().is_empty(), !both[0].revents().is_empty())
    }

    fn listen(&mut self) {
        let Heard { bytes, len } = &mut self.heard;
        match self.node.read(&mut bytes[*len..]) {
            Ok(more @ 1..) => *len += more,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Ok(0) | Err(_) => {
                self.node_lives = false;
                self.ladder.stop(ALONE, Instant::now());
            }
        }
        if self.heard.len == STOP_LEN {
            self.ladder.stop(Stop::decode(self.heard.bytes), Instant::now());
            self.heard.len = 0;
        }
    }

    /// Children that end are found by [`Supervisor::reap`]; anything else is somebody's wish for an end.
    fn take_signals(&mut self) {
        let mut record = [0; sys::SIGNAL_LEN];
        while let Ok(sys::SIGNAL_LEN) = rustix::io::read(&self.signals, &mut record) {
            if sys::heard(&record).is_some_and(|signal| !sys::is_about_children(signal)) {
                self.ladder.stop(Stop { input_closed: Duration::ZERO, ..ALONE }, Instant::now());
            }
        }
    }

    fn usage(&self) -> Usage {
        let oom_kills = self.leftovers.cgroup.as_ref().map_or(0, |cgroup| oom_kills(cgroup));
        Usage { oom_kills, ..sys::children_usage() }
    }

    /// A node that is gone hears nothing, and a handful of words always fits its socket.
    fn say(&mut self, word: Word) {
        let _ = self.node.write_all(&word.encode());
    }
}

fn receive(node: &mut UnixStream) -> io::Result<Order> {
    let mut header = [0; HEADER_LEN];
    node.read_exact(&mut header)?;
    let mut body = vec![0; Order::body_len(header)?];
    node.read_exact(&mut body)?;
    Order::decode(&body)
}

/// Bounds that everything started from here on inherits.
fn bound(order: &Order) -> io::Result<()> {
    umask(UMASK);
    let limit = |limit| Rlimit { current: Some(limit), maximum: Some(limit) };
    // A dump would hold the secrets of the backend's environment.
    setrlimit(Resource::Core, limit(0))?;
    if let Some(len) = order.data_len_max {
        setrlimit(Resource::Data, limit(len))?;
    }
    if let Some(count) = order.descriptors_max {
        let own = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: Some(count), ..own })?;
    }
    if !order.new_privileges {
        set_no_new_privs(true)?;
    }
    Ok(())
}

fn spawn(order: &Order, input: OwnedFd) -> io::Result<Pid> {
    let mut command = Command::new(&order.program);
    command.args(&order.args).env_clear().envs(order.env.iter().map(|(name, value)| (name, value)));
    command.stdin(Stdio::from(input)).stdout(Stdio::inherit()).stderr(Stdio::inherit());
    // A script that ends its own group must not end us.
    command.process_group(0);
    if let Some(dir) = &order.working_dir {
        command.current_dir(dir);
    }
    let supervisor = getpid();
    let cgroup = order.cgroup.as_ref().map(|group| open_to_write(&group.join("cgroup.procs"))).transpose()?;
    sys::before_exec(&mut command, move || {
        sys::unblock_signals()?;
        set_parent_process_death_signal(Some(Signal::KILL))?;
        if getppid() != Some(supervisor) {
            // Killed before the line above: nobody would kill this one any more.
            return Err(Errno::SRCH.into());
        }
        if let Some(cgroup) = &cgroup {
            rustix::io::write(cgroup.as_fd(), b"0")?;
        }
        Ok(())
    });
    // It is waited for with all the others.
    command.spawn().map(|child| Pid::from_child(&child))
}

fn open_to_write(path: &Path) -> io::Result<File> {
    File::options().write(true).open(path)
}

/// The kernel counts before it kills, so that a process that has ended is counted.
fn oom_kills(cgroup: &Path) -> u64 {
    let events = std::fs::read_to_string(cgroup.join("memory.events")).unwrap_or_default();
    events.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kills_for_want_of_memory_are_read() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(oom_kills(dir.path()), 0);
        // As Linux 6.18 writes it.
        let events = "low 0\nhigh 0\nmax 31\noom 2\noom_kill 4\noom_group_kill 1\nsock_throttled 0\n";
        std::fs::write(dir.path().join("memory.events"), events).unwrap();
        assert_eq!(oom_kills(dir.path()), 4);
    }
}
