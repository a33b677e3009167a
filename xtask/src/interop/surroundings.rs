//! Interpreters, scripts, and a folder for files.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::{folders, tools};

/// What a server or client is written for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Language {
    Node,
    Python1,
    Python2,
    /// A program of this workspace.
    Own,
}

/// Stands for the folder that the file server may touch, in arguments and plans.
pub const FOLDER: &str = "FOLDER";

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
            scripts: scripts(),
            files: files.canonicalize()?,
        })
    }

    /// Empties the folder of the file server.
    pub fn clear_files(&self) -> Result<()> {
        fs::remove_dir_all(&self.files)
            .and_then(|()| fs::create_dir_all(&self.files))
            .context("empty the folder of files")
    }

    /// What runs a script, with the script; or a program of the workspace.
    pub fn words(&self, language: Language, script: &str) -> Vec<String> {
        let interpreter = match language {
            Language::Node => &self.node,
            Language::Python1 => &self.python1,
            Language::Python2 => &self.python2,
            Language::Own => return vec![shown(&folders::program(script))],
        };
        vec![shown(interpreter), self.script(script)]
    }

    pub fn script(&self, path: &str) -> String {
        shown(&self.scripts.join(path))
    }

    /// `text` with the folder of files in it.
    pub fn filled(&self, text: &str) -> String {
        text.replace(FOLDER, &shown(&self.files))
    }
}

/// The plan of a server, as it stands in its file.
pub fn plan(name: &str) -> Result<Value> {
    let path = scripts().join("plans").join(name);
    let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("read {}", path.display()))
}

/// A command of these words.
pub fn command(words: &[String]) -> Command {
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]);
    command
}

fn scripts() -> PathBuf {
    folders::root().join("tests/interop")
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
