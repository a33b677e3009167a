//! [`LimitArgs`]: the limits of a node as options, and [`table`]: all limits with value, default and reason.

mod fixed;

use std::time::Duration;

use clap::Args;

use crate::backends::BackendLimits;
use crate::clients::ClientLimits;
use crate::front::config::FrontConfig;
use crate::front::overload::cgroup_budget;
use crate::members::forward::{CONNECT_TIMEOUT, FORWARDS_MAX};
use crate::members::hop::CLOCK_SKEW_S;
use crate::session::LIFETIME;

/// How much a node may use, and how long it waits.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Limits")]
pub struct LimitArgs {
    /// How long the node goes on as usual after it has said that it is not ready, so that balancers notice
    #[arg(long, env = "OMCP_SHUTDOWN_DELAY_MS", value_name = "MS", default_value_t = 5_000)]
    pub shutdown_delay_ms: u64,
    /// How long requests may take to finish when the node stops
    #[arg(long, env = "OMCP_DRAIN_TIMEOUT_MS", value_name = "MS", default_value_t = 15_000)]
    pub drain_timeout_ms: u64,
    /// How long calls and sessions go on with a definition that was replaced or removed
    #[arg(long, env = "OMCP_BACKEND_DRAIN_TIMEOUT_MS", value_name = "MS", default_value_t = 300_000)]
    pub backend_drain_timeout_ms: u64,
    /// Processes of backends at once
    #[arg(long, env = "OMCP_PROCESSES_MAX", value_name = "N", default_value_t = 1_024)]
    pub processes_max: usize,
    /// Connections to backends that are being opened at once
    #[arg(long, env = "OMCP_STARTS_MAX", value_name = "N", default_value_t = 8)]
    pub starts_max: usize,
    /// Legacy sessions at once, each of which may hold a process
    #[arg(long, env = "OMCP_SESSIONS_MAX", value_name = "N", default_value_t = 4_096)]
    pub sessions_max: usize,
    /// A session that nobody uses for so long ends
    #[arg(long, env = "OMCP_SESSION_IDLE_MS", value_name = "MS", default_value_t = 1_800_000)]
    pub session_idle_ms: u64,
    /// Client connections at once
    #[arg(long, env = "OMCP_CONNECTIONS_MAX", value_name = "N", default_value_t = 20_000)]
    pub connections_max: usize,
    /// Connections of one client address; 0 is any number, and loopback is exempt
    #[arg(long, env = "OMCP_CONNECTIONS_PER_CLIENT_MAX", value_name = "N", default_value_t = 256)]
    pub connections_per_client_max: usize,
    /// Calls of one client address that wait for an answer; 0 is any number, and loopback is exempt
    #[arg(long, env = "OMCP_CALLS_PER_CLIENT_MAX", value_name = "N", default_value_t = 256)]
    pub calls_per_client_max: usize,
    /// Event streams of one client address; 0 is any number, and loopback is exempt
    #[arg(long, env = "OMCP_STREAMS_PER_CLIENT_MAX", value_name = "N", default_value_t = 256)]
    pub streams_per_client_max: usize,
    /// Legacy sessions of one client address; 0 is any number, and loopback is exempt
    #[arg(long, env = "OMCP_SESSIONS_PER_CLIENT_MAX", value_name = "N", default_value_t = 1_024)]
    pub sessions_per_client_max: usize,
    /// Calls in flight to one backend; twice as many wait up to 2 s if it is an HTTP server
    #[arg(long, env = "OMCP_CALLS_PER_BACKEND_MAX", value_name = "N", default_value_t = 256)]
    pub calls_per_backend_max: usize,
    /// Longest call, however much is heard of it
    #[arg(long, env = "OMCP_CALL_MAX_MS", value_name = "MS", default_value_t = 3_600_000)]
    pub call_max_ms: u64,
    /// Between two checks of a backend of which no call was heard; 0 is never
    #[arg(long, env = "OMCP_CHECK_EVERY_MS", value_name = "MS", default_value_t = 30_000)]
    pub check_every_ms: u64,
    /// A client that reads nothing for so long is cut off
    #[arg(long, env = "OMCP_WRITE_STALL_MS", value_name = "MS", default_value_t = 30_000)]
    pub write_stall_ms: u64,
    /// Largest request body, bytes
    #[arg(long, env = "OMCP_BODY_LEN_MAX", value_name = "BYTES", default_value_t = 4 * 1024 * 1024)]
    pub body_len_max: usize,
    /// Slowest request body, bytes a second after its first 5 s; 0 is any
    #[arg(long, env = "OMCP_BODY_RATE_MIN", value_name = "BYTES", default_value_t = 1024)]
    pub body_rate_min: u32,
    /// Memory the node may use, MiB; near it, new streams and then new connections are refused [default: that
    /// of its control group, if it has one]
    #[arg(long, env = "OMCP_MEMORY_MAX_MIB", value_name = "MIB")]
    pub memory_max_mib: Option<u64>,
}

