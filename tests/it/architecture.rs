//! The house: which crate may use which, and no circles between the modules of a crate.
//!
//! - [`workspace`]: the crates as cargo sees them
//! - [`paths`]: the paths one file names
//! - [`modules`]: the module tree of one crate, and what each module names
//! - [`rules`]: the arrows that are allowed, and the check
//! - [`circle`]: circles in a set of arrows

mod circle;
mod modules;
mod paths;
mod rules;
mod workspace;

use std::path::Path;

use workspace::Workspace;

#[test]
fn the_house_stands() {
    let workspace = Workspace::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join(".."));
    assert_eq!(rules::faults(&workspace), Vec::<String>::new());
}

#[test]
fn a_forbidden_arrow_is_found() {
    assert_eq!(
        faults_of("forbidden_arrow"),
        [
            "cli/src/get.rs names omcp_data_plane: only src/up.rs, src/commands/up.rs may",
            "core depends on omcp-proto: core may depend on mcp",
            "runtimes/src/pipe.rs: runtime pipe imports runtime socket",
            "stray is not in the table of arrows",
        ]
    );
}

#[test]
fn a_module_circle_is_found() {
    assert_eq!(
        faults_of("module_cycle"),
        [
            "core: modules form a circle: backend -> plan -> backend",
            "mcp/src/forgotten.rs belongs to no module",
            "mcp: modules form a circle: crate root -> line -> crate root",
        ]
    );
}

fn faults_of(fixture: &str) -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("it/fixtures/architecture").join(fixture);
    rules::faults(&Workspace::load(&root))
}
