//! [`Passing`]: a backend's answer on its way through, with an eye on its silence.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::watch;
use tokio::time::{Instant, Sleep};

use super::body::Events;
use super::owed::Owed;
use super::pieces::Pieces;

/// A comment without the empty line after it: it may stand between any two lines, also inside an event.
const COMMENT: Bytes = Bytes::from_static(b":\n");

/// What silence leads to.
pub enum Silence {
    /// An event stream may be silent; a comment after so long keeps proxies from giving up on it. If an
    /// answer is owed, it may not be silent for ever.
    Comment(Duration, Option<Owed>),
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
    /// What was read of it already.
    ahead: Option<Box<Pieces>>,
    body: B,
    silence: Silence,
    /// Made at the first wait: most answers are there at once.
    timer: Option<Timer>,
    at_line_start: bool,
    at_event_start: bool,
    over: bool,
}

struct Timer {
    began: Instant,
    /// When the backend said something.
    heard: Instant,
    /// When the client was told something.
    told: Instant,
    sleep: Pin<Box<Sleep>>,
}

impl Timer {
    fn new(after: Duration) -> Self {
        let now = Instant::now();
        Self { began: now, heard: now, told: now, sleep: Box::pin(tokio::time::sleep(after)) }
    }
}

impl<B: HttpBody<Data = Bytes> + Unpin> Passing<B> {
    pub fn new(body: B, silence: Silence) -> Self {
        // What has announced its length takes no additions.
        let silence = match silence {
            Silence::Comment(after, _) if body.size_hint().exact().is_some() => Silence::GiveUp(after),
            silence => silence,
        };
        Self {
            ahead: None,
            body,
            silence,
            timer: None,
            at_line_start: true,
            at_event_start: true,
            over: false,
        }
    }

    /// Gives back what was read of it.
    pub fn behind(self, ahead: Pieces) -> Self {
        Self { ahead: Some(Box::new(ahead)), ..self }
    }

    /// Whether the last piece ended an event, so that another one may follow.
    pub fn is_between_events(&self) -> bool {
        self.at_event_start
    }

    fn poll_silence(&mut self, context: &mut Context<'_>) -> Poll<Result<Frame<Bytes>, Broken<B::Error>>> {
        let (Silence::Comment(after, _) | Silence::GiveUp(after)) = self.silence;
        let timer = self.timer.get_or_insert_with(|| Timer::new(after));
        while timer.sleep.as_mut().poll(context).is_ready() {
            let now = Instant::now();
            let silent = now >= timer.told.max(timer.heard) + after;
            if silent {
                timer.told = now;
            }
            timer.sleep.as_mut().reset(timer.told.max(timer.heard) + after);
            match &self.silence {
                Silence::GiveUp(_) if silent => {
                    return Poll::Ready(Err(Broken::Stalled { silent_ms: after.as_millis() }));
                }
                Silence::Comment(_, Some(owed))
                    if now >= timer.heard + owed.silence || now >= timer.began + owed.max =>
                {
                    self.over = true;
                    let silent_ms = owed.silence.as_millis();
                    let told = self.at_event_start.then(|| Frame::data(owed.overdue()));
                    return Poll::Ready(told.ok_or(Broken::Stalled { silent_ms }));
                }
                Silence::Comment(..) if silent && self.at_line_start => {
                    return Poll::Ready(Ok(Frame::data(COMMENT)));
                }
                _ => {}
            }
        }
        Poll::Pending
    }

    fn note(&mut self, data: &[u8]) {
        let Some(last) = data.last() else { return };
        self.at_event_start = match data {
            b"\n" => self.at_line_start,
            b"\r\n" => self.at_line_start,
            _ => data.ends_with(b"\n\n") || data.ends_with(b"\n\r\n"),
        };
        self.at_line_start = *last == b'\n';
        if let Some(timer) = &mut self.timer {
            timer.heard = Instant::now();
        }
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
        if let Some(piece) = this.ahead.as_mut().and_then(|ahead| ahead.pop()) {
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        this.ahead = None;
        if this.over {
            return Poll::Ready(None);
        }
        let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(context) else {
            return this.poll_silence(context).map(Some);
        };
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            this.note(data);
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Broken::Upstream)))
    }

    fn is_end_stream(&self) -> bool {
        self.ahead.as_ref().is_none_or(|ahead| ahead.is_empty()) && (self.over || self.body.is_end_stream())
    }

    /// Of one that was begun, the head of the answer tells more.
    fn size_hint(&self) -> SizeHint {
        if self.ahead.is_some() { SizeHint::default() } else { self.body.size_hint() }
    }
}

