//! The gateway's own programs, started around a manifest; and other servers.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::{folders, process};

/// A Python server imports for a second or two on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(60);
/// `omcp-stage` starts several programs, and gives nodes 120 seconds to serve the manifest.
const STAGE_LIMIT: Duration = Duration::from_secs(300);
/// What our own servers say before their address.
const READY: &str = "listening on ";
/// What `omcp-stage` says between the addresses of node and control plane.
const MANAGED: &str = ", managed at ";
const GRACE_POLL: Duration = Duration::from_millis(20);
/// Ten seconds: a node drains before it ends.
const GRACE_POLLS: u32 = 500;

/// A control plane and its nodes that serve a manifest. They end with this value.
pub struct Stage {
    node: String,
    control_plane: String,
    _program: Server,
}

impl Stage {
    /// With one node.
    pub fn start(name: &str, manifest: &str) -> Result<Self> {
        Self::of_nodes(name, manifest, 1, &[])
    }

    /// Starts all, applies `manifest` and waits until every node serves it. Of several nodes, every request goes to
    /// any.
    pub fn of_nodes(name: &str, manifest: &str, nodes: usize, env: &[(&str, &str)]) -> Result<Self> {
        let file = folders::results(&format!("{name}.yaml"));
        fs::create_dir_all(file.parent().expect("results stand in a folder"))?;
        fs::write(&file, manifest).with_context(|| format!("write {}", file.display()))?;
        let mut command = Command::new(folders::program("omcp-stage"));
        command.arg(&file).arg(nodes.to_string()).envs(env.iter().copied());
        let program = Server::start_within(name, &mut command, STAGE_LIMIT)?.with_grace();
        let (node, control_plane) =
            program.url().split_once(MANAGED).context("omcp-stage names two addresses")?;
        Ok(Self { node: node.to_owned(), control_plane: control_plane.to_owned(), _program: program })
    }

    /// The MCP address of the node, or of whatever stands in front of several.
    pub fn node(&self) -> &str {
        &self.node
    }

    /// The control plane's admin address.
    pub fn control_plane(&self) -> &str {
        &self.control_plane
    }

    /// The endpoint of one backend, below `/mcp` or `/sse`.
    pub fn endpoint(&self, path: &str, backend: &str) -> String {
        format!("{}{path}/{backend}", self.node)
    }

    /// The endpoint of all backends with a tag.
    pub fn aggregate(&self, path: &str, tag: &str) -> String {
        format!("{}{path}?tags={tag}", self.node)
    }
}

/// A server that says `listening on URL` in its first lines. It ends with this value.
pub struct Server {
    child: Child,
    input: Option<ChildStdin>,
    url: String,
    /// How often it is looked at, after its input has ended, before it is killed.
    grace_polls: u32,
}

impl Server {
    /// What it complains about goes to `target/xtask/NAME.server.log`.
    pub fn start(name: &str, command: &mut Command) -> Result<Self> {
        Self::start_within(name, command, START_LIMIT)
    }

    fn start_within(name: &str, command: &mut Command, limit: Duration) -> Result<Self> {
        let shown = command.get_program().to_string_lossy().into_owned();
        let (_, errors) = process::new_log(&format!("{name}.server.log"))?;
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(errors);
        let mut child = command.spawn().with_context(|| format!("start {shown}"))?;
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().expect("its output is a pipe"));
        let mut server = Self { child, input, url: String::new(), grace_polls: 0 };
        let (tell, told) = mpsc::channel();
        thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if let Some((_, url)) = line.split_once(READY) {
                    tell.send(url.trim().to_owned()).ok();
                }
            }
        });
        server.url = told
            .recv_timeout(limit)
            .with_context(|| format!("{shown} names no address, see {name}.server.log"))?;
        Ok(server)
    }

    /// Time to look after processes of its own, once its input has ended.
    pub fn with_grace(mut self) -> Self {
        self.grace_polls = GRACE_POLLS;
        self
    }

    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A program that looks after processes of its own ends them when its input ends.
        drop(self.input.take());
        for _ in 0..self.grace_polls {
            if let Ok(Some(_)) = self.child.try_wait() {
                return;
            }
            thread::sleep(GRACE_POLL);
        }
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
