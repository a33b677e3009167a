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

    /// The session lets go of the frames a moment before it says why.
    fn poll_trailers(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let told = ready!(Pin::new(&mut self.status).poll(cx));
        self.ended = true;
        let status = told.unwrap_or_else(|_| Status::internal("the session ended without a status"));
        let mut trailers = HeaderMap::new();
        Poll::Ready(Some(status.add_header(&mut trailers).map(|()| Frame::trailers(trailers))))
    }
}

impl Body for FrameBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        match ready!(self.frames.poll_recv(cx)) {
            Some(frame) => Poll::Ready(Some(Ok(Frame::data(frame)))),
            None => self.poll_trailers(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status_of(polled: Poll<Option<Result<Frame<Bytes>, Status>>>) -> String {
        let Poll::Ready(Some(Ok(frame))) = polled else { panic!("no trailers: {polled:?}") };
        frame.into_trailers().unwrap()["grpc-status"].to_str().unwrap().to_owned()
    }

    #[test]
    fn the_status_may_come_after_the_last_frame() {
        let (sink, mut body) = FrameBody::new();
        let mut cx = Context::from_waker(std::task::Waker::noop());
        drop(sink.frames);
        assert!(Pin::new(&mut body).poll_frame(&mut cx).is_pending());
        sink.status.send(Status::aborted("x")).unwrap();
        assert_eq!(status_of(Pin::new(&mut body).poll_frame(&mut cx)), "10");
        assert!(matches!(Pin::new(&mut body).poll_frame(&mut cx), Poll::Ready(None)));
    }

    #[test]
    fn a_session_that_says_nothing_has_failed() {
        let (sink, mut body) = FrameBody::new();
        let mut cx = Context::from_waker(std::task::Waker::noop());
        drop(sink);
        assert_eq!(status_of(Pin::new(&mut body).poll_frame(&mut cx)), "13");
    }
}
