//! What else goes to and fro: progress, questions of the peer, cancellations, much at once.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::calls::echo;
use super::{Bench, ensure};
use crate::conformance::caller::{Caller, quote};

/// Messages of progress in one call.
const STEPS: u64 = 20;
/// The largest message that every runtime carries unless its transport forbids it.
const LARGE_LEN: usize = 16 * 1024 * 1024;
/// How long the slow peer does nothing.
const PAUSE_MS: u64 = 1_500;
/// What is sent meanwhile without a `recv` in between, as a node does with a batch of calls: more than a
/// pipe or a send buffer holds.
const BURST: usize = 64;
const BURST_MESSAGE_LEN: usize = 32 * 1024;
const STUCK: &str =
    ": a `send` that waits for room has to read meanwhile, or peer and runtime wait for each other";

/// Progress arrives in order while the call still runs: the peer answers only when told that it has.
pub async fn progress(bench: &mut Bench<'_>) -> Result<(), String> {
    let mut caller = bench.caller().await?;
    let params = json!({ "count": STEPS, "_meta": { "progressToken": "kit" } });
    let id = caller.ask("kit/progress", params).await?;
    for step in 1..=STEPS {
        let heard = caller.next().await?;
        let expected = heard["method"] == "notifications/progress" && heard["params"]["progress"] == step;
        ensure(expected && heard["params"]["progressToken"] == "kit", || {
            format!("instead of progress {step} came {}", quote(&heard))
        })?;
    }
    caller.notify("notifications/kit/go", json!({})).await?;
    let answer = caller.next().await?;
    ensure(answer["id"] == id && answer["result"].is_object(), || {
        format!("the answer after progress is {}", quote(&answer))
    })?;
    caller.close().await
}

/// A question of the peer is answered while its cause is in flight.
pub async fn server_request(bench: &mut Bench<'_>) -> Result<(), String> {
    let mut caller = bench.caller().await?;
    for round in 1..=3 {
        let id = caller.ask("kit/ask", json!({ "question": round })).await?;
        let question = caller.next().await?;
        ensure(question["method"] == "kit/question" && question["params"]["question"] == round, || {
            format!("instead of the question came {}", quote(&question))
        })?;
        let said = json!({ "answer": round });
        caller.send(&json!({ "jsonrpc": "2.0", "id": question["id"], "result": said })).await?;
        let answer = caller.next().await?;
        ensure(answer["id"] == id && answer["result"]["said"] == said, || {
            format!("the call that asked got {}", quote(&answer))
        })?;
    }
    caller.close().await
}

/// The peer hears of a cancellation before it hears what was sent after it; other calls go on. An answer to
/// the cancelled call may still come, as its caller has to ignore it anyway.
pub async fn cancel(bench: &mut Bench<'_>) -> Result<(), String> {
    let mut caller = bench.caller().await?;
    let first = caller.ask("kit/wait", json!({})).await?;
    let second = caller.ask("kit/wait", json!({})).await?;
    echo(&mut caller, json!({ "while": "two calls wait" })).await?;
    caller
        .notify("notifications/cancelled", json!({ "requestId": first, "reason": "nobody waits for it" }))
        .await?;
    let id = caller.ask("kit/cancelled", json!({})).await?;
    let mut heard = caller.next().await?;
    if heard["id"] == first {
        heard = caller.next().await?;
    }
    ensure(heard["id"] == id && heard["result"]["ids"] == json!([first]), || {
        format!("of calls {first} and {second}, {first} was cancelled; the peer heard {}", quote(&heard))
    })?;
    caller.close().await
}

/// 16 MiB in either direction, to the byte.
pub async fn large(bench: &mut Bench<'_>) -> Result<(), String> {
    let mut caller = bench.caller().await?;
    let id = caller.ask("kit/large", json!({ "len": LARGE_LEN })).await?;
    let answer = match caller.hear().await? {
        Ok(Some(message)) => message,
        Ok(None) => return Err("the connection ended on a message of 16 MiB".to_owned()),
        Err(error) => return Err(format!("a message of 16 MiB was not received: {}", error.chain())),
    };
    let own = answer.id() == Some(id.to_string().as_bytes());
    ensure(own && answer.bytes().len() == LARGE_LEN, || {
        format!("{LARGE_LEN} bytes were sent and {} arrived", answer.bytes().len())
    })?;
    let answer = measured(&mut caller, LARGE_LEN).await?;
    ensure(answer["result"]["len"] == LARGE_LEN, || {
        format!("of {LARGE_LEN} bytes arrived {}", quote(&answer["result"]))
    })?;
    echo(&mut caller, json!({ "after": "16 MiB" })).await?;
    caller.close().await
}

/// Nothing is lost or stuck when the peer reads and writes nothing for a while.
pub async fn slow(bench: &mut Bench<'_>) -> Result<(), String> {
    let mut caller = bench.caller().await?;
    let mut open = HashSet::from([caller.ask("kit/slow", json!({ "pause_ms": PAUSE_MS })).await?]);
    let fill = "x".repeat(BURST_MESSAGE_LEN);
    caller.silence_means = STUCK;
    while open.len() <= BURST {
        open.insert(caller.ask("kit/echo", json!({ "fill": fill })).await?);
    }
    caller.silence_means = "";
    while !open.is_empty() {
        let answer = caller.next().await?;
        let known = answer["id"].as_u64().is_some_and(|id| open.remove(&id));
        ensure(known && answer["result"].is_object(), || format!("nobody waits for {}", quote(&answer)))?;
    }
    caller.close().await
}

/// The answer to a request that has `len` bytes as a whole.
async fn measured(caller: &mut Caller, len: usize) -> Result<Value, String> {
    let id = caller.mint();
    let request = |fill: &str| json!({ "jsonrpc": "2.0", "id": id, "method": "kit/measure", "params": { "fill": fill } });
    let frame_len = request("").to_string().len();
    caller.send(&request(&"x".repeat(len - frame_len))).await?;
    let answer = caller.next().await?;
    ensure(answer["id"] == id, || format!("the answer to {len} bytes is {}", quote(&answer)))?;
    Ok(answer)
}
