//! The processes of this machine, as `/proc` shows them.

use std::fs;

/// A process that has not ended, or whose end nobody has noticed.
#[derive(Clone, Debug)]
pub struct Process {
    pub pid: u32,
    pub parent: u32,
    pub name: String,
    pub is_zombie: bool,
}

/// All of them.
pub fn all() -> Vec<Process> {
    let entries = fs::read_dir("/proc").expect("Linux").flatten();
    entries.filter_map(|entry| read(entry.file_name().to_str()?.parse().ok()?)).collect()
}

/// One of them.
pub fn read(pid: u32) -> Option<Process> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (name, rest) = stat.split_once('(')?.1.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    let is_zombie = fields.next()? == "Z";
    Some(Process { pid, parent: fields.next()?.parse().ok()?, name: name.to_owned(), is_zombie })
}

/// Those that descend from `root`.
pub fn below(root: u32) -> Vec<Process> {
    let all = all();
    let mut found: Vec<Process> = Vec::new();
    let mut parents = vec![root];
    while let Some(parent) = parents.pop() {
        for process in all.iter().filter(|process| process.parent == parent) {
            parents.push(process.pid);
            found.push(process.clone());
        }
    }
    found
}

/// Those in whose environment `mark` stands, zombies aside.
pub fn marked(mark: &str) -> Vec<Process> {
    let marked = |process: &Process| {
        let environ = fs::read(format!("/proc/{}/environ", process.pid)).unwrap_or_default();
        environ.windows(mark.len()).any(|window| window == mark.as_bytes())
    };
    all().into_iter().filter(|process| !process.is_zombie && marked(process)).collect()
}

/// Those in whose command line `mark` stands.
pub fn naming(mark: &str) -> Vec<Process> {
    let named = |process: &Process| {
        let line = fs::read(format!("/proc/{}/cmdline", process.pid)).unwrap_or_default();
        line.windows(mark.len()).any(|window| window == mark.as_bytes())
    };
    all().into_iter().filter(named).collect()
}

/// How many descriptors a process has open.
///
/// # Panics
/// There is no such process.
pub fn descriptors(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).expect("the process runs").count()
}
