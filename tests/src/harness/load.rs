//! Many calls at once, counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::client::{Legacy, Modern};

/// Between two calls of one client: steady load, not a contest for the processor.
const PAUSE: Duration = Duration::from_millis(2);

/// Clients that call `echo` until they are told to stop.
#[derive(Default)]
pub struct Load {
    stop: Arc<AtomicBool>,
    calls: Arc<AtomicU64>,
    clients: Vec<JoinHandle<Vec<String>>>,
}

impl Load {
    /// Adds a client of each era for one endpoint.
    ///
    /// # Panics
    /// The handshake fails.
    pub async fn add(&mut self, url: &str) {
        let modern = Modern::new(url);
        let legacy = Legacy::connect(url).await.unwrap_or_else(|error| panic!("connect to {url}: {error:#}"));
        self.spawn(url, move |message| {
            let modern = modern.clone();
            async move { modern.tool("echo", json!({ "message": message })).await }
        });
        self.spawn(url, move |message| {
            let legacy = legacy.clone();
            async move { legacy.tool("echo", json!({ "message": message })).await }
        });
    }

    fn spawn<F, A>(&mut self, url: &str, call: F)
    where
        F: Fn(String) -> A + Send + 'static,
        A: Future<Output = anyhow::Result<String>> + Send,
    {
        let (stop, calls, url) = (self.stop.clone(), self.calls.clone(), url.to_owned());
        self.clients.push(tokio::spawn(async move {
            let mut failures = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                let message = format!("call {}", calls.fetch_add(1, Ordering::Relaxed));
                match call(message.clone()).await {
                    Ok(answer) if answer == message => {}
                    Ok(answer) => failures.push(format!("{url}: {message:?} answered {answer:?}")),
                    Err(error) => failures.push(format!("{url}: {error:#}")),
                }
                sleep(PAUSE).await;
            }
            failures
        }));
    }

    /// Calls made so far.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// Ends the load: how many calls there were, and what failed.
    ///
    /// # Panics
    /// A client did.
    pub async fn stop(self) -> (u64, Vec<String>) {
        self.stop.store(true, Ordering::Relaxed);
        let mut failures = Vec::new();
        for client in self.clients {
            failures.extend(client.await.expect("a client does not panic"));
        }
        (self.calls.load(Ordering::Relaxed), failures)
    }
}
