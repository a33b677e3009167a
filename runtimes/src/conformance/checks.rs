//! The suite: one list, and what its checks share.
//!
//! - [`calls`]: requests and answers
//! - [`flow`]: what else goes to and fro
//! - [`faults`]: peers that die or misbehave
//! - [`ends`]: close, and settings that never begin

mod calls;
mod ends;
mod faults;
mod flow;

use std::sync::Arc;

use futures_util::future::BoxFuture;
use omcp_core::reference::{Reference, Resolve};
use omcp_core::runtime::NoStderr;
use omcp_core::{BackendName, ErrorKind, GatewayError, NodeIdentity, Runtime, RuntimeConfig, RuntimeContext};
use tokio::time::timeout;

use super::caller::{Caller, PATIENCE};
use super::subject::{Applies, Peer, Subject, Traits};

/// One line of the report.
pub struct Check {
    pub name: &'static str,
    pub applies: fn(&Traits) -> Applies,
    pub run: for<'a> fn(&'a mut Bench<'_>) -> BoxFuture<'a, Result<(), String>>,
}

/// Every check, in the order of the report.
pub fn all() -> Vec<Check> {
    vec![
        Check { name: "start", applies: always, run: |bench| Box::pin(calls::start(bench)) },
        Check { name: "call", applies: always, run: |bench| Box::pin(calls::call(bench)) },
        Check {
            name: "1,000 interleaved calls",
            applies: always,
            run: |bench| Box::pin(calls::interleaved(bench)),
        },
        Check {
            name: "streaming progress",
            applies: |traits| traits.progress.clone(),
            run: |bench| Box::pin(flow::progress(bench)),
        },
        Check {
            name: "server request",
            applies: |traits| traits.asks.clone(),
            run: |bench| Box::pin(flow::server_request(bench)),
        },
        Check {
            name: "cancel",
            applies: |traits| traits.cancel.clone(),
            run: |bench| Box::pin(flow::cancel(bench)),
        },
        Check {
            name: "16 MiB message",
            applies: |traits| traits.large.clone(),
            run: |bench| Box::pin(flow::large(bench)),
        },
        Check { name: "slow peer", applies: always, run: |bench| Box::pin(flow::slow(bench)) },
        Check { name: "peer gone mid-call", applies: always, run: |bench| Box::pin(faults::gone(bench)) },
        Check {
            name: "half a message",
            applies: |traits| traits.malformed.clone(),
            run: |bench| Box::pin(faults::half(bench)),
        },
        Check {
            name: "garbage",
            applies: |traits| traits.malformed.clone(),
            run: |bench| Box::pin(faults::garbage(bench)),
        },
        Check { name: "close twice", applies: always, run: |bench| Box::pin(ends::close_twice(bench)) },
        Check { name: "settings rejected", applies: always, run: |bench| Box::pin(ends::settings(bench)) },
    ]
}

fn always(_: &Traits) -> Applies {
    Applies::Yes
}

/// What a check works with.
pub struct Bench<'a> {
    pub subject: &'a dyn Subject,
    pub traits: &'a Traits,
    pub peer: Box<dyn Peer>,
}

impl Bench<'_> {
    /// Builds the runtime, as a node does from a definition it received.
    pub fn runtime(&self) -> Result<Box<dyn Runtime>, String> {
        let built = self.create(&self.peer.config());
        built.map_err(|error| format!("the runtime was not built: {}", error.chain()))
    }

    pub fn create(&self, config: &RuntimeConfig) -> Result<Box<dyn Runtime>, GatewayError> {
        let backend: BackendName = "kit".parse().map_err(|_| GatewayError::protocol("no name"))?;
        let node = NodeIdentity::default();
        let context = RuntimeContext { backend, env: self.peer.env(), stderr: Arc::new(NoStderr), node };
        self.subject.registry().create_runtime(config, &NoReferences, context)
    }

    /// A connection of a new runtime, with the handshake behind it.
    pub async fn caller(&mut self) -> Result<Caller, String> {
        greeted(&*self.runtime()?).await
    }
}

/// A connection on which nothing was said yet.
pub async fn connected(runtime: &dyn Runtime) -> Result<Caller, String> {
    match timeout(PATIENCE, runtime.connect()).await {
        Ok(Ok(connection)) => Ok(Caller::new(connection)),
        Ok(Err(error)) => Err(format!("connect failed: {}", error.chain())),
        Err(_) => Err(format!("connect did not return within {} s", PATIENCE.as_secs())),
    }
}

/// A connection with the handshake behind it.
pub async fn greeted(runtime: &dyn Runtime) -> Result<Caller, String> {
    let mut caller = connected(runtime).await?;
    caller.initialize().await?;
    Ok(caller)
}

/// A check says what it saw when that is not what it wants.
pub fn ensure(holds: bool, why: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(why()) }
}

/// Settings of the suite hold their values themselves.
struct NoReferences;

impl Resolve for NoReferences {
    fn resolve(&self, reference: &Reference<'_>) -> Result<String, GatewayError> {
        let context = format!("{reference:?} has no value in the conformance kit; put the value itself");
        Err(GatewayError::new(ErrorKind::MissingReference, context))
    }
}