/// An event stream that a node passes on until it stops: then its client is told so with `last`, if the
/// moment allows it, and the stream ends.
pub fn until_stopped<B>(passing: Passing<B>, stopping: watch::Receiver<bool>, last: Bytes) -> Events
where
    B: HttpBody<Data = Bytes, Error: Send> + Send + Unpin + 'static,
{
    Box::pin(stream::unfold(Some((passing, stopping, last)), |state| async move {
        let (mut passing, mut stopping, last) = state?;
        let stop = async { drop(stopping.wait_for(|stop| *stop).await) };
        tokio::select! {
            piece = next(&mut passing) => piece.map(|piece| (piece, Some((passing, stopping, last)))),
            () = stop => passing.is_between_events().then_some((last, None)),
        }
    }))
}

async fn next<B: HttpBody<Data = Bytes> + Unpin>(passing: &mut Passing<B>) -> Option<Bytes> {
    loop {
        let frame = std::future::poll_fn(|context| Pin::new(&mut *passing).poll_frame(context)).await;
        if let Ok(data) = frame?.ok()?.into_data() {
            return Some(data);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{Stream, StreamExt};
    use http_body_util::{BodyExt, StreamBody};

    use super::*;
    use crate::front::events;

    const AFTER: Duration = Duration::from_secs(15);

    /// A body whose pieces come after these many seconds each; then it stays open for as many more.
    fn slow(
        pieces: &'static [(u64, &'static str)],
        open: u64,
    ) -> impl HttpBody<Data = Bytes, Error = String> + Unpin {
        let pieces = stream::iter(pieces).then(|(wait, text)| async move {
            tokio::time::sleep(Duration::from_secs(*wait)).await;
            Ok::<_, String>(Frame::data(Bytes::from_static(text.as_bytes())))
        });
        let tail = stream::once(async move {
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
        let seen = text(Passing::new(body, Silence::Comment(AFTER, None))).await;
        assert_eq!(seen, "data: a\n\n:\n:\ndata: bc\n:\n\n", "never inside a line");
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_silent_from_its_start_gets_comments_too() {
        assert_eq!(text(Passing::new(slow(&[], 31), Silence::Comment(AFTER, None))).await, ":\n:\n");
    }

    #[tokio::test(start_paused = true)]
    async fn another_answer_may_be_slow_but_not_stop() {
        let steady = slow(&[(10, "{"), (14, "}")], 0);
        assert_eq!(text(Passing::new(steady, Silence::GiveUp(AFTER))).await, "{}");
        let stalled = slow(&[(1, "{"), (16, "}")], 0);
        let error = Passing::new(stalled, Silence::GiveUp(AFTER)).collect().await.unwrap_err();
        assert!(error.to_string().ends_with("nothing came for 15000 ms"), "{error}");
    }

    fn owed(silence: u64, max: u64) -> Silence {
        let seconds = Duration::from_secs;
        let (id, backend) = (Bytes::from_static(b"7"), "b".parse().unwrap());
        let owed = Owed { id, backend, silence: seconds(silence), max: seconds(max) };
        Silence::Comment(AFTER, Some(owed))
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_owed_may_not_stay_away_for_ever() {
        for (pieces, silence, max) in [
            (&[(1, "data: a\n\n")][..], 100, 1000),
            (&[(50, "data: a\n\n"), (50, "data: b\n\n"), (50, "data: c\n\n")], 100, 120),
        ] {
            let seen = text(Passing::new(slow(pieces, 10_000), owed(silence, max))).await;
            let last = seen.rsplit("data: ").next().unwrap();
            let error: serde_json::Value = serde_json::from_str(last.trim()).unwrap();
            assert_eq!((&error["id"], &error["error"]["data"]["reason"]), (&7.into(), &"timeout".into()));
        }
        let cut = Passing::new(slow(&[(1, "data: half")], 10_000), owed(100, 1000)).collect().await;
        assert!(cut.is_err(), "nothing is put into the middle of an event");
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_ends_with_the_node_and_never_in_the_middle_of_an_event() {
        for (piece, seen) in [("data: a\n\n", "data: a\n\nretry: 1000\n\n"), ("data: ha", "data: ha")] {
            let pieces: &'static [(u64, &'static str)] = vec![(1, piece)].leak();
            let stopping = watch::Sender::new(false);
            let passing = Passing::new(slow(pieces, 10_000), Silence::Comment(Duration::from_secs(60), None));
            let events = until_stopped(passing, stopping.subscribe(), events::COME_BACK);
            let stop = async {
                tokio::time::sleep(Duration::from_secs(5)).await;
                stopping.send_replace(true);
            };
            let (pieces, ()) = tokio::join!(events.collect::<Vec<_>>(), stop);
            assert_eq!(pieces.concat(), seen.as_bytes());
        }
    }
}
