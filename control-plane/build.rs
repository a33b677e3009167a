//! Embeds the migrations and the schemas of the built-in runtime types: a new file is enough.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    println!("cargo:rerun-if-changed=../migrations");
    println!("cargo:rerun-if-changed=src/schemas");
    // Not `env!`: a build folder that was moved or copied would read the schemas of where it was.
    let package = env::var_os("CARGO_MANIFEST_DIR").ok_or(io::ErrorKind::NotFound)?;
    let folder = Path::new(&package).join("src/schemas");
    let mut files =
        fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<PathBuf>>>()?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    let entries = files.iter().map(|file| entry(file)).collect::<io::Result<String>>()?;
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or(io::ErrorKind::NotFound)?);
    fs::write(out.join("built_in.rs"), format!("&[{entries}]"))
}

/// Name of the type and text of its schema, as Rust. The text itself: its path would be that of a checkout which
/// another one's build may find gone.
fn entry(file: &Path) -> io::Result<String> {
    let name = file.file_stem().unwrap_or_default().to_string_lossy();
    Ok(format!("({name:?}, {:?}),", fs::read_to_string(file)?))
}
