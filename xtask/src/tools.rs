//! Pinned tools from npm and PyPI, installed once per version of their lock file; and the container engine
//! of the system.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::folders;
use crate::process;
use crate::report::{Counts, Report};

/// Downloads included, and of `apt-get` the wait for another one.
const INSTALL_LIMIT: Duration = Duration::from_secs(15 * 60);
/// How often an installation is tried, and what lies between: registries and mirrors fail now and then.
const INSTALL_TRIES: u32 = 3;
const INSTALL_PAUSE: Duration = Duration::from_secs(10);
/// Seconds for which `apt-get` waits for another one.
const APT_LOCK_WAIT: &str = "DPkg::Lock::Timeout=300";
const LINT_LIMIT: Duration = Duration::from_secs(60);

/// Folders below `tests/` with a `package-lock.json`.
const NPM: [&str; 2] = [SUITE, "interop"];
/// The one with the conformance suite, and the Node that is new enough for it.
const SUITE: &str = "conformance";
const NODE: &str = "tests/conformance/node_modules/.bin/node";
/// A plugin in Python, and what it needs.
const PLUGIN_EXAMPLE: &str = "examples/plugin-runtime/python";
const PLUGIN_REQUIREMENTS: &str = "examples/plugin-runtime/python/requirements.txt";
/// Python environments and the files that pin them, from the root of the workspace.
const PYTHON: [(&str, &str); 5] = [
    ("mcp1", "tests/interop/requirements-mcp1.txt"),
    ("mcp2", "tests/interop/requirements-mcp2.txt"),
    ("buf", "xtask/requirements-buf.txt"),
    ("lambda", "xtask/requirements-lambda.txt"),
    ("plugin", PLUGIN_REQUIREMENTS),
];

/// A container engine, in the version that the release of Debian pins.
const ENGINE: [&str; 2] = ["podman", "runc"];

pub fn setup(report: &mut Report) {
    engine(report);
    for folder in NPM {
        report.step(&format!("npm {folder}"), || npm(folder).map(|()| Counts::one(true)));
    }
    for (name, _) in PYTHON {
        report.step(&format!("python {name}"), || python(name).map(|_| Counts::one(true)));
    }
}

/// The stubs of the Python example are those of the proto that nodes speak.
pub fn plugin_stubs(report: &mut Report) {
    report.step("plugin stubs", || {
        let (example, fresh) = (folders::root().join(PLUGIN_EXAMPLE), folders::results("plugin-stubs"));
        fs::create_dir_all(&fresh)?;
        let out = |option: &str| format!("--{option}={}", fresh.display());
        let mut generate = Command::new(python("plugin")?);
        generate.args([
            "-m",
            "grpc_tools.protoc",
            "-I",
            "proto",
            &out("python_out"),
            &out("grpc_python_out"),
        ]);
        generate.arg("omcp/plugin/v1/plugin.proto").current_dir(folders::root());
        process::run("plugin-stubs", &mut generate, LINT_LIMIT)?.success()?;
        for stub in ["plugin_pb2.py", "plugin_pb2_grpc.py"] {
            let stub = Path::new("omcp/plugin/v1").join(stub);
            let same = fs::read(example.join(&stub))? == fs::read(fresh.join(&stub))?;
            ensure!(same, "{} is not what {PLUGIN_EXAMPLE}/plugin.py says to generate", stub.display());
        }
        Ok(Counts::one(true))
    });
}

/// `buf lint`: the protos follow the style that every client generator expects.
pub fn protos(report: &mut Report) {
    report.step("protos", || {
        let mut lint = Command::new(python("buf")?.with_file_name("buf"));
        lint.arg("lint").current_dir(folders::root().join("proto"));
        process::run("protos", &mut lint, LINT_LIMIT)?.success()?;
        Ok(Counts::one(true))
    });
}

/// Installs what the peers of runtimes need, and says whether it is there. Success is no check and makes no row.
pub fn peers(report: &mut Report) -> bool {
    for name in ["lambda", "plugin"] {
        if let Err(error) = python(name) {
            report.step(&format!("python {name}"), || Err(error));
            return false;
        }
    }
    engine(report)
}

