//! [`Streamed`]: an answer's body. At its end the connection goes back to the pool; dropped before
//! that, an HTTP/1 connection closes, which tells the backend that nobody reads on.

use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::dial::Link;
use super::pool::Pool;
use super::room::Place;

pub struct Streamed {
    body: Incoming,
    link: Option<Link>,
    pool: Weak<Pool>,
    place: Option<Place>,
}

impl Streamed {
    pub(super) fn new(body: Incoming, link: Link, pool: &Arc<Pool>) -> Self {
        let mut streamed = Self { body, link: Some(link), pool: Arc::downgrade(pool), place: None };
        if streamed.body.is_end_stream() || streamed.link.as_ref().is_some_and(Link::is_http2) {
            streamed.give_back();
        }
        streamed
    }

    /// Takes the place of its call along, until its end.
    pub fn holding(mut self, place: Option<Place>) -> Self {
        self.place = place.filter(|_| !self.body.is_end_stream());
        self
    }

    fn give_back(&mut self) {
        if let (Some(link), Some(pool)) = (self.link.take(), self.pool.upgrade()) {
            pool.put(link);
        }
    }
}

impl Body for Streamed {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.body).poll_frame(context);
        let ended = match &polled {
            Poll::Ready(None) => true,
            Poll::Ready(Some(Ok(_))) => this.body.is_end_stream(),
            _ => false,
        };
        if ended {
            this.place = None;
            this.give_back();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
