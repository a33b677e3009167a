//! `omcp edit`.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use omcp_proto::convert;
use omcp_proto::v1::{
    Backend, ManifestBackend, SettingsValidation, UpdateBackendRequest, UpdateBackendResponse,
};
use uuid::Uuid;

use super::apply;
use crate::args::{CheckOptions, WriteOptions};
use crate::context::Context;
use crate::exit::Outcome;
use crate::failure::{Cause, Failure};
use crate::manifest::{self, Loaded, Problem, Source, write};
use crate::output;
use crate::rollout;
use crate::rollout::verdict::Goal;

/// Edit one backend in your editor
///
/// Opens the YAML of the backend in $VISUAL, $EDITOR or vi. If the control plane refuses the result,
/// the editor opens again with the error above it; leave it unchanged to give up. Somebody else's
/// change in between is never overwritten.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of the backend
    #[arg(value_name = "BACKEND")]
    name: String,

    #[command(flatten)]
    write: WriteOptions,

    #[command(flatten)]
    check: CheckOptions,
}

pub async fn run(args: Args, context: &Context) -> Result<Outcome, Failure> {
    let backend = context.backend(&args.name).await?;
    let draft = Draft::new(&backend)?;
    let Some(answer) = edit(&draft, &backend, &args, context).await? else {
        output::say("nothing changed");
        return Ok(Outcome::Done);
    };
    apply::warn(&answer.warnings, None);
    if unchanged(&backend, &answer) {
        output::say("nothing changed");
        return Ok(Outcome::Done);
    }
    let note = if args.write.dry_run { " (dry run)" } else { "" };
    output::print(&format!("{} updated{note}\n", args.name))?;
    let report = rollout::wait(goal(&backend, &answer), &args.write, context).await?;
    Ok(report.map_or(Outcome::Done, |report| report.outcome()))
}

/// Whether the text differs and what it says does not.
fn unchanged(before: &Backend, answer: &UpdateBackendResponse) -> bool {
    answer.backend.as_ref().is_some_and(|after| after.spec == before.spec)
}

fn goal(before: &Backend, answer: &UpdateBackendResponse) -> Goal {
    let name = before.name.clone();
    let rebuilt = if rebuilds(before, answer) { BTreeSet::from([name.clone()]) } else { BTreeSet::new() };
    Goal { revision: answer.revision, backends: vec![name], rebuilt }
}

/// Whether nodes build it anew: for a new name or tag they do not.
fn rebuilds(before: &Backend, answer: &UpdateBackendResponse) -> bool {
    let read =
        |backend: &Backend| backend.spec.as_ref().and_then(|spec| convert::backend(&backend.name, spec).ok());
    match (read(before), answer.backend.as_ref().and_then(read)) {
        (Some(before), Some(after)) => !before.same_runtime(&after),
        _ => true,
    }
}

/// Opens the editor until the result is taken, or left as it was.
async fn edit(
    draft: &Draft,
    backend: &Backend,
    args: &Args,
    context: &Context,
) -> Result<Option<UpdateBackendResponse>, Failure> {
    let mut before = draft.original.clone();
    let mut refusal: Option<Failure> = None;
    loop {
        draft.save(&before, refusal.as_ref())?;
        draft.open_editor()?;
        let after = draft.load()?;
        if after.trim_end() == before.trim_end() {
            return refusal.map_or(Ok(None), Err);
        }
        match submit(&after, backend, args, context).await {
            Ok(answer) => return Ok(Some(answer)),
            Err(failure) if failure.cause == Cause::Invalid => refusal = Some(failure),
            Err(failure) => return Err(draft.kept(failure)),
        }
        before = after;
    }
}

async fn submit(
    text: &str,
    backend: &Backend,
    args: &Args,
    context: &Context,
) -> Result<UpdateBackendResponse, Failure> {
    let source = Arc::new(Source::new(format!("{}.yaml", backend.name), text));
    let loaded = manifest::load(&[Arc::clone(&source)]).map_err(Failure::invalid)?;
    let edited = only(&loaded, &backend.name, &source)?;
    let edited =
        Backend { spec: edited.spec, etag: backend.etag.clone(), name: edited.name, ..Backend::default() };
    let request = UpdateBackendRequest {
        backend: Some(edited),
        validate_only: args.write.dry_run,
        strict: args.check.strict,
        settings_validation: SettingsValidation::from(args.check.validate).into(),
        request_id: Uuid::new_v4().to_string(),
        ..UpdateBackendRequest::default()
    };
    let answer = context.client()?.backends().update_backend(request).await;
    Ok(answer.map_err(|status| refused(&backend.name, &status, &loaded))?.into_inner())
}

