//! What people write becomes an [`omcp_proto::v1::Manifest`], and keeps its places.
//!
//! In reading order:
//!
//! - [`source`]: a text and a place in it
//! - [`problem`]: something wrong at a place
//! - [`read`]: files, directories and standard input
//! - [`jsonc`], [`node`], [`document`]: text to a tree of values with places
//! - [`entry`]: an entry of `servers:`, with its [`lifecycle`]; [`mcp_servers`]: an entry of `mcpServers`
//! - [`place`]: from a field path back to its place
//! - [`write`](mod@write), [`from_json`]: the way back, from stored backends to YAML and JSON

pub mod document;
pub mod entry;
pub mod from_json;
pub mod jsonc;
pub mod lifecycle;
pub mod mcp_servers;
pub mod node;
pub mod place;
pub mod problem;
pub mod read;
pub mod secret;
pub mod source;
pub mod write;

use std::collections::HashMap;
use std::sync::Arc;

use omcp_proto::v1::{Manifest, ManifestBackend};

use self::entry::Reader;
use self::mcp_servers::Import;
use self::node::{Member, Node, Value};
use self::place::Origin;
pub use self::problem::Problem;
pub use self::source::Source;

/// Something worth knowing about what was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    pub backend: String,
    pub message: String,
    pub warning: bool,
}

pub type Notes = Vec<Note>;

impl Note {
    pub fn new(backend: &str, message: String) -> Self {
        Self { backend: backend.to_owned(), message, warning: false }
    }

    pub fn warning(backend: &str, message: String) -> Self {
        Self { warning: true, ..Self::new(backend, message) }
    }
}

/// Backends that were read, each with the place it was written at.
#[derive(Debug, Default)]
pub struct Loaded {
    pub backends: Vec<ManifestBackend>,
    pub origins: Vec<Origin>,
    pub notes: Notes,
}

impl Loaded {
    pub fn manifest(&self) -> Manifest {
        Manifest { backends: self.backends.clone() }
    }

    /// Makes a problem of what the server says about a path such as `backends[3].runtime.command`.
    pub fn problem(&self, path: &str, message: &str) -> Option<Problem> {
        let rest = path.strip_prefix("manifest.").unwrap_or(path).strip_prefix("backends[")?;
        let (index, rest) = rest.split_once(']')?;
        let origin = self.origins.get(index.parse::<usize>().ok()?)?;
        Some(origin.problem(rest.trim_start_matches('.'), message))
    }
}

/// Reads the backends of all sources.
///
/// # Errors
/// Everything that is wrong, in the order of the sources.
pub fn load(sources: &[Arc<Source>]) -> Result<Loaded, Vec<Problem>> {
    let mut loader = Loader::default();
    for source in sources {
        match document::parse(source) {
            Ok(documents) => loader.source(source, &documents),
            Err(problems) => loader.problems.extend(problems),
        }
    }
    loader.finish()
}

#[derive(Default)]
struct Loader {
    loaded: Loaded,
    problems: Vec<Problem>,
    import: Import,
}

impl Loader {
    fn source(&mut self, source: &Arc<Source>, documents: &[Node]) {
        let written: Vec<_> = documents.iter().filter(|node| !matches!(node.value, Value::Null)).collect();
        if written.is_empty() {
            let problem = Problem::new(source, source::Span::default(), "no backends in here: it is empty");
            self.problems.push(problem.hint("write `servers:` and a list below it"));
        }
        written.into_iter().for_each(|document| self.document(source, document));
    }

    fn document(&mut self, source: &Arc<Source>, document: &Node) {
        let mut reader = Reader { source, problems: &mut self.problems };
        let Some(members) = reader.members(document, "a manifest") else { return };
        if let Some(member) = document.member("mcpServers") {
            return self.mcp_servers(source, member);
        }
        let lists = || members.iter().filter(|member| is_list_key(&member.key));
        for member in lists().skip(1) {
            reader.report(
                member.key_span,
                "`servers` and `backends` are the same field",
                "remove one of them",
            );
        }
        let map = lists().next().is_some_and(|member| !member.value.members().is_empty());
        report_unknown(&mut reader, members, map);
        match lists().next() {
            Some(member) if map => self.mcp_servers(source, member),
            Some(member) => self.list(source, member),
            None if members.is_empty() => {
                reader.report(document.span, "no backends in here", "write `servers:` and a list below it");
            }
            None => {}
        }
    }

