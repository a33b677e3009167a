//! The kit itself: it passes a sound runtime and finds each flaw of an unsound one.
//!
//! The clock stands still unless nothing can happen, so that what hangs fails at once.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use omcp_core::{
    BackendConnection, GatewayError, McpMessage, Runtime, RuntimeConfig, RuntimeContext, RuntimeRegistry,
    RuntimeType,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use tokio::io::{
    AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream, Lines, ReadHalf, WriteHalf, duplex, split,
};
use tokio::task::JoinSet;

use super::peer::Machine;
use super::peer::lines::serve;
use super::*;
use crate::lines::{LineConnection, LineLimits};

/// What an in-memory pipe holds.
const PIPE_LEN: usize = 64 * 1024;

/// What is wrong with a runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    None,
    /// A message is lost when the future of `recv` is dropped at the wrong moment.
    LosesWhenDropped,
    /// A peer that died looks like one that had nothing more to say.
    QuietDeath,
    /// `recv` waits after `close`.
    WaitsAfterClose,
    /// `close` fails the second time.
    ClosesOnce,
    /// Whatever stands in the settings is fine.
    TakesAnySettings,
    /// Messages overtake each other.
    Overtakes,
    /// `send` waits for the peer to take all of it and reads nothing meanwhile.
    SendsDeaf,
    /// It panics.
    Panics,
}

/// Peers in the memory of the test.
#[derive(Clone)]
struct Memory {
    flaw: Flaw,
    peers: Arc<Mutex<JoinSet<std::io::Result<peer::lines::End>>>>,
}

impl Memory {
    fn with(flaw: Flaw) -> Self {
        Self { flaw, peers: Arc::default() }
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Strict {
    #[expect(dead_code, reason = "only whether it can be read matters")]
    number: u8,
}

#[derive(Deserialize, JsonSchema)]
struct Lax {}

/// The sound type, and one with lax settings.
struct Kind<S>(Memory, std::marker::PhantomData<fn() -> S>);

impl<S: serde::de::DeserializeOwned + JsonSchema + 'static> RuntimeType for Kind<S> {
    const NAME: &'static str = "memory";
    type Settings = S;

    fn create(&self, _: S, _: RuntimeContext) -> Result<Box<dyn Runtime>, GatewayError> {
        Ok(Box::new(self.0.clone()))
    }
}

#[async_trait]
impl Runtime for Memory {
    async fn connect(&self) -> Result<Box<dyn BackendConnection>, GatewayError> {
        assert_ne!(self.flaw, Flaw::Panics);
        let (near, far) = duplex(PIPE_LEN);
        let (reader, writer) = split(far);
        self.peers.lock().unwrap().spawn(serve(reader, writer, Machine::new()));
        let (reader, writer) = split(near);
        if self.flaw == Flaw::SendsDeaf {
            let lines = BufReader::new(reader).lines();
            return Ok(Box::new(DeafSender { writer, lines, gone: false }));
        }
        let lines = LineConnection::new(reader, writer, LineLimits::default());
        Ok(Box::new(Piped { flaw: self.flaw, lines: Some(lines), closed: 0, kept: None }))
    }
}

struct Piped {
    flaw: Flaw,
    lines: Option<LineConnection<ReadHalf<DuplexStream>, WriteHalf<DuplexStream>>>,
    closed: u32,
    kept: Option<McpMessage>,
}

#[async_trait]
impl BackendConnection for Piped {
    async fn send(&mut self, message: McpMessage) -> Result<(), GatewayError> {
        let Some(lines) = &mut self.lines else { return Err(GatewayError::closed("closed")) };
        if self.flaw == Flaw::Overtakes && message.method() == Some("notifications/cancelled") {
            self.kept = Some(message);
            return Ok(());
        }
        lines.send(&message).await?;
        match self.kept.take() {
            Some(kept) => lines.send(&kept).await,
            None => Ok(()),
        }
    }

    async fn recv(&mut self) -> Result<Option<McpMessage>, GatewayError> {
        let Some(lines) = &mut self.lines else {
            if self.flaw == Flaw::WaitsAfterClose {
                std::future::pending::<()>().await;
            }
            return Ok(None);
        };
        let received = lines.recv().await;
        if self.flaw == Flaw::LosesWhenDropped {
            tokio::task::yield_now().await;
        }
        match received {
            Ok(None) if self.flaw != Flaw::QuietDeath => {
                self.lines = None;
                Err(GatewayError::closed("the peer is gone"))
            }
            received => received,
        }
    }

    async fn close(&mut self) -> Result<(), GatewayError> {
        self.lines = None;
        self.closed += 1;
        if self.closed > 1 && self.flaw == Flaw::ClosesOnce {
            return Err(GatewayError::closed("it is closed"));
        }
        Ok(())
    }
}

struct DeafSender {
    writer: WriteHalf<DuplexStream>,
    lines: Lines<BufReader<ReadHalf<DuplexStream>>>,
    gone: bool,
}

#[async_trait]
impl BackendConnection for DeafSender {
    async fn send(&mut self, message: McpMessage) -> Result<(), GatewayError> {
        let line = [message.bytes(), &b"\n"[..]].concat();
        self.writer.write_all(&line).await.map_err(|_| GatewayError::closed("the peer is gone"))
    }

