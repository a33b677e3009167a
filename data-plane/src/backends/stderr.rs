//! [`StderrRing`]: the last lines that a backend's processes wrote to their standard error.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use omcp_core::StderrSink;
use tokio::sync::broadcast;

use super::health::bounded;

/// Bytes kept per backend: a few screens, and 640 MiB at most for 10,000 of them that all write.
pub const RING_LEN_MAX: usize = 64 * 1024;
/// Longest line kept, bytes; the rest of it is dropped.
pub const LINE_LEN_MAX: usize = 4 * 1024;
/// Bytes of how a process ended: a sentence or two.
const LAST_EXIT_LEN_MAX: usize = 512;
/// Lines a follower may lag behind before it misses some.
const FOLLOW_LINES: usize = 256;

/// A bounded ring of lines. Costs nothing until the first line comes.
#[derive(Default)]
pub struct StderrRing {
    inner: Mutex<Ring>,
}

#[derive(Default)]
struct Ring {
    lines: VecDeque<Box<str>>,
    len: usize,
    last_exit: Box<str>,
    followers: Option<broadcast::Sender<Box<str>>>,
}

impl StderrRing {
    /// The newest `count` lines, oldest first.
    pub fn last(&self, count: usize) -> Vec<Box<str>> {
        let ring = self.lock();
        let skip = ring.lines.len().saturating_sub(count);
        ring.lines.iter().skip(skip).cloned().collect()
    }

    /// The newest lines that fit `len_max` bytes, oldest first.
    pub fn tail(&self, len_max: usize) -> Vec<String> {
        let ring = self.lock();
        let mut room = len_max;
        let newest_first = ring.lines.iter().rev().map_while(|line| {
            room = room.checked_sub(line.len())?;
            Some(line.to_string())
        });
        let mut lines: Vec<_> = newest_first.collect();
        lines.reverse();
        lines
    }

    /// How the last process ended that nobody asked to; empty if there is none.
    pub fn last_exit(&self) -> String {
        self.lock().last_exit.to_string()
    }

    /// The newest `count` lines, and those to come.
    pub fn follow(&self, count: usize) -> (Vec<Box<str>>, broadcast::Receiver<Box<str>>) {
        let mut ring = self.lock();
        let skip = ring.lines.len().saturating_sub(count);
        let lines = ring.lines.iter().skip(skip).cloned().collect();
        let followers = ring.followers.get_or_insert_with(|| broadcast::channel(FOLLOW_LINES).0);
        (lines, followers.subscribe())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Ring> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StderrSink for StderrRing {
    fn line(&self, line: &[u8]) {
        let line = readable(line);
        let mut ring = self.lock();
        ring.len += line.len();
        while ring.len > RING_LEN_MAX {
            let Some(oldest) = ring.lines.pop_front() else { break };
            ring.len -= oldest.len();
        }
        if let Some(followers) = &ring.followers
            && followers.send(line.clone()).is_err()
        {
            ring.followers = None;
        }
        ring.lines.push_back(line);
    }

    fn ended(&self, how: &str) {
        self.line(format!("[{how}]").as_bytes());
        self.lock().last_exit = bounded(readable(how.as_bytes()).into(), LAST_EXIT_LEN_MAX).into();
    }
}

/// Text that may go to a terminal: no control bytes, so that no backend can move its cursor.
fn readable(line: &[u8]) -> Box<str> {
    let line = &line[..line.len().min(LINE_LEN_MAX)];
    let text = String::from_utf8_lossy(line);
    let plain = text.chars().map(|c| if c == '\t' { ' ' } else { c }).filter(|c| !c.is_control());
    plain.collect::<String>().into_boxed_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_bytes_go_and_long_lines_end() {
        let ring = StderrRing::default();
        ring.line(b"\x1b[31mred\x07\tx\r");
        ring.line(&[b'y'; LINE_LEN_MAX + 5]);
        ring.line(b"\xff\xfe");
        let lines = ring.last(9);
        assert_eq!(&*lines[0], "[31mred x");
        assert_eq!(lines[1].len(), LINE_LEN_MAX);
        assert_eq!(&*lines[2], "\u{fffd}\u{fffd}");
    }

    #[test]
    fn an_end_stands_behind_the_last_words() {
        let ring = StderrRing::default();
        assert_eq!(ring.last_exit(), "");
        ring.line(b"help");
        ring.ended("pid 7: exited with status 3");
        assert_eq!(ring.last(9), ["help", "[pid 7: exited with status 3]"].map(Box::<str>::from));
        ring.ended(&"x".repeat(9999));
        assert_eq!(ring.last_exit().len(), LAST_EXIT_LEN_MAX);
    }

    #[test]
    fn only_the_newest_are_kept() {
        let ring = StderrRing::default();
        for n in 0..20_000 {
            ring.line(format!("line {n:05}").as_bytes());
        }
        assert!(ring.lock().len <= RING_LEN_MAX);
        assert_eq!(ring.last(2), ["line 19998", "line 19999"].map(Box::<str>::from));
        assert_eq!(ring.tail(25), ["line 19998", "line 19999"]);
        assert!(ring.tail(5).is_empty());
    }

    #[test]
    fn followers_hear_what_comes() {
        let ring = StderrRing::default();
        ring.line(b"old");
        let (lines, mut news) = ring.follow(5);
        ring.line(b"new");
        assert_eq!(lines, [Box::<str>::from("old")]);
        assert_eq!(news.try_recv().as_deref(), Ok("new"));
        drop(news);
        ring.line(b"nobody listens");
        assert!(ring.lock().followers.is_none());
    }
}
