//! [`load`]: who this node is, and in which of its lives.
//!
//! The id stands in the state directory, which one running node holds at a time: whoever reads it knows
//! that every earlier life of the same id has ended.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use omcp_core::NodeIdentity;

const FILE: &str = "node-id";
/// Bytes of an id: enough that no two state directories ever draw the same.
const ID_LEN: usize = 16;

/// Reads the id from a state directory that is locked already, or draws one and keeps it there.
///
/// # Errors
/// The directory cannot be written to, or there is no randomness.
pub fn load(name: &str, state_dir: &Path, boot_id: [u8; ID_LEN]) -> io::Result<NodeIdentity> {
    let path = state_dir.join(FILE);
    let id = match fs::read_to_string(&path) {
        Ok(text) if is_id(text.trim()) => text.trim().to_owned(),
        _ => draw(&path)?,
    };
    Ok(NodeIdentity { name: name.into(), id: id.into(), boot_id: hex(&boot_id).into() })
}

/// A torn file would be a new id at the next start, so it is put in place whole.
fn draw(path: &Path) -> io::Result<String> {
    let mut bytes = [0; ID_LEN];
    getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
    let id = hex(&bytes);
    let aside = path.with_extension("new");
    let mut file = File::create(&aside)?;
    file.write_all(id.as_bytes())?;
    file.sync_all()?;
    fs::rename(&aside, path)?;
    Ok(id)
}

fn is_id(text: &str) -> bool {
    text.len() == 2 * ID_LEN && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_outlives_the_boot() {
        let directory = tempfile::tempdir().unwrap();
        let first = load("n", directory.path(), [1; ID_LEN]).unwrap();
        let second = load("n", directory.path(), [2; ID_LEN]).unwrap();
        assert!(is_id(&first.id));
        assert_eq!(first.id, second.id);
        assert_ne!(first.boot_id, second.boot_id);
        let elsewhere = tempfile::tempdir().unwrap();
        assert_ne!(load("n", elsewhere.path(), [1; ID_LEN]).unwrap().id, first.id);
    }

    #[test]
    fn nonsense_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(FILE), "../../etc").unwrap();
        let id = load("n", directory.path(), [1; ID_LEN]).unwrap().id;
        assert!(is_id(&id));
        assert_eq!(load("n", directory.path(), [1; ID_LEN]).unwrap().id, id);
    }
}
