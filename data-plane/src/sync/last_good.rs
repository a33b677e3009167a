//! The last-good files: what a node starts from when there is no control plane.
//!
//! A file is: the magic, the length of a JSON header (4 bytes little endian), the header, a zstd frame of
//! an encoded `SnapshotPiece` (the specs byte for byte as received: references, never their values), and
//! the BLAKE3 hash of everything before it. A new file is written aside, synced and renamed into place;
//! the newest [`FILES_MAX`] are kept, and the newest that proves itself is loaded.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use omcp_core::{Digest, Epoch, Revision};
use omcp_proto::v1::SnapshotPiece;
use prost::Message;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::held::{Held, read_piece};
use omcp_runtimes::backoff::full_jitter;

/// Files kept: the newest may be torn, the one before may be what crashes the node.
pub const FILES_MAX: usize = 3;
/// Largest file that is read, bytes: 20,000 backends of 64 KiB compress to less.
const FILE_LEN_MAX: u64 = 1 << 30;
/// Largest content, bytes.
const CONTENT_LEN_MAX: usize = 2 << 30;
const MAGIC: &[u8; 8] = b"OMCPLG01";
const PREFIX: &str = "last-good-";
const SUFFIX: &str = ".omcp";
const HASH_LEN: usize = 32;
/// First wait before a failed write is tried again, and the longest: a full disk may stay full for long.
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(60);
/// Fast, and within a few percent of what slower levels reach on specs.
const ZSTD_LEVEL: i32 = 3;

#[derive(Serialize, Deserialize)]
struct Header {
    epoch: String,
    revision: Revision,
    digest: String,
    count: usize,
    /// Version of the node that wrote it.
    node_build: String,
}

/// The directory of the files, and the lock that keeps other nodes out of it.
#[derive(Clone, Debug)]
pub struct LastGood {
    directory: PathBuf,
    _lock: Arc<File>,
}

impl LastGood {
    /// Opens the directory, which only its owner may enter; makes it if there is none.
    ///
    /// # Errors
    /// It cannot be made, or another node uses it.
    pub fn open(state_dir: &Path) -> io::Result<Self> {
        let directory = state_dir.join("last-good");
        make_private(state_dir)?;
        make_private(&directory)?;
        let lock = create_private(&state_dir.join("lock"))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => io::Error::other("another node uses it"),
            TryLockError::Error(error) => error,
        })?;
        Ok(Self { directory, _lock: Arc::new(lock) })
    }

    /// The newest content that proves itself, after leaving out the newest `skip` that do.
    pub fn load(&self, skip: usize) -> Option<Held> {
        let mut good = None;
        let mut left = skip;
        for (number, path) in self.files().into_iter().rev() {
            match read(&path) {
                Ok(held) if left == 0 => return Some(held),
                Ok(held) => {
                    left -= 1;
                    good = Some(held);
                }
                Err(error) => tracing::warn!(number, %error, "last-good file is passed over"),
            }
        }
        good
    }

    /// Writes `held` as the newest file. Blocks on the disk.
    ///
    /// # Errors
    /// The disk's.
    pub fn write(&self, held: &Held) -> io::Result<()> {
        let files = self.files();
        let number = files.last().map_or(1, |(number, _)| number + 1);
        let aside = self.directory.join("new");
        let mut file = create_private(&aside)?;
        file.write_all(&encode(held)?)?;
        file.sync_all()?;
        fs::rename(&aside, self.directory.join(format!("{PREFIX}{number:020}{SUFFIX}")))?;
        File::open(&self.directory)?.sync_all()?;
        let surplus = (files.len() + 1).saturating_sub(FILES_MAX);
        files.iter().take(surplus).for_each(|(_, path)| drop(fs::remove_file(path)));
        Ok(())
    }

    /// The files by number, oldest first.
    fn files(&self) -> Vec<(u64, PathBuf)> {
        let entries = fs::read_dir(&self.directory).into_iter().flatten().flatten();
        let numbered = entries.filter_map(|entry| {
            let name = entry.file_name();
            let number = name.to_str()?.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?.parse().ok()?;
            Some((number, entry.path()))
        });
        let mut files: Vec<_> = numbered.collect();
        files.sort();
        files
    }
}

