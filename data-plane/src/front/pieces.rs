//! [`Pieces`]: bytes as they came, and not copied together.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::Body as HttpBody;

/// In their order; mostly one.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Pieces {
    first: Bytes,
    more: VecDeque<Bytes>,
    len: usize,
}

impl From<Bytes> for Pieces {
    fn from(only: Bytes) -> Self {
        Self { len: only.len(), first: only, more: VecDeque::new() }
    }
}

impl Pieces {
    pub fn push(&mut self, piece: Bytes) {
        self.len += piece.len();
        if self.first.is_empty() && self.more.is_empty() {
            self.first = piece;
        } else if !piece.is_empty() {
            self.more.push_back(piece);
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = &Bytes> {
        std::iter::once(&self.first).chain(&self.more)
    }

    /// All together, bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn pop(&mut self) -> Option<Bytes> {
        let first = std::mem::take(&mut self.first);
        let piece = if first.is_empty() { self.more.pop_front()? } else { first };
        self.len -= piece.len();
        Some(piece)
    }

    pub fn into_bytes(self) -> Bytes {
        if self.more.is_empty() {
            return self.first;
        }
        let mut whole = Vec::with_capacity(self.len);
        whole.extend_from_slice(&self.first);
        self.more.iter().for_each(|piece| whole.extend_from_slice(piece));
        whole.into()
    }
}

/// The next piece of a body, if it is here already; none inside at its end.
pub fn piece_here<B>(body: &mut B, context: &mut Context<'_>) -> Option<Option<Result<Bytes, B::Error>>>
where
    B: HttpBody<Data = Bytes> + Unpin,
{
    match Pin::new(body).poll_frame(context) {
        Poll::Pending => None,
        Poll::Ready(None) => Some(None),
        Poll::Ready(Some(Err(error))) => Some(Some(Err(error))),
        Poll::Ready(Some(Ok(frame))) => frame.into_data().ok().map(|data| Some(Ok(data))),
    }
}

/// What a look shows that does not wait.
pub fn at_once<T>(look: impl FnOnce(&mut Context<'_>) -> T) -> impl Future<Output = T> {
    let mut look = Some(look);
    poll_fn(move |context| look.take().map_or(Poll::Pending, |look| Poll::Ready(look(context))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn come_out_as_they_went_in() {
        for given in [&[][..], &["a"], &["", "a", "", "bc"]] {
            let pieces = || {
                let mut pieces = Pieces::default();
                given.iter().for_each(|piece| pieces.push(Bytes::from_static(piece.as_bytes())));
                pieces
            };
            assert_eq!(
                (pieces().len(), pieces().into_bytes()),
                (given.concat().len(), given.concat().into())
            );
            let mut left = pieces();
            let taken: Vec<Bytes> = std::iter::from_fn(|| left.pop()).collect();
            assert!(left.is_empty() && taken.iter().all(|piece| !piece.is_empty()));
            assert_eq!(taken.concat(), given.concat().into_bytes());
        }
    }
}
