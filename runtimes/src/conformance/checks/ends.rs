//! Close, and settings that never begin.

use omcp_core::{ErrorKind, RuntimeConfig};
use rustix::process::{Pid, test_kill_process};
use serde_json::{Value, json};

use super::{Bench, connected, ensure};
use crate::conformance::caller::Caller;
use crate::conformance::subject::BadSettings;

/// A setting that no type has.
const UNKNOWN_SETTING: &str = "no_such_setting";

/// `close` may come at any time and as often as one likes; then nothing comes any more.
pub async fn close_twice(bench: &mut Bench<'_>) -> Result<(), String> {
    let runtime = bench.runtime()?;
    close(connected(&*runtime).await?).await.map_err(|why| format!("before the first message: {why}"))?;
    close(bench.caller().await?).await.map_err(|why| format!("after the handshake: {why}"))?;
    let mut caller = bench.caller().await?;
    caller.ask("kit/wait", json!({})).await?;
    caller.next_now()?;
    close(caller).await.map_err(|why| format!("with a call in flight: {why}"))
}

async fn close(mut caller: Caller) -> Result<(), String> {
    let pid = caller.connection.pid();
    caller.close().await?;
    let process = pid.and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
    let gone = process.is_none_or(|process| test_kill_process(process).is_err());
    ensure(gone, || "close returned while the process was there".to_owned())?;
    caller.close().await.map_err(|why| format!("the second time: {why}"))?;
    let heard = caller.hear().await?;
    ensure(matches!(heard, Ok(None)), || format!("recv gave {heard:?} after close"))?;
    let sent = caller.notify("notifications/kit/late", json!({})).await;
    ensure(sent.is_err(), || "send took a message after close".to_owned())
}

/// What cannot work is refused when the runtime is built, with the field and before anything starts.
pub async fn settings(bench: &mut Bench<'_>) -> Result<(), String> {
    let mut bad = bench.subject.bad_settings();
    ensure(!bad.is_empty(), || "the subject names no bad settings".to_owned())?;
    let mut unknown: Value = serde_json::from_str(bench.peer.config().settings())
        .map_err(|error| format!("the peer's settings are no JSON: {error}"))?;
    unknown[UNKNOWN_SETTING] = json!(1);
    bad.push(BadSettings::new(unknown, UNKNOWN_SETTING));
    for BadSettings { settings, mentions } in bad {
        let config = RuntimeConfig::new(bench.subject.type_name(), settings.to_string());
        let Err(error) = bench.create(&config) else { return Err(format!("accepted: {settings}")) };
        ensure(error.kind() == ErrorKind::InvalidSettings, || {
            format!("{settings} is {:?}: {}", error.kind(), error.chain())
        })?;
        ensure(error.chain().contains(&mentions), || {
            format!("the rejection of {settings} does not mention {mentions}: {}", error.chain())
        })?;
    }
    bench.runtime().map(drop)
}
