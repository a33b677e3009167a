//! Limits and trust of the MCP front. Each has a default and a reason.

use std::time::Duration;

use crate::clients::ClientLimits;

/// What the front accepts and how long it waits.
#[derive(Clone, Debug)]
pub struct FrontConfig {
    /// Host names (without port) that requests may be addressed to, besides the loopback names. Empty
    /// on a loopback listener means loopback names only; elsewhere it means any.
    pub allowed_hosts: Vec<String>,
    /// Origins (`scheme://host[:port]`, or `null`) that browsers may call from, besides loopback ones
    /// on a loopback listener.
    pub allowed_origins: Vec<String>,
    /// Largest request body, bytes: as large as gRPC's own default.
    pub body_len_max: usize,
    /// Header block, bytes: real clients stay below 4 KiB.
    pub header_len_max: usize,
    /// Header fields of one request: real clients send about fifteen.
    pub headers_max: usize,
    /// Open client connections: leaves room below a descriptor limit of 65,536 for backends.
    pub connections_max: usize,
    /// What one client address may hold.
    pub clients: ClientLimits,
    /// A client that reads nothing for this long is cut off: it holds memory.
    pub write_stall: Duration,
    /// Memory of the node, bytes, near which it refuses more.
    pub memory_max: Option<u64>,
    /// For the header block to arrive, from the start of its connection or the end of the answer before it: shorter
    /// than clients keep idle connections (90 s in Go and hyper), and a request would meet a closing socket.
    pub header_timeout: Duration,
    /// For the body to arrive.
    pub body_timeout: Duration,
    /// Bytes a second at which it has to arrive, on average; zero is any: the slowest phone does better.
    pub body_rate_min: u32,
    /// But not before this: a lost packet or two takes that long.
    pub body_grace: Duration,
    /// A silent answer turns into an event stream after this long, so that no proxy gives up on it.
    pub stream_after: Duration,
    /// Between two comments on a silent stream: below the 30 s at which common proxies give up.
    pub keep_alive: Duration,
    /// Legacy sessions on this node: each may hold a process.
    pub sessions_max: usize,
    /// A session nobody uses for this long ends.
    pub session_idle: Duration,
    /// How long a stream that lost its client stays resumable.
    pub replay_window: Duration,
    /// From the wish to stop until streams are cut.
    pub drain_timeout: Duration,
}

impl Default for FrontConfig {
    fn default() -> Self {
        Self {
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
            body_len_max: 4 * 1024 * 1024,
            header_len_max: 32 * 1024,
            headers_max: 64,
            connections_max: 20_000,
            clients: ClientLimits {
                connections_max: 256,
                calls_max: 256,
                streams_max: 256,
                sessions_max: 1_024,
            },
            write_stall: Duration::from_secs(30),
            memory_max: None,
            header_timeout: Duration::from_secs(100),
            body_timeout: Duration::from_secs(30),
            body_rate_min: 1024,
            body_grace: Duration::from_secs(5),
            stream_after: Duration::from_secs(10),
            keep_alive: Duration::from_secs(15),
            sessions_max: 4_096,
            session_idle: Duration::from_secs(30 * 60),
            replay_window: Duration::from_secs(5 * 60),
            drain_timeout: Duration::from_secs(15),
        }
    }
}

impl FrontConfig {
    /// How long a body may take of which `len` bytes have come: each byte earns its time, up to a bound.
    pub fn body_time(&self, len: usize) -> Duration {
        if self.body_rate_min == 0 {
            return self.body_timeout;
        }
        let earned = Duration::from_secs_f64(len as f64 / f64::from(self.body_rate_min));
        self.body_timeout.min(self.body_grace + earned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_earns_time_by_arriving() {
        let config = FrontConfig::default();
        let seconds = |len| config.body_time(len).as_secs_f64();
        assert_eq!([0, 512, 1024, 25 * 1024, 1 << 22].map(seconds), [5.0, 5.5, 6.0, 30.0, 30.0]);
        let patient = FrontConfig { body_rate_min: 0, ..config };
        assert_eq!(patient.body_time(0), patient.body_timeout);
    }
}