    async fn recv(&mut self) -> Result<Option<McpMessage>, GatewayError> {
        while !self.gone {
            let Ok(Some(line)) = self.lines.next_line().await else {
                self.gone = true;
                return Err(GatewayError::closed("the peer is gone"));
            };
            if let Ok(message) = McpMessage::parse(line.into()) {
                return Ok(Some(message));
            }
        }
        Ok(None)
    }

    async fn close(&mut self) -> Result<(), GatewayError> {
        self.gone = true;
        drop(self.writer.shutdown().await);
        Ok(())
    }
}

#[async_trait]
impl Subject for Memory {
    fn type_name(&self) -> &str {
        "memory"
    }

    fn registry(&self) -> RuntimeRegistry {
        let registry = RuntimeRegistry::new();
        let registry = match self.flaw {
            Flaw::TakesAnySettings => registry.with(Kind::<Lax>(self.clone(), std::marker::PhantomData)),
            _ => registry.with(Kind::<Strict>(self.clone(), std::marker::PhantomData)),
        };
        registry.unwrap()
    }

    fn bad_settings(&self) -> Vec<BadSettings> {
        vec![BadSettings::new(json!({ "number": 256 }), "")]
    }

    async fn start(&self) -> Result<Box<dyn Peer>, Fault> {
        Ok(Box::new(self.clone()))
    }
}

#[async_trait]
impl Peer for Memory {
    fn config(&self) -> RuntimeConfig {
        RuntimeConfig::new("memory", r#"{"number":1}"#)
    }

    async fn kill(&mut self, _: Option<u32>) -> Result<(), Fault> {
        self.peers.lock().unwrap().abort_all();
        Ok(())
    }

    async fn restart(&mut self) -> Result<(), Fault> {
        Ok(())
    }
}

/// The names of the checks that fail, and why they do.
async fn failures(flaw: Flaw) -> Vec<(&'static str, String)> {
    let mut checks = checks::all();
    // It takes longer than all the others and no flaw is about it.
    checks.retain(|check| flaw == Flaw::None || check.name != "16 MiB message");
    let report = run_checks(&Memory::with(flaw), checks).await;
    let failure = |row: Row| match row.outcome {
        Outcome::Failed(why) => Some((row.check, why)),
        Outcome::Passed | Outcome::NotApplicable(_) => None,
    };
    report.rows.into_iter().filter_map(failure).collect()
}

async fn failing(flaw: Flaw) -> Vec<&'static str> {
    failures(flaw).await.into_iter().map(|(check, _)| check).collect()
}

#[tokio::test(start_paused = true)]
async fn a_sound_runtime_passes_every_check() {
    let report = run(&Memory::with(Flaw::None)).await;
    assert!(report.is_passed(), "{report}");
    assert_eq!((report.passed(), report.failed()), (13, 0));
    assert!(report.to_string().ends_with("\n13 passed, 0 failed"));
}

#[tokio::test(start_paused = true)]
async fn every_flaw_is_found() {
    for (flaw, want) in [
        (Flaw::LosesWhenDropped, &["1,000 interleaved calls"][..]),
        (Flaw::QuietDeath, &["peer gone mid-call", "half a message"]),
        (Flaw::WaitsAfterClose, &["peer gone mid-call", "half a message", "close twice"]),
        (Flaw::ClosesOnce, &["close twice"]),
        (Flaw::TakesAnySettings, &["settings rejected"]),
        (Flaw::Overtakes, &["cancel"]),
        (Flaw::SendsDeaf, &["slow peer"]),
    ] {
        assert_eq!(failing(flaw).await, want, "{flaw:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_hangs_says_what_that_most_likely_means() {
    for (flaw, said) in [
        (Flaw::LosesWhenDropped, "an answer is lost if the future of `recv` is dropped"),
        (Flaw::SendsDeaf, "a `send` that waits for room has to read meanwhile"),
    ] {
        let failures = failures(flaw).await;
        let [(_, why)] = &failures[..] else { panic!("{failures:?}") };
        assert!(why.contains(said), "{flaw:?}: {why}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_fails_the_check_and_not_the_suite() {
    let passed = ["settings rejected"];
    let failed = failing(Flaw::Panics).await;
    assert_eq!(failed.len(), checks::all().len() - 1 - passed.len());
}

#[tokio::test(start_paused = true)]
async fn what_does_not_apply_says_why_and_does_not_pass() {
    struct Deaf(Memory);

    #[async_trait]
    impl Subject for Deaf {
        fn type_name(&self) -> &str {
            self.0.type_name()
        }

        fn registry(&self) -> RuntimeRegistry {
            self.0.registry()
        }

        fn traits(&self) -> Traits {
            let mut traits = Traits::request_response("an invocation has one answer");
            traits.death = Death::Connection;
            traits.large = Applies::no("an invocation carries 6 MB");
            traits
        }

        fn bad_settings(&self) -> Vec<BadSettings> {
            self.0.bad_settings()
        }

        async fn start(&self) -> Result<Box<dyn Peer>, Fault> {
            self.0.start().await
        }
    }

    let report = run(&Deaf(Memory::with(Flaw::None))).await;
    assert_eq!((report.passed(), report.failed()), (9, 0), "{report}");
    let cancel = report.rows.iter().find(|row| row.check == "cancel").unwrap();
    assert_eq!(cancel.outcome.to_string(), "not applicable: an invocation has one answer");
}
