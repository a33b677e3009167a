//! The peer over standard input and output: many lines per read, all their answers in one write.

use std::io::{self, Read, Write};

use anyhow::Result;
use memchr::memchr_iter;

use crate::peer::{Answer, Message, PROGRESS_EVENTS};

/// Room for one read: what a pipe holds.
const READ_LEN: usize = 64 * 1024;

/// Serves until the input ends.
///
/// # Errors
/// If the pipes break.
pub fn run() -> Result<()> {
    let (mut input, mut output) = (io::stdin().lock(), io::stdout().lock());
    let (mut pending, mut out) = (Vec::new(), Vec::new());
    let mut chunk = vec![0; READ_LEN];
    loop {
        let len = input.read(&mut chunk)?;
        if len == 0 {
            return Ok(());
        }
        pending.extend_from_slice(&chunk[..len]);
        answer_lines(&mut pending, &mut out);
        output.write_all(&out)?;
        output.flush()?;
        out.clear();
    }
}

/// Answers every whole line and leaves the rest.
fn answer_lines(pending: &mut Vec<u8>, out: &mut Vec<u8>) {
    let mut start = 0;
    for end in memchr_iter(b'\n', pending) {
        answer(&pending[start..end], out);
        start = end + 1;
    }
    pending.drain(..start);
}

fn answer(line: &[u8], out: &mut Vec<u8>) {
    let Ok(message) = Message::read(line) else { return };
    let answer = message.answer();
    if answer == Answer::None {
        return;
    }
    if answer == Answer::Stream {
        for number in 1..=PROGRESS_EVENTS {
            message.write_progress(number, out);
            out.push(b'\n');
        }
    }
    message.write_result(out);
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_lines_are_answered_and_half_lines_wait() {
        let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
        let mut pending = format!("{ping}\n{ping}\n{}", &ping[..10]).into_bytes();
        let mut out = Vec::new();
        answer_lines(&mut pending, &mut out);
        assert_eq!(out.iter().filter(|byte| **byte == b'\n').count(), 2);
        assert_eq!(pending, &ping.as_bytes()[..10]);
    }
}
