//! `local-process`: a program on the node's machine that speaks MCP on its stdin and stdout.
//!
//! Every connection is a process of its own.

use std::future::pending;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use omcp_core::{
    BackendConnection, ErrorKind, GatewayError, McpMessage, Runtime, RuntimeContext, RuntimeType, StderrSink,
};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::process::{ChildStdin, ChildStdout};
use tokio::time::{Instant, sleep_until, timeout};

use crate::lines::{LineConnection, LineLimits};
use crate::process::{Limits, Process, ProcessSpec, StopGrace};
use crate::program;
use crate::settings::{MessageLen, Millis};

/// Least memory a program may be limited to, bytes: below that few can be loaded.
const MEMORY_LIMIT_MIN: u64 = 1024 * 1024;
/// What a process said before its end stands in the pipe already: a child of it that keeps the pipe open may
/// not keep calls waiting for an answer that will not come.
const LAST_WORDS_WAIT: Duration = Duration::from_millis(50);
/// A process that closed its output has so long to end before it is given up.
const EXIT_WAIT: Duration = Duration::from_secs(1);

/// A program on the node's machine that speaks MCP on its standard input and output.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LocalProcessSettings {
    /// The program, started without a shell: a name looked up in PATH, an absolute path, or a path
    /// with a slash relative to `working_dir`.
    #[schemars(length(min = 1, max = 4096))]
    pub command: String,
    /// Its arguments, one item each. May hold references.
    #[serde(default)]
    #[schemars(length(max = 1024))]
    pub args: Vec<String>,
    /// Directory it is started in; has to exist on every node. Default: the node's own.
    #[serde(default)]
    pub working_dir: Option<PathBuf>,
    /// Time from the first message sent to the first message received, milliseconds. Programs
    /// fetched by npx or uvx may have to be downloaded first. Default 60000.
    #[serde(default)]
    pub start_timeout_ms: Millis<60_000>,
    /// Time for one call, milliseconds. Default 300000.
    #[serde(default)]
    pub call_timeout_ms: Millis<300_000>,
    /// Time the program may leave its input unread once 1 MiB is queued, milliseconds. Default 30000.
    #[serde(default)]
    pub write_timeout_ms: Millis<30_000>,
    /// Time to end by itself once its input is closed, milliseconds; then it gets SIGTERM. Default 2000.
    #[serde(default)]
    pub stop_timeout_ms: Millis<2_000>,
    /// Time to end after SIGTERM, milliseconds; then it gets SIGKILL. Default 3000.
    #[serde(default)]
    pub kill_timeout_ms: Millis<3_000>,
    /// Most memory the program and its descendants may hold together, bytes; beyond that the system ends
    /// them. Where no cgroup is delegated to the node it holds for each of them alone, as RLIMIT_DATA, and
    /// the backend's log says so. Default: no limit.
    #[serde(default)]
    #[schemars(range(min = MEMORY_LIMIT_MIN))]
    pub memory_limit_bytes: Option<u64>,
    /// Most processes and threads the program and its descendants may be together. Holds only where a
    /// cgroup is delegated to the node, and the backend's log says so where none is. Default: no limit.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub pids_limit: Option<u32>,
    /// Whether programs that change their user, such as sudo or rootless podman, may do so. Default false.
    #[serde(default)]
    pub allow_new_privileges: bool,
    /// Longest line, that is message, the program may write, bytes. Default 16777216 (16 MiB).
    #[serde(default)]
    pub line_len_max: MessageLen,
}

/// The type `local-process`.
#[derive(Debug)]
pub struct LocalProcess;

impl RuntimeType for LocalProcess {
    const NAME: &'static str = "local-process";
    type Settings = LocalProcessSettings;

    fn create(
        &self,
        settings: LocalProcessSettings,
        context: RuntimeContext,
    ) -> Result<Box<dyn Runtime>, GatewayError> {
        check(&settings)?;
        let working_dir = settings.working_dir.as_deref();
        let path = program::search_path(&context.env);
        let program = program::find(&settings.command, working_dir.unwrap_or(Path::new(".")), &path)?;
        let spec = ProcessSpec {
            program,
            args: settings.args.clone(),
            env: context.env,
            working_dir: settings.working_dir.clone(),
            private_dir: None,
        };
        Ok(Box::new(LocalProcessRuntime { spec, stderr: context.stderr, settings }))
    }
}

fn check(settings: &LocalProcessSettings) -> Result<(), GatewayError> {
    let invalid = |text: String| Err(GatewayError::invalid_settings(text));
    if let Some(index) = settings.args.iter().position(|arg| arg.contains('\0')) {
        return invalid(format!("args[{index}]: holds a NUL byte"));
    }
    if settings.memory_limit_bytes.is_some_and(|len| len < MEMORY_LIMIT_MIN) {
        return invalid(format!("memory_limit_bytes: has to be at least {MEMORY_LIMIT_MIN}"));
    }
    if settings.pids_limit == Some(0) {
        return invalid("pids_limit: has to be at least 1".to_owned());
    }
    match &settings.working_dir {
        Some(dir) if !dir.is_dir() => {
            invalid(format!("working_dir: {} is no directory on this node", dir.display()))
        }
        _ => Ok(()),
    }
}

struct LocalProcessRuntime {
    spec: ProcessSpec,
    stderr: Arc<dyn StderrSink>,
    settings: LocalProcessSettings,
}

