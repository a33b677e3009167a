//! A container engine of its own: Podman with everything in one temporary folder, behind the Docker API.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use super::process::{self, Process};
use super::processes;

/// The image of the fixture server.
pub const IMAGE: &str = "localhost/omcp-fixture:1";
const START_LIMIT: Duration = Duration::from_secs(30);
/// For requests that are under way when it ends: one that is cut leaves half a container behind.
const END_LIMIT: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(10);

/// Ends with all its containers when dropped.
pub struct Engine {
    service: Option<Process>,
    folder: TempDir,
}

impl Engine {
    /// Starts one that has [`IMAGE`].
    ///
    /// # Panics
    /// As [`Engine::start`].
    pub fn with_fixture() -> Self {
        let engine = Self::start();
        engine.build(IMAGE, &process::program("static/omcp-fixture"), &["stdio"]);
        engine
    }

    /// Starts one without images.
    ///
    /// # Panics
    /// Podman is not installed (`cargo xtask setup` does that), or does not start.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut engine = Self { service: None, folder };
        engine.configure("overlay");
        if !engine.podman(&["info"]).status.success() {
            // Where overlay file systems do not stack.
            engine.configure("vfs");
        }
        engine.up();
        engine
    }

    /// What a backend names as its engine.
    pub fn address(&self) -> String {
        format!("unix:{}", self.socket().display())
    }

    pub fn socket(&self) -> PathBuf {
        self.path().join("api.sock")
    }

    /// Starts its API again, or for the first time.
    ///
    /// # Panics
    /// It does not listen in time.
    pub fn up(&mut self) {
        let mut command = self.command(&["system", "service", "--time=0"]);
        command.arg(format!("unix://{}", self.socket().display()));
        self.service = Some(Process::start("container engine", &mut command));
        let deadline = Instant::now() + START_LIMIT;
        while std::os::unix::net::UnixStream::connect(self.socket()).is_err() {
            assert!(Instant::now() < deadline, "the container engine does not listen");
            thread::sleep(POLL);
        }
    }

    /// Ends its API; containers go on.
    pub fn down(&mut self) {
        self.service = None;
        fs::remove_file(self.socket()).ok();
    }

    /// Makes an image of nothing but one static program, with arguments of its own.
    ///
    /// # Panics
    /// It cannot be made.
    pub fn build(&self, image: &str, program: &Path, arguments: &[&str]) {
        let context = self.path().join("image");
        fs::create_dir_all(&context).expect("a folder");
        fs::copy(program, context.join("server")).expect("copy the program");
        let arguments = serde_json::to_string(arguments).expect("texts are JSON");
        let file = format!("FROM scratch\nCOPY server /server\nENTRYPOINT [\"/server\"]\nCMD {arguments}\n");
        fs::write(context.join("Containerfile"), file).expect("write the recipe");
        let context = context.to_str().expect("a temporary folder has a plain name");
        self.run(&["build", "--quiet", "--tag", image, context]);
    }

    /// The containers there are: names, ids and labels. `filter` as in `podman ps --filter`.
    pub fn containers(&self, filter: &str) -> Vec<Value> {
        let listed = self.run(&["ps", "--all", "--format", "json", "--filter", filter]);
        serde_json::from_str::<Option<Vec<Value>>>(&listed).expect("a list").unwrap_or_default()
    }

    /// The only container of a backend, as `podman inspect` sees it.
    ///
    /// # Panics
    /// There is none, or more than one.
    pub fn container_of(&self, backend: &str) -> Value {
        let found = self.containers(&format!("label=omcp.backend={backend}"));
        assert_eq!(found.len(), 1, "containers of {backend}: {found:?}");
        let id = found[0]["Id"].as_str().expect("a container has an id");
        let inspected = self.run(&["inspect", id]);
        serde_json::from_str::<Vec<Value>>(&inspected).expect("a list").remove(0)
    }

    /// Runs Podman to its end.
    ///
    /// # Panics
    /// It fails.
    pub fn run(&self, arguments: &[&str]) -> String {
        let ended = self.podman(arguments);
        let errors = String::from_utf8_lossy(&ended.stderr);
        assert!(ended.status.success(), "podman {arguments:?}: {errors}");
        String::from_utf8(ended.stdout).expect("text")
    }

    fn podman(&self, arguments: &[&str]) -> Output {
        let ended = self.command(arguments).output();
        ended.expect("start podman: cargo xtask setup installs it")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("podman");
        // Its helpers leave files where they stand.
        command.args(arguments).current_dir(self.path());
        command.env("CONTAINERS_CONF", self.path().join("containers.conf"));
        command.env("CONTAINERS_STORAGE_CONF", self.path().join("storage.conf"));
        // Podman passes these on to its containers.
        for name in ["http_proxy", "https_proxy", "ftp_proxy", "no_proxy"] {
            command.env_remove(name).env_remove(name.to_uppercase());
        }
        command
    }

    /// No systemd, no limits above those of the machine, nothing shared with other engines.
    fn configure(&self, driver: &str) {
        let path = self.path().display();
        let engine = format!(
            "[containers]\n\
             default_ulimits = [\"nofile=1024:1024\", \"nproc=1024:1024\"]\n\
             [engine]\n\
             cgroup_manager = \"cgroupfs\"\n\
             runtime = \"runc\"\n\
             events_logger = \"file\"\n\
             lock_type = \"file\"\n\
             tmp_dir = \"{path}/tmp\"\n"
        );
        let storage = format!(
            "[storage]\ndriver = \"{driver}\"\ngraphroot = \"{path}/{driver}\"\nrunroot = \"{path}/run\"\n"
        );
        fs::write(self.path().join("containers.conf"), engine).expect("write containers.conf");
        fs::write(self.path().join("storage.conf"), storage).expect("write storage.conf");
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }
}

impl Engine {
    fn end_service(&mut self) {
        let Some(mut service) = self.service.take() else { return };
        service.signal(Signal::TERM);
        let deadline = Instant::now() + END_LIMIT;
        while service.is_running() && Instant::now() < deadline {
            thread::sleep(POLL);
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.end_service();
        for arguments in [&["rm", "--force", "--all", "--time", "0"][..], &["rmi", "--force", "--all"]] {
            let ended = self.podman(arguments);
            if !ended.status.success() {
                eprintln!("podman {arguments:?}: {}", String::from_utf8_lossy(&ended.stderr));
            }
        }
        for left in processes::naming(&self.path().display().to_string()) {
            eprintln!("left by the container engine: {left:?}");
            if let Some(pid) = i32::try_from(left.pid).ok().and_then(Pid::from_raw) {
                kill_process(pid, Signal::KILL).ok();
            }
        }
    }
}
