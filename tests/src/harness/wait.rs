//! Waiting for something, with a deadline.

use std::fmt::Debug;
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// Enough for anything that takes a second on a machine that has other things to do.
pub const PATIENCE: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(25);

/// Tries again and again until `attempt` gives a value.
///
/// # Panics
/// [`PATIENCE`] is over; the message holds what was missing last.
pub async fn until<T, E: Debug>(what: &str, mut attempt: impl AsyncFnMut() -> Result<T, E>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match attempt().await {
            Ok(value) => return value,
            Err(missing) if Instant::now() > deadline => {
                panic!("waited {PATIENCE:?} for {what}: {missing:?}")
            }
            Err(_) => sleep(POLL).await,
        }
    }
}

/// `Ok` if it holds, for [`until`].
///
/// # Errors
/// It does not: what was seen instead.
pub fn holds<T>(holds: bool, seen: T) -> Result<(), T> {
    if holds { Ok(()) } else { Err(seen) }
}
