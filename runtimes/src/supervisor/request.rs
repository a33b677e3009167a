//! [`Request`]: what the node hands to the spawner for each process: one byte, and descriptors beside it.

use std::io::{self, ErrorKind, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

/// Descriptors of a request: the supervisor's socket, then the three streams of its process.
pub const REQUEST_FDS: usize = 4;

/// What a request brings.
pub struct Request {
    pub node: UnixStream,
    pub input: OwnedFd,
    pub output: OwnedFd,
    pub errors: OwnedFd,
}

impl Request {
    /// `None`: the node is gone.
    ///
    /// # Errors
    /// `InvalidData`: the descriptors are missing. Any other: the socket is of no more use.
    pub fn receive(node: &OwnedFd) -> io::Result<Option<Self>> {
        let mut byte = [0];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(REQUEST_FDS))];
        let mut beside = RecvAncillaryBuffer::new(&mut space);
        let received =
            recvmsg(node, &mut [IoSliceMut::new(&mut byte)], &mut beside, RecvFlags::CMSG_CLOEXEC)?;
        if received.bytes == 0 {
            return Ok(None);
        }
        let found = beside.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors.collect::<Vec<_>>()),
            _ => None,
        });
        match found.map(<[OwnedFd; REQUEST_FDS]>::try_from) {
            Some(Ok([node, input, output, errors])) => {
                Ok(Some(Self { node: node.into(), input, output, errors }))
            }
            _ => Err(io::Error::new(ErrorKind::InvalidData, "a request without its descriptors")),
        }
    }
}
