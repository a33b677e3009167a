//! Calls for which there is no safe wrapper. The only file of the crate with `unsafe` in it.
#![expect(unsafe_code, reason = "system calls without a safe wrapper, each argued for where it stands")]

use std::io;
use std::mem::{MaybeUninit, zeroed};
use std::ops::Range;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::ptr::null_mut;
use std::time::Duration;

use libc::c_int;
use rustix::process::Pid;

use super::word::Usage;

/// Signals that wake a supervisor; all others wait for ever, so that only SIGKILL ends it.
const HEARD: [c_int; 5] = [libc::SIGCHLD, libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGQUIT];
/// One more than the last signal there is.
const SIGNAL_END: c_int = 65;
/// Bytes of the kernel's set of signals.
const SIGNALS_LEN: usize = 8;

/// Closes every descriptor from `first` on.
///
/// The caller owns none of them: it has just been started, and somebody let them be inherited.
pub fn close_from(first: c_int) {
    // SAFETY: plain numbers; nothing in this process refers to those descriptors yet.
    let closed = unsafe { libc::syscall(libc::SYS_close_range, first, c_int::MAX, 0) };
    if closed == 0 {
        return;
    }
    // Before Linux 5.9. The list is complete before the first is closed, its own descriptor included.
    let open = std::fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let open: Vec<c_int> = open.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    for fd in open.into_iter().filter(|fd| *fd >= first) {
        // SAFETY: as above; a number that is no longer open gives an error that says so.
        unsafe { libc::close(fd) };
    }
}

/// Every signal does what it does by default, as a new program expects; who started us may have had
/// other wishes, and those are inherited.
pub fn default_signals() {
    // The kernel's `sigaction`, on every architecture: zeros are the default, no flags, an empty mask. The C
    // library would leave out the two signals it keeps for itself.
    let default = [0_u64; 8];
    for signal in 1..SIGNAL_END {
        // SAFETY: no handler is installed. Numbers that may not be changed give an error and no harm.
        unsafe {
            libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), null_mut::<u64>(), SIGNALS_LEN)
        };
    }
}

/// Lets every signal through to this thread: a new program inherits what is blocked.
pub fn unblock_signals() -> io::Result<()> {
    // SAFETY: the set is initialised before it is read, and outlives the call.
    let error = unsafe {
        let mut none = zeroed();
        libc::sigemptyset(&raw mut none);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const none, null_mut())
    };
    if error == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(error)) }
}

/// Blocks all signals of this thread, and gives a descriptor on which those of [`HEARD`] arrive.
pub fn signals() -> io::Result<OwnedFd> {
    // SAFETY: both sets are initialised before they are read, and outlive the calls; the descriptor is new
    // and nobody else's.
    unsafe {
        let (mut all, mut heard) = (zeroed(), zeroed());
        libc::sigfillset(&raw mut all);
        libc::sigemptyset(&raw mut heard);
        for signal in HEARD {
            libc::sigaddset(&raw mut heard, signal);
        }
        match libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, null_mut()) {
            0 => {}
            error => return Err(io::Error::from_raw_os_error(error)),
        }
        match libc::signalfd(-1, &raw const heard, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) {
            -1 => Err(io::Error::last_os_error()),
            fd => Ok(OwnedFd::from_raw_fd(fd)),
        }
    }
}

/// Which signal a record that was read from such a descriptor tells.
pub fn heard(record: &[u8]) -> Option<c_int> {
    let number = record.first_chunk().map(|number| u32::from_ne_bytes(*number))?;
    c_int::try_from(number).ok()
}

/// Length of such a record.
pub const SIGNAL_LEN: usize = size_of::<libc::signalfd_siginfo>();

/// Whether the signal is about a child; the others want an end.
pub fn is_about_children(signal: c_int) -> bool {
    signal == libc::SIGCHLD
}

/// A second process like this one; `None` in it.
pub fn fork() -> io::Result<Option<Pid>> {
    // SAFETY: the caller has one thread, so that the copy lacks none and no lock is held for ever.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        pid => Ok(Pid::from_raw(pid)),
    }
}

