//! The demo backend: this program itself, started by the node.

use std::time::Duration;

use omcp_proto::v1::{ApplyManifestRequest, BackendSpec, Manifest, ManifestBackend};
use serde_json::json;

use crate::context::Context;
use crate::failure::{Cause, Failure};
use crate::rollout;
use crate::rollout::verdict::Goal;

/// Name of the demo backend.
pub const NAME: &str = "demo";
/// How long it may take to start: it is one process of this machine.
const START_TIMEOUT: Duration = Duration::from_secs(20);

/// Applies it and waits until every node serves it.
///
/// # Errors
/// It cannot be applied, or does not start.
pub async fn apply(context: &Context) -> Result<(), Failure> {
    let manifest = Manifest { backends: vec![backend()?] };
    let request = ApplyManifestRequest { manifest: Some(manifest), ..ApplyManifestRequest::default() };
    let answer = context.client()?.manifests().apply_manifest(request).await;
    let answer = answer.map_err(|status| Failure::rpc("apply the demo backend", &status))?.into_inner();
    let goal = Goal { revision: answer.revision, backends: vec![NAME.to_owned()], ..Goal::default() };
    let report = rollout::wait_quietly(goal, START_TIMEOUT, context).await?;
    match report.problem() {
        None => Ok(()),
        Some(why) => {
            Err(Failure::new(Cause::Failed, "start the demo backend", why).fix("see `omcp status demo`"))
        }
    }
}

fn backend() -> Result<ManifestBackend, Failure> {
    let program = std::env::current_exe()
        .map_err(|error| Failure::new(Cause::Failed, "find this program for the demo", error.to_string()))?;
    let settings = json!({"command": program, "args": ["demo-server"]});
    let spec = BackendSpec {
        display_name: "Demo backend".into(),
        tags: vec!["demo".into()],
        runtime_type: "local-process".into(),
        settings_json: settings.to_string(),
        ..BackendSpec::default()
    };
    Ok(ManifestBackend { name: NAME.to_owned(), spec: Some(spec) })
}
