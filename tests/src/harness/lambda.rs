//! AWS Lambda as an emulator, `cargo lambda`, with functions on its Runtime API.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::port::Port;
use super::process::{self, Process};

/// Where the emulator stands below the folder of what cargo builds: `cargo xtask setup` puts it there.
const EMULATOR: &str = "tools/lambda/bin/cargo-lambda";
/// It reads a manifest with cargo first.
const START_LIMIT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(20);

pub struct Lambda {
    /// The emulator takes no port 0.
    port: Port,
    functions: Vec<Function>,
    _emulator: Process,
    // Last: the emulator ends before its folder does.
    _folder: TempDir,
}

struct Function {
    name: String,
    options: Vec<String>,
    process: Process,
}

impl Lambda {
    /// Starts functions: name, and options of the fixture server with `lambda` among them.
    ///
    /// # Panics
    /// Something does not start.
    pub fn start(functions: &[(&str, &[&str])]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        // The emulator knows the functions that are programs of a package.
        let mut manifest =
            "[package]\nname = \"functions\"\nversion = \"0.1.0\"\nedition = \"2024\"\n".to_owned();
        for (name, _) in functions {
            manifest.push_str(&format!("[[bin]]\nname = \"{name}\"\npath = \"main.rs\"\n"));
        }
        fs::write(folder.path().join("Cargo.toml"), manifest).expect("a manifest can be written");
        fs::write(folder.path().join("main.rs"), "fn main() {}\n").expect("a program can be written");
        let port = Port::keep();
        let address = port.address();
        let mut command = Command::new(emulator());
        command.args(["lambda", "watch", "--only-lambda-apis", "--invoke-address", "127.0.0.1"]);
        command.args(["--invoke-port", &address.port().to_string()]).current_dir(folder.path());
        let mut emulator = Process::start("cargo lambda", &mut command);
        await_listener(address, &mut emulator);
        let function = |(name, options): &(&str, &[&str])| {
            let options = options.iter().map(|option| (*option).to_owned()).collect::<Vec<_>>();
            Function { process: run(address, name, &options), name: (*name).to_owned(), options }
        };
        let functions = functions.iter().map(function).collect();
        Self { port, functions, _emulator: emulator, _folder: folder }
    }

    /// A backend that is one of the functions. Its secret is a reference: see [`SECRET`].
    pub fn backend(&self, function: &str) -> Value {
        json!({ "id": function, "runtime": {
            "type": "lambda", "function": function, "region": "eu-west-1",
            "endpoint_url": self.url(),
            "access_key_id": "AKIDEXAMPLE", "secret_access_key": "${LAMBDA_SECRET}",
        }})
    }

    /// Where functions are invoked.
    pub fn url(&self) -> String {
        format!("http://{}", self.port.address())
    }

    /// Replaces a function's execution environment with a fresh one. Nothing may be under way in it: AWS
    /// ends an invocation whose environment dies with an error, and the emulator leaves it open for good.
    ///
    /// # Panics
    /// There is no such function, or it does not start.
    pub fn freshen(&mut self, function: &str) {
        let found = self.functions.iter_mut().find(|known| known.name == function);
        let function = found.expect("it is one of the functions");
        function.process.kill();
        function.process = run(self.port.address(), &function.name, &function.options);
    }
}

/// What nodes need in their environment for [`Lambda::backend`].
pub const SECRET: (&str, &str) = ("LAMBDA_SECRET", "wJalrXUtnFEMI");

fn run(address: SocketAddr, name: &str, options: &[String]) -> Process {
    let mut command = Command::new(process::program("omcp-fixture"));
    command.args(options);
    command.env("AWS_LAMBDA_RUNTIME_API", format!("http://{address}/.rt/{name}"));
    for (variable, value) in [
        ("AWS_LAMBDA_FUNCTION_NAME", name),
        ("AWS_LAMBDA_FUNCTION_VERSION", "1"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128"),
        ("AWS_LAMBDA_LOG_GROUP_NAME", "group"),
        ("AWS_LAMBDA_LOG_STREAM_NAME", "stream"),
    ] {
        command.env(variable, value);
    }
    Process::start(name, &mut command)
}

fn await_listener(address: SocketAddr, emulator: &mut Process) {
    let deadline = Instant::now() + START_LIMIT;
    while TcpStream::connect(address).is_err() {
        assert!(emulator.is_running(), "cargo lambda ended:\n{}", emulator.output());
        assert!(Instant::now() < deadline, "cargo lambda does not listen:\n{}", emulator.output());
        thread::sleep(POLL);
    }
    // Else somebody else has taken the connection.
    assert!(emulator.is_running(), "cargo lambda ended:\n{}", emulator.output());
}

fn emulator() -> PathBuf {
    let own = std::env::current_exe().expect("a running program has a path");
    let found = own.ancestors().skip(1).map(|folder| folder.join(EMULATOR)).find(|path| path.is_file());
    found.expect("cargo lambda is not installed: run cargo xtask setup")
}
