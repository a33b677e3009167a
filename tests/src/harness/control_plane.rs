//! A control plane as a process.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::process::{self, Process};

pub struct ControlPlane {
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
        let database = folder.join("control-plane.db");
        let mut new = Self { database, process: None, admin: String::new(), sync: String::new() };
        let mut process = new.spawn("127.0.0.1:0", "127.0.0.1:0");
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
        let mut command = Command::new(process::program("omcp-control-plane"));
        command.arg("--db").arg(&self.database);
        command.args(["--admin-listen", admin, "--sync-listen", sync]).env("NO_COLOR", "1");
        Process::start("control plane", &mut command)
    }
}

fn url(address: &str) -> String {
    format!("http://{}", self::address(address))
}

/// The address of a URL without a path.
pub fn address(url: &str) -> &str {
    url.strip_prefix("http://").unwrap_or(url)
}
