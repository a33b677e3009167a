//! Plays one scenario of [`omcp_tests::conformance_client`] at a server of the official conformance suite, which
//! starts this program and names both; through a gateway if that is named as well.
//!
//! Says nothing unless something went wrong: what it sent is judged by the suite.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use omcp_tests::conformance_client::gateway::Gateway;
use omcp_tests::conformance_client::scenarios::{MODERN, SCENARIOS, Scenario};
use omcp_tests::conformance_client::target::{Era, Target};
use serde_json::Value;
use tokio::time::timeout;

/// The servers of the suite take seconds for their first answer on a busy machine.
const PLAY_LIMIT: Duration = Duration::from_secs(20);

#[derive(Parser)]
#[command(name = "omcp-conformance-client", version, about = "Plays a scenario of the conformance suite")]
struct Arguments {
    /// Which one.
    #[arg(long, env = "MCP_CONFORMANCE_SCENARIO")]
    scenario: String,
    /// The revision it is about.
    #[arg(long, env = "MCP_CONFORMANCE_PROTOCOL_VERSION")]
    revision: String,
    /// What the suite wants its client to know, as JSON.
    #[arg(long, env = "MCP_CONFORMANCE_CONTEXT")]
    context: Option<String>,
    /// Open a session, whatever the revision.
    #[arg(long)]
    in_session: bool,
    /// Admin address of the gateway's control plane.
    #[arg(long, requires = "node")]
    control_plane: Option<String>,
    /// A node of the gateway.
    #[arg(long, requires = "control_plane")]
    node: Option<String>,
    /// The server.
    url: String,
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("omcp-conformance-client: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<()> {
    let Arguments { scenario: name, revision, context, in_session, control_plane, node, url } = arguments;
    let scenario = SCENARIOS.iter().find(|scenario| scenario.name == name);
    let scenario = scenario.with_context(|| format!("no scenario is called {name}"))?;
    let context = context.map(|context| serde_json::from_str(&context)).transpose();
    let context: Value = context.context("the suite tells something that is no JSON")?.unwrap_or_default();
    let era = if in_session { Era::Legacy } else { Era::of(&revision) };
    let target = |url| Target { url, era, context };
    match control_plane.zip(node) {
        None => play(scenario, &target(url)),
        Some((control_plane, node)) => {
            let gateway = Gateway { control_plane, node };
            // A name of its own: nothing of the scenario before can be left under it.
            let backend = format!("suite-{}", std::process::id());
            // Servers of the suite answer an `initialize` by which they open no session: the gateway is told.
            let server_era = if in_session { MODERN } else { scenario.era };
            let registered = gateway.register(&backend, &url, server_era);
            let played = registered.and_then(|url| play(scenario, &target(url)));
            played.and(gateway.delete(&backend))
        }
    }
}

#[tokio::main]
async fn play(scenario: &Scenario, target: &Target) -> Result<()> {
    timeout(PLAY_LIMIT, scenario.play(target)).await.context("it takes too long")?.context(scenario.name)
}
