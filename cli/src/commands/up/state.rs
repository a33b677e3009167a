//! [`StateDir`]: where `omcp up` keeps its state.

use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use crate::failure::{Cause, Failure};

/// A directory for this user alone; a temporary one is deleted in the end.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    temporary: bool,
}

impl StateDir {
    /// Makes the directory: the one that was named, a temporary one, or the user's own.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn open(named: Option<&Path>, temporary: bool) -> Result<Self, Failure> {
        let path = match named {
            _ if temporary => std::env::temp_dir().join(format!("omcp-up-{}", Uuid::new_v4())),
            Some(named) => named.to_owned(),
            None => default_path(|name| std::env::var_os(name).map(PathBuf::from)),
        };
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&path);
        made.map_err(|error| {
            Failure::new(Cause::Failed, format!("keep state in {}", path.display()), error.to_string())
                .fix("name another directory with --state-dir, or use --ephemeral")
        })?;
        Ok(Self { path, temporary })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for StateDir {
    fn drop(&mut self) {
        if self.temporary {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// `$XDG_STATE_HOME/omcp`, or below the home directory (XDG Base Directory Specification).
fn default_path(variable: impl Fn(&str) -> Option<PathBuf>) -> PathBuf {
    let absolute = |name| variable(name).filter(|path| path.is_absolute());
    let base = absolute("XDG_STATE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".local/state")));
    base.unwrap_or_else(|| PathBuf::from(".")).join("omcp")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_the_environment() {
        let with = |set: &[(&str, &str)]| {
            let set: Vec<_> =
                set.iter().map(|(name, value)| ((*name).to_owned(), PathBuf::from(value))).collect();
            default_path(move |name| {
                set.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
            })
        };
        assert_eq!(with(&[("XDG_STATE_HOME", "/s"), ("HOME", "/h")]), Path::new("/s/omcp"));
        assert_eq!(
            with(&[("XDG_STATE_HOME", "relative"), ("HOME", "/h")]),
            Path::new("/h/.local/state/omcp")
        );
        assert_eq!(with(&[]), Path::new("./omcp"));
    }

    #[test]
    fn a_temporary_directory_goes_away() {
        let state = StateDir::open(None, true).unwrap();
        let path = state.path().to_owned();
        fs::write(path.join("x"), "").unwrap();
        drop(state);
        assert!(!path.exists());
    }
}
