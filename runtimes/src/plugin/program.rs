//! [`Program`]: a plugin's program that the node starts itself, once for all its connections.
//!
//! It is started when somebody connects and it does not run. When that is, the node's health checks
//! decide, as for every other backend: they wait longer after each failure. It ends with the last of
//! those who use it, or with the node.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Duration;

use omcp_core::{GatewayError, StderrSink};
use tempfile::TempDir;
use tokio::sync::{Mutex, oneshot, watch};
use tokio::time::{Instant, sleep, timeout};
use tonic::transport::Channel;

use super::place::Place;
use super::serve::SOCKET_VARIABLE;
use super::settings::Limits;
use crate::process::{Pipes, Process, ProcessSpec, StopGrace};
use crate::stderr;

/// How often a starting program is dialled; there is no event for a socket that is listened on.
const DIAL_POLL: Duration = Duration::from_millis(20);
/// A start that failed is not repeated within this time, however many backends wish for it.
const START_PAUSE: Duration = Duration::from_secs(1);
/// How long the exit of a program may take to show once its socket has closed: its supervisor has to tell it, on a
/// machine that may be busy.
const EXIT_WAIT: Duration = Duration::from_secs(2);
/// How long the last lines of its output may take to arrive once it is gone.
const OUTPUT_WAIT: Duration = Duration::from_millis(200);

/// How to start a plugin, and the one that runs.
pub struct Program {
    spec: ProcessSpec,
    grace: StopGrace,
    output: Arc<dyn StderrSink>,
    current: Mutex<Current>,
}

#[derive(Default)]
struct Current {
    run: Option<Arc<Run>>,
    failed: Option<(Instant, GatewayError)>,
}

/// A program from its start to its end. The last holder's drop ends it.
pub struct Run {
    place: Place,
    pid: u32,
    ended: watch::Receiver<Option<String>>,
    _stop: oneshot::Sender<()>,
}

impl Program {
    /// What it writes to both its outputs goes to `output`.
    pub fn new(spec: ProcessSpec, grace: StopGrace, output: Arc<dyn StderrSink>) -> Self {
        Self { spec, grace, output, current: Mutex::default() }
    }

    /// Opens one connection to it; starts it if it does not run.
    ///
    /// # Errors
    /// `Unreachable`: it could not be started, or ended at once. `Timeout`: it did not listen in time.
    pub async fn dial(&self, limits: &Limits) -> Result<(Channel, Arc<Run>), GatewayError> {
        let mut current = self.current.lock().await;
        if let Some(run) = current.run.clone().filter(|run| run.ended().is_none()) {
            drop(current);
            return Ok((run.place.dial(limits.connect).await?, run));
        }
        current.run = None;
        if let Some((at, error)) = &current.failed
            && at.elapsed() < START_PAUSE
        {
            return Err(GatewayError::new(error.kind(), error.chain()));
        }
        match self.start(limits).await {
            Ok((channel, run)) => {
                (current.run, current.failed) = (Some(run.clone()), None);
                Ok((channel, run))
            }
            Err(error) => {
                let again = GatewayError::new(error.kind(), error.chain());
                current.failed = Some((Instant::now(), again));
                Err(error)
            }
        }
    }

    /// Ends a program that does not answer, so that the next connection starts a new one; not if other
    /// connections use it.
    pub async fn give_up(&self, run: Arc<Run>) {
        let mut current = self.current.lock().await;
        let mine = current.run.as_ref().is_some_and(|current| Arc::ptr_eq(current, &run));
        // The two are that of `current` and the caller's.
        if mine && Arc::strong_count(&run) == 2 {
            tracing::debug!(pid = run.pid, "plugin program is ended: it does not answer");
            current.run = None;
        }
    }

    async fn start(&self, limits: &Limits) -> Result<(Channel, Arc<Run>), GatewayError> {
        let dir = private_dir()?;
        let place = Place::Unix(dir.path().join("plugin.sock"));
        let mut spec = self.spec.clone();
        if let Place::Unix(path) = &place {
            spec.env.insert(SOCKET_VARIABLE.to_owned(), path.display().to_string());
        }
        spec.private_dir = Some(dir.path().to_owned());
        let (process, pipes) = spec.spawn(Arc::clone(&self.output)).await?;
        let (stop, stopped) = oneshot::channel();
        let (ended_sender, ended) = watch::channel(None);
        let run = Arc::new(Run { place, pid: process.pid(), ended, _stop: stop });
        tracing::debug!(pid = run.pid, program = %spec.program.display(), "plugin program started");
        let keeper = Keeper { process, grace: self.grace, output: Arc::clone(&self.output), _dir: dir };
        tokio::spawn(keeper.run(pipes, stopped, ended_sender));
        let channel = run.listening(limits).await?;
        Ok((channel, run))
    }
}

impl Run {
    /// How it ended, if it did.
    pub fn ended(&self) -> Option<String> {
        self.ended.borrow().clone()
    }

    /// How it ended, if that shows soon. Cancel safe.
    pub async fn end(&self) -> Option<String> {
        let mut ended = self.ended.clone();
        match timeout(EXIT_WAIT, ended.wait_for(Option::is_some)).await {
            Ok(Ok(ended)) => ended.clone(),
            _ => None,
        }
    }

    async fn listening(&self, limits: &Limits) -> Result<Channel, GatewayError> {
        let mut ended = self.ended.clone();
        let dialled = async {
            loop {
                match self.place.dial(limits.connect).await {
                    Ok(channel) => return channel,
                    Err(_) => sleep(DIAL_POLL).await,
                }
            }
        };
        let wait = limits.start;
        tokio::select! {
            dialled = timeout(wait, dialled) => dialled.map_err(|_| {
                let ms = wait.as_millis();
                GatewayError::timeout(format!("the plugin's program did not listen on its socket in {ms} ms"))
            }),
            gone = ended.wait_for(Option::is_some) => {
                let how = gone.ok().and_then(|how| how.clone()).unwrap_or_else(|| "it ended".to_owned());
                Err(GatewayError::unreachable(format!("{how} before it listened on its socket")))
            }
        }
    }
}

/// The task that owns the process.
struct Keeper {
    process: Process,
    grace: StopGrace,
    output: Arc<dyn StderrSink>,
    /// Goes with the program.
    _dir: TempDir,
}

impl Keeper {
    async fn run(mut self, pipes: Pipes, stop: oneshot::Receiver<()>, ended: watch::Sender<Option<String>>) {
        let Pipes { stdin, stdout } = pipes;
        // What a program prints is no protocol, and has to be read all the same.
        let mut printed = tokio::spawn(stderr::drain(stdout, Arc::clone(&self.output)));
        tokio::select! {
            () = self.process.exited() => {}
            _ = stop => {
                drop(stdin);
                if let Err(error) = self.process.stop(self.grace).await {
                    tracing::warn!(error = %error.chain(), "plugin program did not end");
                }
            }
        }
        ended.send_replace(Some(self.process.describe()));
        // What a program that ended by itself has left ends as well.
        drop(self.process.stop(self.grace).await);
        if timeout(OUTPUT_WAIT, &mut printed).await.is_err() {
            printed.abort();
        }
    }
}

/// A directory that only this user may enter; its path is short, as paths of sockets have to be.
fn private_dir() -> Result<TempDir, GatewayError> {
    let builder =
        tempfile::Builder::new().prefix("omcp-plugin-").permissions(Permissions::from_mode(0o700)).tempdir();
    builder.map_err(|error| {
        let place = std::env::temp_dir();
        let text = format!("could not make a directory for the plugin's socket in {}", place.display());
        GatewayError::unreachable(text).with_source(error)
    })
}
