//! What was sent, and what was executed: the tool `tally` writes down each of its calls.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The calls of `tally`, by nonce.
pub struct Ledger {
    file: PathBuf,
    calls: Mutex<HashMap<u64, Call>>,
}

#[derive(Clone, Copy, Default)]
struct Call {
    sends: u32,
    answered: bool,
}

/// The two sides compared.
#[derive(Debug, Default)]
pub struct Balance {
    pub sends: u64,
    pub executions: u64,
    /// Executed more often than sent, or never sent.
    pub excess: Vec<u64>,
    /// Answered with success, and not executed.
    pub invented: Vec<u64>,
}

impl Ledger {
    pub fn new(file: PathBuf) -> Self {
        Self { file, calls: Mutex::default() }
    }

    /// Where backends write.
    pub fn file(&self) -> &Path {
        &self.file
    }

    pub fn sent(&self, nonce: u64) {
        self.lock().entry(nonce).or_default().sends += 1;
    }

    pub fn answered(&self, nonce: u64) {
        self.lock().entry(nonce).or_default().answered = true;
    }

    /// # Panics
    /// What the backends wrote is no list of nonces.
    pub fn balance(&self) -> Balance {
        let written = fs::read_to_string(&self.file).unwrap_or_default();
        let mut executed: HashMap<u64, u32> = HashMap::new();
        for line in written.lines() {
            *executed.entry(line.parse().expect("a line is a nonce")).or_default() += 1;
        }
        let calls = self.lock();
        let count = |nonce: &u64| executed.get(nonce).copied().unwrap_or(0);
        let sends = |nonce: &u64| calls.get(nonce).map_or(0, |call| call.sends);
        Balance {
            sends: calls.values().map(|call| u64::from(call.sends)).sum(),
            executions: executed.values().map(|count| u64::from(*count)).sum(),
            excess: executed.keys().filter(|nonce| count(nonce) > sends(nonce)).copied().collect(),
            invented: calls
                .iter()
                .filter(|(nonce, call)| call.answered && count(nonce) == 0)
                .map(|(nonce, _)| *nonce)
                .collect(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Call>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runs_too_often_and_what_never_ran_stands_out() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::new(folder.path().join("tally"));
        for nonce in [1, 2, 2, 3] {
            ledger.sent(nonce);
        }
        ledger.answered(1);
        ledger.answered(3);
        fs::write(ledger.file(), "1\n1\n2\n2\n4\n").unwrap();
        let mut balance = ledger.balance();
        balance.excess.sort_unstable();
        assert_eq!((balance.sends, balance.executions), (4, 5));
        assert_eq!((balance.excess, balance.invented), (vec![1, 4], vec![3]));
    }
}
