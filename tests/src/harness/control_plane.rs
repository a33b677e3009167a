//! A control plane as a process.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::port::Port;
use super::process::{self, Process};

pub struct ControlPlane {
    /// The network namespace it lives in.
    namespace: Option<String>,
    database: PathBuf,
    /// For the admin API and for nodes.
    _ports: Option<[Port; 2]>,
    process: Option<Process>,
    /// Where the admin API listens, for example `http://127.0.0.1:40001`.
    pub admin: String,
    /// Where nodes connect.
    pub sync: String,
}

impl ControlPlane {
    /// Starts one with its database in `folder`, on free ports that it keeps over restarts.
    pub fn start(folder: &Path) -> Self {
        let ports = [Port::keep(), Port::keep()];
        let [admin, sync] = ports.each_ref().map(|port| port.address().to_string());
        Self { _ports: Some(ports), ..Self::start_at(folder, None, &admin, &sync) }
    }

    /// The same on this address in a network namespace, where nobody else looks for ports.
    pub fn start_in(folder: &Path, namespace: &str, ip: &str) -> Self {
        let any = format!("{ip}:0");
        Self::start_at(folder, Some(namespace.to_owned()), &any, &any)
    }

    fn start_at(folder: &Path, namespace: Option<String>, admin: &str, sync: &str) -> Self {
        let mut new = Self {
            namespace,
            database: folder.join("control-plane.db"),
            _ports: None,
            process: None,
            admin: String::new(),
            sync: String::new(),
        };
        let mut process = new.spawn(admin, sync);
        new.admin = url(&process.says("admin="));
        new.sync = url(&process.says("sync="));
        new.process = Some(process);
        new
    }

    /// Starts it again where it was.
    pub fn restart(&mut self) {
        self.process = None;
        let mut process = self.spawn(address(&self.admin), address(&self.sync));
        process.says("sync=");
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

    /// # Panics
    /// It does not run.
    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("it runs").pid()
    }

    /// The file that holds everything it knows.
    pub fn database(&self) -> &Path {
        &self.database
    }

    pub fn output(&self) -> String {
        self.process.as_ref().map(Process::output).unwrap_or_default()
    }

    fn spawn(&self, admin: &str, sync: &str) -> Process {
        let mut command = self.command("omcp-control-plane");
        if self.namespace.is_some() {
            command.arg("--insecure-listen");
        }
        command.arg("--db").arg(&self.database);
        command.args(["--admin-listen", admin, "--sync-listen", sync]).env("NO_COLOR", "1");
        Process::start("control plane", &mut command)
    }
}

impl ControlPlane {
    /// One of our programs where the control plane is.
    pub fn command(&self, program: &str) -> Command {
        let program = process::program(program);
        match &self.namespace {
            None => Command::new(program),
            Some(namespace) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", namespace]).arg(program);
                command
            }
        }
    }
}

fn url(address: &str) -> String {
    format!("http://{}", self::address(address))
}

/// The address of a URL without a path.
pub fn address(url: &str) -> &str {
    url.strip_prefix("http://").unwrap_or(url)
}
