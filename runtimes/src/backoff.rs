//! [`full_jitter`] and [`equal_jitter`]: how long to wait before trying again.

use std::time::Duration;

/// A random wait between nothing and `first` doubled `failures - 1` times, at most `max`: callers that
/// failed together do not come back together.
pub fn full_jitter(failures: u32, first: Duration, max: Duration) -> Duration {
    random_below(bound(failures, first, max))
}

/// The same, and at least half of its bound: attempts that fail at once are spaced all the same.
pub fn equal_jitter(failures: u32, first: Duration, max: Duration) -> Duration {
    let half = bound(failures, first, max) / 2;
    half + random_below(half)
}

fn bound(failures: u32, first: Duration, max: Duration) -> Duration {
    first.saturating_mul(1 << failures.saturating_sub(1).min(20)).min(max)
}

/// A random duration below `max`; `max` itself if the system has no randomness to give.
pub fn random_below(max: Duration) -> Duration {
    let Ok(random) = getrandom::u32() else { return max };
    max.mul_f64(f64::from(random) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_to_the_bound_and_no_further() {
        let (first, max) = (Duration::from_millis(50), Duration::from_secs(15));
        for (failures, bound) in
            [(0, 50), (1, 50), (2, 100), (5, 800), (9, 12_800), (10, 15_000), (u32::MAX, 15_000)]
        {
            for _ in 0..20 {
                let bound = Duration::from_millis(bound);
                assert!(full_jitter(failures, first, max) <= bound, "{failures}");
                assert!((bound / 2..=bound).contains(&equal_jitter(failures, first, max)), "{failures}");
            }
        }
        let spread: std::collections::HashSet<_> = (0..20).map(|_| full_jitter(9, first, max)).collect();
        assert!(spread.len() > 10, "waits are spread");
    }
}
