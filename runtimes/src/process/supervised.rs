//! [`Supervised`]: the node's end of a supervisor and of the process that it keeps.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net;
use std::os::unix::process::ExitStatusExt;
use std::process::{self, ExitStatus};
use std::time::Duration;

use rustix::process::{Pid, Signal};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::process::{ChildStderr, ChildStdin, ChildStdout};
use tokio::time::timeout;

use super::cgroup::Confined;
use super::{KILL_WAIT, Limits, ProcessSpec, StopGrace, descriptors, inherited_env, spawner};
use crate::supervisor::order::Order;
use crate::supervisor::word::{Stop, Usage, WORD_LEN, Word};

/// How long a supervisor may take to start its process; it takes milliseconds where there is a core for it.
const START_WAIT: Duration = Duration::from_secs(30);
/// How long a supervisor that fails may take to say why; it has ended by then.
const COMPLAINT_WAIT: Duration = Duration::from_millis(200);
/// So much of that is read.
const COMPLAINT_LEN_MAX: u64 = 1024;

pub struct Supervised {
    node: UnixStream,
    heard: Heard,
    pid: Option<Pid>,
    exit: Option<ExitStatus>,
    usage: Option<Usage>,
    /// The supervisor was killed.
    lost: bool,
    gone: bool,
}

/// What came of a [`Word`] so far.
struct Heard {
    bytes: [u8; WORD_LEN],
    len: usize,
}

impl Supervised {
    /// Starts a supervisor, which starts the process.
    pub async fn start(
        spec: &ProcessSpec,
        limits: &Limits,
        confined: &Confined,
    ) -> io::Result<(Self, ChildStdin, ChildStdout, ChildStderr)> {
        let order = order(spec, limits, confined).encode()?;
        let (node, theirs) = net::UnixStream::pair()?;
        node.set_nonblocking(true)?;
        let (input, stdin) = io::pipe()?;
        let (stdout, output) = io::pipe()?;
        let (stderr, errors) = io::pipe()?;
        spawner::ask([theirs.as_fd(), input.as_fd(), output.as_fd(), errors.as_fd()])?;
        // From here on their ends are the supervisor's alone.
        drop((theirs, input, output, errors));
        let stdin = ChildStdin::from_std(process::ChildStdin::from(OwnedFd::from(stdin)))?;
        let stdout = ChildStdout::from_std(process::ChildStdout::from(OwnedFd::from(stdout)))?;
        let mut stderr = ChildStderr::from_std(process::ChildStderr::from(OwnedFd::from(stderr)))?;
        let mut new = Self {
            node: UnixStream::from_std(node)?,
            heard: Heard { bytes: [0; WORD_LEN], len: 0 },
            pid: None,
            exit: None,
            usage: None,
            lost: false,
            gone: false,
        };
        match timeout(START_WAIT, new.order(&order)).await {
            Ok(Ok(true)) => Ok((new, stdin, stdout, stderr)),
            Ok(Ok(false)) => Err(not_supervised(&mut stderr).await),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(io::Error::new(ErrorKind::TimedOut, "its supervisor does not start")),
        }
    }

    /// Hands in the order, and waits until it is carried out. Whether the supervisor lives.
    async fn order(&mut self, order: &[u8]) -> io::Result<bool> {
        // A supervisor that does not take it is gone, which shows below.
        let _ = self.node.write_all(order).await;
        match self.hear().await {
            Some(Word::Started { pid }) => {
                self.pid = Pid::from_raw(pid);
                Ok(true)
            }
            Some(Word::Refused { errno }) => {
                self.gone = true;
                Err(io::Error::from_raw_os_error(errno))
            }
            _ => {
                self.gone = true;
                Ok(false)
            }
        }
    }

    /// Known once it runs.
    pub fn pid(&self) -> Option<Pid> {
        self.pid
    }

    pub fn exit(&self) -> Option<ExitStatus> {
        self.exit
    }

    /// What the process and its descendants took, once it has ended.
    pub fn usage(&self) -> Option<Usage> {
        self.usage
    }

    /// Whether the supervisor was killed, and the process with it.
    pub fn is_lost(&self) -> bool {
        self.lost
    }

    /// Waits until the process ends by itself; its supervisor then kills what it leaves. Cancel safe.
    pub async fn exited(&mut self) {
        while self.exit.is_none() {
            self.follow().await;
        }
    }

    /// Whether nothing of the tree is left.
    pub async fn stop(&mut self, grace: StopGrace) -> bool {
        let stop = Stop { input_closed: grace.stdin_closed, terminated: grace.terminated };
        // A supervisor that takes no more words is gone, which shows below.
        let _ = self.node.write_all(&stop.encode()).await;
        let whole = grace.stdin_closed + grace.terminated + KILL_WAIT;
        timeout(whole, self.all_gone()).await.is_ok()
    }

    async fn all_gone(&mut self) {
        while !self.gone {
            self.follow().await;
        }
    }

    async fn follow(&mut self) {
        match self.hear().await {
            Some(Word::Exited { status, usage }) => {
                (self.exit, self.usage) = (Some(ExitStatus::from_raw(status)), Some(usage));
            }
            Some(Word::Gone { usage }) => (self.usage, self.gone) = (Some(usage), true),
            Some(Word::Started { .. } | Word::Refused { .. }) => {}
            None => self.lose(),
        }
    }

    /// The next word. `None`: the supervisor is gone without the last one. Cancel safe.
    async fn hear(&mut self) -> Option<Word> {
        let Heard { bytes, len } = &mut self.heard;
        while *len < WORD_LEN {
            match self.node.read(&mut bytes[*len..]).await {
                Ok(0) | Err(_) => return None,
                Ok(more) => *len += more,
            }
        }
        *len = 0;
        Word::decode(*bytes)
    }

    /// Somebody killed the supervisor. The kernel has killed the process then, and the spawner kills what
    /// they leave.
    fn lose(&mut self) {
        (self.lost, self.gone) = (self.exit.is_none(), true);
        self.exit.get_or_insert(ExitStatus::from_raw(Signal::KILL.as_raw()));
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        if !self.gone {
            // If it does not fit, the end of the socket says the same a little slower.
            let _ = self.node.try_write(&Stop::NOW.encode());
        }
    }
}

/// The supervisor ended before its work began: what it complained about.
async fn not_supervised(stderr: &mut ChildStderr) -> io::Error {
    let mut said = Vec::new();
    let _ = timeout(COMPLAINT_WAIT, stderr.take(COMPLAINT_LEN_MAX).read_to_end(&mut said)).await;
    let said = String::from_utf8_lossy(&said);
    io::Error::other(format!("its supervisor ended: {}", said.trim_end()))
}

fn order(spec: &ProcessSpec, limits: &Limits, confined: &Confined) -> Order {
    let mut env: BTreeMap<OsString, OsString> =
        inherited_env().map(|(name, value)| (name.into(), value)).collect();
    env.extend(spec.env.iter().map(|(name, value)| (name.into(), value.into())));
    Order {
        program: spec.program.clone(),
        args: spec.args.iter().map(Into::into).collect(),
        env: env.into_iter().collect(),
        working_dir: spec.working_dir.clone(),
        new_privileges: limits.new_privileges,
        data_len_max: confined.data_len_max,
        descriptors_max: descriptors::usual_limit(),
        cgroup: confined.group.clone(),
        private_dir: spec.private_dir.clone(),
    }
}