impl LimitArgs {
    pub fn backends(&self) -> BackendLimits {
        BackendLimits {
            processes_max: self.processes_max,
            starts_max: self.starts_max.max(1),
            drain_timeout: Duration::from_millis(self.backend_drain_timeout_ms),
            call_max: Duration::from_millis(self.call_max_ms),
            check_every: Duration::from_millis(self.check_every_ms),
            calls_max: self.calls_per_backend_max.max(1),
        }
    }

    pub fn front(&self) -> FrontConfig {
        FrontConfig {
            body_len_max: self.body_len_max,
            body_rate_min: self.body_rate_min,
            connections_max: self.connections_max,
            clients: ClientLimits {
                connections_max: self.connections_per_client_max,
                calls_max: self.calls_per_client_max,
                streams_max: self.streams_per_client_max,
                sessions_max: self.sessions_per_client_max,
            },
            sessions_max: self.sessions_max,
            session_idle: Duration::from_millis(self.session_idle_ms),
            drain_timeout: Duration::from_millis(self.drain_timeout_ms),
            write_stall: Duration::from_millis(self.write_stall_ms),
            memory_max: self.memory_max_mib.map(|mib| mib * 1024 * 1024).or_else(cgroup_budget),
            ..FrontConfig::default()
        }
    }
}

/// One limit, as people read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    pub name: &'static str,
    pub value: String,
    pub default: String,
    /// The option that changes it; some are fixed.
    pub option: &'static str,
    pub why: &'static str,
}

