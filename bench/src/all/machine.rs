//! What the numbers were measured on.

use std::fs::{self, File};
use std::io::Write;
use std::time::Instant;

use anyhow::Result;

use crate::histogram::Histogram;

/// Writes that tell how fast the disk confirms them.
const SYNCS: usize = 200;

/// Prints cores, load and disk, so that a table can be told from one of another machine.
///
/// # Errors
/// If the disk cannot be written.
pub fn print() -> Result<()> {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let model =
        cpuinfo.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown processor");
    let cores = std::thread::available_parallelism()?;
    println!("{cores} cores,{}", model.trim_start_matches([' ', '\t', ':']).trim_end());
    println!("kernel {}, load {}", read("/proc/sys/kernel/osrelease").trim(), read("/proc/loadavg").trim());
    let syncs = sync_times()?;
    println!("disk: fsync p50 {:?}, p99 {:?}", syncs.quantile(0.5), syncs.quantile(0.99));
    Ok(())
}

fn sync_times() -> Result<Histogram> {
    let directory = tempfile::tempdir()?;
    let mut file = File::create(directory.path().join("sync"))?;
    let mut times = Histogram::default();
    for _ in 0..SYNCS {
        file.write_all(&[0; 4096])?;
        let began = Instant::now();
        file.sync_data()?;
        times.record(began.elapsed());
    }
    Ok(times)
}
