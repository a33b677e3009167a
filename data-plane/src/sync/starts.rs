//! [`Starts`]: how often the node was started without staying up. What crashes it on every start must not
//! keep it down for ever: after a few starts it falls back to an older file.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A node that lived this long is healthy.
pub const HEALTHY_AFTER: Duration = Duration::from_secs(30);
/// Starts in a row without health before the next older file is taken.
const STARTS_MAX: usize = 3;

/// A number in a file beside the last-good files.
#[derive(Clone, Debug)]
pub struct Starts {
    path: PathBuf,
}

impl Starts {
    /// Counts this start. Returns how many of the newest files to leave out.
    pub fn count(state_dir: &Path) -> (Self, usize) {
        let path = state_dir.join("starts");
        let before: usize =
            fs::read_to_string(&path).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0);
        if let Err(error) = fs::write(&path, before.saturating_add(1).to_string()) {
            tracing::warn!(%error, "starts cannot be counted");
        }
        (Self { path }, before / STARTS_MAX)
    }

    /// The node stayed up, or was stopped in good order.
    pub fn clear(&self) {
        drop(fs::remove_file(&self.path));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_starts_without_health_fall_back() {
        let directory = tempfile::tempdir().unwrap();
        let skips: Vec<_> = (0..7).map(|_| Starts::count(directory.path()).1).collect();
        assert_eq!(skips, [0, 0, 0, 1, 1, 1, 2]);
        let (starts, _) = Starts::count(directory.path());
        starts.clear();
        assert_eq!(Starts::count(directory.path()).1, 0);
        fs::write(directory.path().join("starts"), "nonsense").unwrap();
        assert_eq!(Starts::count(directory.path()).1, 0);
    }
}
