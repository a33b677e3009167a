//! Bytes that are no HTTP, or only just.

use std::time::Duration;

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How many there are.
pub const COUNT: usize = 14;
const LIMIT: Duration = Duration::from_secs(15);

/// What is sent, and the status lines that may answer it; none: the connection is closed without a word.
fn cases() -> [(Vec<u8>, &'static [&'static str]); COUNT] {
    const BAD: &[&str] = &["400"];
    const BAD_OR_NONE: &[&str] = &["400", ""];
    let head =
        |lines: &str| format!("POST /mcp/stdio HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n").into_bytes();
    let big_header = format!("X-Big: {}\r\n", "x".repeat(64 * 1024));
    let many_headers = "X-Many: 1\r\n".repeat(500);
    [
        (b"nonsense\r\n\r\n".to_vec(), BAD),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(), BAD_OR_NONE),
        (b"GET  HTTP/1.1\r\n\r\n".to_vec(), BAD),
        (b"POST /mcp/stdio HTTP/9.9\r\nHost: localhost\r\n\r\n".to_vec(), BAD_OR_NONE),
        (head("no colon here\r\n"), BAD),
        (head("Bad Name: x\r\n"), BAD),
        (head("X: a\x01b\r\n"), BAD),
        (head("Content-Length: abc\r\n"), BAD),
        (head("Content-Length: -1\r\n"), BAD),
        (head("Content-Length: 2\r\nContent-Length: 3\r\n"), BAD),
        (head("Transfer-Encoding: banana\r\n"), BAD),
        (
            [head("Transfer-Encoding: chunked\r\nContent-Type: application/json\r\n"), b"zz\r\n".to_vec()]
                .concat(),
            BAD,
        ),
        (head(&big_header), &["431"]),
        (head(&many_headers), &["431"]),
    ]
}

/// Sends them on connections of their own; a line for each answer that is not the documented one.
pub async fn try_all(node: &str) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    for (number, (bytes, wanted)) in cases().into_iter().enumerate() {
        let status = status_of(node.trim_start_matches("http://"), &bytes).await?;
        if !wanted.contains(&status.as_str()) {
            let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(80)]).into_owned();
            wrong.push(format!("bytes {number} {shown:?}: wanted one of {wanted:?}, not {status:?}"));
        }
    }
    Ok(wrong)
}

/// The status of the answer; empty if there is none.
async fn status_of(address: &str, bytes: &[u8]) -> Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    // The other side may have hung up before it read everything.
    stream.write_all(bytes).await.ok();
    let mut answer = vec![0; 64];
    let length = timeout(LIMIT, stream.read(&mut answer)).await?.unwrap_or(0);
    let line = String::from_utf8_lossy(&answer[..length]).into_owned();
    Ok(line.split(' ').nth(1).unwrap_or_default().to_owned())
}
