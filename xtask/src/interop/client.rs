//! The clients.

use std::process::Command;

use crate::interop::surroundings::{Language, Surroundings};

pub struct Client {
    pub name: &'static str,
    language: Language,
    /// From `tests/interop`.
    script: &'static str,
    /// The first argument: `legacy`, `modern` for exactly 2026-07-28, or a legacy revision.
    speaks: &'static str,
}

const fn client(
    name: &'static str,
    language: Language,
    script: &'static str,
    speaks: &'static str,
) -> Client {
    Client { name, language, script, speaks }
}

const MODERN: &str = "modern";
const LEGACY: &str = "legacy";
/// The revision with HTTP+SSE.
const OLDEST: &str = "2024-11-05";

pub const CLIENTS: [Client; 11] = [
    client("TypeScript 1", Language::Node, "clients/typescript1.mjs", LEGACY),
    client("TypeScript 1 of 2024-11-05", Language::Node, "clients/typescript1.mjs", OLDEST),
    client("TypeScript 2 legacy", Language::Node, "clients/typescript2.mjs", LEGACY),
    client("TypeScript 2 modern", Language::Node, "clients/typescript2.mjs", MODERN),
    client("Python 1", Language::Python1, "clients/python1.py", LEGACY),
    client("Python 2 legacy", Language::Python2, "clients/python2.py", LEGACY),
    client("Python 2 modern", Language::Python2, "clients/python2.py", MODERN),
    client("FastMCP legacy", Language::Python2, "clients/fastmcp_client.py", LEGACY),
    client("FastMCP modern", Language::Python2, "clients/fastmcp_client.py", MODERN),
    client("rmcp legacy", Language::Own, "examples/omcp-rmcp-client", LEGACY),
    client("rmcp modern", Language::Own, "examples/omcp-rmcp-client", MODERN),
];

impl Client {
    pub fn era(&self) -> &'static str {
        if self.speaks == MODERN { MODERN } else { LEGACY }
    }

    /// The era that it does not speak.
    pub fn other_era(&self) -> &'static str {
        if self.speaks == MODERN { LEGACY } else { MODERN }
    }

    /// The example that it is, if it is one: those are built for the cells that need them.
    pub fn example(&self) -> Option<&'static str> {
        self.script.strip_prefix("examples/")
    }

    /// The path of the gateway that it uses.
    pub fn path(&self) -> &'static str {
        if self.speaks == OLDEST { "/sse" } else { "/mcp" }
    }

    /// Whether its revision has structured content.
    pub fn knows_structures(&self) -> bool {
        self.speaks != OLDEST
    }

    /// The same program as a client of the other era.
    pub fn twin(&self) -> Option<&'static Self> {
        CLIENTS.iter().find(|client| client.script == self.script && client.speaks == self.other_era())
    }

    /// The command, up to the address of the server.
    pub fn command(&self, surroundings: &Surroundings, plan: &str) -> Command {
        // Nodes give servers this mask, and files tell of it: those that a client starts have it as well.
        let mut command = Command::new("sh");
        command.args(["-c", "umask 077; exec \"$@\"", "sh"]);
        let mut words = surroundings.words(self.language, self.script);
        if matches!(self.language, Language::Python1 | Language::Python2) {
            words.splice(1..1, ["-W", "ignore"].map(str::to_owned));
        }
        command.args(words).arg(self.speaks).arg(plan);
        command
    }
}
