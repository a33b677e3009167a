//! A response body: one piece, or events that leave one by one.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use crate::peer::{Message, PROGRESS_EVENTS};

/// A response body.
#[derive(Debug)]
pub struct Body {
    frames: VecDeque<Bytes>,
    /// Whether the length is known beforehand.
    whole: bool,
    /// Whether to step back before the next frame, so that the last one is written by itself.
    step_back: bool,
}

impl Body {
    /// One piece.
    pub fn whole(bytes: Bytes) -> Self {
        let frames = if bytes.is_empty() { VecDeque::new() } else { VecDeque::from([bytes]) };
        Self { frames, whole: true, step_back: false }
    }

    /// The notifications and the result, as server-sent events.
    pub fn events(message: &Message<'_>) -> Self {
        let notifications =
            (1..=PROGRESS_EVENTS).map(|number| event(|out| message.write_progress(number, out)));
        let mut frames: VecDeque<Bytes> = notifications.collect();
        frames.push_back(event(|out| message.write_result(out)));
        Self { frames, whole: false, step_back: false }
    }
}

fn event(write: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    let mut out = Vec::with_capacity(160);
    out.extend_from_slice(b"event: message\ndata: ");
    write(&mut out);
    out.extend_from_slice(b"\n\n");
    out.into()
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.step_back {
            self.step_back = false;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.step_back = !self.whole;
        Poll::Ready(self.frames.pop_front().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.frames.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        if self.whole {
            SizeHint::with_exact(self.frames.iter().map(|f| f.len() as u64).sum())
        } else {
            SizeHint::default()
        }
    }
}