/// The one backend of the draft; renaming is not editing.
fn only(loaded: &Loaded, name: &str, source: &Arc<Source>) -> Result<ManifestBackend, Failure> {
    match (loaded.backends.as_slice(), loaded.origins.as_slice()) {
        ([backend], _) if backend.name == name => Ok(backend.clone()),
        ([_], [origin]) => {
            let problem = Problem::new(source, origin.name_span, "a backend cannot be renamed");
            Err(Failure::invalid(vec![
                problem.hint(format!("leave it {name}, or apply it as a new backend")),
            ]))
        }
        _ => {
            let why = format!("the draft holds {} backends, and not one", loaded.backends.len());
            Err(Failure::new(Cause::Invalid, "read the draft", why))
        }
    }
}

/// A refusal, led back to its places: here there is only one backend.
fn refused(name: &str, status: &tonic::Status, loaded: &Loaded) -> Failure {
    Failure::refused(format!("update backend {name}"), status, |violation| {
        let path = violation.field.strip_prefix("backend.").unwrap_or(&violation.field);
        Some(loaded.origins.first()?.problem(path, &violation.description))
    })
}

/// The text under edit, in a file that only its owner can read.
struct Draft {
    path: PathBuf,
    original: String,
}

impl Draft {
    fn new(backend: &Backend) -> Result<Self, Failure> {
        let path = std::env::temp_dir().join(format!("omcp-edit-{}.yaml", Uuid::new_v4()));
        let written = ManifestBackend { name: backend.name.clone(), spec: backend.spec.clone() };
        let original = write::yaml(&write::manifest(&[written]));
        let opened = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        opened.map_err(|error| failed(&path, &error))?;
        Ok(Self { path, original })
    }

    /// Writes a text, with the error that it led to above it.
    fn save(&self, text: &str, refusal: Option<&Failure>) -> Result<(), Failure> {
        let header = match refusal {
            None => String::new(),
            Some(failure) => comment(&failure.render(false)),
        };
        fs::OpenOptions::new()
            .write(true)
            .truncate(true)
            .open(&self.path)
            .and_then(|mut file| file.write_all(format!("{header}{text}").as_bytes()))
            .map_err(|error| failed(&self.path, &error))
    }

    /// What was typed, without the error above it.
    fn load(&self) -> Result<String, Failure> {
        let text = fs::read_to_string(&self.path).map_err(|error| failed(&self.path, &error))?;
        Ok(text.lines().filter(|line| !line.starts_with(MARK)).map(|line| format!("{line}\n")).collect())
    }

    fn open_editor(&self) -> Result<(), Failure> {
        let named = |name| std::env::var(name).ok().filter(|editor| !editor.trim().is_empty());
        let editor = named("VISUAL").or_else(|| named("EDITOR")).unwrap_or_else(|| "vi".into());
        let script = format!("{editor} \"$1\"");
        let status = Command::new("sh").args(["-c", &script, "omcp-edit"]).arg(&self.path).status();
        let what = format!("edit with {editor:?}");
        match status {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(Failure::new(Cause::Failed, what, format!("the editor ended with {status}"))),
            Err(error) => Err(Failure::new(Cause::Failed, what, error.to_string())),
        }
        .map_err(|failure| failure.fix("set EDITOR to an editor that waits until you close the file"))
    }

    /// A failure that must not cost what was typed.
    fn kept(&self, failure: Failure) -> Failure {
        let copy = self.path.with_extension("kept.yaml");
        match fs::copy(&self.path, &copy) {
            Ok(_) => failure.fix(format!("your text is kept in {}; edit again and compare", copy.display())),
            Err(_) => failure,
        }
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Begins the lines that are not the user's.
const MARK: &str = "#! ";

fn comment(text: &str) -> String {
    let plain = anstream::adapter::strip_str(text).to_string();
    plain.lines().map(|line| format!("{MARK}{line}\n")).collect()
}

fn failed(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(Cause::Failed, format!("use {}", path.display()), error.to_string())
}

#[cfg(test)]
mod tests {
    use omcp_proto::v1::BackendSpec;

    use super::*;

    fn backend(display_name: &str, command: &str) -> Backend {
        let spec = BackendSpec {
            display_name: display_name.into(),
            runtime_type: "local-process".into(),
            settings_json: format!(r#"{{"command":"{command}"}}"#),
            ..BackendSpec::default()
        };
        Backend { name: "a".into(), spec: Some(spec), ..Backend::default() }
    }

    #[test]
    fn what_an_edit_waits_for() {
        for (display_name, command, same, rebuilt) in
            [("n", "x", true, false), ("m", "x", false, false), ("n", "y", false, true)]
        {
            let after = Some(backend(display_name, command));
            let answer = UpdateBackendResponse { backend: after, revision: 7, ..Default::default() };
            let before = backend("n", "x");
            let goal = goal(&before, &answer);
            assert_eq!((goal.revision, goal.backends), (7, vec!["a".to_owned()]));
            assert_eq!((unchanged(&before, &answer), goal.rebuilt.contains("a")), (same, rebuilt));
        }
    }
}
