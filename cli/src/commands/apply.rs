//! `omcp apply`.

use std::path::PathBuf;

use omcp_proto::v1::{
    ApplyManifestRequest, ApplyManifestResponse, ChangeKind, ManifestChange, SettingsValidation, Warning,
};
use tonic::Status;
use uuid::Uuid;

use super::diff;
use crate::args::{CheckOptions, WriteOptions};
use crate::context::Context;
use crate::exit::Outcome;
use crate::failure::{Cause, Failure};
use crate::manifest::node::Node;
use crate::manifest::{self, Loaded, read, write};
use crate::output::{self, Format};
use crate::rollout::verdict::Goal;
use crate::rollout::{self, Report};
use crate::{style, word};

/// Make the backends what a manifest says
///
/// Everything is checked first, and everything or nothing is written. Reads the YAML of this gateway,
/// and the mcpServers JSON of MCP clients. Backends that the manifest does not name stay as they are,
/// unless --prune is given.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  omcp apply -f backends.yaml --wait
  omcp apply -f team/ -f more.yaml --prune --dry-run
  omcp apply -f ~/.cursor/mcp.json
  cat backends.yaml | omcp apply -f -")]
pub struct Args {
    /// File, directory (its .yaml, .yml, .json and .jsonc files), or - for standard input
    #[arg(short, long = "file", required = true, value_name = "PATH")]
    files: Vec<PathBuf>,

    #[command(flatten)]
    write: WriteOptions,

    /// Delete the backends that the manifest does not name
    #[arg(long)]
    prune: bool,

    #[command(flatten)]
    check: CheckOptions,

    /// Most backends this may delete; without it, a guard stops at 10 or a fifth of all
    #[arg(long, value_name = "N", requires = "prune")]
    max_deletes: Option<u32>,

    /// Delete without asking
    #[arg(short, long)]
    yes: bool,
}

pub async fn run(args: Args, context: &Context) -> Result<Outcome, Failure> {
    let loaded = load(&args.files)?;
    if args.prune && !args.yes && !args.write.dry_run && args.max_deletes.is_none() {
        confirm_deletes(&loaded, args.check, context).await?;
    }
    let answer = send(&args, &loaded, context).await?;
    warn(&answer.warnings, Some(&loaded));
    if !is_document(context.format()) {
        show(&answer, args.write.dry_run, context.format())?;
    }
    let report = rollout::wait(goal(&answer, &loaded), &args.write, context).await?;
    if is_document(context.format()) {
        show_document(&answer, report.as_ref(), context.format())?;
    }
    Ok(report.map_or(Outcome::Done, |report| report.outcome()))
}

/// Reads the manifest of the named files and says what was noticed.
pub fn load(files: &[PathBuf]) -> Result<Loaded, Failure> {
    let sources = read::sources(files).map_err(Failure::read)?;
    let loaded = manifest::load(&sources).map_err(Failure::invalid)?;
    output::notes(&loaded.notes);
    Ok(loaded)
}

/// A refusal of the server, led back to the places it is about.
pub fn refused(what: &str, status: &Status, loaded: &Loaded) -> Failure {
    Failure::refused(what, status, |violation| loaded.problem(&violation.field, &violation.description))
}

async fn confirm_deletes(loaded: &Loaded, check: CheckOptions, context: &Context) -> Result<(), Failure> {
    let request = diff::request(loaded, true, check);
    let answer = context.client()?.manifests().diff_manifest(request).await;
    let answer = answer.map_err(|status| refused("compare the manifest", &status, loaded))?.into_inner();
    let gone = answer.changes.iter().filter(|change| change.kind() == ChangeKind::Deleted);
    let gone: Vec<_> = gone.map(|change| change.name.as_str()).collect();
    if gone.is_empty() || output::confirm(&format!("Delete {}?", gone.join(", "))) {
        return Ok(());
    }
    let why = format!("it deletes {}, and nobody agreed to that", gone.join(", "));
    Err(Failure::new(Cause::Invalid, "apply the manifest", why).fix("add --yes, or --max-deletes N"))
}

