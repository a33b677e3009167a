//! The wish to stop: Ctrl-C or SIGTERM, once for a drained end and twice for a quick one.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::failure::{Cause, Failure};

/// Counts the wishes to stop.
pub fn signals() -> Result<watch::Receiver<u32>, Failure> {
    let failed = |error: std::io::Error| Failure::new(Cause::Failed, "listen for Ctrl-C", error.to_string());
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let (count, stop) = watch::channel(0);
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            count.send_modify(|count| *count += 1);
        }
    });
    Ok(stop)
}

/// Waits for that many wishes to stop.
pub async fn wanted(stop: &mut watch::Receiver<u32>, count: u32) {
    if stop.wait_for(|seen| *seen >= count).await.is_err() {
        std::future::pending::<()>().await;
    }
}