#[async_trait]
impl Runtime for LocalProcessRuntime {
    async fn connect(&self) -> Result<Box<dyn BackendConnection>, GatewayError> {
        let bounds = Limits {
            memory_len_max: self.settings.memory_limit_bytes,
            pids_max: self.settings.pids_limit,
            new_privileges: self.settings.allow_new_privileges,
        };
        let (process, pipes) = self.spec.spawn_within(&bounds, Arc::clone(&self.stderr)).await?;
        let limits = LineLimits {
            line_len_max: self.settings.line_len_max.bytes(),
            write_timeout: self.settings.write_timeout_ms.duration(),
            ..LineLimits::default()
        };
        Ok(Box::new(LocalConnection {
            lines: LineConnection::new(pipes.stdout, pipes.stdin, limits).telling(Arc::clone(&self.stderr)),
            process,
            start: Start::Idle(self.settings.start_timeout_ms.duration()),
            output: Output::Open,
            grace: StopGrace {
                stdin_closed: self.settings.stop_timeout_ms.duration(),
                terminated: self.settings.kill_timeout_ms.duration(),
            },
        }))
    }

    fn call_timeout(&self) -> Duration {
        self.settings.call_timeout_ms.duration()
    }
}

struct LocalConnection {
    lines: LineConnection<ChildStdout, ChildStdin>,
    process: Process,
    start: Start,
    output: Output,
    grace: StopGrace,
}

/// Whether the process has shown that it runs.
#[derive(Clone, Copy)]
enum Start {
    /// Nothing was sent yet; so long may the first answer take.
    Idle(Duration),
    Awaited {
        until: Instant,
        timeout: Duration,
    },
    Seen,
}

/// What may still come from the process.
#[derive(Clone, Copy)]
enum Output {
    Open,
    /// It ended; what stands in the pipe is read.
    LastWords {
        until: Instant,
    },
    /// It closed its output; its end is awaited.
    Closed {
        until: Instant,
    },
    /// The end was reported, or we ended it.
    Over,
}

#[async_trait]
impl BackendConnection for LocalConnection {
    async fn send(&mut self, message: McpMessage) -> Result<(), GatewayError> {
        if let Start::Idle(timeout) = self.start {
            self.start = Start::Awaited { until: Instant::now() + timeout, timeout };
        }
        match self.lines.send(&message).await {
            Err(error) if error.kind() == ErrorKind::Closed => Err(self.why_closed(error).await),
            sent => sent,
        }
    }

    async fn recv(&mut self) -> Result<Option<McpMessage>, GatewayError> {
        loop {
            let open = matches!(self.output, Output::Open | Output::LastWords { .. });
            match self.output {
                Output::Over => return Ok(None),
                Output::Closed { .. } if self.process.exit().is_some() => return Err(self.end()),
                _ => {}
            }
            tokio::select! {
                biased;
                message = self.lines.recv(), if open => match message {
                    Ok(None) => self.output = Output::Closed { until: Instant::now() + EXIT_WAIT },
                    message => {
                        self.start = Start::Seen;
                        return message;
                    }
                },
                () = self.process.exited(), if self.process.exit().is_none() => {
                    if open {
                        self.output = Output::LastWords { until: Instant::now() + LAST_WORDS_WAIT };
                    }
                }
                () = at(deadline(self.output, self.start)) => return Err(self.late()),
            }
        }
    }

    async fn close(&mut self) -> Result<(), GatewayError> {
        self.output = Output::Over;
        let silent = async {
            self.lines.discard().await;
            pending::<()>().await;
        };
        tokio::select! {
            stopped = self.process.stop(self.grace) => stopped,
            () = silent => Ok(()),
        }
    }

    fn pid(&self) -> Option<u32> {
        Some(self.process.pid())
    }
}

impl LocalConnection {
    /// A process that reads no more has usually ended; how, says more than a broken pipe.
    async fn why_closed(&mut self, error: GatewayError) -> GatewayError {
        match timeout(EXIT_WAIT, self.process.exited()).await {
            Ok(()) => GatewayError::closed(self.process.describe()).with_source(error),
            Err(_) => error,
        }
    }

    fn end(&mut self) -> GatewayError {
        self.output = Output::Over;
        GatewayError::closed(self.process.describe())
    }

    /// A deadline passed: either the program never answered, or it is closing down too slowly.
    fn late(&mut self) -> GatewayError {
        match (self.output, self.start) {
            (Output::Open, Start::Awaited { timeout, .. }) => {
                self.output = Output::Over;
                let timeout_ms = timeout.as_millis();
                let text = format!(
                    "{} but wrote no message in {timeout_ms} ms; see start_timeout_ms",
                    self.process.describe()
                );
                GatewayError::timeout(text)
            }
            (Output::Closed { .. }, _) => {
                self.output = Output::Over;
                GatewayError::closed(format!("{} but closed its output", self.process.describe()))
            }
            _ => self.end(),
        }
    }
}

fn deadline(output: Output, start: Start) -> Option<Instant> {
    match (output, start) {
        (Output::LastWords { until } | Output::Closed { until }, _) => Some(until),
        (Output::Open, Start::Awaited { until, .. }) => Some(until),
        _ => None,
    }
}

async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => pending().await,
    }
}

#[cfg(test)]
mod tests;
