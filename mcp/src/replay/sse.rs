//! Event streams.

mod model;

use bytes::{Bytes, BytesMut};

use super::pieces::Cut;
use crate::sse::{Decoder, Event, encode, encode_named};

/// Smallest limit of an event, bytes. A byte order mark, which belongs to none, fits into it.
const LIMIT_MIN: usize = 3;

/// The first byte is the limit of an event, the second the length of a piece, the rest the stream.
///
/// # Panics
/// Events are not what the standard says, depend on how the stream was cut, or do not survive their travel.
pub fn run(input: &[u8]) {
    let Some(cut) = Cut::of(input) else { return };
    let expected = model::events(cut.stream);
    let limit = LIMIT_MIN + usize::from(cut.number);
    let limited = decoded(&cut.ways()[0], limit);
    check_limited(&limited, &expected, cut.stream, limit);
    for pieces in cut.ways() {
        assert_eq!(decoded(&pieces, usize::MAX), (expected.clone(), true), "in {} pieces", pieces.len());
        assert_eq!(decoded(&pieces, limit), limited, "in {} pieces, limited", pieces.len());
    }
    expected.iter().for_each(travels);
    let id = String::from_utf8_lossy(&cut.stream[..cut.stream.len().min(8)]);
    carries(&id, cut.stream);
}

/// The events, and whether the stream could be read to its end.
fn decoded(pieces: &[&[u8]], limit: usize) -> (Vec<Event>, bool) {
    let mut decoder = Decoder::new(limit);
    let mut events = Vec::new();
    let mut whole = true;
    for (at, piece) in pieces.iter().enumerate() {
        // Both doors lead to the same place.
        if at % 2 == 0 {
            decoder.push_chunk(Bytes::copy_from_slice(piece));
        } else {
            decoder.push(piece);
        }
        whole = drain(&mut decoder, &mut events);
    }
    events.extend(decoder.finish());
    assert_eq!(decoder.finish(), None, "a stream ends twice");
    (events, whole)
}

fn drain(decoder: &mut Decoder, events: &mut Vec<Event>) -> bool {
    loop {
        match decoder.next_event() {
            Ok(Some(event)) => events.push(event),
            Ok(None) => return true,
            Err(_) => return false,
        }
    }
}

/// What a limit leaves is the beginning, and all of it if nothing was too long.
fn check_limited((events, whole): &(Vec<Event>, bool), expected: &[Event], stream: &[u8], limit: usize) {
    assert!(expected.starts_with(events), "a limit changed events");
    assert!(events.iter().all(|event| event.data.len() <= limit), "an event outgrew its limit");
    assert!(stream.len() > limit || (*whole && events.len() == expected.len()), "a short stream fails");
}

fn travels(event: &Event) {
    let mut out = BytesMut::new();
    encode_named(event.event.as_deref().unwrap_or("message"), event.id.as_deref(), &event.data, &mut out);
    let (events, _) = decoded(&[&out], usize::MAX);
    assert_eq!(events, [Event { retry_ms: None, ..event.clone() }], "what came back");
}

/// Any bytes can be the data of an event, but for the kinds of line ends.
fn carries(id: &str, data: &[u8]) {
    let mut out = BytesMut::new();
    encode(Some(id), data, &mut out);
    let (events, _) = decoded(&[&out], usize::MAX);
    let id = (!id.contains(['\n', '\r', '\0'])).then(|| id.into());
    let data = model::lines(data).join(&b'\n').into();
    assert_eq!(events, [Event { id, data, ..Event::default() }], "what came back");
}
