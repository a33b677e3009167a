//! How much of a scenario is played.

use std::time::Duration;

use fastrand::Rng;

/// The short form, of which times are shown and not judged, because it has to pass on a busy machine in a debug
/// build; or the long one, in a release build on a machine of its own.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub is_long: bool,
    /// Everything random comes from it.
    pub seed: u64,
    /// Calls a second, if not as many as the form has.
    pub rate: Option<u32>,
}

impl Plan {
    pub fn pick<T>(&self, short: T, long: T) -> T {
        if self.is_long { long } else { short }
    }

    pub fn rng(&self) -> Rng {
        Rng::with_seed(self.seed)
    }

    /// Calls a second.
    pub fn rate(&self) -> u32 {
        self.rate.unwrap_or(self.pick(60, 500)).max(1)
    }

    /// A limit that is judged in the long form; in the short one this much patience is enough.
    pub fn limit(&self, long: Duration) -> Duration {
        self.pick(Duration::from_secs(30).max(long), long)
    }
}
