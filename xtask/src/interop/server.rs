//! The servers.

use std::process::Command;

use serde_json::{Value, json};

use crate::interop::surroundings::{self, FOLDER, Language, Surroundings};

/// How the gateway reaches a server.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum Way {
    Http,
    /// HTTP+SSE of 2024-11-05.
    Sse,
    Stdio,
    Tcp,
    /// A function of AWS Lambda, on this machine.
    Lambda,
}

impl Way {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Sse => "sse",
            Self::Stdio => "stdio",
            Self::Tcp => "tcp",
            Self::Lambda => "lambda",
        }
    }

    /// The way of a client that is at the server directly: all clients have these two.
    pub const fn direct(self) -> Self {
        match self {
            Self::Http | Self::Sse => Self::Http,
            Self::Stdio | Self::Tcp | Self::Lambda => Self::Stdio,
        }
    }
}

pub struct ServerKind {
    pub name: &'static str,
    language: Language,
    /// From `tests/interop`.
    script: &'static str,
    pub plan: &'static str,
    eras: &'static [&'static str],
    /// With the arguments that the script takes for it.
    ways: &'static [(Way, &'static [&'static str])],
}

const LEGACY: &[&str] = &["legacy"];
const BOTH: &[&str] = &["legacy", "modern"];

/// Where servers note which calls were cancelled: what one process of a server notes, another tells.
const NOTES: &str = "FOLDER/cancelled";
/// The program that hosts a function, and takes its name and the arguments of the function.
const FUNCTION_HOST: &str = "omcp-lambda";
const FUNCTION: &str = "fixture";
/// What nodes need in their environment to sign invocations.
pub const LAMBDA_SECRET: (&str, &str) = ("LAMBDA_SECRET", "wJalrXUtnFEMI");

pub const SERVERS: [ServerKind; 6] = [
    ServerKind {
        name: "everything",
        language: Language::Node,
        script: "node_modules/@modelcontextprotocol/server-everything/dist/index.js",
        plan: "everything.json",
        eras: LEGACY,
        ways: &[(Way::Http, &["streamableHttp"]), (Way::Sse, &["sse"]), (Way::Stdio, &["stdio"])],
    },
    ServerKind {
        name: "filesystem",
        language: Language::Node,
        script: "node_modules/@modelcontextprotocol/server-filesystem/dist/index.js",
        plan: "filesystem.json",
        eras: LEGACY,
        ways: &[(Way::Stdio, &[FOLDER])],
    },
    ServerKind {
        name: "python",
        language: Language::Python2,
        script: "servers/python_server.py",
        plan: "python.json",
        eras: BOTH,
        ways: &[(Way::Http, &["http", NOTES]), (Way::Stdio, &["stdio", NOTES])],
    },
    ServerKind {
        name: "fastmcp",
        language: Language::Python2,
        script: "servers/fastmcp_server.py",
        plan: "fastmcp.json",
        eras: BOTH,
        ways: &[(Way::Http, &["http", NOTES]), (Way::Stdio, &["stdio", NOTES])],
    },
    ServerKind {
        name: "fixture",
        language: Language::Own,
        script: "omcp-fixture",
        plan: "fixture.json",
        eras: BOTH,
        ways: &[
            (Way::Http, &["http", "--tally", NOTES]),
            (Way::Stdio, &["stdio", "--tally", NOTES]),
            (Way::Tcp, &["tcp", "--tally", NOTES]),
            (Way::Lambda, &[FUNCTION, "lambda", "--handshake", "optional", "--tally", NOTES]),
        ],
    },
    ServerKind {
        name: "rmcp",
        language: Language::Own,
        script: "examples/omcp-rmcp-server",
        plan: "rmcp.json",
        eras: BOTH,
        ways: &[(Way::Stdio, &["stdio", NOTES])],
    },
];

impl ServerKind {
    pub fn speaks(&self, era: &str) -> bool {
        self.eras.contains(&era)
    }

    /// Whether it is a program of this workspace.
    pub fn is_own(&self) -> bool {
        self.language == Language::Own
    }

    /// The example that it is, if it is one: those are built for the cells that need them.
    pub fn example(&self) -> Option<&'static str> {
        self.script.strip_prefix("examples/")
    }

    pub fn is_dual(&self) -> bool {
        self.eras.len() > 1
    }

    pub fn ways(&self) -> impl Iterator<Item = Way> {
        self.ways.iter().map(|(way, _)| *way)
    }

    /// The program and its arguments. One that listens does so on a free loopback port, and says on which.
    pub fn words(&self, surroundings: &Surroundings, way: Way) -> Vec<String> {
        let script = if way == Way::Lambda { FUNCTION_HOST } else { self.script };
        let mut words = surroundings.words(self.language, script);
        if self.language == Language::Node && way != Way::Stdio {
            words.splice(1..1, ["--require".to_owned(), surroundings.script("servers/loopback.cjs")]);
        }
        let arguments = self.ways.iter().filter(|(known, _)| *known == way).flat_map(|(_, words)| *words);
        words.extend(arguments.map(|argument| surroundings.filled(argument)));
        words
    }

    /// Starts one that listens.
    pub fn command(&self, surroundings: &Surroundings, way: Way) -> Command {
        let mut command = surroundings::command(&self.words(surroundings, way));
        command.env("PORT", "0");
        command
    }

    /// The runtime by which a node reaches it; `url` is where it listens, if it does.
    pub fn runtime(&self, surroundings: &Surroundings, way: Way, url: &str) -> Value {
        match way {
            Way::Http => json!({ "type": "remote-http", "url": url }),
            Way::Sse => json!({ "type": "remote-sse", "url": url.replace("/mcp", "/sse") }),
            Way::Tcp => json!({ "type": "tcp", "endpoint": url }),
            Way::Lambda => json!({
                "type": "lambda", "function": FUNCTION, "region": "eu-west-1", "endpoint_url": url,
                "access_key_id": "AKIDEXAMPLE", "secret_access_key": format!("${{{}}}", LAMBDA_SECRET.0),
            }),
            Way::Stdio => {
                let words = self.words(surroundings, way);
                json!({ "type": "local-process", "command": words[0], "args": words[1..] })
            }
        }
    }
}