/// Every limit of a node, with what it is and why.
pub fn table(front: &FrontConfig, backends: BackendLimits, shutdown_delay: Duration) -> Vec<Limit> {
    let usual = FrontConfig::default();
    let (clients, usual_clients) = (front.clients, usual.clients);
    let usual_backends = BackendLimits::default();
    let limit =
        |name, option, value: String, default: String, why| Limit { name, value, default, option, why };
    let mut all = vec![
        limit(
            "request body",
            "--body-len-max",
            bytes(front.body_len_max),
            bytes(usual.body_len_max),
            "as large as gRPC's own default; 413 beyond",
        ),
        limit(
            "message of a backend",
            "",
            bytes(16 << 20),
            bytes(16 << 20),
            "default of message_len_max and line_len_max of its runtime; the call fails beyond",
        ),
        limit(
            "header block",
            "",
            bytes(front.header_len_max),
            bytes(usual.header_len_max),
            "real clients stay below 4 KiB; 431 beyond",
        ),
        limit(
            "header fields",
            "",
            front.headers_max.to_string(),
            usual.headers_max.to_string(),
            "real clients send about fifteen; 431 beyond",
        ),
        limit(
            "JSON depth",
            "",
            "64".to_owned(),
            "64".to_owned(),
            "real messages nest about ten deep; 400 beyond",
        ),
        limit(
            "HTTP/2 streams per connection",
            "",
            "100".to_owned(),
            "100".to_owned(),
            "the protocol's own advice",
        ),
        limit(
            "header time",
            "",
            time(front.header_timeout),
            time(usual.header_timeout),
            "from the start of the connection or the answer before it: clients keep idle connections for 90 s, and a request must not meet the end of one",
        ),
        limit(
            "body time",
            "",
            time(front.body_timeout),
            time(usual.body_timeout),
            "longer is a slow-loris; 408 beyond",
        ),
        limit(
            "body rate",
            "--body-rate-min",
            rate(front.body_rate_min),
            rate(usual.body_rate_min),
            "the slowest phone does better, on average; 408 below",
        ),
        limit(
            "body grace",
            "",
            time(front.body_grace),
            time(usual.body_grace),
            "lost packets take that long; then the body rate holds",
        ),
        limit(
            "write stall",
            "--write-stall-ms",
            time(front.write_stall),
            time(usual.write_stall),
            "a client that reads nothing holds memory; its connection is cut",
        ),
        limit(
            "unread events of a call",
            "",
            bytes(4 << 20),
            bytes(4 << 20),
            "a slow client holds no more; the call is cancelled beyond",
        ),
        limit(
            "keep-alive comment",
            "",
            time(front.keep_alive),
            time(usual.keep_alive),
            "below the 30 s at which common proxies give up",
        ),
        limit(
            "connections",
            "--connections-max",
            front.connections_max.to_string(),
            usual.connections_max.to_string(),
            "leaves descriptors for backends; more wait in the kernel",
        ),
        limit(
            "connections per client",
            "--connections-per-client-max",
            number(clients.connections_max),
            number(usual_clients.connections_max),
            "one client cannot take them all; more are closed at once; loopback is exempt",
        ),
        limit(
            "calls per client",
            "--calls-per-client-max",
            number(clients.calls_max),
            number(usual_clients.calls_max),
            "as many as one backend takes; 429 beyond; loopback is exempt",
        ),
        limit(
            "streams per client",
            "--streams-per-client-max",
            number(clients.streams_max),
            number(usual_clients.streams_max),
            "each holds memory for as long as it is open; 429 beyond; loopback is exempt",
        ),
        limit(
            "sessions per client",
            "--sessions-per-client-max",
            number(clients.sessions_max),
            number(usual_clients.sessions_max),
            "a quarter of all; refused beyond; loopback is exempt",
        ),
        limit(
            "sessions",
            "--sessions-max",
            front.sessions_max.to_string(),
            usual.sessions_max.to_string(),
            "each may hold a process; refused beyond",
        ),
        limit(
            "idle session",
            "--session-idle-ms",
            time(front.session_idle),
            time(usual.session_idle),
            "half an hour is a lunch break; then it ends",
        ),
        limit(
            "session lifetime",
            "",
            time(LIFETIME),
            time(LIFETIME),
            "what has sealed its id is kept for an hour longer; then its client starts a new one",
        ),
        limit(
            "requests to one other node",
            "",
            FORWARDS_MAX.to_string(),
            FORWARDS_MAX.to_string(),
            "those it alone can answer, streams included: each is a connection; refused beyond",
        ),
        limit(
            "connect to another node",
            "",
            time(CONNECT_TIMEOUT),
            time(CONNECT_TIMEOUT),
            "longer is as good as gone: its sessions are not found",
        ),
        limit(
            "clocks of two nodes apart",
            "",
            time(Duration::from_secs(CLOCK_SKEW_S)),
            time(Duration::from_secs(CLOCK_SKEW_S)),
            "a request that is older was recorded; refused beyond",
        ),
        limit(
            "replay window",
            "",
            time(front.replay_window),
            time(usual.replay_window),
            "how long a stream that lost its client stays resumable",
        ),
        limit(
            "processes",
            "--processes-max",
            backends.processes_max.to_string(),
            usual_backends.processes_max.to_string(),
            "a small Node.js server takes 50 MiB; calls that need one more fail with the reason",
        ),
        limit(
            "starts at once",
            "--starts-max",
            backends.starts_max.to_string(),
            usual_backends.starts_max.to_string(),
            "each burns a core; more wait up to 30 s",
        ),
        limit(
            "calls per backend",
            "--calls-per-backend-max",
            backends.calls_max.to_string(),
            usual_backends.calls_max.to_string(),
            "a backend that far behind is better answered for",
        ),
        limit(
            "longest call",
            "--call-max-ms",
            time(backends.call_max),
            time(usual_backends.call_max),
            "its silence is bounded by call_timeout_ms of its runtime",
        ),
        limit(
            "check",
            "--check-every-ms",
            time(backends.check_every),
            time(usual_backends.check_every),
            "of a backend of which no call was heard for so long; 0 is never",
        ),
        limit(
            "backend drain",
            "--backend-drain-timeout-ms",
            time(backends.drain_timeout),
            time(usual_backends.drain_timeout),
            "as long as a call may be silent; then what still uses an old definition is cut",
        ),
        limit(
            "shutdown delay",
            "--shutdown-delay-ms",
            time(shutdown_delay),
            time(Duration::from_secs(5)),
            "balancers notice the readiness first",
        ),
        limit(
            "drain",
            "--drain-timeout-ms",
            time(front.drain_timeout),
            time(usual.drain_timeout),
            "with the delay and the end of processes within the usual 30 s",
        ),
        limit(
            "memory",
            "--memory-max-mib",
            front.memory_max.map_or_else(|| "-".to_owned(), |max| bytes(max as usize)),
            "-".to_owned(),
            "at 85 % new streams are refused, at 95 % new connections",
        ),
    ];
    all.extend(fixed::all());
    all
}

fn number(number: usize) -> String {
    if number == 0 { "any".to_owned() } else { number.to_string() }
}

fn rate(per_second: u32) -> String {
    match per_second {
        0 => "any".to_owned(),
        rate => format!("{}/s", bytes(rate as usize)),
    }
}

fn bytes(bytes: usize) -> String {
    match bytes {
        0 => "0".to_owned(),
        _ if bytes.is_multiple_of(1 << 20) => format!("{} MiB", bytes >> 20),
        _ if bytes.is_multiple_of(1 << 10) => format!("{} KiB", bytes >> 10),
        _ => format!("{bytes} B"),
    }
}

fn time(time: Duration) -> String {
    if time.subsec_millis() == 0 {
        format!("{} s", time.as_secs())
    } else {
        format!("{} ms", time.as_millis())
    }
}
