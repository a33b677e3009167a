//! Limits for a process and all its descendants together, by cgroup v2 where one is delegated to the node.
//!
//! The node moves itself, and all else in its group, into [`NODE`]: a group with processes in it cannot be
//! divided. Beside that, each process with limits gets a group of its own, which its supervisor removes.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Limits;

/// The group of the node itself.
const NODE: &str = "omcp-node";
/// What the limits need.
const CONTROLLERS: [&str; 2] = ["memory", "pids"];
/// Marks of a service manager on groups that it has handed over.
const MARKS: [&str; 2] = ["trusted.delegate", "user.delegate"];
/// Processes may be forked while they are moved out of the group; so often are they looked for.
const MOVES: usize = 5;

/// How the limits of one process are kept.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Confined {
    pub group: Option<PathBuf>,
    /// `RLIMIT_DATA` of each process.
    pub data_len_max: Option<u64>,
    /// What is not as it was asked for.
    pub note: Option<String>,
}

/// Makes a group for a process that has limits, or finds what comes closest.
pub fn confine(limits: &Limits) -> Confined {
    if limits.memory_len_max.is_none() && limits.pids_max.is_none() {
        return Confined::default();
    }
    static OWN: OnceLock<Result<Delegated, String>> = OnceLock::new();
    let own = OWN.get_or_init(|| {
        let own = own_group().ok_or("there is no cgroup v2")?;
        Delegated::prepare(check_delegated(&own)?)
    });
    match own.as_ref().map_err(Clone::clone).and_then(|own| own.group(limits)) {
        Ok(group) => Confined { group: Some(group), ..Confined::default() },
        Err(why) => without_group(limits, &why),
    }
}

fn without_group(limits: &Limits, why: &str) -> Confined {
    let memory = limits.memory_len_max.map(|_| "memory_limit_bytes holds for each process alone");
    let pids = limits.pids_max.map(|_| "pids_limit does not hold");
    let all: Vec<_> = memory.into_iter().chain(pids).collect();
    let note = format!("[{}: no cgroup is delegated to this node: {why}]", all.join(", "));
    Confined { group: None, data_len_max: limits.memory_len_max, note: Some(note) }
}

/// A group that this program may divide.
#[derive(Debug)]
struct Delegated {
    dir: PathBuf,
    next: AtomicU64,
}

impl Delegated {
    fn prepare(dir: PathBuf) -> Result<Self, String> {
        let failed = |what: &str, error: io::Error| format!("{what} in {}: {error}", dir.display());
        let offered = fs::read_to_string(dir.join("cgroup.controllers"))
            .map_err(|error| failed("cgroup.controllers", error))?;
        if let Some(missing) =
            CONTROLLERS.into_iter().find(|needed| !offered.split_whitespace().any(|name| name == *needed))
        {
            return Err(format!("{} does not offer the {missing} controller", dir.display()));
        }
        let node = dir.join(NODE);
        make_dir(&node).map_err(|error| failed(NODE, error))?;
        move_all(&dir, &node).map_err(|error| failed("cgroup.procs", error))?;
        fs::write(dir.join("cgroup.subtree_control"), "+memory +pids")
            .map_err(|error| failed("cgroup.subtree_control", error))?;
        Ok(Self { dir, next: AtomicU64::new(1) })
    }

    fn group(&self, limits: &Limits) -> Result<PathBuf, String> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let group = self.dir.join(format!("omcp-{}-{number}", std::process::id()));
        make_dir(&group).and_then(|()| limit(&group, limits)).map_err(|error| {
            let _ = fs::remove_dir(&group);
            format!("{}: {error}", group.display())
        })?;
        Ok(group)
    }
}

fn limit(group: &Path, limits: &Limits) -> io::Result<()> {
    if let Some(len) = limits.memory_len_max {
        fs::write(group.join("memory.max"), len.to_string())?;
        // Half a tree is of no use; and where there is no swap there is no such file.
        let _ = fs::write(group.join("memory.oom.group"), "1");
        let _ = fs::write(group.join("memory.swap.max"), "0");
    }
    if let Some(count) = limits.pids_max {
        fs::write(group.join("pids.max"), count.to_string())?;
    }
    Ok(())
}