    fn list(&mut self, source: &Arc<Source>, member: &Member) {
        let mut reader = Reader { source, problems: &mut self.problems };
        let Value::List(items) = &member.value.value else {
            let message = format!("`{}` must be a list, not {}", member.key, member.value.kind());
            let hint = format!("write `{}: []` if you mean no backends at all", member.key);
            return reader.report(member.key_span, message, hint);
        };
        let read: Vec<_> = items.iter().filter_map(|item| reader.backend(item)).collect();
        read.into_iter().for_each(|(backend, origin)| self.add(backend, origin));
    }

    fn mcp_servers(&mut self, source: &Arc<Source>, member: &Member) {
        let mut reader = Reader { source, problems: &mut self.problems };
        let Some(members) = reader.members(&member.value, &format!("`{}`", member.key)) else { return };
        let mut read = Vec::new();
        for member in members {
            read.extend(self.import.backend(&mut reader, member, &mut self.loaded.notes));
        }
        read.into_iter().for_each(|(backend, origin)| self.add(backend, origin));
    }

    fn add(&mut self, backend: ManifestBackend, origin: Origin) {
        self.report_violations(&backend, &origin);
        self.loaded.backends.push(backend);
        self.loaded.origins.push(origin);
    }

    /// The rules every backend must obey, unless the same place has been reported already.
    fn report_violations(&mut self, backend: &ManifestBackend, origin: &Origin) {
        let spec = backend.spec.clone().unwrap_or_default();
        let Err(found) = omcp_proto::convert::backend(&backend.name, &spec) else { return };
        for invalid in found {
            let problem = origin.problem(&invalid.field, &invalid.reason);
            let same =
                |known: &Problem| Arc::ptr_eq(&known.source, &problem.source) && known.span == problem.span;
            let missing = backend.name.is_empty() && invalid.field == "name"
                || spec.runtime_type.is_empty() && invalid.field == "runtime.type";
            if !missing && !self.problems.iter().any(same) {
                self.problems.push(problem);
            }
        }
    }

    fn finish(mut self) -> Result<Loaded, Vec<Problem>> {
        self.report_repeated_names();
        if self.problems.is_empty() { Ok(self.loaded) } else { Err(self.problems) }
    }

    fn report_repeated_names(&mut self) {
        let mut seen = HashMap::<&str, &Origin>::new();
        for (backend, origin) in self.loaded.backends.iter().zip(&self.loaded.origins) {
            if backend.name.is_empty() {
                continue;
            }
            if let Some(first) = seen.get(backend.name.as_str()) {
                let place = Problem::new(&first.source, first.name_span, "").place();
                let message = format!("backend {:?} stands twice", backend.name);
                let problem = Problem::new(&origin.source, origin.name_span, message);
                self.problems.push(problem.hint(format!("it stands first at {place}; rename one of them")));
            } else {
                seen.insert(&backend.name, origin);
            }
        }
    }
}

fn is_list_key(key: &str) -> bool {
    matches!(key, "servers" | "backends")
}

/// Names what does not belong at the top; `inputs` stands beside the `servers` of VS Code.
fn report_unknown(reader: &mut Reader<'_>, members: &[Member], map: bool) {
    for member in members.iter().filter(|member| !(is_list_key(&member.key) || map && member.key == "inputs"))
    {
        let hint = match omcp_core::nearest(&member.key, ["servers", "backends", "mcpServers"]) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => "a manifest has `servers:` and a list below it".to_owned(),
        };
        reader.report(member.key_span, format!("unknown field `{}`", member.key), hint);
    }
}

#[cfg(test)]
mod tests;
