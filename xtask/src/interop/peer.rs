//! The clients and the servers.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::{folders, tools};

/// What a server or client is written for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Language {
    Node,
    Python1,
    Python2,
}

/// A client of one revision.
pub struct Client {
    pub name: &'static str,
    language: Language,
    script: &'static str,
    /// The first argument: `legacy`, or `modern` for exactly 2026-07-28.
    era: &'static str,
}

pub const CLIENTS: [Client; 6] = [
    Client { name: "TypeScript 1", language: Language::Node, script: "typescript1.mjs", era: "legacy" },
    Client {
        name: "TypeScript 2 legacy",
        language: Language::Node,
        script: "typescript2.mjs",
        era: "legacy",
    },
    Client {
        name: "TypeScript 2 modern",
        language: Language::Node,
        script: "typescript2.mjs",
        era: "modern",
    },
    Client { name: "Python 1", language: Language::Python1, script: "python1.py", era: "legacy" },
    Client { name: "Python 2 legacy", language: Language::Python2, script: "python2.py", era: "legacy" },
    Client { name: "Python 2 modern", language: Language::Python2, script: "python2.py", era: "modern" },
];

/// A server, over each transport it has.
pub struct ServerKind {
    pub name: &'static str,
    language: Language,
    /// From `tests/interop`.
    script: &'static str,
    /// The argument for Streamable HTTP, and for a pipe.
    arguments: [&'static str; 2],
    plan: &'static str,
    eras: &'static [&'static str],
    pub http: bool,
    pub stdio: bool,
}

pub const SERVERS: [ServerKind; 4] = [
    ServerKind {
        name: "everything",
        language: Language::Node,
        script: "node_modules/@modelcontextprotocol/server-everything/dist/index.js",
        arguments: ["streamableHttp", "stdio"],
        plan: "everything.json",
        eras: &["legacy"],
        http: true,
        stdio: true,
    },
    ServerKind {
        name: "filesystem",
        language: Language::Node,
        script: "node_modules/@modelcontextprotocol/server-filesystem/dist/index.js",
        arguments: ["", FOLDER],
        plan: "filesystem.json",
        eras: &["legacy"],
        http: false,
        stdio: true,
    },
    ServerKind {
        name: "python",
        language: Language::Python2,
        script: "servers/python_server.py",
        arguments: ["http", "stdio"],
        plan: "python.json",
        eras: &["legacy", "modern"],
        http: true,
        stdio: true,
    },
    ServerKind {
        name: "fastmcp",
        language: Language::Python2,
        script: "servers/fastmcp_server.py",
        arguments: ["http", "stdio"],
        plan: "fastmcp.json",
        eras: &["legacy", "modern"],
        http: true,
        stdio: true,
    },
];

/// Stands for the folder that the file server may touch, in arguments and plans.
const FOLDER: &str = "FOLDER";

/// Interpreters, scripts, and a folder for files.
pub struct Surroundings {
    node: PathBuf,
    python1: PathBuf,
    python2: PathBuf,
    scripts: PathBuf,
    files: PathBuf,
}

impl Surroundings {
    pub fn install() -> Result<Self> {
        tools::npm("interop")?;
        let files = folders::results("interop-files");
        fs::create_dir_all(&files)?;
        Ok(Self {
            node: tools::node()?,
            python1: tools::python("mcp1")?,
            python2: tools::python("mcp2")?,
            scripts: folders::root().join("tests/interop"),
            files: files.canonicalize()?,
        })
    }

    /// Empties the folder of the file server.
    pub fn clear_files(&self) -> Result<()> {
        fs::remove_dir_all(&self.files)
            .and_then(|()| fs::create_dir_all(&self.files))
            .context("empty the folder of files")
    }

    fn interpreter(&self, language: Language) -> &Path {
        match language {
            Language::Node => &self.node,
            Language::Python1 => &self.python1,
            Language::Python2 => &self.python2,
        }
    }

    fn filled(&self, text: &str) -> String {
        text.replace(FOLDER, &self.files.display().to_string())
    }

    fn plan(&self, name: &str) -> String {
        let path = self.scripts.join("plans").join(name);
        self.filled(&fs::read_to_string(path).expect("every server has a plan"))
    }
}

impl Client {
    pub fn speaks_with(&self, server: &ServerKind) -> bool {
        server.eras.contains(&self.era)
    }

    /// The era that it does not speak.
    pub fn other_era(&self) -> &'static str {
        if self.era == "legacy" { "modern" } else { "legacy" }
    }

    /// The same program as a client of the other era.
    pub fn twin(&self) -> Option<&'static Self> {
        CLIENTS.iter().find(|client| client.script == self.script && client.era != self.era)
    }

    /// The command, up to the address of the server.
    pub fn command(&self, surroundings: &Surroundings, server: &ServerKind) -> Command {
        // Nodes give servers this mask, and files tell of it: those that a client starts have it as well.
        let mut command = Command::new("sh");
        command.args(["-c", "umask 077; exec \"$@\"", "sh"]).arg(surroundings.interpreter(self.language));
        if self.language != Language::Node {
            command.args(["-W", "ignore"]);
        }
        command.arg(surroundings.scripts.join("clients").join(self.script));
        command.arg(self.era).arg(surroundings.plan(server.plan));
        command
    }
}

impl ServerKind {
    pub fn is_dual(&self) -> bool {
        self.eras.len() > 1
    }

    /// Starts it on a free loopback port; it says which.
    pub fn http_command(&self, surroundings: &Surroundings) -> Command {
        let mut command = Command::new(surroundings.interpreter(self.language));
        if self.language == Language::Node {
            command.arg("--require").arg(surroundings.scripts.join("servers/loopback.cjs")).env("PORT", "0");
        }
        command.arg(surroundings.scripts.join(self.script)).arg(self.arguments[0]);
        command
    }

    /// The program and its arguments, for a pipe.
    pub fn stdio_words(&self, surroundings: &Surroundings) -> Vec<String> {
        let interpreter = surroundings.interpreter(self.language).display().to_string();
        let script = surroundings.scripts.join(self.script).display().to_string();
        vec![interpreter, script, surroundings.filled(self.arguments[1])]
    }
}
