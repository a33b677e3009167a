//! [`begin`]: an answer that is here already is whole, any other is watched on its way. [`hold`]: an answer that is
//! whole before its client hears of it, as far as that is sensible.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Context;
use std::time::Duration;

use bytes::Bytes;
use http_body::Body as HttpBody;
use omcp_core::{ErrorKind, GatewayError};

use super::passing::{Broken, Passing, Silence};
use super::pieces::{Pieces, at_once, piece_here};

/// Largest answer that is held, bytes; as large as a line of a pipe.
const HELD_LEN_MAX: usize = 16 * 1024 * 1024;

/// What came of it.
pub enum Held<B> {
    Whole(Pieces),
    /// There is more to come.
    Rest(Box<Passing<B>>),
}

/// Looks at what of an answer is here; the rest may be silent for so long.
///
/// # Errors
/// The backend has broken off.
pub fn begin<B>(mut body: B, silence: Duration, context: &mut Context<'_>) -> Result<Held<B>, GatewayError>
where
    B: HttpBody<Data = Bytes, Error: std::error::Error + Send + Sync + 'static> + Unpin,
{
    let first = match piece_here(&mut body, context) {
        None => return Ok(Held::Rest(Passing::new(body, Silence::GiveUp(silence)).into())),
        Some(None) => return Ok(Held::Whole(Pieces::default())),
        Some(Some(first)) => first.map_err(|error| broken(Broken::Upstream(error)))?,
    };
    if body.is_end_stream() {
        return Ok(Held::Whole(first.into()));
    }
    let rest = Passing::new(body, Silence::GiveUp(silence));
    Ok(Held::Rest(rest.behind(first.into()).into()))
}

/// Reads an answer to its end, unless it is too long. `look_at` sees each piece as it comes.
///
/// # Errors
/// The backend breaks off, or is silent for too long.
pub async fn hold<B>(
    body: B,
    silence: Duration,
    mut look_at: impl FnMut(&[u8]),
) -> Result<Held<B>, GatewayError>
where
    B: HttpBody<Data = Bytes, Error: std::error::Error + Send + Sync + 'static> + Unpin,
{
    let is_long = body.size_hint().lower() > HELD_LEN_MAX as u64;
    match at_once(|context| begin(body, silence, context)).await? {
        Held::Whole(pieces) => {
            pieces.iter().for_each(|piece| look_at(piece));
            Ok(Held::Whole(pieces))
        }
        Held::Rest(passing) if !is_long => Box::pin(hold_on(passing, look_at)).await,
        long => Ok(long),
    }
}

async fn hold_on<B>(
    mut passing: Box<Passing<B>>,
    mut look_at: impl FnMut(&[u8]),
) -> Result<Held<B>, GatewayError>
where
    B: HttpBody<Data = Bytes, Error: std::error::Error + Send + Sync + 'static> + Unpin,
{
    let mut pieces = Pieces::default();
    while !passing.is_end_stream() {
        let Some(frame) = poll_fn(|context| Pin::new(&mut *passing).poll_frame(context)).await else { break };
        let Ok(piece) = frame.map_err(broken)?.into_data() else { continue };
        look_at(&piece);
        pieces.push(piece);
        if pieces.len() > HELD_LEN_MAX {
            return Ok(Held::Rest(passing.behind(pieces).into()));
        }
    }
    Ok(Held::Whole(pieces))
}

fn broken<E: std::error::Error + Send + Sync + 'static>(error: Broken<E>) -> GatewayError {
    let kind = match error {
        Broken::Stalled { .. } => ErrorKind::Timeout,
        Broken::Upstream(_) => ErrorKind::Closed,
    };
    GatewayError::new(kind, "the answer broke off").with_source(error)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::time::Duration;

    use futures_util::stream;
    use http_body::Frame;
    use http_body_util::{BodyExt, Full, StreamBody};

    use super::*;

    const WAIT: Duration = Duration::from_secs(5);

    fn body(pieces: Vec<Bytes>) -> impl HttpBody<Data = Bytes, Error = std::io::Error> + Unpin {
        let frames = pieces.into_iter().map(|piece| Ok(Frame::data(piece)));
        StreamBody::new(stream::iter(frames))
    }

    #[tokio::test]
    async fn an_answer_that_is_here_is_whole_and_another_goes_on_from_its_start() {
        for whole in ["", "{}"] {
            let body = Full::new(Bytes::from_static(whole.as_bytes()));
            let begun = at_once(|context| begin(body, WAIT, context)).await.unwrap();
            let Held::Whole(pieces) = begun else { panic!("it is here") };
            assert_eq!(pieces.into_bytes(), whole);
        }
        let pieces = body(vec!["{".into(), "}".into()]);
        let Held::Rest(rest) = at_once(|context| begin(pieces, WAIT, context)).await.unwrap() else {
            panic!("there may be more")
        };
        assert_eq!(rest.collect().await.unwrap().to_bytes(), "{}");
        let broken = stream::iter([Err::<Frame<Bytes>, _>(std::io::Error::other("gone"))]);
        let broken = StreamBody::new(broken);
        let error = at_once(|context| begin(broken, WAIT, context)).await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Closed);
    }

    #[tokio::test]
    async fn an_answer_is_seen_and_kept() {
        for pieces in [&[][..], &["{}"], &["", "{}"], &["{", "\"a\":", "1}"]] {
            let all = pieces.concat();
            let pieces = pieces.iter().map(|piece| Bytes::from_static(piece.as_bytes())).collect();
            let mut seen = Vec::new();
            let held = hold(body(pieces), WAIT, |piece| seen.extend_from_slice(piece)).await.unwrap();
            let Held::Whole(whole) = held else { panic!("it is short") };
            assert_eq!(whole.into_bytes(), all);
            assert_eq!(seen, all.as_bytes());
        }
    }

    #[tokio::test]
    async fn what_is_too_long_goes_on_unchanged() {
        let pieces = vec![Bytes::from(vec![b'a'; HELD_LEN_MAX]), "b".into(), "c".into()];
        let all = pieces.concat();
        let Held::Rest(rest) = hold(body(pieces), WAIT, |_| {}).await.unwrap() else {
            panic!("it is too long")
        };
        assert!(!rest.is_end_stream());
        assert!(rest.collect().await.unwrap().to_bytes() == all);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_stops_is_an_error() {
        let body = StreamBody::new(stream::pending::<Result<Frame<Bytes>, Infallible>>());
        let error = hold(body, WAIT, |_| {}).await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Timeout);
        assert!(error.chain().contains("5000 ms"), "{}", error.chain());
    }
}
