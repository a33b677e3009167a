//! Durations counted in log-linear buckets, precise to 1 part in 64.

use std::time::Duration;

/// Buckets per power of two.
const SUB: u64 = 64;
const SUB_BITS: u32 = SUB.trailing_zeros();
/// Enough for every `u64` of nanoseconds.
const BUCKETS: usize = (65 - SUB_BITS as usize) * SUB as usize;

/// How often which duration was seen.
#[derive(Clone, Debug)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: vec![0; BUCKETS], total: 0 }
    }
}

impl Histogram {
    /// Counts one duration.
    pub fn record(&mut self, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.counts[bucket(nanos)] += 1;
        self.total += 1;
    }

    /// Adds what another one counted.
    pub fn merge(&mut self, other: &Self) {
        self.counts.iter_mut().zip(&other.counts).for_each(|(mine, theirs)| *mine += theirs);
        self.total += other.total;
    }

    /// How many durations were counted.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The duration that this share (0 to 1) of all durations does not exceed; zero if there are none.
    pub fn quantile(&self, share: f64) -> Duration {
        let wanted = ((self.total as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        let found = self.counts.iter().position(|count| {
            seen += count;
            seen >= wanted
        });
        Duration::from_nanos(found.map_or(0, highest))
    }
}

fn bucket(nanos: u64) -> usize {
    let shift = (64 - nanos.leading_zeros()).saturating_sub(SUB_BITS + 1);
    (u64::from(shift) * SUB + (nanos >> shift)) as usize
}

/// Longest duration of a bucket.
fn highest(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    let shift = (bucket / SUB).saturating_sub(1);
    let low = (bucket - shift * SUB) << shift;
    low + ((1u64 << shift) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bucket_ends_where_it_says() {
        for nanos in [0, 1, 63, 64, 127, 128, 129, 1_000, 999_999, 123_456_789, u64::MAX] {
            let end = highest(bucket(nanos));
            assert!(end >= nanos, "{nanos} lies in a bucket that ends at {end}");
            assert!(end - nanos <= nanos / SUB, "{nanos} is rounded to {end}");
        }
    }

    #[test]
    fn quantiles_are_near_the_truth() {
        let mut histogram = Histogram::default();
        (1..=1_000).for_each(|micros| histogram.record(Duration::from_micros(micros)));
        let near = |share: f64, micros: f64| {
            let found = histogram.quantile(share).as_nanos() as f64 / 1_000.0;
            assert!((found / micros - 1.0).abs() < 0.02, "{share}: {found} instead of {micros}");
        };
        near(0.5, 500.0);
        near(0.99, 990.0);
        near(1.0, 1_000.0);
    }

    #[test]
    fn nothing_counted_is_zero() {
        assert_eq!(Histogram::default().quantile(0.99), Duration::ZERO);
    }
}
