//! `omcp describe`.

use std::fmt::Write as _;
use std::time::Duration;

use omcp_proto::v1::{Backend, ManifestBackend, NodeBackendStatus};

use super::{get, status};
use crate::context::Context;
use crate::exit::Outcome;
use crate::failure::Failure;
use crate::manifest::node::Node;
use crate::manifest::write;
use crate::output::{self, Format, time};
use crate::{style, word};

/// Show everything about one backend: what was asked, and how it does on every node
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of the backend
    #[arg(value_name = "BACKEND")]
    name: String,
}

pub async fn run(args: Args, context: &Context) -> Result<Outcome, Failure> {
    let backend = context.backend(&args.name).await?;
    let statuses = context.statuses(&args.name, "").await?;
    let document = || {
        let statuses = Node::list(statuses.iter().map(status::document));
        Node::map([("backend".to_owned(), get::document(&backend)), ("statuses".to_owned(), statuses)])
    };
    output::print(&match context.format() {
        Format::Json => write::json(&document()),
        Format::Yaml => write::yaml(&document()),
        Format::Name => format!("{}\n", backend.name),
        Format::Table | Format::Wide => text(&backend, &statuses),
    })
}

fn text(backend: &Backend, statuses: &[NodeBackendStatus]) -> String {
    let mut out = String::new();
    let written = ManifestBackend { name: backend.name.clone(), spec: backend.spec.clone() };
    let _ = write!(out, "{}", style::printable_lines(&write::yaml(&write::entry(&written))));
    let created = backend.create_time.map(|time| time.to_string()).unwrap_or_default();
    let updated = backend.update_time.map(|time| time.to_string()).unwrap_or_default();
    let _ = writeln!(out, "\n{}", style::bold("History"));
    let _ = writeln!(out, "  generation {}   revision {}", backend.generation, backend.revision);
    let _ = writeln!(out, "  created {created}   updated {updated}\n\n{}", style::bold("Nodes"));
    if statuses.is_empty() {
        out.push_str("  no node has been given it\n");
    }
    statuses.iter().for_each(|status| node(&mut out, status));
    out
}

fn node(out: &mut String, status: &NodeBackendStatus) {
    let said = status.status.clone().unwrap_or_default();
    let state = word::backend_word(word::backend_state(status));
    let since = time::short(Duration::from_millis(said.since_ms));
    let _ = writeln!(out, "  {}: {state} for {since}", style::printable(&status.node));
    let tools = said.tools.map(|count| format!("{count} tools"));
    let eras = (!said.eras.is_empty()).then(|| format!("speaks {}", said.eras.join(" and ")));
    let pids = (!said.pids.is_empty()).then(|| format!("processes {:?}", said.pids));
    let sessions = (said.sessions > 0).then(|| format!("{} sessions", said.sessions));
    let facts: Vec<_> = [eras, tools, pids, sessions].into_iter().flatten().collect();
    if !facts.is_empty() {
        let _ = writeln!(out, "    {}", facts.join(", "));
    }
    let reason = word::reason(status);
    if !reason.is_empty() {
        let _ = writeln!(out, "    {}", style::printable(&reason));
    }
    if !said.last_exit.is_empty() {
        let _ = writeln!(out, "    last exit: {}", style::printable(&said.last_exit));
    }
    for line in &said.stderr_tail {
        let _ = writeln!(out, "    | {}", style::printable(line));
    }
}
