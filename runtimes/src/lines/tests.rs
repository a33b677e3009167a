use omcp_core::ErrorKind;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex, split};

use super::*;

type Connection = LineConnection<tokio::io::ReadHalf<DuplexStream>, tokio::io::WriteHalf<DuplexStream>>;

fn pair(pipe_len: usize, limits: LineLimits) -> (Connection, DuplexStream) {
    let (ours, theirs) = duplex(pipe_len);
    let (reader, writer) = split(ours);
    (LineConnection::new(reader, writer, limits), theirs)
}

fn message(number: u64, padding: usize) -> McpMessage {
    let text = format!(
        r#"{{"jsonrpc":"2.0","id":{number},"method":"m","params":{{"p":"{}"}}}}"#,
        "x".repeat(padding)
    );
    McpMessage::parse(text.into()).unwrap()
}

fn number(message: &McpMessage) -> u64 {
    std::str::from_utf8(message.id().unwrap()).unwrap().parse().unwrap()
}

async fn ids(connection: &mut Connection) -> Vec<u64> {
    let mut ids = Vec::new();
    while let Some(message) = connection.recv().await.unwrap() {
        ids.push(number(&message));
    }
    ids
}

#[tokio::test]
async fn messages_arrive_in_order_around_garbage() {
    let (mut connection, mut peer) = pair(1 << 16, LineLimits::default());
    let mut input = b"Server started\n\n\r\n".to_vec();
    for id in 0..3 {
        input.extend_from_slice(message(id, 10).bytes());
        input.extend_from_slice(b"\r\n[1]\n\xff\xfe\n{\"half\":\n");
    }
    input.extend_from_slice(message(3, 0).bytes());
    peer.write_all(&input).await.unwrap();
    drop(peer);
    assert_eq!(ids(&mut connection).await, [0, 1, 2, 3]);
    assert_eq!(connection.skipped(), 10);
    assert!(connection.recv().await.unwrap().is_none());
}

#[tokio::test]
async fn half_a_line_at_the_end_is_no_message() {
    let (mut connection, mut peer) = pair(1 << 16, LineLimits::default());
    peer.write_all(br#"{"jsonrpc":"2.0","id":1,"meth"#).await.unwrap();
    drop(peer);
    assert!(connection.recv().await.unwrap().is_none());
    assert_eq!(connection.skipped(), 1);
}

#[tokio::test]
async fn an_overlong_line_ends_the_connection() {
    for tail in ["", "\n"] {
        let limits = LineLimits { line_len_max: 100, ..LineLimits::default() };
        let (mut connection, mut peer) = pair(1 << 16, limits);
        peer.write_all(message(1, 0).bytes()).await.unwrap();
        peer.write_all(format!("\n{}{tail}", "x".repeat(120)).as_bytes()).await.unwrap();
        assert_eq!(number(&connection.recv().await.unwrap().unwrap()), 1);
        for _ in 0..2 {
            let error = connection.recv().await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Protocol);
            assert_eq!(error.to_string(), "the peer sent a line longer than 100 bytes");
        }
    }
}

#[tokio::test]
async fn a_long_line_costs_no_memory_later() {
    let (mut connection, mut peer) = pair(1 << 16, LineLimits::default());
    let sender = tokio::spawn(async move {
        for id in 0..3 {
            peer.write_all(message(id, 3_000_000 * usize::from(id == 1)).bytes()).await.unwrap();
            peer.write_all(b"\n").await.unwrap();
        }
        peer
    });
    for id in 0..3 {
        assert_eq!(number(&connection.recv().await.unwrap().unwrap()), id);
    }
    let _peer = sender.await.unwrap();
    let idle = timeout(Duration::from_millis(20), connection.recv()).await;
    assert!(idle.is_err());
    assert!(connection.input.capacity() <= 256 * 1024, "{}", connection.input.capacity());
}

