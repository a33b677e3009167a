//! [`BackendLimits`]: how much the backends of a node may use. Each has a default and a reason.

use std::time::Duration;

/// Options of the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackendLimits {
    /// Processes of backends alive at once: a small Node.js server takes 50 MiB, so that more would fill
    /// the memory of most machines.
    pub processes_max: usize,
    /// Connections being opened at once: each may be a process that burns a core while it starts.
    pub starts_max: usize,
    /// How long a replaced or removed definition lives on for what it began: as long as a call may be silent.
    pub drain_timeout: Duration,
    /// Longest call, however much is heard of it; its silence is bounded by its runtime. Builds and crawls
    /// take less than an hour.
    pub call_max: Duration,
    /// Between two checks of a backend of which no call was heard; zero is never. A balancer's habit.
    pub check_every: Duration,
    /// Calls in flight to one backend: one that far behind is better answered for at once.
    pub calls_max: usize,
}

impl Default for BackendLimits {
    fn default() -> Self {
        Self {
            processes_max: 1_024,
            starts_max: 8,
            drain_timeout: Duration::from_secs(300),
            call_max: Duration::from_secs(3_600),
            check_every: Duration::from_secs(30),
            calls_max: 256,
        }
    }
}