fn make_dir(dir: &Path) -> io::Result<()> {
    match fs::create_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

fn move_all(from: &Path, to: &Path) -> io::Result<()> {
    for _ in 0..MOVES {
        let pids = fs::read_to_string(from.join("cgroup.procs"))?;
        if pids.trim().is_empty() {
            break;
        }
        for pid in pids.split_whitespace() {
            match fs::write(to.join("cgroup.procs"), pid) {
                // It has ended.
                Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
                moved => moved?,
            }
        }
    }
    Ok(())
}

/// A group is ours if its manager says so, or if it is all that a container sees.
fn check_delegated(own: &Group) -> Result<PathBuf, String> {
    let dir = &own.dir;
    let marked = MARKS.iter().any(|mark| rustix::fs::getxattr(dir, *mark, &mut [0_u8; 8]).is_ok());
    // The root of the whole machine has no type.
    let whole = own.is_root && dir.join("cgroup.type").exists();
    if marked || whole {
        return Ok(dir.clone());
    }
    Err(format!("{} belongs to somebody else (with systemd: Delegate=memory pids)", dir.display()))
}

/// A group of the unified hierarchy.
#[derive(Debug, PartialEq, Eq)]
struct Group {
    dir: PathBuf,
    /// Whether it is the topmost that can be seen.
    is_root: bool,
}

fn own_group() -> Option<Group> {
    let (cgroup, mounts) =
        (fs::read_to_string("/proc/self/cgroup").ok()?, fs::read_to_string("/proc/self/mountinfo").ok()?);
    group_in(&cgroup, &mounts)
}

fn group_in(cgroup: &str, mounts: &str) -> Option<Group> {
    let path = cgroup.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let mount = mounts.lines().find(|line| line.contains(" - cgroup2 "))?;
    let mut fields = mount.split(' ').skip(3);
    let (root, place) = (fields.next()?.trim_start_matches('/'), fields.next()?);
    // Where only a part is mounted, the path begins with that part.
    let path = path.strip_prefix(root)?.trim_start_matches('/');
    Some(Group { dir: Path::new(place).join(path), is_root: path.is_empty() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "24 1 0:22 / /proc rw - proc proc rw\n\
        36 24 0:31 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw\n";

    fn dir(group: Option<Group>) -> Option<(String, bool)> {
        group.map(|group| (group.dir.display().to_string().trim_end_matches('/').to_owned(), group.is_root))
    }

    #[test]
    fn the_own_group_is_found() {
        let found = |cgroup, mounts| dir(group_in(cgroup, mounts));
        let service = ("/sys/fs/cgroup/system.slice/omcp.service".to_owned(), false);
        assert_eq!(found("1:name=x:/\n0::/system.slice/omcp.service\n", MOUNTS), Some(service));
        assert_eq!(found("0::/\n", MOUNTS), Some(("/sys/fs/cgroup".to_owned(), true)));
        let part = "36 24 0:31 /pod/a /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        assert_eq!(found("0::/pod/a/b\n", part), Some(("/sys/fs/cgroup/b".to_owned(), false)));
        assert_eq!(found("4:memory:/x\n", MOUNTS), None);
        assert_eq!(found("0::/x\n", ""), None);
    }

    /// A directory that looks like a delegated group.
    fn delegated(controllers: &str) -> PathBuf {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("omcp-cgroup-{}-{count}", std::process::id()));
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join("cgroup.controllers"), controllers).unwrap();
        fs::write(dir.join("cgroup.procs"), "71\n").unwrap();
        dir
    }

    #[test]
    fn a_group_is_divided_and_limited() {
        let dir = delegated("cpu memory pids\n");
        let own = Delegated::prepare(dir.clone()).unwrap();
        let read = |path: PathBuf| fs::read_to_string(path).unwrap();
        assert_eq!(read(dir.join(NODE).join("cgroup.procs")), "71");
        assert_eq!(read(dir.join("cgroup.subtree_control")), "+memory +pids");
        let limits = Limits { memory_len_max: Some(1 << 28), pids_max: Some(9), ..Limits::default() };
        let group = own.group(&limits).unwrap();
        assert_eq!(read(group.join("memory.max")), "268435456");
        assert_eq!(read(group.join("pids.max")), "9");
        assert_ne!(own.group(&limits).unwrap(), group);
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn what_is_missing_is_told() {
        let dir = delegated("cpu memory\n");
        let why = Delegated::prepare(dir.clone()).unwrap_err();
        assert!(why.ends_with("does not offer the pids controller"), "{why}");
        fs::remove_dir_all(dir).unwrap();
        let limits = Limits { memory_len_max: Some(5), pids_max: Some(9), ..Limits::default() };
        let confined = without_group(&limits, "why");
        assert_eq!((confined.group, confined.data_len_max), (None, Some(5)));
        let note = confined.note.unwrap();
        assert!(
            note.contains("memory_limit_bytes holds for each process alone, pids_limit does not hold"),
            "{note}"
        );
        assert_eq!(confine(&Limits::default()), Confined::default());
    }
}
