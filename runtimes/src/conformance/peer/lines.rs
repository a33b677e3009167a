//! Carries a [`Machine`] over newline JSON: standard input and output, TCP, Unix sockets.

use std::io;

use omcp_mcp::lines::LineDecoder;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::sleep;

use super::{Action, Machine};

/// Longest line taken: four of the largest messages that the suite sends.
const LINE_LEN_MAX: usize = 64 * 1024 * 1024;
/// Room for one read.
const READ_LEN: usize = 64 * 1024;

/// How a conversation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// In good order, by either side.
    Closed,
    /// The machine wants its process to be gone at once.
    Died,
}

/// Serves one conversation to its end.
///
/// # Errors
/// The client is gone in the middle of it, or sent an overlong line.
pub async fn serve(
    mut reader: impl AsyncRead + Unpin,
    mut writer: impl AsyncWrite + Unpin,
    mut machine: Machine,
) -> io::Result<End> {
    let mut decoder = LineDecoder::new(LINE_LEN_MAX);
    loop {
        while let Some(line) = decoder.next_line() {
            for action in machine.hear(&line.map_err(io::Error::other)?) {
                if let Some(end) = act(action, &mut writer).await? {
                    return Ok(end);
                }
            }
            writer.flush().await?;
        }
        decoder.buffer().reserve(READ_LEN);
        if reader.read_buf(decoder.buffer()).await? == 0 {
            return Ok(End::Closed);
        }
    }
}

async fn act(action: Action, writer: &mut (impl AsyncWrite + Unpin)) -> io::Result<Option<End>> {
    match action {
        Action::Say { message: text, .. } | Action::Babble { text, .. } => {
            writer.write_all(text.as_bytes()).await?;
            writer.write_all(b"\n").await?;
        }
        Action::BreakOff { text, .. } => {
            writer.write_all(text.as_bytes()).await?;
            writer.flush().await?;
            return Ok(Some(End::Died));
        }
        Action::Forget { .. } => {}
        Action::Stall(pause) => {
            writer.flush().await?;
            sleep(pause).await;
        }
        Action::HangUp => {
            writer.flush().await?;
            writer.shutdown().await?;
            return Ok(Some(End::Closed));
        }
        Action::Die => return Ok(Some(End::Died)),
    }
    Ok(None)
}
