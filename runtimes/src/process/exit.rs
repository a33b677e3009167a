//! How a process ended, and what it took, in words.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use rustix::process::Signal;

use super::Usage;

/// What is known of an end besides its status.
#[derive(Clone, Copy, Debug, Default)]
pub struct Circumstances {
    /// The gateway ended it.
    pub asked: bool,
    pub usage: Option<Usage>,
    /// Processes that the system killed for want of memory while it ran, in whatever group.
    pub system_oom_kills: u64,
}

/// Processes that the system has killed for want of memory since it started.
pub fn system_oom_kills() -> u64 {
    let counters = std::fs::read_to_string("/proc/vmstat").unwrap_or_default();
    counters.lines().find_map(|line| line.strip_prefix("oom_kill ")?.parse().ok()).unwrap_or_default()
}

/// `exited with status 3`, `was ended by signal 9`, and what is known of why.
pub fn describe(status: ExitStatus, known: Circumstances) -> String {
    let how = match (status.code(), status.signal()) {
        (Some(code), _) => format!("exited with status {code}"),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => "ended".to_owned(),
    };
    let killed = status.signal() == Some(Signal::KILL.as_raw()) && !known.asked;
    match (known.usage.map_or(0, |usage| usage.oom_kills), known.system_oom_kills) {
        (0, 0) if killed => {
            format!("{how} (SIGKILL), which nobody here sent: the machine may be out of memory")
        }
        (0, kills) if killed => format!(
            "{how} (SIGKILL), which nobody here sent: most likely out of memory (OOM kills on this machine meanwhile: {kills})"
        ),
        (0, _) => how,
        (kills, _) => format!(
            "{how}: out of memory: it and its descendants exceeded memory_limit_bytes together (OOM kills: {kills})"
        ),
    }
}

/// `lived 12.3 s, took 0.52 s of processor time and at most 34 MiB of memory`.
pub fn took(lived: Duration, usage: Option<Usage>) -> String {
    let lived = format!("lived {:.1} s", lived.as_secs_f64());
    let Some(usage) = usage else { return lived };
    let processor = (usage.user + usage.system).as_secs_f64();
    let memory = usage.resident_max_kib.div_ceil(1024);
    format!("{lived}, took {processor:.2} s of processor time and at most {memory} MiB of memory")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_killed_it_is_told_as_far_as_it_is_known() {
        let killed = ExitStatus::from_raw(Signal::KILL.as_raw());
        let known = |asked, oom_kills, system_oom_kills| {
            let usage = Some(Usage { oom_kills, ..Usage::default() });
            Circumstances { asked, usage, system_oom_kills }
        };
        assert_eq!(describe(killed, known(true, 0, 1)), "was ended by signal 9");
        for (known, end) in [
            (known(false, 0, 0), " (SIGKILL), which nobody here sent: the machine may be out of memory"),
            (known(false, 0, 2), "most likely out of memory (OOM kills on this machine meanwhile: 2)"),
            (known(false, 2, 2), "exceeded memory_limit_bytes together (OOM kills: 2)"),
        ] {
            let told = describe(killed, known);
            assert!(told.starts_with("was ended by signal 9") && told.ends_with(end), "{told}");
        }
        let child = describe(ExitStatus::from_raw(1 << 8), known(false, 1, 1));
        assert!(child.starts_with("exited with status 1: out of memory"), "{child}");
        assert_eq!(describe(ExitStatus::from_raw(0), known(false, 0, 7)), "exited with status 0");
    }

    #[test]
    fn what_it_took_is_rounded() {
        let usage = Usage {
            user: Duration::from_millis(500),
            system: Duration::from_millis(20),
            resident_max_kib: 34_000,
            oom_kills: 0,
        };
        let lived = Duration::from_millis(12_345);
        let told = "lived 12.3 s, took 0.52 s of processor time and at most 34 MiB of memory";
        assert_eq!((took(lived, Some(usage)).as_str(), took(lived, None).as_str()), (told, "lived 12.3 s"));
    }
}
