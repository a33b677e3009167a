//! Both machines driven by a script, one step a line: what fuzzing found is replayed, and read, as text.
//!
//! A line is a command and, behind a space, a message:
//!
//! | lane | session | meaning |
//! | --- | --- | --- |
//! | `c7 {}` | `c7 {}` | the client sends request number 7 |
//! | `n {}` | `n {}` | the client sends a notification |
//! | | `r {}` | the client answers a request |
//! | `g7` | `g7` | the client of request 7 is gone |
//! | `u {}` | `u3 {}` | the server says something (about request 3 of ours) |
//! | | `l3` | request 3 of ours is lost |
//! | | `o`, `x` | the client opens or closes its own stream |
//! | `t` | `t` | the next timer runs out |
//! | `e` | `e` | the lane's connection ends; the session is closed |
//!
//! A lane's first line may be `open {}` with the capabilities of its clients. Lines that are none of these
//! are skipped, so that any bytes are a script.

mod checks;
mod lane;
pub mod model;
mod session;

use std::fmt::Write as _;

use bytes::Bytes;

use super::message::Owned;

/// Runs a script against a [`super::legacy_lane::LegacyLane`] and tells what it did, line by line.
///
/// # Panics
/// The machine broke one of its promises: that is what fuzzing looks for.
pub fn lane(script: &[u8]) -> String {
    lane::run(script)
}

/// Runs a script against a [`super::legacy_session::LegacySession`].
///
/// # Panics
/// As [`lane`].
pub fn session(script: &[u8]) -> String {
    session::run(script)
}

/// Takes the input for a script for [`lane`]; behind an `m`, for what happens between models of its peers.
///
/// # Panics
/// As [`lane`] and [`model::lane::play`].
pub fn any_lane(input: &[u8]) {
    match input.split_first() {
        Some((b'm', choices)) => drop(model::lane::any(&mut model::Choices::new(choices))),
        _ => drop(lane(input)),
    }
}

/// The same for [`session`].
///
/// # Panics
/// As [`session`] and [`model::session::play`].
pub fn any_session(input: &[u8]) {
    match input.split_first() {
        Some((b'm', choices)) => drop(model::session::any(&mut model::Choices::new(choices))),
        _ => drop(session(input)),
    }
}

/// A line taken apart: command, its number, and the message behind it.
struct Step<'a> {
    command: char,
    number: Option<u64>,
    message: Option<Owned>,
    rest: &'a [u8],
}

/// The steps of a script, each with its line.
fn steps(script: &[u8]) -> impl Iterator<Item = (&[u8], Step<'_>)> {
    script.split(|byte| *byte == b'\n').filter_map(|line| {
        let (head, rest) = match line.iter().position(|byte| *byte == b' ') {
            Some(space) => (&line[..space], &line[space + 1..]),
            None => (line, &b""[..]),
        };
        let head = std::str::from_utf8(head).ok()?;
        let command = head.chars().next().filter(char::is_ascii_lowercase)?;
        let message = Owned::scan(Bytes::copy_from_slice(rest)).ok();
        Some((line, Step { command, number: head[1..].parse().ok(), message, rest }))
    })
}

/// What the machine did, as text.
#[derive(Default)]
struct Transcript(String);

impl Transcript {
    fn line(&mut self, line: &[u8]) {
        self.0.push_str(&String::from_utf8_lossy(line));
        self.0.push('\n');
    }

    fn did(&mut self, what: std::fmt::Arguments<'_>) {
        // Writing into a string cannot fail.
        let _ = writeln!(self.0, "> {what}");
    }
}
