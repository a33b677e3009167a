//! The wish to stop, from outside: the first signal asks for a drained end, the second for a quick one.

use std::io;

use tokio::sync::watch;

/// Two futures that resolve at the first and the second signal.
///
/// # Errors
/// Signals cannot be listened for.
pub fn stop_and_hurry() -> io::Result<(impl Future<Output = ()>, impl Future<Output = ()>)> {
    let (count, _) = watch::channel(0_u32);
    let (mut first, mut second) = (count.subscribe(), count.subscribe());
    listen(count)?;
    let stop = async move { drop(first.wait_for(|count| *count >= 1).await) };
    let hurry = async move { drop(second.wait_for(|count| *count >= 2).await) };
    Ok((stop, hurry))
}

#[cfg(unix)]
fn listen(count: watch::Sender<u32>) -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            count.send_modify(|count| *count += 1);
        }
    });
    Ok(())
}

#[cfg(not(unix))]
fn listen(count: watch::Sender<u32>) -> io::Result<()> {
    tokio::spawn(async move {
        while tokio::signal::ctrl_c().await.is_ok() {
            count.send_modify(|count| *count += 1);
        }
    });
    Ok(())
}
