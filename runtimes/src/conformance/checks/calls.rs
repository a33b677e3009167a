//! Requests and answers.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::{Bench, ensure, greeted};
use crate::conformance::caller::{Caller, quote};

/// Calls of the interleaved check.
const CALLS: u64 = 1_000;
/// As many as a node has in flight on one connection.
const IN_FLIGHT_MAX: u64 = 256;
const LOST: &str = ": an answer is lost if the future of `recv` is dropped after it has taken one";

/// One runtime gives connections that know nothing of each other.
pub async fn start(bench: &mut Bench<'_>) -> Result<(), String> {
    let runtime = bench.runtime()?;
    let mut first = greeted(&*runtime).await?;
    let mut second = greeted(&*runtime).await?;
    echo(&mut first, json!({ "of": "first" })).await?;
    echo(&mut second, json!({ "of": "second" })).await?;
    first.close().await?;
    echo(&mut second, json!({ "of": "second, alone" })).await?;
    second.close().await
}

/// What was said is what is heard, whatever stands in it.
pub async fn call(bench: &mut Bench<'_>) -> Result<(), String> {
    let mut caller = bench.caller().await?;
    for params in [
        json!({}),
        json!({ "text": "line\nfeed, tab\t, quote\", \u{2028} and \u{1F980}, nul \u{0}" }),
        json!({ "number": 9_007_199_254_740_993_u64, "list": [null, true, -1.5e-7], "deep": [[[[]]]] }),
    ] {
        echo(&mut caller, params).await?;
    }
    let refused = caller.call("kit/no-such-method", json!({})).await?;
    ensure(refused["error"]["code"] == -32601, || format!("an unknown method got {}", quote(&refused)))?;
    caller.close().await
}

/// Every call gets its own answer once, in whatever order the peer has them, and no answer is lost when
/// the future of `recv` is dropped.
pub async fn interleaved(bench: &mut Bench<'_>) -> Result<(), String> {
    let most = (bench.traits.in_flight as u64).clamp(1, IN_FLIGHT_MAX);
    // No group may stay incomplete at the end.
    let hold = (1..=most).rev().find(|hold| CALLS.is_multiple_of(*hold)).unwrap_or(1);
    let mut caller = bench.caller().await?;
    caller.silence_means = LOST;
    let (mut asked, mut open) = (0, HashSet::new());
    while asked < CALLS || !open.is_empty() {
        let heard = if asked < CALLS && (open.len() as u64) < IN_FLIGHT_MAX {
            open.insert(caller.ask("kit/echo", json!({ "hold": hold, "n": asked })).await?);
            asked += 1;
            caller.next_now()?
        } else {
            Some(caller.next().await?)
        };
        if let Some(answer) = heard {
            settle(&mut open, &answer)?;
        }
    }
    caller.silence_means = "";
    caller.close().await
}

/// The handshake had the first id, so call `n` has id `n + 2`.
fn settle(open: &mut HashSet<u64>, answer: &Value) -> Result<(), String> {
    let known = answer["id"].as_u64().filter(|id| open.remove(id));
    let id = known.ok_or_else(|| format!("nobody waits for {}", quote(answer)))?;
    ensure(answer["result"]["echo"]["n"] == id - 2, || format!("call {} got {}", id - 2, quote(answer)))
}

pub async fn echo(caller: &mut Caller, params: Value) -> Result<(), String> {
    let answer = caller.call("kit/echo", params.clone()).await?;
    ensure(answer["result"]["echo"] == params, || {
        format!("the echo of {} is {}", quote(&params), quote(&answer))
    })
}
