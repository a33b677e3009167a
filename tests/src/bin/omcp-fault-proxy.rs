//! The fault proxy as a program: stands in front of one TCP address and does to its connections what networks
//! do, by a script or by a seed.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Parser;
use omcp_tests::faults::{FaultProxy, Script};

#[derive(Parser)]
#[command(name = "omcp-fault-proxy", version, about = "A TCP proxy with the faults of networks")]
struct Arguments {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: String,
    /// Where connections go.
    #[arg(long)]
    to: SocketAddr,
    /// What is drawn at random is drawn from this; the same seed gives the same faults.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Faults, for example "latency=200/100 up for 5000, reset=4096 for 1000, black-hole for 30000": none,
    /// latency=MS/JITTER, bandwidth=BYTES, reset=BYTES, half-open, black-hole, flip=ONE_IN, drip=MS. Without
    /// it they are drawn from the seed.
    #[arg(long)]
    script: Option<Script>,
    /// How long a script that is drawn lasts, seconds.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
}

#[tokio::main]
async fn main() -> Result<()> {
    let Arguments { listen, to, seed, script, seconds } = Arguments::parse();
    let script = script.unwrap_or_else(|| Script::random(seed, Duration::from_secs(seconds)));
    let proxy =
        FaultProxy::bind(&listen, to, seed).await.with_context(|| format!("listening on {listen}"))?;
    println!("listening on {}", proxy.address());
    println!("seed {seed}, script: {script}");
    proxy.play(&script).await;
    println!("healed");
    tokio::signal::ctrl_c().await.context("waiting for the end")
}
