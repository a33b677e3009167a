//! [`HighWater`]: a small file beside the database that notices an older copy of it.
//!
//! It holds the store's epoch and two revisions: `reserved`, on disk before any revision up to it
//! is committed, and `head`, written after each commit without waiting for the disk. A database
//! behind `head`, or of another epoch, is an older copy put back; its next life begins above `reserved`.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use omcp_core::{Epoch, Revision};

/// Revisions reserved at a time: one wait for the disk per so many writes.
const STEP: u64 = 1000;

/// The open file and what it says.
#[derive(Debug)]
pub struct HighWater {
    file: File,
    mark: Mark,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    epoch: Epoch,
    reserved: Revision,
    head: Revision,
}

impl HighWater {
    /// `omcp.db` has `omcp.db.high-water` beside it.
    pub fn path(database: &Path) -> PathBuf {
        let mut path = database.as_os_str().to_owned();
        path.push(".high-water");
        path.into()
    }

    /// Opens the file of a database that stands at `head`. Also returns the revision reached
    /// before, if the database is an older copy: it is behind, or of an epoch that has ended.
    ///
    /// # Errors
    /// The file cannot be opened or written.
    pub fn open(database: &Path, epoch: Epoch, head: Revision) -> std::io::Result<(Self, Option<Revision>)> {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).open(Self::path(database))?;
        let mut text = String::new();
        // A file that is not text is treated like one that says nothing.
        let _ = (&file).take(256).read_to_string(&mut text);
        let Some(mark) = Mark::parse(&text) else {
            let mut anew = Self { file, mark: Mark { epoch, reserved: 0, head } };
            anew.file.set_len(0)?;
            anew.note(head)?;
            return Ok((anew, None));
        };
        let older = mark.epoch != epoch || head < mark.head;
        Ok((Self { file, mark }, older.then_some(mark.head)))
    }

    /// The highest revision that may have been given out.
    pub fn reserved(&self) -> Revision {
        self.mark.reserved.max(self.mark.head)
    }

    /// Called before revisions up to `revision` are committed.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn reserve(&mut self, epoch: Epoch, revision: Revision) -> std::io::Result<()> {
        if self.mark.epoch == epoch && revision <= self.mark.reserved {
            return Ok(());
        }
        let head = if self.mark.epoch == epoch { self.mark.head } else { 0 };
        self.write(Mark { epoch, reserved: revision.saturating_add(STEP), head })?;
        self.file.sync_all()
    }

    /// Called after `revision` was committed.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn note(&mut self, revision: Revision) -> std::io::Result<()> {
        self.write(Mark { head: revision, ..self.mark })
    }

    fn write(&mut self, mark: Mark) -> std::io::Result<()> {
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(mark.text().as_bytes())?;
        self.mark = mark;
        Ok(())
    }
}

impl Mark {
    /// Of fixed length, so that a shorter text never leaves the end of a longer one behind.
    fn text(&self) -> String {
        format!("omcp-high-water 1 {} {:020} {:020}\n", self.epoch, self.reserved, self.head)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut words = text.strip_suffix('\n')?.strip_prefix("omcp-high-water 1 ")?.split(' ');
        let epoch = u128::from_str_radix(words.next()?, 16).ok()?;
        let reserved = words.next()?.parse().ok()?;
        let head = words.next()?.parse().ok()?;
        Some(Self { epoch: Epoch(epoch.to_be_bytes()), reserved, head })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remembers_epoch_head_and_reservation() {
        let dir = tempfile::tempdir().unwrap();
        let (db, epoch) = (dir.path().join("x.db"), Epoch([0x0f; 16]));
        let (mut file, reached) = HighWater::open(&db, epoch, 0).unwrap();
        assert_eq!(reached, None);
        file.reserve(epoch, 1).unwrap();
        file.note(7).unwrap();
        drop(file);
        let (mut file, reached) = HighWater::open(&db, epoch, 5).unwrap();
        assert_eq!((reached, file.reserved()), (Some(7), 1001));
        file.reserve(epoch, 1002).unwrap();
        drop(file);
        let (file, reached) = HighWater::open(&db, epoch, 5).unwrap();
        assert_eq!((reached, file.reserved()), (Some(7), 2002), "reserving is not reaching");
        std::fs::write(HighWater::path(&db), [0xff; 500]).unwrap();
        assert_eq!(HighWater::open(&db, epoch, 5).unwrap().1, None);
        assert_eq!(HighWater::open(&db, epoch, 4).unwrap().1, Some(5), "a lost file begins anew at once");
        let (other, reached) = HighWater::open(&db, Epoch([1; 16]), 9).unwrap();
        assert_eq!((reached, other.reserved()), (Some(5), 5), "its epoch has ended");
    }
}
