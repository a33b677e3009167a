//! What the aggregate has to get right whatever it is given: hand-written, and what fuzzing finds.

use std::fs;
use std::path::Path;

use omcp_mcp::aggregate::replay;

#[test]
fn every_promise_holds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/aggregate");
    let scripts: Vec<Vec<u8>> = fs::read_dir(&folder)
        .expect("the corpus")
        .map(|entry| fs::read(entry.expect("a file").path()).expect("a script"))
        .collect();
    assert!(!scripts.is_empty());
    scripts.iter().for_each(|script| replay::run(script));
}
