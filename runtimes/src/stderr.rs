//! The diagnostic output of a process: always read, so that it never blocks; passed on within bounds.

use std::sync::Arc;

use omcp_core::StderrSink;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::{Duration, Instant};

/// What is longer is cut: a log line, not a dump.
pub const LINE_LEN_MAX: usize = 8 * 1024;
/// What exceeds it is counted and dropped: a process in a loop must not fill the node's log.
pub const LINES_PER_SECOND_MAX: u32 = 100;

/// Reads until the end and gives each line to `sink`.
pub async fn drain(mut input: impl AsyncRead + Unpin, sink: Arc<dyn StderrSink>) {
    let mut buffer = vec![0; LINE_LEN_MAX];
    let mut lines = Lines::new(sink);
    while let Ok(len @ 1..) = input.read(&mut buffer).await {
        lines.take(&buffer[..len]);
    }
    lines.finish();
}

/// Splits what arrives into lines, for those who read it together with something else.
pub struct Lines {
    /// The line that has not ended yet, cut at [`LINE_LEN_MAX`].
    line: Vec<u8>,
    rate: Rate,
}

impl Lines {
    pub fn new(sink: Arc<dyn StderrSink>) -> Self {
        Self { line: Vec::new(), rate: Rate::new(sink) }
    }

    pub fn take(&mut self, mut input: &[u8]) {
        while let Some(end) = memchr::memchr(b'\n', input) {
            self.extend(&input[..end]);
            self.pass_on();
            input = &input[end + 1..];
        }
        self.extend(input);
    }

    fn extend(&mut self, part: &[u8]) {
        let room = LINE_LEN_MAX - self.line.len();
        self.line.extend_from_slice(&part[..part.len().min(room)]);
    }

    fn pass_on(&mut self) {
        self.rate.line(self.line.strip_suffix(b"\r").unwrap_or(&self.line));
        self.line.clear();
    }

    /// The last line may lack its end.
    pub fn finish(mut self) {
        if !self.line.is_empty() {
            self.pass_on();
        }
        self.rate.report_dropped();
    }
}

/// Lets through so many lines a second and says how many it dropped.
pub struct Rate {
    sink: Arc<dyn StderrSink>,
    second: Instant,
    passed: u32,
    dropped: u64,
}

impl Rate {
    pub fn new(sink: Arc<dyn StderrSink>) -> Self {
        Self { sink, second: Instant::now(), passed: 0, dropped: 0 }
    }

    pub fn line(&mut self, line: &[u8]) {
        if self.second.elapsed() >= Duration::from_secs(1) {
            self.report_dropped();
            (self.second, self.passed) = (Instant::now(), 0);
        }
        if self.passed == LINES_PER_SECOND_MAX {
            self.dropped += 1;
            return;
        }
        self.passed += 1;
        self.sink.line(line);
    }

    fn report_dropped(&mut self) {
        if self.dropped > 0 {
            let text =
                format!("[{} lines dropped: more than {LINES_PER_SECOND_MAX} in one second]", self.dropped);
            self.sink.line(text.as_bytes());
            self.dropped = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Default)]
    struct Kept(Mutex<Vec<Vec<u8>>>);

    impl StderrSink for Kept {
        fn line(&self, line: &[u8]) {
            self.0.lock().unwrap().push(line.to_vec());
        }
    }

    async fn drained(input: &[u8]) -> Vec<Vec<u8>> {
        let kept = Arc::new(Kept::default());
        drain(input, kept.clone()).await;
        let lines = kept.0.lock().unwrap();
        lines.clone()
    }

    #[tokio::test]
    async fn lines_are_split_and_the_last_needs_no_end() {
        assert_eq!(drained(b"a\r\n\nbc\nlast").await, [&b"a"[..], b"", b"bc", b"last"]);
        assert!(drained(b"").await.is_empty());
    }

    #[tokio::test]
    async fn a_long_line_is_cut() {
        let mut input = vec![b'x'; 100_000];
        input.extend_from_slice(b"\nnext\n");
        let lines = drained(&input).await;
        assert_eq!(lines.iter().map(Vec::len).collect::<Vec<_>>(), [LINE_LEN_MAX, 4]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_counted() {
        let lines = drained(&b"x\n".repeat(5000)).await;
        assert_eq!(lines.len(), LINES_PER_SECOND_MAX as usize + 1);
        assert_eq!(lines.last().unwrap(), b"[4900 lines dropped: more than 100 in one second]");
    }
}
