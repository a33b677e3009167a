//! `omcp delete`.

use omcp_proto::v1::DeleteBackendRequest;
use uuid::Uuid;

use crate::args::WriteOptions;
use crate::context::Context;
use crate::exit::Outcome;
use crate::failure::{Cause, Failure};
use crate::manifest::node::Node;
use crate::manifest::write;
use crate::output::{self, Format};
use crate::rollout;
use crate::rollout::verdict::Goal;

/// Delete backends
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  omcp delete github
  omcp delete github search --ignore-missing --wait")]
pub struct Args {
    /// Names of the backends
    #[arg(required = true, value_name = "BACKEND")]
    names: Vec<String>,

    /// Succeed also if there is none of a name
    #[arg(long)]
    ignore_missing: bool,

    /// Most backends this may delete
    #[arg(long, value_name = "N")]
    max_deletes: Option<usize>,

    /// Delete without asking, also on a terminal
    #[arg(short, long)]
    yes: bool,

    #[command(flatten)]
    write: WriteOptions,
}

pub async fn run(args: Args, context: &Context) -> Result<Outcome, Failure> {
    check_consent(&args)?;
    let mut revision = 0;
    for name in &args.names {
        revision = delete(name, &args, context).await?;
        output::print(&deleted(name, revision, &args, context.format()))?;
    }
    let goal = Goal { revision, backends: args.names.clone(), ..Goal::default() };
    let report = rollout::wait(goal, &args.write, context).await?;
    Ok(report.map_or(Outcome::Done, |report| report.outcome()))
}

fn deleted(name: &str, revision: u64, args: &Args, format: Format) -> String {
    let document = || {
        let change = if args.write.dry_run { "would-delete" } else { "deleted" };
        Node::map([
            ("name".to_owned(), Node::text(name)),
            ("change".to_owned(), Node::text(change)),
            ("revision".to_owned(), Node::number(revision)),
        ])
    };
    match format {
        Format::Name => format!("{name}\n"),
        Format::Json => format!("{}\n", document().to_json()),
        Format::Yaml => format!("---\n{}", write::yaml(&document())),
        Format::Table | Format::Wide if args.write.dry_run => format!("{name} deleted (dry run)\n"),
        Format::Table | Format::Wide => format!("{name} deleted\n"),
    }
}

/// Naming backends one by one is consent; a bound that was given holds.
fn check_consent(args: &Args) -> Result<(), Failure> {
    let allowed = args.max_deletes.unwrap_or(usize::MAX);
    if args.names.len() > allowed {
        let why = format!("{} names were given, and --max-deletes is {allowed}", args.names.len());
        return Err(Failure::new(Cause::Invalid, "delete backends", why));
    }
    let asks = !args.yes && !args.write.dry_run && args.max_deletes.is_none() && output::can_ask();
    if asks && !output::confirm(&format!("Delete {}?", args.names.join(", "))) {
        return Err(Failure::new(Cause::Failed, "delete backends", "it was not confirmed"));
    }
    Ok(())
}

async fn delete(name: &str, args: &Args, context: &Context) -> Result<u64, Failure> {
    let request = DeleteBackendRequest {
        name: name.to_owned(),
        allow_missing: args.ignore_missing,
        validate_only: args.write.dry_run,
        request_id: Uuid::new_v4().to_string(),
        ..DeleteBackendRequest::default()
    };
    let answer = context.client()?.backends().delete_backend(request).await;
    Ok(answer
        .map_err(|status| Failure::rpc(format!("delete backend {name}"), &status))?
        .into_inner()
        .revision)
}
