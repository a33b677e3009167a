//! [`hold`]: the answer of a backend, whole before its client hears of it, as far as that is sensible.

use std::future::poll_fn;
use std::pin::Pin;

use bytes::Bytes;
use http_body::Body as HttpBody;
use omcp_core::{ErrorKind, GatewayError};

use super::passing::{Broken, Passing};
use super::pieces::Pieces;

/// Largest answer that is held, bytes; as large as a line of a pipe.
const HELD_LEN_MAX: usize = 16 * 1024 * 1024;

/// What came of it.
pub enum Held<B> {
    Whole(Pieces),
    /// It is longer than what is held, and goes on as it comes.
    Long(Passing<B>),
}

/// Reads an answer to its end. `look_at` sees each piece as it comes.
///
/// # Errors
/// The backend breaks off, or is silent for too long.
pub async fn hold<B>(mut passing: Passing<B>, mut look_at: impl FnMut(&[u8])) -> Result<Held<B>, GatewayError>
where
    B: HttpBody<Data = Bytes, Error: std::error::Error + Send + Sync + 'static> + Unpin,
{
    let mut pieces = Pieces::default();
    if passing.size_hint().lower() > HELD_LEN_MAX as u64 {
        return Ok(Held::Long(passing));
    }
    while !passing.is_end_stream() {
        let Some(frame) = poll_fn(|context| Pin::new(&mut passing).poll_frame(context)).await else { break };
        let Ok(piece) = frame.map_err(broken)?.into_data() else { continue };
        look_at(&piece);
        pieces.push(piece);
        if pieces.len() > HELD_LEN_MAX {
            return Ok(Held::Long(passing.behind(pieces)));
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
    use http_body_util::{BodyExt, StreamBody};

    use super::*;
    use crate::front::passing::Silence;

    const WAIT: Duration = Duration::from_secs(5);

    fn passing(pieces: Vec<Bytes>) -> Passing<impl HttpBody<Data = Bytes, Error = std::io::Error> + Unpin> {
        let frames = pieces.into_iter().map(|piece| Ok(Frame::data(piece)));
        Passing::new(StreamBody::new(stream::iter(frames)), Silence::GiveUp(WAIT))
    }

    #[tokio::test]
    async fn an_answer_is_seen_and_kept() {
        for pieces in [&[][..], &["{}"], &["", "{}"], &["{", "\"a\":", "1}"]] {
            let all = pieces.concat();
            let pieces = pieces.iter().map(|piece| Bytes::from_static(piece.as_bytes())).collect();
            let mut seen = Vec::new();
            let held = hold(passing(pieces), |piece| seen.extend_from_slice(piece)).await.unwrap();
            let Held::Whole(whole) = held else { panic!("it is short") };
            assert_eq!(whole.into_bytes(), all);
            assert_eq!(seen, all.as_bytes());
        }
    }

    #[tokio::test]
    async fn what_is_too_long_goes_on_unchanged() {
        let pieces = vec![Bytes::from(vec![b'a'; HELD_LEN_MAX]), "b".into(), "c".into()];
        let all = pieces.concat();
        let Held::Long(rest) = hold(passing(pieces), |_| {}).await.unwrap() else { panic!("it is too long") };
        assert!(!rest.is_end_stream());
        assert!(rest.collect().await.unwrap().to_bytes() == all);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_stops_is_an_error() {
        let body = StreamBody::new(stream::pending::<Result<Frame<Bytes>, Infallible>>());
        let error = hold(Passing::new(body, Silence::GiveUp(WAIT)), |_| {}).await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Timeout);
        assert!(error.chain().contains("5000 ms"), "{}", error.chain());
    }
}
