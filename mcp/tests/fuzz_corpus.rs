//! What fuzzing has kept in `fuzz/corpus`, as ordinary tests.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use omcp_mcp::replay::TARGETS;

/// Inputs of one target, and bytes of all: they are in every checkout.
const INPUTS_MAX: usize = 200;
const BYTES_MAX: u64 = 300 * 1024;

#[test]
fn aggregate() {
    replay("aggregate");
}

#[test]
fn bridge_legacy_lane() {
    replay("bridge_legacy_lane");
}

#[test]
fn bridge_legacy_session() {
    replay("bridge_legacy_session");
}

#[test]
fn envelope() {
    replay("envelope");
}

#[test]
fn headers() {
    replay("headers");
}

#[test]
fn lines() {
    replay("lines");
}

#[test]
fn sse() {
    replay("sse");
}

#[test]
fn token() {
    replay("token");
}

#[test]
fn every_target_has_a_program_and_a_corpus() {
    let targets: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let names = |folder: &str| -> BTreeSet<String> {
        let stem = |path: &PathBuf| path.file_stem().expect("a name").to_string_lossy().into_owned();
        entries(folder).iter().map(stem).collect()
    };
    assert_eq!(names("fuzz_targets"), targets);
    assert_eq!(names("corpus"), targets);
}

#[test]
fn corpora_are_small() {
    let mut bytes = 0;
    for (name, _) in TARGETS {
        let inputs = entries(&format!("corpus/{name}"));
        assert!(inputs.len() <= INPUTS_MAX, "{name} has {} inputs", inputs.len());
        bytes += inputs.iter().map(|path| path.metadata().expect("an input").len()).sum::<u64>();
    }
    assert!(bytes <= BYTES_MAX, "{bytes} bytes");
}

fn replay(name: &str) {
    let (_, run) = TARGETS.iter().find(|(target, _)| *target == name).expect("a target");
    let inputs = entries(&format!("corpus/{name}"));
    assert!(!inputs.is_empty());
    for path in inputs {
        // Shown with the failure that follows it.
        eprintln!("{}", path.display());
        run(&fs::read(path).expect("an input"));
    }
}

fn entries(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz").join(folder);
    let entries = fs::read_dir(folder).expect("a folder of fuzz/");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths
}
