//! The admin tool.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::process;

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
    let mut command = Command::new(process::program("omcp"));
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
