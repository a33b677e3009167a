//! [`FrameBody`]: the response body of a sync stream.
//!
//! tonic's encoder copies every message into a buffer of the stream. Here a frame that was encoded
//! once is handed to HTTP/2 as it is, for all streams.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame};
use tokio::sync::{mpsc, oneshot};
use tonic::Status;

/// Frames that wait for HTTP/2 on one stream: enough to keep it busy, little to hold for a node
/// that does not read.
pub const FRAMES_WAITING: usize = 8;

/// Yields frames until the session lets go of its end, then the trailers.
#[derive(Debug)]
pub struct FrameBody {
    frames: mpsc::Receiver<Bytes>,
    status: oneshot::Receiver<Status>,
    ended: bool,
}

/// The session's end of a body.
#[derive(Debug)]
pub struct FrameSink {
    pub frames: mpsc::Sender<Bytes>,
    pub status: oneshot::Sender<Status>,
}

impl FrameBody {
    pub fn new() -> (FrameSink, Self) {
        let (frames, received) = mpsc::channel(FRAMES_WAITING);
        let (status, ending) = oneshot::channel();
        (FrameSink { frames, status }, Self { frames: received, status: ending, ended: false })
    }

    fn trailers(&mut self) -> Option<Result<Frame<Bytes>, Status>> {
        if std::mem::replace(&mut self.ended, true) {
            return None;
        }
        let status =
            self.status.try_recv().unwrap_or_else(|_| Status::internal("the session ended without a status"));
        let mut trailers = HeaderMap::new();
        Some(status.add_header(&mut trailers).map(|()| Frame::trailers(trailers)))
    }
}

impl Body for FrameBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Poll::Ready(match ready!(self.frames.poll_recv(cx)) {
            Some(frame) => Some(Ok(Frame::data(frame))),
            None => self.trailers(),
        })
    }
}
