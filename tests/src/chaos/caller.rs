//! One client of one backend, through any of the nodes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::time::sleep;

use super::ledger::Ledger;
use crate::harness::client::modern::with_envelope;
use crate::harness::client::{Exchange, Http, Legacy, Modern, legacy};

/// How often all nodes are tried before a call counts as failed.
const ROUNDS: usize = 20;
/// Between two rounds.
const PAUSE: Duration = Duration::from_millis(50);
/// How often a session is opened anew for one call.
const SESSIONS_PER_CALL: usize = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Era {
    Legacy,
    Modern,
}

/// What is asked for. The nonce is the request's id, and its argument where it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    Echo,
    Tally,
    List,
}

/// Why a call failed, as far as the client can tell.
#[derive(Clone, Debug)]
pub struct Trouble {
    /// `data.reason` of the error; `unreached` and `hangs` where there was no answer, `wrong` for one that belongs
    /// to another call.
    pub reason: String,
    pub text: String,
    /// Which node said so.
    pub node: usize,
}

pub struct Caller {
    pub backend: String,
    pub era: Era,
    doors: Vec<Door>,
    /// Calls that another node took over.
    pub retried: AtomicU64,
    /// Sessions that had to be opened anew.
    pub reopened: AtomicU64,
}

struct Door {
    url: String,
    modern: Modern,
    session: Mutex<Option<Legacy>>,
}

/// One attempt that did not succeed.
enum Miss {
    /// The session is unknown: the request did not run, and a client begins a new one.
    NoSession(String),
    /// The connection broke or could not be made.
    Unreached(anyhow::Error),
    Trouble(&'static str, String),
}

impl Caller {
    /// `urls` are the backend's endpoints, one per node.
    pub fn new(backend: &str, era: Era, urls: Vec<String>) -> Self {
        let door = |url: String| Door { modern: Modern::new(&url), url, session: Mutex::default() };
        Self {
            backend: backend.to_owned(),
            era,
            doors: urls.into_iter().map(door).collect(),
            retried: AtomicU64::new(0),
            reopened: AtomicU64::new(0),
        }
    }

    /// Calls by way of one node; where that is not there, by way of the next.
    ///
    /// # Errors
    /// What a client would report.
    pub async fn call(&self, ask: Ask, nonce: u64, ledger: &Ledger) -> Result<(), Trouble> {
        let first = usize::try_from(nonce).unwrap_or(0) % self.doors.len();
        let rounds = if self.doors.len() > 1 { ROUNDS } else { 1 };
        let mut last = String::new();
        for attempt in 0..rounds * self.doors.len() {
            let node = (first + attempt) % self.doors.len();
            let trouble = |reason: &str, text: String| Trouble { reason: reason.to_owned(), text, node };
            match self.through(node, ask, nonce, ledger).await {
                Ok(()) => {
                    self.retried.fetch_add(u64::from(attempt > 0), Ordering::Relaxed);
                    return Ok(());
                }
                Err(Miss::Unreached(error)) => last = format!("{error:#}"),
                Err(Miss::NoSession(text)) => return Err(trouble("no-session", text)),
                Err(Miss::Trouble(reason, text)) => return Err(trouble(reason, text)),
            }
            if attempt % self.doors.len() == self.doors.len() - 1 && attempt > 0 {
                sleep(PAUSE).await;
            }
        }
        Err(Trouble { reason: "unreached".to_owned(), text: last, node: first })
    }

    async fn through(&self, node: usize, ask: Ask, nonce: u64, ledger: &Ledger) -> Result<(), Miss> {
        let door = &self.doors[node];
        if self.era == Era::Modern {
            let message = message(ask, nonce, with_envelope);
            note(ask, nonce, ledger);
            let reply = door.modern.post(&message).await.map_err(unreached)?;
            return judge(exchange(nonce, reply).await?, ask, nonce, ledger).await;
        }
        for _ in 0..SESSIONS_PER_CALL {
            let session = door.session().await?;
            note(ask, nonce, ledger);
            let reply = match session.post(&message(ask, nonce, |params| params)).await {
                Ok(reply) => reply,
                Err(error) => {
                    door.forget(session.session()).await;
                    return Err(unreached(error));
                }
            };
            if reply.status != 404 {
                let judged = judge(exchange(nonce, reply).await?, ask, nonce, ledger).await;
                if matches!(judged, Err(Miss::Unreached(_))) {
                    door.forget(session.session()).await;
                }
                return judged;
            }
            door.forget(session.session()).await;
            self.reopened.fetch_add(1, Ordering::Relaxed);
        }
        Err(Miss::NoSession(format!("{SESSIONS_PER_CALL} new sessions were forgotten at once")))
    }

