//! What the kernel knows about a process: its core, its CPU time, its memory. Linux only.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::thread::{CpuSet, sched_setaffinity};

/// Keeps the calling thread, and what it starts from now on, on one core.
///
/// # Errors
/// If there is no such core.
pub fn pin(core: usize) -> Result<()> {
    anyhow::ensure!(core < CpuSet::MAX_CPU, "core {core} is beyond what the kernel can name");
    let mut cores = CpuSet::new();
    cores.set(core);
    sched_setaffinity(None, &cores).with_context(|| format!("run on core {core}"))
}

/// CPU time a process has used in user and kernel mode so far, its children excluded.
///
/// Read from `/proc/PID/stat` (proc_pid_stat(5), fields 14 and 15), in steps of one clock tick: 10 ms.
///
/// # Errors
/// If there is no such process.
pub fn cpu_time(pid: u32) -> Result<Duration> {
    let path = format!("/proc/{pid}/stat");
    let stat = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let ticks: u64 =
        fields.split_ascii_whitespace().skip(11).take(2).filter_map(|f| f.parse::<u64>().ok()).sum();
    Ok(Duration::from_nanos(ticks * 1_000_000_000 / rustix::param::clock_ticks_per_second()))
}

/// Resident memory of a process in bytes: VmRSS of `/proc/PID/status`.
///
/// # Errors
/// If there is no such process.
pub fn resident_bytes(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/status");
    let status = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).context("VmRSS is missing")?;
    let kib: u64 = line.split_ascii_whitespace().nth(1).context("VmRSS has no value")?.parse()?;
    Ok(kib * 1024)
}
