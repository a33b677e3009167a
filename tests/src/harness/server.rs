//! The fixture server as a process, for backends that a node dials.

use std::process::Command;

use super::process::{self, Process};

pub struct Server {
    process: Process,
    /// Where it answers.
    pub url: String,
}

impl Server {
    /// Streamable HTTP, both eras unless `options` say otherwise.
    pub fn http(options: &[&str]) -> Self {
        Self::start("http", options)
    }

    /// HTTP+SSE of 2024-11-05.
    pub fn sse(options: &[&str]) -> Self {
        Self::start("sse", options)
    }

    fn start(transport: &str, options: &[&str]) -> Self {
        let mut command = Command::new(process::program("omcp-fixture"));
        command.args(options).args([transport, "--listen", "127.0.0.1:0"]);
        let mut process = Process::start(&format!("{transport} server"), &mut command);
        let url = process.says("listening on ");
        Self { process, url }
    }

    pub fn kill(&mut self) {
        self.process.kill();
    }

    pub fn pid(&self) -> u32 {
        self.process.pid()
    }
}
