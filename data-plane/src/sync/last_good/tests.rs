use bytes::Bytes;
use omcp_proto::v1::Change;
use omcp_proto::v1::change::Op;
use tempfile::TempDir;

use super::*;

fn held(revision: Revision) -> Held {
    let mut held = Held::empty(Epoch([7; 16]), revision);
    for n in 0..50 {
        let spec = Bytes::from(format!("spec {n} at {revision} with ${{SECRET}}"));
        held.put(Change { revision, name: format!("b{n}"), op: Some(Op::Put(spec)) }).unwrap();
    }
    held
}

fn written(revisions: &[Revision]) -> (TempDir, LastGood) {
    let directory = tempfile::tempdir().unwrap();
    let files = LastGood::open(directory.path()).unwrap();
    revisions.iter().for_each(|revision| files.write(&held(*revision)).unwrap());
    (directory, files)
}

fn loaded(files: &LastGood, skip: usize) -> Option<Revision> {
    files.load(skip).map(|held| held.revision)
}

#[test]
fn what_is_written_is_loaded() {
    let (_directory, files) = written(&[5]);
    let (want, got) = (held(5), files.load(0).unwrap());
    assert_eq!((got.cursor(), got.len()), (want.cursor(), 50));
    assert!(want.steps_to(&got).is_empty());
}

#[test]
fn the_newest_are_kept_and_crash_loops_go_back() {
    let (_directory, files) = written(&[1, 2, 3, 4, 5]);
    assert_eq!(files.files().len(), FILES_MAX);
    let by_skip: Vec<_> = (0..5).map(|skip| loaded(&files, skip)).collect();
    assert_eq!(
        by_skip,
        [Some(5), Some(4), Some(3), Some(3), Some(3)],
        "the oldest good one is the last resort"
    );
    assert_eq!(loaded(&written(&[]).1, 0), None);
}

#[test]
fn torn_flipped_and_foreign_files_are_passed_over() {
    let (_directory, files) = written(&[1, 2]);
    let newest = files.files().pop().unwrap().1;
    let good = fs::read(&newest).unwrap();
    for len in [0, 1, 7, 8, 11, 40, good.len() / 2, good.len() - 1] {
        fs::write(&newest, &good[..len]).unwrap();
        assert_eq!(loaded(&files, 0), Some(1), "torn at {len}");
    }
    for at in (0..good.len()).step_by(7) {
        let mut flipped = good.clone();
        flipped[at] ^= 0x10;
        fs::write(&newest, &flipped).unwrap();
        assert_eq!(loaded(&files, 0), Some(1), "bit flipped at {at}");
    }
    let mut foreign = good.clone();
    foreign[..8].copy_from_slice(b"OMCPLG00");
    let end = foreign.len() - HASH_LEN;
    let hash = blake3::hash(&foreign[..end]);
    foreign[end..].copy_from_slice(hash.as_bytes());
    fs::write(&newest, &foreign).unwrap();
    assert_eq!(loaded(&files, 0), Some(1), "another format");
    fs::write(&newest, &good).unwrap();
    assert_eq!(loaded(&files, 0), Some(2));
    fs::write(newest.with_file_name("new"), b"left behind by a crash").unwrap();
    files.write(&held(3)).unwrap();
    assert_eq!(loaded(&files, 0), Some(3));
}

#[test]
fn a_file_that_lies_about_its_content_is_passed_over() {
    let (_directory, files) = written(&[1]);
    let mut other = held(2);
    other.digest = held(1).digest;
    files.write(&other).unwrap();
    assert_eq!(loaded(&files, 0), Some(1));
}

#[cfg(unix)]
#[test]
fn only_the_owner_reads_them() {
    use std::os::unix::fs::PermissionsExt;
    let outer = tempfile::tempdir().unwrap();
    let state = outer.path().join("state");
    let files = LastGood::open(&state).unwrap();
    files.write(&held(1)).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&state), mode(&files.directory)), (0o700, 0o700));
    assert_eq!(mode(&files.files()[0].1), 0o600);
}

#[tokio::test]
async fn the_writer_writes_the_newest_and_says_how_far() {
    let (_directory, files) = written(&[]);
    let writer = Writer::start(files.clone(), Default::default());
    let mut persisted = writer.persisted();
    (1..=20).for_each(|revision| writer.write(held(revision)));
    persisted.wait_for(|persisted| *persisted == (Epoch([7; 16]), 20)).await.unwrap();
    assert_eq!(loaded(&files, 0), Some(20));
    assert!(files.files().len() <= 2, "what was overtaken is not written");
    writer.write(held(21));
    writer.finish().await;
    assert_eq!(loaded(&files, 0), Some(21));
}

#[tokio::test(start_paused = true)]
async fn a_write_that_failed_is_tried_again() {
    let (_directory, files) = written(&[]);
    fs::remove_dir(&files.directory).unwrap();
    let writer = Writer::start(files.clone(), Default::default());
    let mut persisted = writer.persisted();
    writer.write(held(1));
    sleep(RETRY_MAX).await;
    assert!(!persisted.has_changed().unwrap());
    fs::create_dir(&files.directory).unwrap();
    persisted.wait_for(|persisted| persisted.1 == 1).await.unwrap();
    assert_eq!(loaded(&files, 0), Some(1));
    fs::remove_dir_all(&files.directory).unwrap();
    writer.write(held(2));
    sleep(RETRY_FIRST).await;
    fs::create_dir(&files.directory).unwrap();
    writer.finish().await;
    assert_eq!(loaded(&files, 0), Some(2), "the end is the last try");
}

#[test]
fn two_nodes_do_not_share_a_directory() {
    let (directory, files) = written(&[1]);
    assert!(LastGood::open(directory.path()).unwrap_err().to_string().contains("another node"));
    drop(files);
    assert_eq!(loaded(&LastGood::open(directory.path()).unwrap(), 0), Some(1));
}
