//! A control plane and its nodes around one temporary folder.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use super::control_plane::ControlPlane;
use super::manifest::manifest;
use super::node::Node;
use super::omcp::{self, Ended};
use super::wait::{self, holds};

const POLL: Duration = Duration::from_millis(25);

pub struct Cluster {
    pub nodes: Vec<Node>,
    pub control_plane: ControlPlane,
    // Last: the programs end before their folder does.
    folder: TempDir,
}

impl Cluster {
    /// Starts a control plane and `nodes` nodes, named `node-0` and so on.
    pub fn start(nodes: usize) -> Self {
        Self::start_with(nodes, &[])
    }

    /// The same, with additions to the environment of the nodes.
    ///
    /// # Panics
    /// One of them does not start.
    pub fn start_with(nodes: usize, env: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let control_plane = ControlPlane::start(folder.path());
        let sync = control_plane.sync.clone();
        Self::around(folder, control_plane, &sync, nodes, env)
    }

    /// Nodes around a control plane that runs already, which they reach at `sync`.
    pub fn around(
        folder: TempDir,
        control_plane: ControlPlane,
        sync: &str,
        nodes: usize,
        env: &[(&str, &str)],
    ) -> Self {
        let node = |number| Node::start(&format!("node-{number}"), folder.path(), sync, env);
        Self { nodes: (0..nodes).map(node).collect(), control_plane, folder }
    }

    /// Starts one more node, with a program of somebody's own.
    pub fn join(&mut self, program: &str, name: &str, env: &[(&str, &str)]) {
        let node = Node::start_program(program, name, self.folder.path(), &self.control_plane.sync, env);
        self.nodes.push(node);
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Runs the admin tool.
    pub fn omcp(&self, arguments: &[&str]) -> Ended {
        self.omcp_with(arguments, "")
    }

    fn omcp_with(&self, arguments: &[&str], input: &str) -> Ended {
        let control_plane = &self.control_plane;
        omcp::run_as(control_plane.command("omcp"), &control_plane.admin, arguments, input)
    }

    /// `omcp apply --wait` of these backends, however it ends.
    pub fn try_apply(&self, backends: &[Value]) -> Ended {
        self.try_apply_text(&manifest(backends), &["--wait"])
    }

    /// `omcp apply` of a manifest as text, however it ends.
    pub fn try_apply_text(&self, manifest: &str, options: &[&str]) -> Ended {
        let arguments: Vec<_> = ["apply", "-f", "-"].iter().chain(options).copied().collect();
        self.omcp_with(&arguments, manifest)
    }

    /// Applies these backends; returns when every node serves them that nobody has ended.
    ///
    /// # Panics
    /// One does not.
    pub fn apply(&self, backends: &[Value]) {
        // `--wait` is for the nodes that are connected: at first, or after a restart, some may be.
        self.await_connections();
        self.try_apply(backends).expect(0);
    }

    fn await_connections(&self) {
        let deadline = Instant::now() + wait::PATIENCE;
        loop {
            let known = self.node_list();
            let is_connected = |node: &Node| {
                known.iter().any(|one| one["name"] == node.name() && one["state"] != "disconnected")
            };
            let started = self.nodes.iter().filter(|node| node.is_started());
            let missing: Vec<_> = started.filter(|node| !is_connected(node)).map(Node::name).collect();
            if missing.is_empty() {
                return;
            }
            assert!(Instant::now() < deadline, "{missing:?} do not connect: {known:?}");
            thread::sleep(POLL);
        }
    }

    /// What the nodes say about the backends: the entries of `omcp status -o json`.
    pub fn statuses(&self) -> Vec<Value> {
        let found = self.omcp(&["status", "-o", "json"]).expect(0).json();
        found["statuses"].as_array().cloned().unwrap_or_default()
    }

    /// What one node says about one backend; null if nothing.
    pub fn status(&self, backend: &str, node: &str) -> Value {
        let statuses = self.statuses();
        let found =
            statuses.into_iter().find(|status| status["backend"] == backend && status["node"] == node);
        found.unwrap_or_default()
    }

    /// Waits until every node says of `backend` what `wanted` accepts.
    pub async fn until_status(&self, backend: &str, wanted: impl Fn(&Value) -> bool) {
        for node in &self.nodes {
            let name = node.name();
            wait::until(&format!("the status of {backend} on {name}"), async || {
                let status = self.status(backend, name);
                holds(wanted(&status), status)
            })
            .await;
        }
    }

    /// Waits until every node knows the others.
    pub async fn until_acquainted(&self) {
        for node in &self.nodes {
            wait::until("the nodes to know each other", async || {
                let known = node.metric("omcp_members").await;
                holds(known == self.nodes.len() as u64 - 1, known)
            })
            .await;
        }
    }

    /// Waits until every node has its newest state on disk.
    pub async fn until_persisted(&self) {
        wait::until("the last-good files", async || {
            let nodes = self.node_list();
            holds(nodes.iter().all(|node| node["persisted_revision"] == node["head_revision"]), nodes)
        })
        .await;
    }

    /// What the control plane says about the nodes: the entries of `omcp nodes -o json`.
    pub fn node_list(&self) -> Vec<Value> {
        let found = self.omcp(&["nodes", "-o", "json"]).expect(0).json();
        found["nodes"].as_array().cloned().unwrap_or_default()
    }
}
