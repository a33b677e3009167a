//! [`Screen`]: one line per node, redrawn in place on a terminal and appended elsewhere.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::time::Instant;

use super::verdict::Verdict;
use crate::output::{self, time};

/// Most lines that are redrawn: what has left the screen cannot be.
const LINES_MAX: usize = 20;

/// Lines of progress on standard error.
#[derive(Debug)]
pub struct Screen {
    redraws: bool,
    started: Instant,
    /// Lines on the terminal that the next drawing replaces.
    drawn: usize,
    /// What was last said about each node.
    said: BTreeMap<String, String>,
    said_empty: bool,
}

impl Screen {
    pub fn new() -> Self {
        let redraws = output::can_redraw();
        Self { redraws, started: Instant::now(), drawn: 0, said: BTreeMap::new(), said_empty: false }
    }

    pub fn show(&mut self, verdicts: &[Verdict]) {
        if verdicts.is_empty() {
            return self.show_empty();
        }
        let elapsed = time::short(self.started.elapsed());
        if self.redraws && verdicts.len() <= LINES_MAX {
            let lines = verdicts.iter().map(|verdict| format!("{}   {elapsed}\n", verdict.line()));
            self.redraw(&lines.collect::<String>(), verdicts.len());
        } else {
            verdicts.iter().for_each(|verdict| self.append(verdict, &elapsed));
        }
    }

    fn show_empty(&mut self) {
        if !self.said_empty {
            output::say("no node is connected; waiting for one");
            self.said_empty = true;
        }
    }

    fn redraw(&mut self, text: &str, lines: usize) {
        let mut out = anstream::stderr().lock();
        if self.drawn > 0 {
            let _ = write!(std::io::stderr(), "\r\x1b[{}A\x1b[J", self.drawn);
        }
        let _ = write!(out, "{text}");
        self.drawn = lines;
    }

    fn append(&mut self, verdict: &Verdict, elapsed: &str) {
        let line = verdict.line();
        if self.said.insert(verdict.node.clone(), line.clone()).as_deref() != Some(&line) {
            output::say(&format!("{line}   {elapsed}"));
        }
    }
}
