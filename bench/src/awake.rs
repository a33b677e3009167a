//! A thread that does not sleep while there is work about.
//!
//! Waking a sleeping peer costs the one who writes to it. A fast program keeps its peers busy and seldom
//! pays; a slow one lets them fall asleep and pays with every write. Between machines neither would.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// Without any call for this long, the thread may sleep until the next one.
const REST_AFTER: Duration = Duration::from_millis(20);
/// Turns between two looks at the clock.
const TURNS: usize = 64;

/// Keeps the async runtime of the calling thread from sleeping, for ever. Other programs of the core run
/// whenever there is nothing to do.
pub async fn stay_awake() {
    loop {
        turn().await;
    }
}

/// Keeps the async runtime of the calling thread from sleeping as long as `calls` is notified.
pub async fn stay_awake_for(calls: Arc<Notify>) {
    loop {
        calls.notified().await;
        let mut rest_at = Instant::now() + REST_AFTER;
        while Instant::now() < rest_at {
            for _ in 0..TURNS {
                turn().await;
            }
            if called(&calls) {
                rest_at = Instant::now() + REST_AFTER;
            }
        }
    }
}

async fn turn() {
    std::thread::yield_now();
    tokio::task::yield_now().await;
}

/// Whether there was a call since the last look.
fn called(calls: &Notify) -> bool {
    let mut notified = std::pin::pin!(calls.notified());
    notified.as_mut().enable()
}