async fn send(args: &Args, loaded: &Loaded, context: &Context) -> Result<ApplyManifestResponse, Failure> {
    let request = ApplyManifestRequest {
        manifest: Some(loaded.manifest()),
        prune: args.prune,
        validate_only: args.write.dry_run,
        strict: args.check.strict,
        settings_validation: SettingsValidation::from(args.check.validate).into(),
        max_deletes: args.max_deletes.unwrap_or(0),
        request_id: Uuid::new_v4().to_string(),
    };
    let answer = context.client()?.manifests().apply_manifest(request).await;
    let what = format!("apply {}", word::count(loaded.backends.len(), "backend"));
    Ok(answer.map_err(|status| refused(&what, &status, loaded))?.into_inner())
}

/// Says what the control plane thinks is worth knowing, with its place in the manifest.
pub fn warn(warnings: &[Warning], loaded: Option<&Loaded>) {
    for warning in warnings {
        let problem = loaded.and_then(|loaded| loaded.problem(&warning.field, &warning.message));
        match (problem, warning.backend.as_str()) {
            (Some(problem), _) => output::warn(&format!("{}: {}", problem.place(), warning.message)),
            (None, "") => output::warn(&warning.message),
            (None, backend) => output::warn(&format!("{backend}: {}", warning.message)),
        }
    }
}

/// What changed, or everything if nothing did.
fn goal(answer: &ApplyManifestResponse, loaded: &Loaded) -> Goal {
    let changed =
        |change: &&ManifestChange| matches!(change.kind(), ChangeKind::Created | ChangeKind::Updated);
    let gone = |change: &&ManifestChange| change.kind() == ChangeKind::Deleted;
    let names =
        |changes: Vec<&ManifestChange>| changes.iter().map(|change| change.name.clone()).collect::<Vec<_>>();
    let mut backends = names(answer.changes.iter().filter(changed).collect());
    if backends.is_empty() {
        backends = loaded.backends.iter().map(|backend| backend.name.clone()).collect();
    }
    backends.extend(names(answer.changes.iter().filter(gone).collect()));
    let anew = |change: &&ManifestChange| {
        changed(change) && (change.rebuilds || change.kind() == ChangeKind::Created)
    };
    let rebuilt = names(answer.changes.iter().filter(anew).collect());
    Goal { revision: answer.revision, backends, rebuilt: rebuilt.into_iter().collect() }
}

fn is_document(format: Format) -> bool {
    matches!(format, Format::Json | Format::Yaml)
}

fn show(answer: &ApplyManifestResponse, dry_run: bool, format: Format) -> Result<Outcome, Failure> {
    let lines = answer.changes.iter().map(|change| match format {
        Format::Name => format!("{}\n", change.name),
        _ => line(change, dry_run, format == Format::Wide),
    });
    output::print(&lines.collect::<String>())?;
    if format != Format::Name {
        output::say(&style::dim(&summary(answer, dry_run)));
    }
    Ok(Outcome::Done)
}

fn line(change: &ManifestChange, dry_run: bool, wide: bool) -> String {
    let verb = word::change(change.kind);
    let note = if dry_run { " (dry run)" } else { "" };
    let fields = if wide { diff::fields(change) } else { String::new() };
    format!("{} {verb}{note}\n{fields}", change.name)
}

fn summary(answer: &ApplyManifestResponse, dry_run: bool) -> String {
    let changes = answer.changes.iter().filter(|change| change.kind() != ChangeKind::Unchanged).count();
    match (changes, dry_run) {
        (0, _) => format!("nothing to change, revision {}", answer.revision),
        (n, true) => format!("{}, nothing written", word::count(n, "change")),
        (n, false) => format!("{}, revision {}", word::count(n, "change"), answer.revision),
    }
}

fn show_document(
    answer: &ApplyManifestResponse,
    report: Option<&Report>,
    format: Format,
) -> Result<Outcome, Failure> {
    let mut members = vec![
        ("revision".to_owned(), Node::number(answer.revision)),
        ("changes".to_owned(), diff::documents(&answer.changes)),
        ("warnings".to_owned(), Node::list(answer.warnings.iter().map(warning))),
    ];
    members.extend(report.map(|report| ("rollout".to_owned(), report.document())));
    let document = Node::map(members);
    output::print(&if format == Format::Json { write::json(&document) } else { write::yaml(&document) })
}

fn warning(warning: &Warning) -> Node {
    Node::map([
        ("reason".to_owned(), Node::text(&warning.reason)),
        ("backend".to_owned(), Node::text(&warning.backend)),
        ("field".to_owned(), Node::text(&warning.field)),
        ("message".to_owned(), Node::text(&warning.message)),
    ])
}
