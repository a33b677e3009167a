//! The module tree of one crate, and what each module names.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::circle::Arrows;
use super::paths::{self, Named};

/// The node that stands for items of the root file itself.
const ROOT: &str = "crate root";

/// One file of a crate.
pub struct SourceFile {
    pub path: PathBuf,
    /// Module path from the crate's root; empty for the root file.
    pub place: Vec<String>,
    pub named: Named,
}

/// All files below the root file of one library, program or test binary.
pub struct ModuleTree {
    pub files: Vec<SourceFile>,
    /// Whether what is being added is test code, whose paths do not count.
    test: bool,
}

impl ModuleTree {
    pub fn load(root: &Path) -> Self {
        let mut tree = Self { files: Vec::new(), test: false };
        tree.add(root, Vec::new(), root.parent().expect("a file has a folder"));
        tree
    }

    /// Adds a file and its children, which stand in `folder`.
    fn add(&mut self, path: &Path, place: Vec<String>, folder: &Path) {
        let source =
            fs::read_to_string(path).unwrap_or_else(|error| panic!("read {}: {error}", path.display()));
        let mut named = paths::named(&source, &place);
        let (children, test_children) = (named.children.clone(), named.test_children.clone());
        if self.test {
            named = Named::default();
        }
        self.files.push(SourceFile { path: path.to_owned(), place: place.clone(), named });
        for child in children {
            let own_file = folder.join(format!("{child}.rs"));
            let file = if own_file.exists() { own_file } else { folder.join(&child).join("mod.rs") };
            let outer = self.test;
            self.test |= test_children.contains(&child);
            self.add(&file, [place.clone(), vec![child.clone()]].concat(), &folder.join(&child));
            self.test = outer;
        }
    }

    /// Arrows between top-level modules; what is below one counts as that one.
    pub fn arrows(&self) -> Arrows {
        let mut arrows = Arrows::new();
        for file in &self.files {
            let from = file.place.first().cloned().unwrap_or_else(|| ROOT.to_owned());
            let targets = file.named.inside.iter().map(|path| self.owner(path));
            arrows.entry(from.clone()).or_default().extend(targets.filter(|to| *to != from));
        }
        arrows
    }

    /// The top-level module a path leads into. A name passed on by the root belongs to its module.
    fn owner(&self, path: &[String]) -> String {
        let root = &self.files[0].named;
        let first = path.first().map_or("", String::as_str);
        if root.children.iter().chain(&root.inline).any(|module| module == first) {
            return first.to_owned();
        }
        let passed_on = root.passed_on.iter().find(|passed| passed.last().is_some_and(|name| name == first));
        passed_on.map_or_else(|| ROOT.to_owned(), |passed| passed[0].clone())
    }

    /// Top-level modules that hold a runtime type, each with the module paths it names.
    pub fn runtimes(&self) -> BTreeMap<String, &Path> {
        let runtimes = self.files.iter().filter(|file| file.named.is_runtime);
        runtimes.filter_map(|file| Some((file.place.first()?.clone(), file.path.as_path()))).collect()
    }
}

/// The Rust files below `folder`.
pub fn rust_files(folder: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let Ok(entries) = fs::read_dir(folder) else {
        return found;
    };
    for path in entries.map(|entry| entry.expect("a folder can be listed").path()) {
        if path.is_dir() {
            found.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.insert(path);
        }
    }
    found
}
