//! The descendants of a process, as `/proc` shows them.

use std::fs;

use rustix::process::{Pid, Signal, kill_process};

/// Sends `signal` to every living descendant of `root`; how many there were.
pub fn signal(root: Pid, signal: Signal) -> usize {
    let found = descendants(root);
    for pid in &found {
        // It may have ended meanwhile, which is as good.
        let _ = kill_process(*pid, signal);
    }
    found.len()
}

/// Every process below `root`, parents before their children.
pub fn descendants(root: Pid) -> Vec<Pid> {
    let mut found = children(root);
    let mut next = 0;
    while let Some(pid) = found.get(next).copied() {
        let more = children(pid);
        found.extend(more.into_iter().filter(|pid| !found.contains(pid)).collect::<Vec<_>>());
        next += 1;
    }
    found
}

/// A child belongs to the thread that started it. Kernels without such lists are asked for all processes.
pub fn children(parent: Pid) -> Vec<Pid> {
    let tasks = fs::read_dir(format!("/proc/{parent}/task")).into_iter().flatten().flatten();
    let mut found = Vec::new();
    for task in tasks {
        match fs::read_to_string(task.path().join("children")) {
            Ok(list) => found.extend(list.split_ascii_whitespace().filter_map(pid)),
            Err(_) if lists_children() => {}
            Err(_) => return children_of_all(parent),
        }
    }
    found
}

fn lists_children() -> bool {
    fs::exists("/proc/thread-self/children").unwrap_or(false)
}

/// From all processes those with this parent.
fn children_of_all(parent: Pid) -> Vec<Pid> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let found = processes.filter_map(|entry| {
        let pid = pid(entry.file_name().to_str()?)?;
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        (parent_in(&stat)? == parent).then_some(pid)
    });
    found.collect()
}

/// `PID (NAME) STATE PARENT ...`; the name may hold anything.
fn parent_in(stat: &str) -> Option<Pid> {
    pid(stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(1)?)
}

fn pid(text: &str) -> Option<Pid> {
    Pid::from_raw(text.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn names_do_not_confuse() {
        assert_eq!(parent_in("7 (a) b) 1 2) S 3 4 5 0 -1"), Pid::from_raw(3));
        assert!(parent_in("7 (a").is_none() && parent_in("7 (a) S").is_none());
    }

    #[test]
    fn grandchildren_are_found_both_ways() {
        let script = "sleep 300 & sh -c 'sleep 300 & echo $!; wait' & wait";
        let mut child = Command::new("sh").args(["-c", script]).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let (root, grandchild) = (Pid::from_child(&child), pid(line.trim()).unwrap());
        let found = descendants(root);
        let (listed, searched) = (children(root), children_of_all(root));
        assert!(found.contains(&grandchild) && searched.iter().all(|pid| listed.contains(pid)));
        assert_eq!((found.len(), listed.len(), searched.len()), (3, 2, 2));
        assert_eq!(signal(root, Signal::KILL), 3);
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
