//! Logs of the program, on standard error.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Logs what `OMCP_LOG` asks for, `info` by default. Does nothing if a program that embeds the node logs
/// already.
pub fn start() {
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter("info"))
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .with_writer(std::io::stderr);
    drop(logs.try_init());
}

/// What `OMCP_LOG` asks for, else `fallback`; but never the API client of container engines below info,
/// which logs whole requests, the environment of containers among them.
pub fn filter(fallback: &str) -> EnvFilter {
    let filter = EnvFilter::try_from_env("OMCP_LOG").unwrap_or_else(|_| EnvFilter::new(fallback));
    filter.add_directive("bollard=info".parse().expect("a constant that parses"))
}