/// What the children that were waited for took, and theirs.
pub fn children_usage() -> Usage {
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the call writes one `rusage`; all zeros, which it leaves on an error, is a valid one.
    let usage = unsafe {
        libc::getrusage(libc::RUSAGE_CHILDREN, usage.as_mut_ptr());
        usage.assume_init()
    };
    let time = |time: libc::timeval| {
        let seconds = Duration::from_secs(time.tv_sec.try_into().unwrap_or_default());
        seconds + Duration::from_micros(time.tv_usec.try_into().unwrap_or_default())
    };
    let resident_max_kib = usage.ru_maxrss.try_into().unwrap_or_default();
    Usage { user: time(usage.ru_utime), system: time(usage.ru_stime), resident_max_kib, oom_kills: 0 }
}

/// Runs `last` in the new process, just before it becomes another program.
///
/// `last` makes system calls and nothing else; the caller has one thread, so that no lock can be held by
/// one that does not exist on the other side.
pub fn before_exec(command: &mut Command, last: impl FnMut() -> io::Result<()> + Send + Sync + 'static) {
    // SAFETY: as just said.
    unsafe { command.pre_exec(last) };
}

/// Code of a file that is mapped, was never written to, and cannot be.
pub struct Clean(Range<usize>);

/// The code of this program and its libraries. Their constants are left out: somebody who reads a file may map it in
/// the same way for a moment.
pub fn clean_mappings() -> io::Result<Vec<Clean>> {
    Ok(clean(&std::fs::read_to_string("/proc/self/smaps")?))
}

fn clean(smaps: &str) -> Vec<Clean> {
    let mut found = Vec::new();
    let mut mapping = None;
    for line in smaps.lines() {
        let mut words = line.split_ascii_whitespace();
        match (words.next(), words.next(), words.nth(2)) {
            (Some("Anonymous:"), Some("0"), _) => found.extend(mapping.take().map(Clean)),
            (Some(range), Some("r-xp"), Some(inode)) if inode != "0" => mapping = hex_range(range),
            (Some(range), ..) if range.contains('-') => mapping = None,
            _ => {}
        }
    }
    found
}

fn hex_range(text: &str) -> Option<Range<usize>> {
    let (start, end) = text.split_once('-')?;
    Some(usize::from_str_radix(start, 16).ok()?..usize::from_str_radix(end, 16).ok()?)
}

/// Lets go of pages: those that are used again are mapped again, from the kernel's cache of files.
pub fn let_go(Clean(pages): &Clean) {
    // SAFETY: they are as they stand in the file, so that nobody can tell when they were mapped. Programs and
    // libraries stay where they are for as long as this process lives.
    unsafe { libc::madvise(pages.start as *mut libc::c_void, pages.len(), libc::MADV_DONTNEED) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clean_is_what_nobody_wrote_to_or_can() {
        let smaps = "\
            1000-3000 r--p 00000000 fe:00 77 /bin/node\nRss: 8 kB\nAnonymous: 0 kB\nVmFlags: rd mr\n\
            3000-5000 r-xp 00002000 fe:00 77 /bin/node\nAnonymous: 0 kB\n\
            5000-6000 r--p 00004000 fe:00 77 /bin/node\nAnonymous: 4 kB\n\
            6000-7000 rw-p 00005000 fe:00 77 /bin/node\nAnonymous: 0 kB\n\
            7000-8000 r-xp 00000000 00:00 0 [vdso]\nAnonymous: 0 kB\n\
            8000-9000 r-xp 00000000 fe:00 78 /lib/libc.so (deleted)\nAnonymous: 0 kB\n";
        let found: Vec<_> = clean(smaps).into_iter().map(|Clean(pages)| pages).collect();
        assert_eq!(found, [0x3000..0x5000, 0x8000..0x9000]);
        assert!(clean("").is_empty() && clean("nonsense\n- - -\nAnonymous:").is_empty());
    }

    #[test]
    fn a_program_goes_on_without_its_pages() {
        let mappings = clean_mappings().unwrap();
        assert!(!mappings.is_empty());
        mappings.iter().for_each(let_go);
        assert_eq!(clean_mappings().unwrap().len(), mappings.len());
    }
}