/// A small generator: the same numbers in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// An echo in small, uneven pieces, so that every poll ends somewhere else.
async fn ragged_echo(peer: DuplexStream, seed: u64) {
    let mut numbers = Numbers(seed);
    let (mut reader, mut writer) = split(peer);
    let mut buffer = [0; 97];
    loop {
        let room = 1 + numbers.below(96) as usize;
        match reader.read(&mut buffer[..room]).await {
            Ok(len @ 1..) => writer.write_all(&buffer[..len]).await.unwrap(),
            _ => return,
        }
        if numbers.below(3) == 0 {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn dropping_recv_anywhere_loses_nothing() {
    for seed in 0..40 {
        let mut numbers = Numbers(seed);
        let (mut connection, peer) = pair(1 + numbers.below(300) as usize, LineLimits::default());
        let echo = tokio::spawn(ragged_echo(peer, seed));
        let (mut sent, mut received) = (0, 0);
        while received < 100 {
            if sent < 100 && numbers.below(2) == 0 {
                connection.send(&message(sent, numbers.below(120) as usize)).await.unwrap();
                sent += 1;
            }
            let mut polls = numbers.below(4);
            let result = poll_fn(|cx| {
                let mut recv = std::pin::pin!(connection.recv());
                match recv.as_mut().poll(cx) {
                    Poll::Ready(result) => Poll::Ready(Some(result)),
                    Poll::Pending if polls == 0 => Poll::Ready(None),
                    Poll::Pending => {
                        polls -= 1;
                        cx.waker().wake_by_ref();
                        Poll::Pending
                    }
                }
            });
            if let Some(result) = result.await {
                assert_eq!(number(&result.unwrap().unwrap()), received, "seed {seed}");
                received += 1;
            }
            tokio::task::yield_now().await;
        }
        connection.close_write().await.unwrap();
        drop(connection);
        echo.await.unwrap();
    }
}

#[tokio::test]
async fn two_full_pipes_do_not_wait_for_each_other() {
    let limits = LineLimits { queue_len_max: 4096, ..LineLimits::default() };
    let (mut connection, peer) = pair(1024, limits);
    // Writes each answer before it reads on, as a simple server does.
    let echo = tokio::spawn(ragged_echo(peer, 1));
    for id in 0..2000 {
        connection.send(&message(id, 200)).await.unwrap();
    }
    for id in 0..2000 {
        assert_eq!(number(&connection.recv().await.unwrap().unwrap()), id);
    }
    drop(connection);
    echo.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_never_reads_times_out() {
    let limits = LineLimits { queue_len_max: 1024, ..LineLimits::default() };
    let (mut connection, _peer) = pair(64, limits);
    let mut sent = 0;
    let error = loop {
        match connection.send(&message(sent, 100)).await {
            Ok(()) => sent += 1,
            Err(error) => break error,
        }
    };
    assert!((5..12).contains(&sent), "{sent}");
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert_eq!(error.to_string(), "the peer did not read its input for 30000 ms");
}

#[tokio::test]
async fn what_a_leaving_peer_said_is_still_read() {
    let (mut connection, mut peer) = pair(1 << 16, LineLimits::default());
    peer.write_all(message(7, 0).bytes()).await.unwrap();
    drop(peer);
    connection.send(&message(1, 0)).await.unwrap();
    assert_eq!(number(&connection.recv().await.unwrap().unwrap()), 7);
    assert!(connection.recv().await.unwrap().is_none());
    assert_eq!(connection.send(&message(2, 0)).await.unwrap_err().kind(), ErrorKind::Closed);
}

#[tokio::test]
async fn queued_lines_leave_in_one_write_before_the_close() {
    let (mut connection, mut peer) = pair(1 << 16, LineLimits::default());
    for id in 0..10 {
        connection.send(&message(id, 0)).await.unwrap();
    }
    let nothing_yet = timeout(Duration::from_millis(5), peer.read_u8()).await;
    assert!(nothing_yet.is_err());
    connection.close_write().await.unwrap();
    connection.close_write().await.unwrap();
    drop(connection);
    let mut text = String::new();
    peer.read_to_string(&mut text).await.unwrap();
    assert_eq!(text.lines().count(), 10);
    assert!(text.ends_with('\n'));
}

#[tokio::test]
async fn discard_reads_to_the_end() {
    let (mut connection, peer) = pair(64, LineLimits::default());
    let (mut reader, mut writer) = split(peer);
    let peer = tokio::spawn(async move {
        writer.write_all(&[b'x'; 10_000]).await.unwrap();
        let mut text = Vec::new();
        reader.read_to_end(&mut text).await.unwrap();
        writer.shutdown().await.unwrap();
        text
    });
    connection.send(&message(1, 0)).await.unwrap();
    timeout(Duration::from_secs(5), connection.discard()).await.unwrap();
    assert!(peer.await.unwrap().starts_with(b"{\"jsonrpc\""));
}
