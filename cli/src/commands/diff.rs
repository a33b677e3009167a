//! `omcp diff`.

use std::fmt::Write as _;
use std::path::PathBuf;

use omcp_proto::v1::{
    ChangeKind, DiffManifestRequest, DiffManifestResponse, FieldChange, ManifestChange, SettingsValidation,
};

use super::apply;
use crate::args::CheckOptions;
use crate::context::Context;
use crate::exit::Outcome;
use crate::failure::Failure;
use crate::manifest::node::Node;
use crate::manifest::{Loaded, write};
use crate::output::{self, Format};
use crate::{style, word};

/// Show what apply would change
///
/// Ends with 0 if nothing differs, 1 if something does, and 2 or more if it could not be told.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  omcp diff -f backends.yaml
  omcp diff -f backends.yaml --prune -o json")]
pub struct Args {
    /// File, directory (its .yaml, .yml, .json and .jsonc files), or - for standard input
    #[arg(short, long = "file", required = true, value_name = "PATH")]
    files: Vec<PathBuf>,

    /// Show what --prune would delete
    #[arg(long)]
    prune: bool,

    #[command(flatten)]
    check: CheckOptions,
}

pub async fn run(args: Args, context: &Context) -> Result<Outcome, Failure> {
    let answer = compare(&args, context).await.map_err(Failure::comparing)?;
    let text = match context.format() {
        Format::Json => write::json(&document(&answer)),
        Format::Yaml => write::yaml(&document(&answer)),
        Format::Name => changed(&answer).map(|change| format!("{}\n", change.name)).collect(),
        Format::Table | Format::Wide => changed(&answer).map(text).collect(),
    };
    output::print(&text).map_err(Failure::comparing)?;
    Ok(if changed(&answer).next().is_some() { Outcome::Differences } else { Outcome::Done })
}

async fn compare(args: &Args, context: &Context) -> Result<DiffManifestResponse, Failure> {
    let loaded = apply::load(&args.files)?;
    let request = request(&loaded, args.prune, args.check);
    let answer = context.client()?.manifests().diff_manifest(request).await;
    let answer =
        answer.map_err(|status| apply::refused("compare the manifest", &status, &loaded))?.into_inner();
    apply::warn(&answer.warnings, Some(&loaded));
    Ok(answer)
}

/// The comparison that refuses what an apply with the same options would refuse.
pub fn request(loaded: &Loaded, prune: bool, check: CheckOptions) -> DiffManifestRequest {
    DiffManifestRequest {
        manifest: Some(loaded.manifest()),
        prune,
        strict: check.strict,
        settings_validation: SettingsValidation::from(check.validate).into(),
    }
}

fn changed(answer: &DiffManifestResponse) -> impl Iterator<Item = &ManifestChange> {
    answer.changes.iter().filter(|change| change.kind() != ChangeKind::Unchanged)
}

fn text(change: &ManifestChange) -> String {
    let (mark, effect) = match change.kind() {
        ChangeKind::Created => (style::good("+"), "   new"),
        ChangeKind::Deleted => (style::error("-"), "   deleted"),
        _ if change.rebuilds => (style::warning("~"), "   rebuilds its runtime"),
        _ => (style::warning("~"), "   nothing restarts"),
    };
    format!("{mark} {}{}\n{}", change.name, style::dim(effect), fields(change))
}

/// The fields that differ, a line each.
pub fn fields(change: &ManifestChange) -> String {
    let mut out = String::new();
    for field in &change.fields {
        let path = style::printable(&field.path);
        let (old, new) = (style::printable(&field.old_json), style::printable(&field.new_json));
        let _ = match (old.as_str(), new.as_str()) {
            ("", new) => writeln!(out, "    {path}: {}", style::good(&format!("+ {new}"))),
            (old, "") => writeln!(out, "    {path}: {}", style::error(&format!("- {old}"))),
            (old, new) => writeln!(out, "    {path}: {} -> {}", style::error(old), style::good(new)),
        };
    }
    out
}

fn document(answer: &DiffManifestResponse) -> Node {
    Node::map([
        ("revision".to_owned(), Node::number(answer.revision)),
        ("changes".to_owned(), documents(&answer.changes)),
    ])
}

pub fn documents(changes: &[ManifestChange]) -> Node {
    Node::list(changes.iter().map(|change| {
        Node::map([
            ("name".to_owned(), Node::text(&change.name)),
            ("change".to_owned(), Node::text(word::change(change.kind))),
            ("rebuilds".to_owned(), Node::flag(change.rebuilds)),
            ("fields".to_owned(), Node::list(change.fields.iter().map(field))),
        ])
    }))
}

fn field(field: &FieldChange) -> Node {
    Node::map([
        ("path".to_owned(), Node::text(&field.path)),
        ("old_json".to_owned(), Node::text(&field.old_json)),
        ("new_json".to_owned(), Node::text(&field.new_json)),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_fields() {
        let field = |path: &str, old: &str, new: &str| FieldChange {
            path: path.into(),
            old_json: old.into(),
            new_json: new.into(),
        };
        let change = ManifestChange {
            name: "github".into(),
            kind: ChangeKind::Updated.into(),
            fields: vec![
                field("runtime.args[1]", "\"a\"", "\"b\""),
                field("env.X", "", "\"y\""),
                field("era", "\"legacy\"", ""),
            ],
            rebuilds: true,
        };
        assert_eq!(
            anstream::adapter::strip_str(&text(&change)).to_string(),
            "~ github   rebuilds its runtime\n    runtime.args[1]: \"a\" -> \"b\"\n    env.X: + \"y\"\n    era: - \"legacy\"\n"
        );
    }
}
