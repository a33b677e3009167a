//! A control plane as a process.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::process::{self, Process};

pub struct ControlPlane {
    /// The network namespace it lives in.
    namespace: Option<String>,
    database: PathBuf,
    process: Option<Process>,
    /// Where the admin API listens, for example `http://127.0.0.1:40001`.
    pub admin: String,
    /// Where nodes connect.
    pub sync: String,
}

impl ControlPlane {
    /// Starts one with its database in `folder`, on free ports that it keeps over restarts.
    pub fn start(folder: &Path) -> Self {
        Self::start_in(folder, None, "127.0.0.1")
    }

    /// The same, on this address, in a network namespace if one is named.
    pub fn start_in(folder: &Path, namespace: Option<&str>, ip: &str) -> Self {
        let database = folder.join("control-plane.db");
        let namespace = namespace.map(str::to_owned);
        let mut new = Self { namespace, database, process: None, admin: String::new(), sync: String::new() };
        let any = format!("{ip}:0");
        let mut process = new.spawn(&any, &any);
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
