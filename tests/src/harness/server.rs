//! The fixture server as a process, for backends that a node dials.

use std::process::Command;

use super::port::Port;
use super::process::{self, Process};

pub struct Server {
    process: Process,
    transport: &'static str,
    options: Vec<String>,
    port: Port,
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
        let port = Port::keep();
        let (process, url) = launch(transport, &options, &port);
        Self { process, transport, options, port, url }
    }

    /// Ends it as a crash would and starts it again where it was.
    pub fn restart(&mut self) {
        self.process.kill();
        (self.process, self.url) = launch(self.transport, &self.options, &self.port);
    }

    pub fn kill(&mut self) {
        self.process.kill();
    }

    pub fn pid(&self) -> u32 {
        self.process.pid()
    }
}

fn launch(transport: &str, options: &[String], port: &Port) -> (Process, String) {
    let mut command = Command::new(process::program("omcp-fixture"));
    command.args(options).args([transport, "--listen", &port.address().to_string()]);
    let mut process = Process::start(&format!("{transport} server"), &mut command);
    let url = process.says("listening on ");
    (process, url)
}