    /// Ends the sessions, as a polite client does.
    pub async fn leave(&self) {
        for door in &self.doors {
            if let Some(session) = door.session.lock().await.take() {
                // The node may be gone, and the session with it.
                session.delete().await.ok();
            }
        }
    }
}

impl Door {
    async fn session(&self) -> Result<Legacy, Miss> {
        let mut session = self.session.lock().await;
        if let Some(open) = &*session {
            return Ok(open.clone());
        }
        let opened = Legacy::connect_with(Http::default(), &self.url, legacy::NEWEST).await;
        let opened = opened.map_err(|error| {
            let text = format!("{error:#}");
            match reason(&text) {
                Some(reason) => Miss::Trouble(reason, text),
                None => unreached(error),
            }
        })?;
        Ok(session.insert(opened).clone())
    }

    async fn forget(&self, id: &str) {
        let mut session = self.session.lock().await;
        if session.as_ref().is_some_and(|session| session.session() == id) {
            *session = None;
        }
    }
}

fn note(ask: Ask, nonce: u64, ledger: &Ledger) {
    if ask == Ask::Tally {
        ledger.sent(nonce);
    }
}

fn message(ask: Ask, nonce: u64, dress: impl Fn(Value) -> Value) -> Value {
    let text = nonce.to_string();
    let (method, params) = match ask {
        Ask::Echo => ("tools/call", json!({ "name": "echo", "arguments": { "message": text } })),
        Ask::Tally => ("tools/call", json!({ "name": "tally", "arguments": { "nonce": text } })),
        Ask::List => ("tools/list", json!({})),
    };
    json!({ "jsonrpc": "2.0", "id": text, "method": method, "params": dress(params) })
}

async fn exchange(nonce: u64, reply: crate::harness::client::Reply) -> Result<Exchange, Miss> {
    Exchange::new(json!(nonce.to_string()), reply).await.map_err(unreached)
}

/// An answer counts only if it is to this request and holds what was asked for.
async fn judge(mut exchange: Exchange, ask: Ask, nonce: u64, ledger: &Ledger) -> Result<(), Miss> {
    let answer = exchange.answer().await.map_err(unreached)?;
    if let Some(error) = answer.get("error") {
        let text = format!("HTTP {}: {error}", exchange.status);
        return Err(Miss::Trouble(reason(&text).unwrap_or("error"), text));
    }
    check(&answer, ask, nonce).map_err(|error| Miss::Trouble("wrong", format!("{error:#}: {answer}")))?;
    if ask == Ask::Tally {
        ledger.answered(nonce);
    }
    Ok(())
}

fn check(answer: &Value, ask: Ask, nonce: u64) -> Result<()> {
    let text = nonce.to_string();
    ensure!(answer["id"] == text.as_str(), "the id is not {text}");
    match ask {
        Ask::Echo | Ask::Tally => {
            ensure!(answer["result"]["content"][0]["text"] == text.as_str(), "the text is not {text}");
        }
        Ask::List => {
            ensure!(answer["result"]["tools"].as_array().is_some_and(|tools| !tools.is_empty()), "no tools");
        }
    }
    Ok(())
}

/// A wait that ended without an answer is a call that hangs, not a connection that broke.
fn unreached(error: anyhow::Error) -> Miss {
    let text = format!("{error:#}");
    match text.contains("in time") {
        true => Miss::Trouble("hangs", text),
        false => Miss::Unreached(error),
    }
}

/// The words that the gateway has for reasons.
const REASONS: [&str; 8] = [
    "stream_lost",
    "timeout",
    "upstream_unavailable",
    "protocol_violation",
    "lane_unavailable",
    "era_mismatch",
    "invalid_request",
    "internal",
];

fn reason(text: &str) -> Option<&'static str> {
    REASONS.into_iter().find(|reason| text.contains(&format!("\"reason\":\"{reason}\"")))
}
