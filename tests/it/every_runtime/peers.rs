//! One peer for each runtime type, and how to kill it.

use anyhow::{Context, Result, anyhow};
use omcp_tests::harness::Cluster;
use omcp_tests::harness::engine::{Engine, IMAGE};
use omcp_tests::harness::lambda::Lambda;
use omcp_tests::harness::manifest::{http, sse, stdio};
use omcp_tests::harness::node::Node;
use omcp_tests::harness::process;
use omcp_tests::harness::processes;
use omcp_tests::harness::server::Server;
use omcp_tests::harness::wait::{self, holds};
use omcp_tests::kit::program::{Listening, kill};
use serde_json::{Value, json};

/// What the nodes know and nobody else.
pub const SECRET: (&str, &str) = ("LAMBDA_SECRET", "hush-1234");

pub struct Peers {
    http: Server,
    sse: Server,
    /// Behind `tcp`, the custom runtime and both forms of the plugin.
    lines: [Listening; 4],
    lambda: Lambda,
    engine: Engine,
}

/// How a peer dies, and who starts it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Death {
    /// We start it again, where it was.
    Ours,
    /// Its node starts it again.
    Nodes,
}

const PLUGIN: &str = "omcp-example-plugin";
const LINES: [&str; 4] = ["tcp", "mine", "plugin", "plugged-in"];

impl Peers {
    /// # Panics
    /// One of them does not start.
    pub async fn start() -> Self {
        let mut lines = Vec::new();
        for name in LINES {
            let guarded: &[&str] = if name == "mine" { &["--token", SECRET.1] } else { &[] };
            let arguments = [&["--tcp", "127.0.0.1:0"], guarded].concat();
            lines.push(Listening::start(&arguments).await.expect("a server on a port"));
        }
        Self {
            http: Server::http(&[]),
            sse: Server::sse(&["--era", "legacy"]),
            lines: lines.try_into().ok().expect("as many as there are names"),
            lambda: Lambda::start(&[("lambda", &["lambda"])]),
            engine: Engine::with_fixture(),
        }
    }

    /// A backend for each of them.
    pub fn manifest(&self) -> Vec<Value> {
        let [tcp, mine, plugin, plugged_in] = self.lines.each_ref().map(Listening::address);
        let program = process::program(PLUGIN);
        vec![
            stdio("process", &[]),
            http("http", &self.http.url),
            sse("sse", &self.sse.url),
            json!({ "id": "tcp", "runtime": { "type": "tcp", "endpoint": tcp } }),
            self.lambda.backend("lambda"),
            json!({ "id": "docker", "runtime": {
                "type": "docker", "image": IMAGE, "engine": self.engine.address(), "pull_policy": "never",
            }}),
            json!({ "id": "plugin", "runtime": {
                "type": "plugin", "command": program, "runtime": "rust-lines", "settings": { "endpoint": plugin },
            }}),
            json!({ "id": "plugged-in", "runtime": { "type": "rust-lines", "endpoint": plugged_in } }),
            json!({ "id": "mine", "runtime": {
                "type": "my-custom-runtime", "endpoint": mine, "auth_token": "${LAMBDA_SECRET}",
            }}),
        ]
    }

    /// Kills what serves `backend` on `node`; returns when what we have to start again has started.
    ///
    /// # Errors
    /// It cannot be killed, or does not come back.
    pub async fn kill(&mut self, backend: &str, cluster: &Cluster, node: &Node) -> Result<Death> {
        match backend {
            "http" => self.http.restart(),
            "sse" => self.sse.restart(),
            "lambda" => self.lambda.freshen("lambda"),
            "docker" => {
                for container in self.engine.containers(&format!("label=omcp.node={}", node.name())) {
                    // One whose session has ended may be on its way out.
                    if let Some(pid) = container["Pid"].as_u64().filter(|pid| *pid != 0) {
                        kill(u32::try_from(pid)?).ok();
                    }
                }
                return Ok(Death::Nodes);
            }
            "process" => {
                // One whose session has ended may be gone before it is killed.
                wait::until("a process to kill", async || {
                    let found =
                        pids(&cluster.status(backend, node.name())).map_err(|error| error.to_string())?;
                    let killed = found.iter().filter(|pid| kill(**pid).is_ok()).count();
                    holds(killed > 0, format!("{found:?} were gone"))
                })
                .await;
                return Ok(Death::Nodes);
            }
            "plugin" => {
                end(plugin_of(node)?)?;
                return Ok(Death::Nodes);
            }
            other => {
                let index = LINES.iter().position(|name| *name == other).context("a peer")?;
                self.lines[index].restart().await.map_err(|error| anyhow!(error))?;
            }
        }
        Ok(Death::Ours)
    }
}

fn end(pid: u32) -> Result<()> {
    kill(pid).map_err(|error| anyhow!(error))
}

fn pids(status: &Value) -> Result<Vec<u32>> {
    let pids = status["pids"].as_array().filter(|pids| !pids.is_empty());
    let pids = pids.with_context(|| format!("no process in {status}"))?.iter();
    pids.map(|pid| Ok(u32::try_from(pid.as_u64().context("a pid")?)?)).collect()
}

/// The process of the plugin program that a node has started, below whatever supervises it.
fn plugin_of(node: &Node) -> Result<u32> {
    let is_plugin = |pid: &u32| {
        let started_as = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        started_as.windows(PLUGIN.len()).any(|part| part == PLUGIN.as_bytes())
    };
    let below = processes::below(node.pid()).into_iter().map(|process| process.pid);
    below.into_iter().find(is_plugin).context("no process of the plugin")
}
