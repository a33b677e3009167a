//! The fixture server as a process, for backends that a node dials.

use std::process::Command;

use super::process::{self, Process};

pub struct Server {
    process: Process,
    transport: &'static str,
    options: Vec<String>,
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

    fn start(transport: &'static str, options: &[&str]) -> Self {
        let options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
        let (process, url) = launch(transport, &options, "127.0.0.1:0");
        Self { process, transport, options, url }
    }

    /// Ends it as a crash would and starts it again where it was.
    pub fn restart(&mut self) {
        self.process.kill();
        let address = self.url.trim_start_matches("http://").split('/').next().unwrap_or_default().to_owned();
        (self.process, self.url) = launch(self.transport, &self.options, &address);
    }

    pub fn kill(&mut self) {
        self.process.kill();
    }

    pub fn pid(&self) -> u32 {
        self.process.pid()
    }
}

fn launch(transport: &str, options: &[String], listen: &str) -> (Process, String) {
    let mut command = Command::new(process::program("omcp-fixture"));
    command.args(options).args([transport, "--listen", listen]);
    let mut process = Process::start(&format!("{transport} server"), &mut command);
    let url = process.says("listening on ");
    (process, url)
}
