//! Rows, verdicts, and how they are printed.

use std::process::ExitCode;

const HEAD: [&str; 6] = ["row", "ours", "yardstick", "ratio", "target", ""];
const WIDTHS: [usize; 6] = [44, 14, 14, 8, 10, 5];

/// The rows so far. Each is printed as soon as it is measured.
#[derive(Debug, Default)]
pub struct Table {
    passed: usize,
    failed: usize,
}

impl Table {
    /// An empty table; prints its head.
    pub fn new() -> Self {
        println!();
        print_row(HEAD.map(str::to_owned));
        println!("{}", "-".repeat(WIDTHS.iter().sum::<usize>() + 2 * (WIDTHS.len() - 1)));
        Self::default()
    }

    /// A row that compares: the ratio must not exceed the target, if there is one.
    pub fn ratio(
        &mut self,
        name: &str,
        ours: f64,
        yardstick: f64,
        ratio: f64,
        unit: &str,
        target: Option<f64>,
    ) {
        let verdict = self.judge(ratio, target);
        let shown = target.map_or_else(String::new, |target| format!("<= {target:.2}"));
        let value = |value: f64| format!("{} {unit}", digits(value));
        print_row([name.to_owned(), value(ours), value(yardstick), format!("{ratio:.2}"), shown, verdict]);
    }

    /// A row of one value: it must not exceed the target, if there is one.
    pub fn value(&mut self, name: &str, ours: f64, unit: &str, target: Option<f64>) {
        let verdict = self.judge(ours, target);
        let shown = target.map_or_else(String::new, |target| format!("<= {target} {unit}"));
        print_row([
            name.to_owned(),
            format!("{} {unit}", digits(ours)),
            String::new(),
            String::new(),
            shown,
            verdict,
        ]);
    }

    /// Prints the sum; the exit code tells whether every target was met.
    pub fn finish(self) -> ExitCode {
        println!();
        println!("{} passed, {} failed", self.passed, self.failed);
        if self.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    fn judge(&mut self, value: f64, target: Option<f64>) -> String {
        match target {
            None => String::new(),
            Some(target) if value <= target => {
                self.passed += 1;
                "ok".to_owned()
            }
            Some(_) => {
                self.failed += 1;
                "MISS".to_owned()
            }
        }
    }
}

/// Three digits that count.
fn digits(value: f64) -> String {
    match value {
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}

fn print_row(cells: [String; 6]) {
    let padded = cells.iter().zip(WIDTHS).enumerate().map(|(column, (cell, width))| match column {
        0 | 5 => format!("{cell:<width$}"),
        _ => format!("{cell:>width$}"),
    });
    println!("{}", padded.collect::<Vec<_>>().join("  ").trim_end());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_met_up_to_its_value() {
        let mut table = Table::default();
        assert_eq!(table.judge(1.6, Some(1.6)), "ok");
        assert_eq!(table.judge(1.61, Some(1.6)), "MISS");
        assert_eq!(table.judge(9.0, None), "");
        assert_eq!((table.passed, table.failed), (1, 1));
    }
}
