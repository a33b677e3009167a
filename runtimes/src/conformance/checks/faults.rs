//! Peers that die or misbehave.

use omcp_core::{ErrorKind, GatewayError};
use serde_json::{Value, json};

use super::calls::echo;
use super::{Bench, connected, ensure, greeted};
use crate::conformance::caller::{Caller, quote};
use crate::conformance::subject::Death;

/// A call in flight ends with an error when the peer is killed; the same runtime reaches the next peer.
pub async fn gone(bench: &mut Bench<'_>) -> Result<(), String> {
    let runtime = bench.runtime()?;
    let mut caller = greeted(&*runtime).await?;
    let id = caller.ask("kit/wait", json!({})).await?;
    // What is queued leaves with the next `recv`: a call that the peer has answered proves that it has both.
    if bench.traits.in_flight > 1 {
        echo(&mut caller, json!({ "before": "the end" })).await?;
    } else {
        caller.next_now()?;
    }
    let pid = caller.connection.pid();
    bench.peer.kill(pid).await.map_err(|error| format!("the peer was not killed: {error}"))?;
    lost(&mut caller, bench.traits.death, id).await?;
    restart(bench).await?;
    let mut next = connected(&*runtime).await?;
    next.initialize().await.map_err(|why| format!("after the restart of the peer: {why}"))?;
    echo(&mut next, json!({ "after": "the restart" })).await?;
    next.close().await
}

/// Half a message is never delivered.
pub async fn half(bench: &mut Bench<'_>) -> Result<(), String> {
    for method in ["kit/half", "kit/die"] {
        let mut caller = bench.caller().await?;
        let id = caller.ask(method, json!({})).await?;
        lost(&mut caller, bench.traits.death, id).await.map_err(|why| format!("{method}: {why}"))?;
        restart(bench).await?;
    }
    Ok(())
}

/// What is no message is skipped, or ends the call or the connection as the peer's fault.
pub async fn garbage(bench: &mut Bench<'_>) -> Result<(), String> {
    let mut caller = bench.caller().await?;
    let id = caller.ask("kit/garbage", json!({})).await?;
    match caller.hear().await? {
        Ok(Some(message)) => {
            let heard: Value = serde_json::from_slice(message.bytes())
                .map_err(|error| format!("garbage was delivered: {error}"))?;
            ensure(heard["id"] == id && heard["jsonrpc"] == "2.0", || {
                format!("garbage was delivered: {}", quote(&heard))
            })?;
            echo(&mut caller, json!({ "after": "garbage" })).await?;
        }
        Ok(None) => return Err("garbage ended the connection without an error".to_owned()),
        Err(error) => ensure(error.kind() == ErrorKind::Protocol, || {
            format!("garbage is a fault of the peer and not {:?}: {}", error.kind(), error.chain())
        })?,
    }
    caller.close().await
}

async fn restart(bench: &mut Bench<'_>) -> Result<(), String> {
    bench.peer.restart().await.map_err(|error| format!("the peer did not come back: {error}"))
}

/// The call `id` was in flight when the peer died.
async fn lost(caller: &mut Caller, death: Death, id: u64) -> Result<(), String> {
    match death {
        Death::Connection => {
            match caller.hear().await? {
                Err(error) => blames_the_peer(&error)?,
                Ok(None) => return Err("recv gave None for a peer that died: that is an error".to_owned()),
                Ok(Some(message)) => {
                    let text = String::from_utf8_lossy(message.bytes()).chars().take(200).collect::<String>();
                    return Err(format!("instead of the end came {text}"));
                }
            }
            caller.close().await?;
            let after = caller.hear().await?;
            ensure(matches!(after, Ok(None)), || format!("after the end recv gave {after:?}"))
        }
        Death::Calls => {
            let answer = caller.next().await?;
            let told = answer["error"]["message"].as_str().is_some_and(|text| !text.is_empty());
            ensure(answer["id"] == id && answer["error"]["code"] == -32603 && told, || {
                format!("the call got {} instead of error -32603", quote(&answer))
            })?;
            ensure(answer["error"]["data"]["reason"].is_string(), || {
                format!("data.reason is missing in {}", quote(&answer))
            })?;
            caller.close().await
        }
    }
}

fn blames_the_peer(error: &GatewayError) -> Result<(), String> {
    let blamed = matches!(
        error.kind(),
        ErrorKind::Closed | ErrorKind::Unreachable | ErrorKind::Protocol | ErrorKind::Timeout
    );
    ensure(blamed && !error.to_string().is_empty(), || {
        format!("the death of the peer is told as {:?}: {}", error.kind(), error.chain())
    })
}