fn encode(held: &Held) -> io::Result<Vec<u8>> {
    let header = Header {
        epoch: held.epoch.to_string(),
        revision: held.revision,
        digest: format!("{:?}", held.digest),
        count: held.len(),
        node_build: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let header = serde_json::to_vec(&header)?;
    let header_len = u32::try_from(header.len()).map_err(io::Error::other)?;
    let content = SnapshotPiece { changes: held.to_changes() }.encode_to_vec();
    let mut bytes = [MAGIC.as_slice(), &header_len.to_le_bytes(), &header].concat();
    bytes.extend(zstd::bulk::compress(&content, ZSTD_LEVEL)?);
    let hash = blake3::hash(&bytes);
    bytes.extend(hash.as_bytes());
    Ok(bytes)
}

fn read(path: &Path) -> io::Result<Held> {
    let mut bytes = Vec::new();
    File::open(path)?.take(FILE_LEN_MAX).read_to_end(&mut bytes)?;
    decode(&bytes)
}

fn decode(bytes: &[u8]) -> io::Result<Held> {
    let (proven, hash) =
        bytes.split_at_checked(bytes.len().saturating_sub(HASH_LEN)).ok_or_else(|| bad("is torn"))?;
    let rest = proven.strip_prefix(MAGIC).ok_or_else(|| bad("is of another format"))?;
    if blake3::hash(proven).as_bytes()[..] != *hash {
        return Err(bad("does not match its checksum"));
    }
    let (header_len, rest) = rest.split_first_chunk::<4>().ok_or_else(|| bad("is torn"))?;
    let header_len = u32::from_le_bytes(*header_len) as usize;
    let (header, content) = rest.split_at_checked(header_len).ok_or_else(|| bad("is torn"))?;
    fill(serde_json::from_slice(header)?, content)
}

fn fill(header: Header, content: &[u8]) -> io::Result<Held> {
    let epoch = unhex(&header.epoch).and_then(|bytes| Epoch::from_slice(&bytes));
    let digest = unhex(&header.digest).and_then(|bytes| Digest::from_slice(&bytes));
    let (Some(epoch), Some(digest)) = (epoch, digest) else { return Err(bad("has an unusable header")) };
    let mut held = Held::empty(epoch, header.revision);
    for change in read_piece(content, CONTENT_LEN_MAX)?.changes {
        held.put(change).map_err(|_| bad("holds what this build cannot read"))?;
    }
    let whole = held.len() == header.count && held.digest == digest;
    if whole { Ok(held) } else { Err(bad("does not match its digest")) }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

fn make_private(directory: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory)
}

fn create_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Hands content to the one task that writes files, off the paths that matter.
pub struct Writer {
    newest: watch::Sender<Option<Arc<Held>>>,
    persisted: watch::Receiver<(Epoch, Revision)>,
    task: JoinHandle<()>,
}

impl Writer {
    /// `persisted` is what the files hold already.
    pub fn start(files: LastGood, persisted: (Epoch, Revision)) -> Self {
        let (newest, inbound) = watch::channel(None);
        let (told, persisted) = watch::channel(persisted);
        Self { newest, persisted, task: tokio::spawn(write_newest(files, inbound, told)) }
    }

    /// Content that a newer one overtakes is not written.
    pub fn write(&self, held: Held) {
        self.newest.send_replace(Some(Arc::new(held)));
    }

    /// What the newest file holds.
    pub fn persisted(&self) -> watch::Receiver<(Epoch, Revision)> {
        self.persisted.clone()
    }

    /// Returns when the newest content is on the disk.
    pub async fn finish(self) {
        drop(self.newest);
        if let Err(error) = self.task.await {
            tracing::error!(%error, "last-good writer failed");
        }
    }
}

async fn write_newest(
    files: LastGood,
    mut newest: watch::Receiver<Option<Arc<Held>>>,
    told: watch::Sender<(Epoch, Revision)>,
) {
    let mut failures = 0;
    let mut ending = false;
    while !ending {
        let retry = full_jitter(failures, RETRY_FIRST, RETRY_MAX);
        tokio::select! {
            changed = newest.changed() => match changed {
                Ok(()) => {}
                Err(_) if failures == 0 => return,
                Err(_) => ending = true,
            },
            () = sleep(retry), if failures > 0 => {}
        }
        let Some(held) = newest.borrow_and_update().clone() else { continue };
        let cursor = (held.epoch, held.revision);
        match write(files.clone(), held).await {
            Ok(()) => {
                failures = 0;
                told.send_replace(cursor);
            }
            Err(error) => {
                failures += 1;
                tracing::error!(%error, failures, "last-good file could not be written: the node would restart from an older one");
            }
        }
    }
}

/// [`LastGood::write`], off the async threads.
async fn write(files: LastGood, held: Arc<Held>) -> io::Result<()> {
    tokio::task::spawn_blocking(move || files.write(&held)).await.map_err(io::Error::other)?
}

#[cfg(test)]
mod tests;
