//! [`Passing`]: a backend's answer on its way through, with an eye on its silence.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::{Instant, Sleep};

/// A comment without the empty line after it: it may stand between any two lines, also inside an event.
const COMMENT: Bytes = Bytes::from_static(b":\n");

/// What silence leads to.
#[derive(Clone, Copy, Debug)]
pub enum Silence {
    /// An event stream may be silent for ever; a comment after so long keeps proxies from giving up on it.
    Comment(Duration),
    /// Anything else has begun and has to go on: after so long it is given up.
    GiveUp(Duration),
}

/// Why a body ends before its time.
#[derive(Debug, thiserror::Error)]
pub enum Broken<E> {
    #[error(transparent)]
    Upstream(E),
    #[error("the backend stopped in the middle of its answer: nothing came for {silent_ms} ms")]
    Stalled { silent_ms: u128 },
}

/// The body `B`, unchanged but for comments.
pub struct Passing<B> {
    body: B,
    silence: Silence,
    /// Made at the first wait: most answers are there at once.
    timer: Option<Timer>,
    at_line_start: bool,
}

struct Timer {
    heard: Instant,
    sleep: Pin<Box<Sleep>>,
}

impl<B: HttpBody<Data = Bytes> + Unpin> Passing<B> {
    pub fn new(body: B, silence: Silence) -> Self {
        // What has announced its length takes no additions.
        let silence = match silence {
            Silence::Comment(after) if body.size_hint().exact().is_some() => Silence::GiveUp(after),
            silence => silence,
        };
        Self { body, silence, timer: None, at_line_start: true }
    }

    fn poll_silence(&mut self, context: &mut Context<'_>) -> Poll<Result<Frame<Bytes>, Broken<B::Error>>> {
        let (Silence::Comment(after) | Silence::GiveUp(after)) = self.silence;
        let now = Instant::now;
        let Timer { heard, sleep } = self
            .timer
            .get_or_insert_with(|| Timer { heard: now(), sleep: Box::pin(tokio::time::sleep(after)) });
        while sleep.as_mut().poll(context).is_ready() {
            let silent = now() >= *heard + after;
            if silent {
                *heard = now();
            }
            sleep.as_mut().reset(*heard + after);
            match self.silence {
                Silence::GiveUp(_) if silent => {
                    return Poll::Ready(Err(Broken::Stalled { silent_ms: after.as_millis() }));
                }
                Silence::Comment(_) if silent && self.at_line_start => {
                    return Poll::Ready(Ok(Frame::data(COMMENT)));
                }
                _ => {}
            }
        }
        Poll::Pending
    }
}

impl<B: HttpBody<Data = Bytes> + Unpin> HttpBody for Passing<B> {
    type Data = Bytes;
    type Error = Broken<B::Error>;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.get_mut();
        let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(context) else {
            return this.poll_silence(context).map(Some);
        };
        if let Some(Ok(frame)) = &frame
            && let Some(last) = frame.data_ref().and_then(|data| data.last())
        {
            this.at_line_start = *last == b'\n';
            if let Some(timer) = &mut this.timer {
                timer.heard = Instant::now();
            }
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Broken::Upstream)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{Stream, StreamExt};
    use http_body_util::{BodyExt, StreamBody};

    use super::*;

    const AFTER: Duration = Duration::from_secs(15);

    /// A body whose pieces come after these many seconds each; then it stays open for as many more.
    fn slow(
        pieces: &'static [(u64, &'static str)],
        open: u64,
    ) -> impl HttpBody<Data = Bytes, Error = String> + Unpin {
        let pieces = futures_util::stream::iter(pieces).then(|(wait, text)| async move {
            tokio::time::sleep(Duration::from_secs(*wait)).await;
            Ok::<_, String>(Frame::data(Bytes::from_static(text.as_bytes())))
        });
        let tail = futures_util::stream::once(async move {
            tokio::time::sleep(Duration::from_secs(open)).await;
            Ok(Frame::data(Bytes::new()))
        });
        let all: Pin<Box<dyn Stream<Item = _> + Send>> = Box::pin(pieces.chain(tail));
        StreamBody::new(all)
    }

    async fn text(body: impl HttpBody<Data = Bytes, Error = impl std::fmt::Debug>) -> String {
        let bytes = body.collect().await.unwrap().to_bytes();
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_event_stream_gets_comments_between_its_lines() {
        let body = slow(&[(1, "data: a\n\n"), (40, "data: b"), (40, "c\n"), (20, "\n")], 0);
        let seen = text(Passing::new(body, Silence::Comment(AFTER))).await;
        assert_eq!(seen, "data: a\n\n:\n:\ndata: bc\n:\n\n", "never inside a line");
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_silent_from_its_start_gets_comments_too() {
        assert_eq!(text(Passing::new(slow(&[], 31), Silence::Comment(AFTER))).await, ":\n:\n");
    }

    #[tokio::test(start_paused = true)]
    async fn another_answer_may_be_slow_but_not_stop() {
        let steady = slow(&[(10, "{"), (14, "}")], 0);
        assert_eq!(text(Passing::new(steady, Silence::GiveUp(AFTER))).await, "{}");
        let stalled = slow(&[(1, "{"), (16, "}")], 0);
        let error = Passing::new(stalled, Silence::GiveUp(AFTER)).collect().await.unwrap_err();
        assert!(error.to_string().ends_with("nothing came for 15000 ms"), "{error}");
    }
}
