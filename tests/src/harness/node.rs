//! A data-plane node as a process.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use rustix::process::Signal;

use http::Method;

use super::client::Http;
use super::port::Port;
use super::process::{self, Process};

pub struct Node {
    program: String,
    name: String,
    state: PathBuf,
    control_plane: String,
    env: Vec<(String, String)>,
    /// For MCP and for the rest.
    ports: [Port; 2],
    process: Option<Process>,
    /// Where it serves MCP, for example `http://127.0.0.1:40003`.
    pub mcp: String,
    /// Where it serves health and metrics.
    pub admin: String,
}

impl Node {
    /// Starts one with its state in `folder`, on free ports that it keeps over restarts.
    pub fn start(name: &str, folder: &Path, control_plane: &str, env: &[(&str, &str)]) -> Self {
        Self::start_program("omcp-data-plane", name, folder, control_plane, env)
    }

    /// The same, for a node program of somebody's own.
    pub fn start_program(
        program: &str,
        name: &str,
        folder: &Path,
        control_plane: &str,
        env: &[(&str, &str)],
    ) -> Self {
        let mut new = Self {
            program: program.to_owned(),
            name: name.to_owned(),
            state: folder.join(name),
            control_plane: control_plane.to_owned(),
            env: env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            ports: [Port::keep(), Port::keep()],
            process: None,
            mcp: String::new(),
            admin: String::new(),
        };
        let mut process = new.spawn();
        new.mcp = process.says("mcp=");
        new.admin = process.says("admin=");
        new.process = Some(process);
        new
    }

    /// Starts it again where it was.
    pub fn restart(&mut self) {
        self.process = None;
        let mut process = self.spawn();
        process.says("mcp=");
        self.process = Some(process);
    }

    /// As a power cut would.
    pub fn kill(&mut self) {
        self.process.take().expect("it runs").kill();
    }

    /// Asks it to end.
    pub fn stop(&mut self) {
        self.process.take().expect("it runs").terminate();
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// It does not run.
    pub fn signal(&self, signal: Signal) {
        self.process.as_ref().expect("it runs").signal(signal);
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// It does not come.
    pub fn end(&mut self) -> ExitStatus {
        self.process.take().expect("it runs").end()
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The folder of its last-good files.
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// # Panics
    /// It does not run.
    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("it runs").pid()
    }

    pub fn output(&self) -> String {
        self.process.as_ref().map(Process::output).unwrap_or_default()
    }

    /// Whether it is there, as far as we are concerned: nobody here has ended it.
    pub fn is_started(&self) -> bool {
        self.process.is_some()
    }

    pub fn is_running(&mut self) -> bool {
        self.process.as_mut().is_some_and(Process::is_running)
    }

    /// The Streamable HTTP endpoint of a backend.
    pub fn endpoint(&self, backend: &str) -> String {
        format!("{}/mcp/{backend}", self.mcp)
    }

    /// The HTTP+SSE endpoint of a backend.
    pub fn sse_endpoint(&self, backend: &str) -> String {
        format!("{}/sse/{backend}", self.mcp)
    }

    /// A number among its metrics.
    ///
    /// # Panics
    /// There is none of this name.
    pub async fn metric(&self, name: &str) -> u64 {
        let reply = Http::default().request(Method::GET, &format!("{}/metrics", self.admin), &[], b"").await;
        let bytes = reply.expect("the admin listener answers").bytes().await.expect("its pages end");
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let found = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
        found.unwrap_or_else(|| panic!("no {name} in {text}"))
    }

    fn spawn(&self) -> Process {
        let [mcp, admin] = self.ports.each_ref().map(|port| port.address().to_string());
        let mut command = Command::new(process::program(&self.program));
        command.args(["--name", &self.name, "--control-plane", &self.control_plane]);
        command.args(["--listen", &mcp, "--admin-listen", &admin]);
        command.arg("--state-dir").arg(&self.state);
        command.env("OMCP_DRAIN_TIMEOUT_MS", "2000").env("OMCP_SHUTDOWN_DELAY_MS", "0");
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        Process::start(&self.name, &mut command)
    }
}
