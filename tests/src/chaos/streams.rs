//! Open streams of clients that come back when they are told to.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::caller::Era;
use crate::harness::client::{Exchange, Legacy, Modern};

/// How often a stream is opened anew before it counts as lost.
const ATTEMPTS: usize = 200;
const PAUSE: Duration = Duration::from_millis(50);

/// Streams that are kept open by way of any of the nodes.
pub struct Streams {
    stop: watch::Sender<bool>,
    running: JoinSet<Vec<String>>,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    open: AtomicU64,
    parted: AtomicU64,
}

impl Streams {
    /// Opens so many of each era; `urls` are the endpoints of one backend, one per node.
    pub fn open(urls: &[String], each: usize) -> Self {
        let (stop, stopped) = watch::channel(false);
        let (counts, mut running) = (Arc::<Counts>::default(), JoinSet::new());
        for number in 0..2 * each {
            let era = if number % 2 == 0 { Era::Modern } else { Era::Legacy };
            let mut urls = urls.to_vec();
            let turns = number / 2 % urls.len();
            urls.rotate_left(turns);
            running.spawn(keep(urls, era, counts.clone(), stopped.clone()));
        }
        Self { stop, running, counts }
    }

    /// How many are open now.
    pub fn count(&self) -> u64 {
        self.counts.open.load(Ordering::Relaxed)
    }

    /// How many ends were announced; and those that were not, or could not be mended.
    ///
    /// # Panics
    /// A client did.
    pub async fn stop(mut self) -> (u64, Vec<String>) {
        self.stop.send_replace(true);
        let mut failures = Vec::new();
        while let Some(ended) = self.running.join_next().await {
            failures.extend(ended.expect("a client does not panic"));
        }
        (self.counts.parted.load(Ordering::Relaxed), failures)
    }
}

async fn keep(
    urls: Vec<String>,
    era: Era,
    counts: Arc<Counts>,
    mut stopped: watch::Receiver<bool>,
) -> Vec<String> {
    let (mut failures, mut missed, mut session) = (Vec::new(), 0, None);
    for attempt in 0.. {
        let url = &urls[attempt % urls.len()];
        let told = tokio::select! {
            _ = stopped.wait_for(|stopped| *stopped) => break,
            told = one(url, era, &mut session, &counts) => told,
        };
        match told {
            Ok(()) => missed = 0,
            // A node that is not there: the next one is.
            Err(Broken::Never(_)) if missed < ATTEMPTS => {
                missed += 1;
                sleep(PAUSE).await;
            }
            Err(Broken::Never(error) | Broken::Later(error)) => {
                failures.push(format!("{era:?} stream at {url}: {error:#}"));
                missed = 0;
            }
        }
    }
    if let Some(session) = session {
        // It may have ended with its node.
        session.delete().await.ok();
    }
    failures
}

enum Broken {
    /// It could not be opened.
    Never(anyhow::Error),
    /// It ended without the words that its revision has for that.
    Later(anyhow::Error),
}

/// One stream, until it ends as its revision says.
async fn one(url: &str, era: Era, session: &mut Option<Legacy>, counts: &Counts) -> Result<(), Broken> {
    let ended = match era {
        Era::Modern => {
            let mut exchange = listen(url).await.map_err(Broken::Never)?;
            let _open = Open::new(counts);
            completed(&mut exchange).await
        }
        Era::Legacy => {
            let opened = Legacy::connect(url).await.map_err(Broken::Never)?;
            let mut events = session.insert(opened).stream(None).await.map_err(Broken::Never)?;
            let _open = Open::new(counts);
            let mut words = Vec::new();
            let ended = loop {
                match events.next().await {
                    Ok(Some(event)) => words.push(event),
                    Ok(None) => break Ok(()),
                    Err(error) if format!("{error:#}").contains("in time") => {}
                    Err(error) => break Err(error),
                }
            };
            *session = None;
            let told = words.last().is_some_and(|event| event.retry_ms.is_some());
            ended.and_then(|()| {
                ensure!(told, "no word before the end: {:?}", words.last());
                Ok(())
            })
        }
    };
    ended.map_err(Broken::Later)?;
    counts.parted.fetch_add(1, Ordering::Relaxed);
    Ok(())
}

/// Opens a subscription.
///
/// # Errors
/// It is refused, or nobody is there.
pub async fn listen(url: &str) -> Result<Exchange> {
    let wanted = json!({ "notifications": { "toolsListChanged": true } });
    let mut exchange = Modern::new(url).open("subscriptions/listen", wanted).await?;
    let first = exchange.next().await?.context("no acknowledgement")?;
    ensure!(first["method"] == "notifications/subscriptions/acknowledged", "{first}");
    Ok(exchange)
}

async fn completed(exchange: &mut Exchange) -> Result<()> {
    loop {
        match exchange.result().await {
            Ok(result) => {
                ensure!(result["resultType"] == "complete", "{result}");
                return Ok(());
            }
            Err(error) if format!("{error:#}").contains("in time") => {}
            Err(error) => return Err(error),
        }
    }
}

struct Open<'a>(&'a Counts);

impl<'a> Open<'a> {
    fn new(counts: &'a Counts) -> Self {
        counts.open.fetch_add(1, Ordering::Relaxed);
        Self(counts)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}
