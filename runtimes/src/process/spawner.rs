//! The node's end of the spawner: one for this program, whichever runtimes and executors use it.

use std::io::{self, ErrorKind, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, sendmsg,
    socketpair,
};

use crate::supervisor::NAME;
use crate::supervisor::request::REQUEST_FDS;

/// This program, also once its file has been replaced.
const SELF: &str = "/proc/self/exe";
/// What this program itself may need in order to be loaded.
const LOADER_ENV: &str = "LD_LIBRARY_PATH";

static SPAWNER: Mutex<Option<Spawner>> = Mutex::new(None);

struct Spawner {
    socket: OwnedFd,
    child: Child,
}

/// Asks for a supervisor with these descriptors. Starts the spawner if it does not run.
pub fn ask(descriptors: [BorrowedFd<'_>; REQUEST_FDS]) -> io::Result<()> {
    let mut current = SPAWNER.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(spawner) = current.as_mut() {
        match spawner.send(&descriptors) {
            Err(error) if is_gone(&error) => {
                tracing::warn!("the spawner was killed; it is started again");
                // Its socket closed because it is ending: this takes microseconds.
                let _ = spawner.child.wait();
            }
            sent => return sent,
        }
    }
    let spawner = Spawner::start()?;
    spawner.send(&descriptors)?;
    *current = Some(spawner);
    Ok(())
}

fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset | ErrorKind::NotConnected)
}

impl Spawner {
    fn start() -> io::Result<Self> {
        let (socket, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        let mut command = Command::new(SELF);
        command.arg0(NAME).env_clear();
        command.envs(std::env::var_os(LOADER_ENV).map(|value| (LOADER_ENV, value)));
        command.stdin(Stdio::from(theirs)).stdout(Stdio::null());
        let child = command.spawn()?;
        Ok(Self { socket, child })
    }

    fn send(&self, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(REQUEST_FDS))];
        let mut beside = SendAncillaryBuffer::new(&mut space);
        beside.push(SendAncillaryMessage::ScmRights(descriptors));
        // A spawner that has not taken dozens of requests is stopped; waiting for it would stop the node.
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        sendmsg(&self.socket, &[IoSlice::new(b"s")], &mut beside, flags)?;
        Ok(())
    }
}
