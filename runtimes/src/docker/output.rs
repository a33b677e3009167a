//! [`Output`]: the two outputs of a container, which its engine sends mixed in one stream.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bollard::container::LogOutput;
use bollard::errors::Error;
use bytes::{Buf, Bytes};
use futures_util::Stream;
use omcp_core::StderrSink;
use tokio::io::{AsyncRead, ReadBuf};

use crate::stderr::Lines;

type Frames = Pin<Box<dyn Stream<Item = Result<LogOutput, Error>> + Send>>;

/// Reads as the container's standard output; what comes of its standard error goes to the sink.
pub struct Output {
    frames: Frames,
    /// What of the newest frame has not been read yet.
    stdout: Bytes,
    /// `None` once the stream has ended.
    stderr: Option<Lines>,
}

impl Output {
    pub fn new(frames: Frames, sink: Arc<dyn StderrSink>) -> Self {
        Self { frames, stdout: Bytes::new(), stderr: Some(Lines::new(sink)) }
    }

    fn end(&mut self) {
        if let Some(lines) = self.stderr.take() {
            lines.finish();
        }
    }
}

impl AsyncRead for Output {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.stdout.is_empty() && self.stderr.is_some() {
            match ready!(self.frames.as_mut().poll_next(cx)) {
                Some(Ok(LogOutput::StdErr { message })) => {
                    self.stderr.iter_mut().for_each(|lines| lines.take(&message));
                }
                Some(Ok(LogOutput::StdOut { message } | LogOutput::Console { message })) => {
                    self.stdout = message;
                }
                Some(Ok(LogOutput::StdIn { .. })) => {}
                Some(Err(error)) => {
                    self.end();
                    return Poll::Ready(Err(io::Error::other(error)));
                }
                None => self.end(),
            }
        }
        let len = self.stdout.len().min(buffer.remaining());
        buffer.put_slice(&self.stdout[..len]);
        self.stdout.advance(len);
        Poll::Ready(Ok(()))
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use futures_util::stream;
    use tokio::io::AsyncReadExt;

    use super::*;

    #[derive(Default)]
    struct Kept(Mutex<Vec<String>>);

    impl StderrSink for Kept {
        fn line(&self, line: &[u8]) {
            self.0.lock().unwrap().push(String::from_utf8_lossy(line).into_owned());
        }
    }

    fn out(message: &'static str) -> Result<LogOutput, Error> {
        Ok(LogOutput::StdOut { message: message.into() })
    }

    fn err(message: &'static str) -> Result<LogOutput, Error> {
        Ok(LogOutput::StdErr { message: message.into() })
    }

    #[tokio::test]
    async fn each_output_goes_its_way() {
        let kept = Arc::new(Kept::default());
        let frames = stream::iter([out("ab"), err("one\ntw"), out(""), out("c\nd"), err("o\nlast")]);
        let mut output = Output::new(Box::pin(frames), kept.clone());
        let mut text = String::new();
        output.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "abc\nd");
        assert_eq!(*kept.0.lock().unwrap(), ["one", "two", "last"]);
    }

    #[tokio::test]
    async fn a_broken_stream_is_an_error_and_then_an_end() {
        let kept = Arc::new(Kept::default());
        let frames = stream::iter([err("last"), Err(Error::RequestTimeoutError), out("never")]);
        let mut output = Output::new(Box::pin(frames), kept.clone());
        assert!(output.read_u8().await.is_err());
        assert_eq!(output.read(&mut [0; 8]).await.unwrap(), 0);
        assert_eq!(*kept.0.lock().unwrap(), ["last"]);
    }
}
