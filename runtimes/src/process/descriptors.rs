//! How many files may be open: this program takes all that it is allowed, and the programs that it starts find
//! the limit as it was. Some of them use `select`, which breaks above 1024.

use std::sync::OnceLock;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The limit before it was raised.
static USUAL: OnceLock<Option<u64>> = OnceLock::new();

/// Raises the limit of this program to the most that its user may have.
pub fn raise_limit() {
    let was = getrlimit(Resource::Nofile);
    if setrlimit(Resource::Nofile, Rlimit { current: was.maximum, ..was }).is_ok() {
        USUAL.get_or_init(|| was.current);
    }
}

/// What a program finds that is started from here, if that differs from our own.
pub fn usual_limit() -> Option<u64> {
    USUAL.get().copied().flatten()
}
