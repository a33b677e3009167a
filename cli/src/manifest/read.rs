//! Files, directories and standard input become [`Source`]s.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::problem::Problem;
use super::source::{Source, Span};

/// Largest source, bytes: four times the largest manifest a control plane takes.
const SOURCE_LEN_MAX: u64 = 16 * 1024 * 1024;
/// Endings of the files of a directory that are read.
const ENDINGS: [&str; 4] = ["yaml", "yml", "json", "jsonc"];

/// Why a source could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("cannot read {name}: {error}")]
    Io { name: String, error: std::io::Error },
    #[error("no .yaml, .yml, .json or .jsonc files in {0}")]
    NoFiles(String),
    #[error("{0} is larger than {SOURCE_LEN_MAX} bytes")]
    TooLarge(String),
    #[error("{} is not UTF-8 text", .0.source.name)]
    NotUtf8(Problem),
}

/// Reads every path: a file, a directory (its files by name, not deeper), or `-`.
///
/// # Errors
/// The first path that cannot be read.
pub fn sources(paths: &[PathBuf]) -> Result<Vec<Arc<Source>>, ReadError> {
    let mut sources = Vec::new();
    for path in paths {
        if path.as_os_str() == "-" {
            sources.push(read("<stdin>".into(), Ok(std::io::stdin()))?);
        } else if path.is_dir() {
            for file in files(path)? {
                sources.push(read(file.display().to_string(), fs::File::open(&file))?);
            }
        } else {
            sources.push(read(path.display().to_string(), fs::File::open(path))?);
        }
    }
    Ok(sources)
}

fn files(directory: &Path) -> Result<Vec<PathBuf>, ReadError> {
    let name = directory.display().to_string();
    let failed = |error| ReadError::Io { name: name.clone(), error };
    let entries = fs::read_dir(directory).map_err(failed)?.collect::<Result<Vec<_>, _>>().map_err(failed)?;
    let mut files: Vec<_> =
        entries.into_iter().map(|entry| entry.path()).filter(|path| wanted(path)).collect();
    files.sort();
    if files.is_empty() { Err(ReadError::NoFiles(name)) } else { Ok(files) }
}

fn wanted(path: &Path) -> bool {
    let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
    let ending = path.extension().is_some_and(|ending| ENDINGS.iter().any(|known| ending == *known));
    ending && !hidden && path.is_file()
}

fn read<R: std::io::Read>(name: String, opened: std::io::Result<R>) -> Result<Arc<Source>, ReadError> {
    let mut bytes = Vec::new();
    let read = opened.and_then(|file| file.take(SOURCE_LEN_MAX + 1).read_to_end(&mut bytes));
    match read {
        Err(error) => Err(ReadError::Io { name, error }),
        Ok(len) if len as u64 > SOURCE_LEN_MAX => Err(ReadError::TooLarge(name)),
        Ok(_) => text(name, bytes),
    }
}

fn text(name: String, bytes: Vec<u8>) -> Result<Arc<Source>, ReadError> {
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Arc::new(Source::new(name, text))),
        Err(error) => {
            let span = Span { start: error.utf8_error().valid_up_to(), len: 1 };
            let source = Arc::new(Source::new(name, String::from_utf8_lossy(error.as_bytes())));
            let problem = Problem::new(&source, span, "a byte that is no UTF-8");
            Err(ReadError::NotUtf8(problem.hint("save the file as UTF-8")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directory_by_name_and_not_deeper() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["b.yaml", "a.json", ".hidden.yaml", "notes.txt"] {
            fs::write(directory.path().join(name), name).unwrap();
        }
        fs::create_dir(directory.path().join("sub.yaml")).unwrap();
        let read = sources(&[directory.path().to_owned()]).unwrap();
        let names: Vec<_> = read.iter().map(|source| source.text.as_str()).collect();
        assert_eq!(names, ["a.json", "b.yaml"]);
    }

    #[test]
    fn says_where_bytes_are_not_text() {
        let error = text("x".into(), b"a: b\nc: \xff".to_vec()).unwrap_err();
        let ReadError::NotUtf8(problem) = error else { panic!("{error}") };
        assert_eq!(problem.position(), (2, 4));
    }

    #[test]
    fn missing_file_and_empty_directory() {
        let directory = tempfile::tempdir().unwrap();
        assert!(matches!(sources(&[directory.path().join("none.yaml")]), Err(ReadError::Io { .. })));
        assert!(matches!(sources(&[directory.path().to_owned()]), Err(ReadError::NoFiles(_))));
    }
}
