//! `docs/custom-runtimes.md`, as a newcomer follows it: every block is a file that is built and tested, or is
//! run.
//!
//! A block says behind its language which file it is a part of. Files below `mine/` are those of
//! `examples/custom-runtime`, which the workspace builds and tests, so cargo itself is not run again here.

mod blocks;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use omcp_tests::harness::Cluster;
use omcp_tests::harness::port::Port;
use omcp_tests::harness::process::{self, Process};
use omcp_tests::harness::wait::{self, holds};
use tokio::net::TcpStream;

use self::blocks::{Block, page};

/// The port of the page, which may be taken on the machine that tests.
const PORT: &str = "127.0.0.1:9999";
/// The shell's last line, before the status of a block: what is started in the background keeps its output open.
const END: &str = "the block has ended with";
/// What stands in for cargo: that its commands work is what the workspace's own tests show.
const CARGO: &str = "#!/bin/sh\ncase \"$1\" in test|build|xtask) exit 0;; esac\nexit 1\n";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the workspace exists")
}

/// Lines that say something.
fn lines(text: &str) -> Vec<&str> {
    text.lines().filter(|line| !line.trim().is_empty()).collect()
}

#[test]
fn files_are_those_of_the_example() {
    let blocks = page();
    let example = root().join("examples/custom-runtime");
    for file in blocks::files(&blocks) {
        let Some(inside) = file.strip_prefix("mine/") else { continue };
        let shown = blocks::content(&blocks, &file).replace("../open-mcp-gateway/", "../../");
        // Manifests exist on the page alone, and are applied below.
        if !inside.ends_with(".yaml") {
            let real = fs::read_to_string(example.join(inside)).expect("the example has this file");
            assert_eq!(lines(&shown), lines(&real), "{inside}");
        }
    }
    for file in ["Cargo.toml", "src/lib.rs", "src/main.rs", "src/bin/custom-plugin.rs", "tests/kit.rs"] {
        assert!(blocks::files(&blocks).contains(&format!("mine/{file}")), "{file} is not on the page");
    }
}

#[test]
fn lines_of_the_gateway_stand_there() {
    let blocks = page();
    let own = blocks.iter().filter(|block| block.language == "rust" && !block.place.starts_with("mine/"));
    let mut seen = 0;
    for block in own {
        let file = fs::read_to_string(root().join(&block.place)).expect("the file exists");
        for line in lines(&block.text) {
            assert!(file.lines().any(|found| found == line), "{line:?} is not in {}", block.place);
        }
        seen += 1;
    }
    assert!(seen > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn leads_to_a_served_client() -> Result<()> {
    let cluster = Cluster::start(0);
    let walk = Walk::begin(&cluster)?;
    let mut said = String::new();
    let mut running = Vec::new();
    for block in page() {
        match block.language.as_str() {
            "sh" if block.place == "tree" => {}
            "sh" => {
                let (process, output) = walk.run(&block).await?;
                said = output;
                running.push(process);
                if let Some((_, rest)) = block.text.split_once("--name ") {
                    let node = rest.split_whitespace().next().unwrap_or_default();
                    walk.until_offered(&cluster, node).await;
                }
            }
            "text" => {
                for line in lines(&block.text) {
                    ensure!(said.contains(line), "{line:?} is not in\n{said}");
                }
            }
            _ if block.place.starts_with("mine/") => walk.save(&block)?,
            _ => {}
        }
    }
    Ok(())
}

/// A newcomer's folder and shell.
struct Walk {
    folder: PathBuf,
    port: Port,
    env: Vec<(&'static str, String)>,
}

impl Walk {
    /// A folder beside a checkout whose programs are built.
    fn begin(cluster: &Cluster) -> Result<Self> {
        let folder = cluster.folder().join("walk");
        let (checkout, programs) = (folder.join("open-mcp-gateway"), folder.join("programs"));
        fs::create_dir_all(&checkout)?;
        fs::create_dir(&programs)?;
        fs::copy(root().join("Cargo.lock"), checkout.join("Cargo.lock"))?;
        fs::write(programs.join("cargo"), CARGO)?;
        fs::set_permissions(programs.join("cargo"), fs::Permissions::from_mode(0o755))?;
        let built = process::program("omcp");
        let built = built.parent().context("a program has a folder")?;
        std::os::unix::fs::symlink(built.parent().context("debug has a folder")?, checkout.join("target"))?;
        let path = std::env::var("PATH").unwrap_or_default();
        let any = || "127.0.0.1:0".to_owned();
        let env = vec![
            ("PATH", format!("{}:{}:{path}", programs.display(), built.display())),
            ("OMCP_SERVER", cluster.control_plane.admin.clone()),
            ("OMCP_CONTROL_PLANE", cluster.control_plane.sync.clone()),
            ("OMCP_LISTEN", any()),
            ("OMCP_ADMIN_LISTEN", any()),
            ("NO_COLOR", "1".to_owned()),
        ];
        Ok(Self { folder, port: Port::keep(), env })
    }

    fn own(&self, text: &str) -> String {
        text.replace(PORT, &self.port.address().to_string())
    }

    fn save(&self, block: &Block) -> Result<()> {
        let path = self.folder.join(&block.place);
        fs::create_dir_all(path.parent().context("a file has a folder")?)?;
        let before = fs::read_to_string(&path).unwrap_or_default();
        Ok(fs::write(path, format!("{before}{}\n", self.own(&block.text)))?)
    }

    /// Runs one block where the one before it has led; what it started in the background goes on until the
    /// process is dropped.
    async fn run(&self, block: &Block) -> Result<(Process, String)> {
        let mine = self.folder.join("mine");
        let started = mine.is_dir();
        // One stream, or the end could be read before what was said on the other.
        let script = format!("exec 2>&1\nset -e\ntrap 'echo {END} $?' EXIT\n{}", self.own(&block.text));
        let mut command = Command::new("bash");
        command.args(["-c", &script]).current_dir(if started { &mine } else { &self.folder });
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        let process = Process::start("block", &mut command);
        wait::until("the end of a block", async || {
            let output = process.output();
            holds(output.contains(END), output)
        })
        .await;
        let output = process.output();
        ensure!(output.contains(&format!("{END} 0")), "{}\n---- says\n{output}", block.text);
        // What cargo would have built.
        if started && block.text.contains("cargo build") && !mine.join("target").exists() {
            std::os::unix::fs::symlink(self.folder.join("open-mcp-gateway/target"), mine.join("target"))?;
        }
        Ok((process, output))
    }

    /// A person who reads on takes longer than a node to connect and a server to listen.
    async fn until_offered(&self, cluster: &Cluster, node: &str) {
        wait::until(&format!("{node} to offer its type"), async || {
            let types = cluster.omcp(&["runtimes"]).expect(0).stdout;
            let offered =
                types.lines().any(|line| line.starts_with("my-custom-runtime") && line.ends_with(node));
            holds(offered, types)
        })
        .await;
        wait::until("the server of the page", async || TcpStream::connect(self.port.address()).await).await;
    }
}
