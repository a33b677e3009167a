use proptest::prelude::*;

use super::*;
use crate::sse::{COMMENT_KEEPALIVE, encode, encode_named, encode_priming, encode_retry};

fn drain(decoder: &mut Decoder) -> Result<Vec<Event>, EventTooLong> {
    let mut events = Vec::new();
    while let Some(event) = decoder.next_event()? {
        events.push(event);
    }
    Ok(events)
}

fn decode(chunks: &[&[u8]]) -> Vec<Event> {
    let mut decoder = Decoder::new(1 << 20);
    let mut events = Vec::new();
    for chunk in chunks {
        decoder.push(chunk);
        events.extend(drain(&mut decoder).unwrap());
    }
    events
}

fn data(text: &'static str) -> Event {
    Event { data: Bytes::from_static(text.as_bytes()), ..Event::default() }
}

#[test]
fn line_ends_of_all_three_kinds_are_equal() {
    for stream in ["data: a\n\ndata: b\n\n", "data: a\r\rdata: b\r\r", "data: a\r\n\r\ndata: b\r\n\r\n"] {
        assert_eq!(decode(&[stream.as_bytes()]), [data("a"), data("b")], "{stream:?}");
    }
}

#[test]
fn fields_mean_what_the_standard_says() {
    let stream =
        "\u{FEFF}: hello\n\nid: 1\nevent: endpoint\nretry: 250\ndata:x\ndata:  y\ndata\nother: z\n\n";
    let want = Event {
        id: Some("1".into()),
        event: Some("endpoint".into()),
        data: Bytes::from_static(b"x\n y\n"),
        retry_ms: Some(250),
    };
    assert_eq!(decode(&[stream.as_bytes()]), [want]);
}

#[test]
fn what_counts_as_an_event() {
    for (stream, want) in [
        ("\n\n\n", vec![]),
        (":\n\n", vec![]),
        ("event: x\n\n", vec![]),
        ("data\n\n", vec![data("")]),
        ("event: message\ndata: a\n\n", vec![data("a")]),
        ("id: 5\n\n", vec![Event { id: Some("5".into()), ..Event::default() }]),
        ("id: 5\ndata:\n\n", vec![Event { id: Some("5".into()), ..Event::default() }]),
        ("id: 5\0\ndata: a\n\n", vec![data("a")]),
        ("retry: 7\n\n", vec![Event { retry_ms: Some(7), ..Event::default() }]),
        ("retry: 7x\ndata: a\n\n", vec![data("a")]),
        ("data: a\n", vec![]),
    ] {
        assert_eq!(decode(&[stream.as_bytes()]), want, "{stream:?}");
    }
}

#[test]
fn a_single_line_shares_the_buffer() {
    let mut decoder = Decoder::new(1 << 20);
    let chunk = Bytes::from(b"data: 0123456789\n\n".to_vec());
    let place = chunk.as_ptr() as usize + 6;
    decoder.push_chunk(chunk);
    let event = decoder.next_event().unwrap().unwrap();
    assert_eq!((&event.data[..], event.data.as_ptr() as usize), (&b"0123456789"[..], place));
}

#[test]
fn the_end_of_the_stream_completes_an_event() {
    let mut decoder = Decoder::new(100);
    decoder.push(b"data: a\n\ndata: b");
    assert_eq!(drain(&mut decoder).unwrap(), [data("a")]);
    assert_eq!(decoder.finish(), Some(data("b")));
    assert_eq!(decoder.finish(), None);
}

#[test]
fn long_events_fail_whether_in_one_line_or_many() {
    let many = "data: 12345\n".repeat(10);
    for stream in [format!("data: {}", "x".repeat(60)), many, format!("data: {}\n\n", "x".repeat(60))] {
        let mut decoder = Decoder::new(40);
        decoder.push(stream.as_bytes());
        assert_eq!(drain(&mut decoder), Err(EventTooLong { max_event_bytes: 40 }), "{stream:?}");
        decoder.push(b"\n\ndata: a\n\n");
        assert!(decoder.next_event().is_err(), "a failed stream stays failed");
        assert_eq!(decoder.finish(), None);
    }
}

#[test]
fn an_event_that_just_fits_is_read() {
    let stream = b"data: 12345\n\n";
    for (max, fits) in [(stream.len(), true), (stream.len() - 1, false)] {
        let mut decoder = Decoder::new(max);
        decoder.push(stream);
        assert_eq!(decoder.next_event().is_ok(), fits);
    }
}

#[test]
fn comments_and_many_short_events_never_add_up_to_the_limit() {
    let mut decoder = Decoder::new(16);
    for _ in 0..100 {
        decoder.push(COMMENT_KEEPALIVE);
        decoder.push(b":\r\n:\r\n: ping\n");
        decoder.push(b"data: 12345\n\ndata: 12345\n\n");
    }
    assert_eq!(drain(&mut decoder).unwrap().len(), 200);
    for _ in 0..100 {
        decoder.push(b": ping\r\n");
        assert_eq!(decoder.next_event(), Ok(None));
    }
}

#[test]
fn what_is_encoded_comes_back() {
    let mut out = BytesMut::new();
    encode_priming("0", Some(9), &mut out);
    out.extend_from_slice(COMMENT_KEEPALIVE);
    encode(Some("1"), b"{\"a\":1}", &mut out);
    encode_named("endpoint", None, b"/x", &mut out);
    encode_retry(10, &mut out);
    let want = [
        Event { id: Some("0".into()), retry_ms: Some(9), ..Event::default() },
        Event { id: Some("1".into()), ..data("{\"a\":1}") },
        Event { event: Some("endpoint".into()), ..data("/x") },
        Event { retry_ms: Some(10), ..Event::default() },
    ];
    assert_eq!(decode(&[&out]), want);
}

fn stream() -> impl Strategy<Value = Vec<u8>> {
    let pieces: [&[u8]; 13] = [
        b"data",
        b"id",
        b"event",
        b"retry",
        b":",
        b" ",
        b"\n",
        b"\r",
        b"\r\n",
        b"7",
        b"x\0",
        b"\xEF\xBB\xBF",
        b"\xFF",
    ];
    let piece = proptest::sample::select(pieces.to_vec());
    proptest::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn chunks_do_not_matter(input in stream(), mut cuts in proptest::collection::vec(any::<usize>(), 0..6)) {
        cuts.iter_mut().for_each(|cut| *cut %= input.len() + 1);
        cuts.sort_unstable();
        let mut chunks = Vec::new();
        let mut from = 0;
        for cut in cuts {
            chunks.push(&input[from..cut]);
            from = cut;
        }
        chunks.push(&input[from..]);
        prop_assert_eq!(decode(&chunks), decode(&[&input]));
    }

    #[test]
    fn any_data_without_carriage_returns_survives(text in "[^\r]{0,60}") {
        let mut out = BytesMut::new();
        encode(None, text.as_bytes(), &mut out);
        let events = decode(&[&out]);
        prop_assert_eq!(events.len(), 1);
        prop_assert_eq!(&events[0].data[..], text.as_bytes());
    }
}
