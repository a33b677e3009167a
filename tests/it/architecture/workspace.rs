//! The crates as cargo sees them.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

pub struct Workspace {
    pub crates: Vec<Crate>,
}

pub struct Crate {
    /// Name of its folder: the package name without `omcp-`.
    pub name: String,
    pub dir: PathBuf,
    /// Packages of this workspace that it links: normal and build dependencies.
    pub links: Vec<String>,
    /// Packages of this workspace that only its tests link.
    pub test_links: Vec<String>,
    /// The root files of its library, programs and test binaries.
    pub roots: Vec<PathBuf>,
}

impl Workspace {
    /// Asks cargo, which reads the manifests and nothing else.
    pub fn load(root: &Path) -> Self {
        let output = Command::new(env!("CARGO"))
            .args(["metadata", "--no-deps", "--offline", "--format-version=1", "--manifest-path"])
            .arg(root.join("Cargo.toml"))
            .output()
            .expect("cargo runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON");
        Self { crates: list(&metadata["packages"]).iter().map(Crate::read).collect() }
    }
}

impl Crate {
    fn read(package: &Value) -> Self {
        let manifest = PathBuf::from(text(&package["manifest_path"]));
        let dependencies = |dev: bool| {
            let wanted = move |dependency: &&Value| (dependency["kind"] == "dev") == dev;
            let names =
                list(&package["dependencies"]).iter().filter(wanted).map(|found| text(&found["name"]));
            names.filter(|name| name.starts_with("omcp-")).map(str::to_owned).collect()
        };
        Self {
            name: text(&package["name"]).trim_start_matches("omcp-").to_owned(),
            dir: manifest.parent().expect("a manifest has a folder").to_owned(),
            links: dependencies(false),
            test_links: dependencies(true),
            roots: list(&package["targets"]).iter().map(|target| text(&target["src_path"]).into()).collect(),
        }
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().expect("cargo metadata has this list")
}

fn text(value: &Value) -> &str {
    value.as_str().expect("cargo metadata has this text")
}
