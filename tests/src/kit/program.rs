//! The kit's peer as a program: `omcp-kit-peer`, which stands beside the program that runs the suite.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use omcp_runtimes::conformance::Fault;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::harness::port::Port;

/// How long the program may take to listen.
const START_WAIT: Duration = Duration::from_secs(30);
/// What it says before its address.
const READY: &str = "listening on ";

/// Where the program is.
pub fn path() -> PathBuf {
    beside("omcp-kit-peer")
}

/// Where another program of this workspace is.
pub fn beside(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("a running program has a path");
    let mut folder = own.parent().expect("a program stands in a folder");
    // Test programs stand one folder below the others.
    if folder.ends_with("deps") {
        folder = folder.parent().expect("deps stands in a folder");
    }
    folder.join(name)
}

/// Ends a process at once.
pub fn kill(pid: u32) -> Result<(), Fault> {
    let pid = Pid::from_raw(i32::try_from(pid)?).ok_or("0 is no process")?;
    Ok(kill_process(pid, Signal::KILL)?)
}

/// The program, listening. It ends with this value.
pub struct Listening {
    child: Child,
    address: String,
    arguments: Vec<String>,
    /// What it was given for any port.
    _port: Option<Port>,
}

impl Listening {
    /// Starts it with `arguments` and waits for its address.
    pub async fn start(arguments: &[&str]) -> Result<Self, Fault> {
        let mut arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect::<Vec<_>>();
        let any = arguments.iter_mut().find(|argument| argument.ends_with(":0"));
        let port = any.map(|any| {
            let port = Port::keep();
            *any = port.address().to_string();
            port
        });
        let (child, address) = launch(&arguments).await?;
        Ok(Self { child, address, arguments, _port: port })
    }

    /// Where it listens.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Ends it at once.
    pub async fn kill(&mut self) -> Result<(), Fault> {
        Ok(self.child.kill().await?)
    }

    /// Starts it again at the same address. It has ended, or ends now.
    pub async fn restart(&mut self) -> Result<(), Fault> {
        self.child.kill().await?;
        (self.child, self.address) = launch(&self.arguments).await?;
        Ok(())
    }
}

async fn launch(arguments: &[String]) -> Result<(Child, String), Fault> {
    let mut command = Command::new(path());
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn()?;
    let output = child.stdout.take().ok_or("its output is a pipe")?;
    let mut first = String::new();
    timeout(START_WAIT, BufReader::new(output).read_line(&mut first)).await??;
    let address = first.trim().strip_prefix(READY).ok_or("the peer names no address")?;
    Ok((child, address.to_owned()))
}
