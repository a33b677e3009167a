//! The body of an answer, and the reading of a request's.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use omcp_mcp::refusal::Refusal;
use tokio::time::{Instant, timeout_at};

use super::arrived::Said;
use super::config::FrontConfig;
use super::passing::{Broken, Passing};
use super::pieces::{Pieces, at_once, piece_here};
use super::reply;
use crate::upstream::Streamed;

/// What is taken in of a refused request: a body a few times too large still gets its answer.
const DISCARD_LEN_MAX: usize = 32 * 1024 * 1024;
/// For as long at most.
const DISCARD_TIMEOUT: Duration = Duration::from_secs(2);

/// Bytes that arrive while they are sent.
pub type Events = Pin<Box<dyn Stream<Item = Bytes> + Send>>;

/// What an answer consists of.
pub enum Body {
    /// All of it, or nothing.
    Whole(Pieces),
    /// The bytes of an upstream's answer, as they come.
    Upstream(Box<Passing<Streamed>>),
    /// A stream that this node writes.
    Events(Events),
}

impl Body {
    pub fn empty() -> Self {
        Self::Whole(Pieces::default())
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes::from(bytes).into()
    }
}

impl From<Pieces> for Body {
    fn from(pieces: Pieces) -> Self {
        Self::Whole(pieces)
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self::Whole(bytes.into())
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = Broken<hyper::Error>;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match self.get_mut() {
            Self::Whole(pieces) => Poll::Ready(pieces.pop().map(|piece| Ok(Frame::data(piece)))),
            Self::Upstream(body) => Pin::new(&mut **body).poll_frame(context),
            Self::Events(events) => {
                events.as_mut().poll_next(context).map(|item| item.map(|bytes| Ok(Frame::data(bytes))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(pieces) => pieces.is_empty(),
            Self::Upstream(body) => body.is_end_stream(),
            Self::Events(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(pieces) => SizeHint::with_exact(pieces.len() as u64),
            Self::Upstream(body) => body.size_hint(),
            Self::Events(_) => SizeHint::default(),
        }
    }
}

/// Reads a whole request body. One that arrives in one piece is not copied.
///
/// # Errors
/// 413 beyond `config.body_len_max`, 408 if it comes too slowly, 400 if the client breaks off.
pub async fn read(said: &Said, body: &mut Incoming, config: &FrontConfig) -> Result<Bytes, Refusal> {
    let len_max = config.body_len_max;
    if said.len.is_some_and(|len| len > len_max as u64) {
        return Err(Refusal::body_too_large(len_max));
    }
    // A body that is already here needs no clock.
    let first = match at_once(|context| piece_here(body, context)).await {
        None => Bytes::new(),
        Some(None) => return Ok(Bytes::new()),
        Some(Some(Err(_))) => return Err(reply::body_broken()),
        Some(Some(Ok(whole))) if body.is_end_stream() && whole.len() <= len_max => return Ok(whole),
        Some(Some(Ok(first))) => first,
    };
    Box::pin(read_on(first, body, config)).await
}

/// Takes in what is left of a refused request, within bounds: a client that still writes when the
/// connection closes would never read why it was refused.
pub async fn discard(body: &mut Incoming) {
    let mut left = DISCARD_LEN_MAX;
    let rest = async {
        while let Ok(Some(piece)) = next_piece(body).await {
            match left.checked_sub(piece.len()) {
                Some(rest) => left = rest,
                None => return,
            }
        }
    };
    drop(tokio::time::timeout(DISCARD_TIMEOUT, rest).await);
}

async fn read_on(first: Bytes, body: &mut Incoming, config: &FrontConfig) -> Result<Bytes, Refusal> {
    let began = Instant::now();
    let (mut only, mut whole) = (first, BytesMut::new());
    loop {
        let len = only.len() + whole.len();
        if len > config.body_len_max {
            return Err(Refusal::body_too_large(config.body_len_max));
        }
        let next = timeout_at(began + config.body_time(len), next_piece(body)).await;
        match next.map_err(|_| reply::body_too_slow(config))?? {
            None if whole.is_empty() => return Ok(only),
            None => return Ok(whole.freeze()),
            Some(piece) if len == 0 => only = piece,
            Some(piece) => {
                if whole.is_empty() {
                    whole = BytesMut::from(std::mem::take(&mut only));
                }
                whole.extend_from_slice(&piece);
            }
        }
    }
}

async fn next_piece(body: &mut Incoming) -> Result<Option<Bytes>, Refusal> {
    loop {
        let frame = std::future::poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await;
        match frame {
            None => return Ok(None),
            Some(Err(_)) => return Err(reply::body_broken()),
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
        }
    }
}
