//! What was checked: a row per step, and the line at the end.

use std::process::ExitCode;
use std::time::{Duration, Instant};

/// How many checks of a step passed and failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub passed: usize,
    pub failed: usize,
}

impl Counts {
    /// One check.
    pub fn one(passed: bool) -> Self {
        Self { passed: passed.into(), failed: (!passed).into() }
    }

    pub fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

struct Row {
    name: String,
    counts: Counts,
    took: Duration,
}

#[derive(Default)]
pub struct Report {
    rows: Vec<Row>,
}

impl Report {
    /// Runs one step. An error is one failed check, and is shown.
    pub fn step(&mut self, name: &str, work: impl FnOnce() -> anyhow::Result<Counts>) {
        eprintln!("-- {name}");
        let start = Instant::now();
        let counts = work().unwrap_or_else(|error| {
            eprintln!("{name}: {error:#}");
            Counts::one(false)
        });
        self.rows.push(Row { name: name.to_owned(), counts, took: start.elapsed() });
    }

    /// Prints the table and the line that programs read.
    pub fn end(self) -> ExitCode {
        let width = self.rows.iter().map(|row| row.name.len()).max().unwrap_or(0);
        println!("\n{:width$}  {:>6}  {:>6}  {:>7}", "step", "passed", "failed", "seconds");
        for Row { name, counts, took } in &self.rows {
            println!(
                "{name:width$}  {:>6}  {:>6}  {:>7.1}",
                counts.passed,
                counts.failed,
                took.as_secs_f64()
            );
        }
        let total = self.total();
        println!("\n{} passed, {} failed", total.passed, total.failed);
        if total.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    fn total(&self) -> Counts {
        let mut total = Counts::default();
        self.rows.iter().for_each(|row| total.add(row.counts));
        total
    }
}
