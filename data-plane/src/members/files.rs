//! [`Files`]: keyring and list of nodes in the state directory, for a start without a control plane. Losing
//! them ends sessions and nothing else, so they have no older copies.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use omcp_proto::v1;
use prost::Message;

const KEYRING: &str = "keyring";
const MEMBERS: &str = "members";
const HASH_LEN: usize = 32;
/// Largest file that is read, bytes: 20,000 nodes with long URLs.
const FILE_LEN_MAX: u64 = 16 << 20;

/// The files in one state directory, which only its owner may enter.
#[derive(Clone, Debug)]
pub struct Files {
    directory: PathBuf,
}

impl Files {
    pub fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    pub fn keyring(&self) -> Option<v1::Keyring> {
        self.read(KEYRING)
    }

    pub fn members(&self) -> Option<v1::Members> {
        self.read(MEMBERS)
    }

    pub async fn keep_keyring(&self, keyring: v1::Keyring) {
        self.keep(KEYRING, keyring.encode_to_vec()).await;
    }

    pub async fn keep_members(&self, members: v1::Members) {
        self.keep(MEMBERS, members.encode_to_vec()).await;
    }

    fn read<M: Message + Default>(&self, name: &'static str) -> Option<M> {
        match read(&self.directory.join(name)) {
            Ok(content) => M::decode(&content[..]).ok(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                tracing::warn!(name, %error, "a file of the state directory is passed over");
                None
            }
        }
    }

    /// Off the async threads. What cannot be kept is not worth an outage.
    async fn keep(&self, name: &'static str, content: Vec<u8>) {
        let path = self.directory.join(name);
        let written = tokio::task::spawn_blocking(move || write(&path, content)).await;
        let failed = written.map_err(io::Error::other).and_then(|written| written).err();
        if let Some(error) = failed {
            tracing::warn!(name, %error, "a file of the state directory could not be written");
        }
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    if fs::metadata(path)?.len() > FILE_LEN_MAX {
        return Err(io::Error::other("it is too large"));
    }
    let mut bytes = fs::read(path)?;
    let at = bytes.len().checked_sub(HASH_LEN).ok_or_else(|| io::Error::other("it is torn"))?;
    let hash = bytes.split_off(at);
    if blake3::hash(&bytes).as_bytes()[..] != hash[..] {
        return Err(io::Error::other("it does not match its checksum"));
    }
    Ok(bytes)
}

/// In place whole or not at all, and for its owner only.
fn write(path: &Path, content: Vec<u8>) -> io::Result<()> {
    let aside = path.with_extension("new");
    let mut file: File =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
    file.write_all(&content)?;
    file.write_all(blake3::hash(&content).as_bytes())?;
    file.sync_all()?;
    fs::rename(&aside, path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[tokio::test]
    async fn what_is_kept_is_read_again_and_is_for_its_owner() {
        let directory = tempfile::tempdir().unwrap();
        let files = Files::new(directory.path());
        assert_eq!(files.keyring(), None);
        let keyring =
            v1::Keyring { fingerprint: 7, active: 1, keys: vec![v1::Key { id: 1, secret: vec![2; 32] }] };
        files.keep_keyring(keyring.clone()).await;
        assert_eq!(files.keyring(), Some(keyring));
        let path = directory.path().join(KEYRING);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let mut torn = fs::read(&path).unwrap();
        torn.pop();
        fs::write(&path, torn).unwrap();
        assert_eq!(files.keyring(), None);
    }
}
