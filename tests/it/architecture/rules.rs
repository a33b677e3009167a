//! The arrows that are allowed, and the check.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::circle;
use super::modules::{self, ModuleTree};
use super::workspace::{Crate, Workspace};

/// Which crate may depend on which.
///
/// Those that measure and test may use what they need but link no server: they start the programs.
const ARROWS: &[(&str, &[&str])] = &[
    ("mcp", &[]),
    ("core", &["mcp"]),
    ("proto", &["core"]),
    ("runtimes", &["core", "mcp", "proto"]),
    ("control-plane", &["core", "proto"]),
    ("data-plane", &["core", "mcp", "proto", "runtimes"]),
    ("cli", &["core", "mcp", "proto", "runtimes", "control-plane", "data-plane"]),
    ("custom-runtime", &["core", "data-plane", "runtimes"]),
    ("tests", &["core", "mcp", "proto", "runtimes"]),
    ("bench", &["core", "mcp", "proto", "runtimes", "tests"]),
    ("example-plugin", &["core", "runtimes"]),
    ("xtask", &[]),
];

/// Arrows that only some files of a crate may use: crate, what it names, those files.
const CONFINED: &[(&str, &str, &[&str])] = &[
    ("cli", "omcp_control_plane", &["src/up.rs", "src/commands/up.rs"]),
    ("cli", "omcp_data_plane", &["src/up.rs", "src/commands/up.rs"]),
    ("cli", "omcp_runtimes", &["src/stdio.rs", "src/commands/stdio.rs"]),
    (
        "runtimes",
        "omcp_proto",
        &[
            "src/plugin/connection.rs",
            "src/plugin/describe.rs",
            "src/plugin/serve.rs",
            "src/plugin/serve/conversation.rs",
            "src/plugin/wire.rs",
        ],
    ),
];

/// Everything that breaks the rules, sorted; one line each.
pub fn faults(workspace: &Workspace) -> Vec<String> {
    let mut faults = BTreeSet::new();
    for found in &workspace.crates {
        faults.extend(forbidden_dependencies(found));
        let trees: Vec<_> = found.roots.iter().map(|root| ModuleTree::load(root)).collect();
        faults.extend(orphans(found, &trees));
        for tree in &trees {
            faults.extend(circles(found, tree));
            faults.extend(confined(found, tree));
            faults.extend(runtime_imports(found, tree));
        }
    }
    faults.into_iter().collect()
}

fn forbidden_dependencies(found: &Crate) -> Vec<String> {
    let Some((name, allowed)) = ARROWS.iter().find(|(name, _)| *name == found.name) else {
        return vec![format!("{} is not in the table of arrows", found.name)];
    };
    let forbidden = |link: &&String| !allowed.contains(&link.trim_start_matches("omcp-"));
    let links = found.links.iter().chain(&found.test_links).filter(forbidden);
    let allowed = if allowed.is_empty() { "nothing".to_owned() } else { allowed.join(", ") };
    links.map(|link| format!("{name} depends on {link}: {name} may depend on {allowed}")).collect()
}

fn circles(found: &Crate, tree: &ModuleTree) -> Vec<String> {
    let circles = circle::circles(&tree.arrows());
    circles.iter().map(|way| format!("{}: modules form a circle: {}", found.name, way.join(" -> "))).collect()
}

fn confined(found: &Crate, tree: &ModuleTree) -> Vec<String> {
    let mut faults = Vec::new();
    for (_, word, files) in CONFINED.iter().filter(|(name, ..)| *name == found.name) {
        for file in &tree.files {
            let inside = file.path.strip_prefix(&found.dir).unwrap_or(&file.path);
            let named = file.named.first_words.iter().any(|first| first == word);
            if named && !files.iter().any(|allowed| inside == Path::new(allowed)) {
                let place = shown(found, &file.path);
                faults.push(format!("{place} names {word}: only {} may", files.join(", ")));
            }
        }
    }
    faults
}

/// Runtimes stand alone: what two of them need is no part of either.
fn runtime_imports(found: &Crate, tree: &ModuleTree) -> Vec<String> {
    let runtimes = tree.runtimes();
    let arrows = tree.arrows();
    let mut faults = Vec::new();
    for (name, path) in runtimes.iter().filter(|_| found.name == "runtimes") {
        let targets = arrows.get(name).into_iter().flatten().filter(|to| runtimes.contains_key(*to));
        faults
            .extend(targets.map(|to| format!("{}: runtime {name} imports runtime {to}", shown(found, path))));
    }
    faults
}

/// A file outside the module tree would escape the check.
fn orphans(found: &Crate, trees: &[ModuleTree]) -> Vec<String> {
    let known: BTreeSet<&PathBuf> =
        trees.iter().flat_map(|tree| &tree.files).map(|file| &file.path).collect();
    let files = modules::rust_files(&found.dir.join("src"));
    let orphans = files.iter().filter(|file| !known.contains(file));
    orphans.map(|file| format!("{} belongs to no module", shown(found, file))).collect()
}

fn shown(found: &Crate, path: &Path) -> String {
    let inside = path.strip_prefix(&found.dir).unwrap_or(path);
    format!("{}/{}", found.name, inside.display())
}
