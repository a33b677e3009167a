//! [`Secrets`]: the values of references, from the node's environment and its secrets directory.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use omcp_core::reference::{Reference, Resolve};
use omcp_core::{ErrorKind, GatewayError};

/// Largest secret file, bytes: as large as a backend's settings may be.
pub const SECRET_LEN_MAX: u64 = 64 * 1024;

/// Looks references up on this node, each time anew: a rotated file is read on the next build.
#[derive(Clone, Debug, Default)]
pub struct Secrets {
    directory: Option<PathBuf>,
}

impl Secrets {
    /// `directory` holds one file per `${file:NAME}`; without it there are none.
    pub fn new(directory: Option<PathBuf>) -> Self {
        Self { directory }
    }

    fn file(&self, name: &str) -> Result<String, GatewayError> {
        let Some(directory) = &self.directory else {
            let hint = "start the node with --secrets-dir to offer files";
            return Err(missing(format!("${{file:{name}}} has no value: {hint}")));
        };
        if !is_plain(name) {
            return Err(missing(format!(
                "${{file:{name}}} has no value: a secret is one file name without a path"
            )));
        }
        read_bounded(&directory.join(name)).map_err(|error| {
            let place = directory.display();
            missing(format!("${{file:{name}}} has no value: cannot read {name} in {place}"))
                .with_source(error)
        })
    }
}

impl Resolve for Secrets {
    fn resolve(&self, reference: &Reference<'_>) -> Result<String, GatewayError> {
        match reference {
            Reference::Env(name) => std::env::var(name).map_err(|_| {
                missing(format!("${{{name}}} has no value: set {name} in the environment of the node"))
            }),
            Reference::File(name) => self.file(name),
        }
    }
}

/// A name that cannot leave its directory.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\', '\0'])
}

/// The text of a file, less one line end.
fn read_bounded(path: &Path) -> std::io::Result<String> {
    // A pipe or a device would never end.
    if !std::fs::metadata(path)?.is_file() {
        return Err(std::io::Error::other("not a regular file"));
    }
    let mut text = String::new();
    let read = File::open(path)?.take(SECRET_LEN_MAX + 1).read_to_string(&mut text)?;
    if read as u64 > SECRET_LEN_MAX {
        return Err(std::io::Error::other(format!("longer than {SECRET_LEN_MAX} bytes")));
    }
    let trimmed =
        text.strip_suffix('\n').map_or(text.as_str(), |rest| rest.strip_suffix('\r').unwrap_or(rest));
    text.truncate(trimmed.len());
    Ok(text)
}

fn missing(context: impl Into<String>) -> GatewayError {
    GatewayError::new(ErrorKind::MissingReference, context)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(secrets: &Secrets, name: &str) -> Result<String, ErrorKind> {
        secrets.resolve(&Reference::File(name)).map_err(|error| error.kind())
    }

    #[test]
    fn a_file_loses_one_line_end_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let secrets = Secrets::new(Some(directory.path().to_owned()));
        for (name, content, want) in
            [("a", "x\n", "x"), ("b", "x\r\n", "x"), ("c", " x\n\n", " x\n"), ("d", "", "")]
        {
            std::fs::write(directory.path().join(name), content).unwrap();
            assert_eq!(file(&secrets, name), Ok(want.to_owned()), "{name}");
        }
    }

    #[test]
    fn nothing_outside_the_directory_and_nothing_endless() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("outside"), "secret").unwrap();
        let inside = directory.path().join("inside");
        std::fs::create_dir(&inside).unwrap();
        std::fs::write(inside.join("long"), "x".repeat(SECRET_LEN_MAX as usize + 1)).unwrap();
        std::fs::create_dir(inside.join("folder")).unwrap();
        let secrets = Secrets::new(Some(inside));
        for name in ["../outside", "..", ".", "", "folder", "long", "absent", "/etc/hostname"] {
            assert_eq!(file(&secrets, name), Err(ErrorKind::MissingReference), "{name}");
        }
        assert_eq!(file(&Secrets::new(None), "a"), Err(ErrorKind::MissingReference));
    }

    #[test]
    fn an_unset_variable_is_named() {
        let error = Secrets::new(None).resolve(&Reference::Env("OMCP_TEST_SURELY_UNSET")).unwrap_err();
        assert!(error.to_string().contains("OMCP_TEST_SURELY_UNSET"), "{error}");
    }
}
