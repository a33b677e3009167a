//! The control plane knows the settings of the built-in runtime types before any node exists.
//!
//! `cargo xtask schemas` runs this with `OMCP_WRITE_SCHEMAS=1`, which writes instead of comparing.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../control-plane/src/schemas")
}

/// File name and content, as the runtimes have it.
fn generated() -> BTreeMap<String, String> {
    let registry = omcp_runtimes::builtin();
    let file = |kind: &dyn omcp_core::DynRuntimeType| {
        (format!("{}.json", kind.name()), format!("{:#}\n", kind.settings_schema()))
    };
    registry.iter().map(|kind| file(kind.as_ref())).collect()
}

/// The same, as the control plane has it.
fn kept() -> BTreeMap<String, String> {
    let entries = fs::read_dir(folder()).expect("the schemas stand in a folder");
    let read = |entry: fs::DirEntry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        (name, fs::read_to_string(entry.path()).expect("a schema is text"))
    };
    entries.map(|entry| read(entry.expect("a folder can be listed"))).collect()
}

#[test]
fn are_those_of_the_runtimes() {
    if std::env::var_os("OMCP_WRITE_SCHEMAS").is_some() {
        for (name, text) in generated() {
            fs::write(folder().join(name), text).expect("a schema can be written");
        }
    }
    assert_eq!(kept(), generated(), "run cargo xtask schemas");
}