/// Installs Podman unless it is there, and says whether it is. Success is no check and makes no row.
fn engine(report: &mut Report) -> bool {
    if ENGINE.iter().all(|program| is_installed(program)) {
        return true;
    }
    let install = [&["install", "--yes", "--no-install-recommends"][..], &ENGINE].concat();
    let installed = persistently(|| {
        apt("container-engine-update", &["update"])?;
        apt("container-engine-install", &install)
    });
    let installed = installed.with_context(|| format!("install the packages {} by hand", ENGINE.join(", ")));
    match installed {
        Ok(()) => true,
        Err(error) => {
            report.step("container engine", || Err(error));
            false
        }
    }
}

fn is_installed(program: &str) -> bool {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&folders).any(|folder| folder.join(program).is_file())
}

fn apt(log: &str, arguments: &[&str]) -> Result<()> {
    let mut command = Command::new("apt-get");
    command.args(["-o", APT_LOCK_WAIT]).args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
    process::run(log, &mut command, INSTALL_LIMIT)?.success()?;
    Ok(())
}

/// Installs the packages of `tests/FOLDER`.
pub fn npm(folder: &str) -> Result<()> {
    let folder_path = folders::root().join("tests").join(folder);
    let stamp = folder_path.join("node_modules/.installed");
    once(&stamp, &folder_path.join("package-lock.json"), || {
        let mut install = Command::new("npm");
        install.args(["ci", "--no-audit", "--no-fund"]).current_dir(&folder_path);
        process::run(&format!("npm-{folder}"), &mut install, INSTALL_LIMIT)?.success()?;
        // Each kind of machine has a package of Node. All are optional: npm goes on without one it cannot get.
        ensure!(folder != SUITE || folders::root().join(NODE).is_file(), "npm has left out Node");
        Ok(())
    })
    .with_context(|| format!("install the npm packages of tests/{folder}"))
}

/// Makes the Python environment `name`, and says where its interpreter is.
pub fn python(name: &str) -> Result<PathBuf> {
    let (_, requirements) = PYTHON.iter().find(|(known, _)| *known == name).context("unknown environment")?;
    let requirements = folders::root().join(requirements);
    let folder = folders::tool(name);
    let interpreter = folder.join("bin/python");
    once(&folder.join(".installed"), &requirements, || {
        let mut make = Command::new("python3");
        make.args(["-m", "venv", "--clear"]).arg(&folder);
        process::run(&format!("python-{name}-venv"), &mut make, INSTALL_LIMIT)?.success()?;
        let mut install = Command::new(&interpreter);
        // The files name everything that is needed; a dependency they leave out is one nobody uses, such as
        // the compiler of cargo-lambda.
        install.args(["-m", "pip", "install", "--disable-pip-version-check", "--no-deps", "-r"]);
        install.arg(&requirements);
        process::run(&format!("python-{name}-pip"), &mut install, INSTALL_LIMIT)?.success()?;
        Ok(())
    })
    .with_context(|| format!("install the Python environment {name}"))?;
    Ok(interpreter)
}

/// The Node that is new enough for the conformance suite.
pub fn node() -> Result<PathBuf> {
    npm(SUITE)?;
    Ok(folders::root().join(NODE))
}

/// Installs unless `stamp` says that exactly this lock file has been installed.
fn once(stamp: &Path, lock: &Path, install: impl Fn() -> Result<()>) -> Result<()> {
    let wanted = fingerprint(&fs::read(lock).with_context(|| format!("read {}", lock.display()))?);
    if fs::read_to_string(stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    persistently(install)?;
    fs::write(stamp, wanted).with_context(|| format!("write {}", stamp.display()))
}

/// Tries an installation again if it fails.
fn persistently(install: impl Fn() -> Result<()>) -> Result<()> {
    for _ in 1..INSTALL_TRIES {
        match install() {
            Ok(()) => return Ok(()),
            Err(error) => eprintln!("{error:#}; the next try is in {INSTALL_PAUSE:?}"),
        }
        thread::sleep(INSTALL_PAUSE);
    }
    install()
}

fn fingerprint(lock: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    lock.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}
