//! [`Overload`]: what a node refuses when its memory runs out, before the kernel ends all of it.

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

/// Between two looks at the memory.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Percent of the budget above which new streams are refused: calls go on.
const SHED_STREAMS: u64 = 85;
/// Percent above which new connections are refused.
const SHED_CONNECTIONS: u64 = 95;

const CALM: u8 = 0;
const NO_STREAMS: u8 = 1;
const NO_CONNECTIONS: u8 = 2;

/// How far the node has come in using up its memory.
#[derive(Debug)]
pub struct Overload {
    budget: Option<u64>,
    level: AtomicU8,
}

impl Overload {
    /// `budget` in bytes; without one, nothing is ever refused.
    pub fn new(budget: Option<u64>) -> Self {
        Self { budget, level: AtomicU8::new(CALM) }
    }

    pub fn refuses_streams(&self) -> bool {
        self.level.load(Ordering::Relaxed) >= NO_STREAMS
    }

    pub fn refuses_connections(&self) -> bool {
        self.level.load(Ordering::Relaxed) >= NO_CONNECTIONS
    }

    /// Looks at the memory for as long as it is polled.
    pub async fn watch(&self) {
        let Some(budget) = self.budget else { return std::future::pending().await };
        let mut looks = tokio::time::interval(LOOK_EVERY);
        loop {
            looks.tick().await;
            if let Some(used) = resident() {
                self.look(used, budget);
            }
        }
    }

    fn look(&self, used: u64, budget: u64) {
        let percent = used.saturating_mul(100) / budget.max(1);
        let level = match percent {
            SHED_CONNECTIONS.. => NO_CONNECTIONS,
            SHED_STREAMS.. => NO_STREAMS,
            _ => CALM,
        };
        let was = self.level.swap(level, Ordering::Relaxed);
        if level > was {
            tracing::warn!(
                percent,
                "memory runs out: new streams are refused, and connections from {SHED_CONNECTIONS} % on"
            );
        } else if level < was && level == CALM {
            tracing::info!(percent, "memory is enough again");
        }
    }
}

/// The memory that the control group of this process may use, if it is bounded.
pub fn cgroup_budget() -> Option<u64> {
    std::fs::read_to_string("/sys/fs/cgroup/memory.max").ok()?.trim().parse().ok()
}

/// Bytes of memory that this process has now.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_go_first_then_connections_and_both_come_back() {
        let overload = Overload::new(Some(1000));
        for (used, streams, connections) in [
            (849, false, false),
            (850, true, false),
            (949, true, false),
            (950, true, true),
            (100, false, false),
        ] {
            overload.look(used, 1000);
            assert_eq!((overload.refuses_streams(), overload.refuses_connections()), (streams, connections));
        }
        assert!(cfg!(not(target_os = "linux")) || resident().is_some_and(|bytes| bytes > 1 << 20));
    }
}
