//! [`Family`]: what a program has started, by itself or through others.

use std::fs;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

/// How often it is looked at.
const POLL: Duration = Duration::from_millis(20);

/// A process. The number alone may be given anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Process {
    pid: u32,
    parent: u32,
    started: u64,
}

/// Where there is no `/proc`, nobody is known.
pub struct Family(Vec<Process>);

impl Family {
    /// All below a process, which has to be running: who has lost a parent cannot be told from others.
    pub fn of(pid: u32) -> Self {
        let (all, mut found, mut parents) = (running(), Vec::new(), vec![pid]);
        while let Some(parent) = parents.pop() {
            for process in all.iter().filter(|process| process.parent == parent) {
                parents.push(process.pid);
                found.push(*process);
            }
        }
        Self(found)
    }

    /// Asks those that are left to end, and ends them after `wait`.
    pub fn end(&self, wait: Duration) {
        signal("TERM", &self.left());
        let deadline = Instant::now() + wait;
        while !self.left().is_empty() && Instant::now() < deadline {
            thread::sleep(POLL);
        }
        signal("KILL", &self.left());
    }

    fn left(&self) -> Vec<u32> {
        let is_of_this = |process: &Process| {
            self.0.iter().any(|known| (known.pid, known.started) == (process.pid, process.started))
        };
        running().into_iter().filter(is_of_this).map(|process| process.pid).collect()
    }
}

/// Sends it to each of them. They may have ended already.
fn signal(name: &str, pids: &[u32]) {
    if !pids.is_empty() {
        Command::new("kill").arg(format!("-{name}")).args(pids.iter().map(u32::to_string)).status().ok();
    }
}

fn running() -> Vec<Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| parse(&fs::read_to_string(entry.path().join("stat")).ok()?)).collect()
}

/// A line of `/proc/PID/stat`; nothing for a process that has ended.
fn parse(stat: &str) -> Option<Process> {
    let pid = stat.split_once(' ')?.0.parse().ok()?;
    // The name stands in parentheses and may hold anything.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let [state, parent] = *fields.get(..2)? else { return None };
    // Field 22 of all.
    let started = fields.get(19)?.parse().ok()?;
    (!matches!(state, "Z" | "X")).then_some(Process { pid, parent: parent.parse().ok()?, started })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_whatever_the_name_is() {
        let line = |state: &str| format!("7 (a) b) {state} 3 7 7 0 -1 4 9 0 0 0 1 2 0 0 20 0 1 0 4711 1 1");
        assert_eq!(parse(&line("S")), Some(Process { pid: 7, parent: 3, started: 4711 }));
        assert_eq!(parse(&line("Z")), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn children_of_children_are_ended() {
        let patience = Duration::from_secs(20);
        let mut shell = Command::new("sh").args(["-c", "sh -c 'sleep 300; :' & wait"]).spawn().unwrap();
        let deadline = Instant::now() + patience;
        while Family::of(shell.id()).0.len() < 2 {
            assert!(Instant::now() < deadline, "the shell never started both");
            thread::sleep(POLL);
        }
        let family = Family::of(shell.id());
        shell.kill().unwrap();
        shell.wait().unwrap();
        assert_eq!(family.left().len(), 2);
        family.end(patience);
        while !family.left().is_empty() {
            assert!(Instant::now() < deadline + patience, "{:?} are left", family.left());
            thread::sleep(POLL);
        }
    }
}
