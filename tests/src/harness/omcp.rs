//! The admin tool.

use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout};
use tokio::time::timeout;

use super::{process, wait};

/// How one run of `omcp` ended.
#[derive(Debug)]
pub struct Ended {
    /// Exit code; -1 if a signal ended it.
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    /// # Panics
    /// The code is another one.
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// # Panics
    /// What it printed is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}", self.stdout))
    }

    /// Everything it wrote.
    pub fn text(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }
}

/// Runs `omcp` against the control plane at `server`, with `input` on its standard input.
///
/// # Panics
/// It cannot be started.
pub fn run(server: &str, arguments: &[&str], input: &str) -> Ended {
    run_as(Command::new(process::program("omcp")), server, arguments, input)
}

/// The same, by a command that somebody else made.
///
/// # Panics
/// It cannot be started.
pub fn run_as(mut command: Command, server: &str, arguments: &[&str], input: &str) -> Ended {
    command.args(arguments).env("OMCP_SERVER", server).env("NO_COLOR", "1");
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("omcp starts");
    // It need not read what it does not want.
    child.stdin.take().expect("its input is a pipe").write_all(input.as_bytes()).ok();
    let output = child.wait_with_output().expect("omcp ends");
    Ended {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// One `omcp stdio`: a server that a client has started as a program.
pub struct Lines {
    child: Child,
    input: ChildStdin,
    output: tokio::io::Lines<BufReader<ChildStdout>>,
}

impl Lines {
    /// # Panics
    /// It cannot be started.
    pub fn start(server: &str, arguments: &[&str]) -> Self {
        let mut command = tokio::process::Command::new(process::program("omcp"));
        command.arg("stdio").args(arguments).env("OMCP_SERVER", server).env("NO_COLOR", "1");
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().expect("omcp starts");
        let input = child.stdin.take().expect("its input is a pipe");
        let output = BufReader::new(child.stdout.take().expect("its output is a pipe")).lines();
        Self { child, input, output }
    }

    /// # Errors
    /// It takes no more input.
    pub async fn send(&mut self, message: &Value) -> Result<()> {
        Ok(self.input.write_all(format!("{message}\n").as_bytes()).await?)
    }

    /// # Errors
    /// It has ended, says something that is no JSON, or nothing for too long.
    pub async fn next(&mut self) -> Result<Value> {
        let line = timeout(wait::PATIENCE, self.output.next_line()).await.context("a line in time")??;
        Ok(serde_json::from_str(&line.context("omcp stdio has ended")?)?)
    }

    /// Sends a request; its answer, and what came before it.
    ///
    /// # Errors
    /// No answer comes.
    pub async fn ask(&mut self, request: &Value) -> Result<(Value, Vec<Value>)> {
        self.send(request).await?;
        let mut before = Vec::new();
        loop {
            let message = self.next().await?;
            if message["id"] == request["id"] && message.get("method").is_none() {
                return Ok((message, before));
            }
            before.push(message);
        }
    }

    /// Closes its input; everything it still says, and its exit code.
    ///
    /// # Errors
    /// It does not end.
    pub async fn close(self) -> Result<(Vec<Value>, i32)> {
        let Self { mut child, input, mut output } = self;
        drop(input);
        let mut rest = Vec::new();
        while let Some(line) =
            timeout(wait::PATIENCE, output.next_line()).await.context("an end in time")??
        {
            rest.push(serde_json::from_str(&line)?);
        }
        let status = timeout(wait::PATIENCE, child.wait()).await.context("an exit in time")??;
        Ok((rest, status.code().unwrap_or(-1)))
    }
}
