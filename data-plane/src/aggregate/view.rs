//! [`View`]: the backends of an endpoint at one moment. Never changes; another moment has another view.

use std::sync::{Arc, OnceLock};

use omcp_core::BackendName;
use omcp_mcp::aggregate::address::Subject;
use omcp_mcp::aggregate::catalog::Catalog;
use omcp_mcp::aggregate::list::List;
use omcp_mcp::aggregate::page::{Cursor, Page, PageLimits, Stale, page};
use omcp_mcp::aggregate::source::Source;
use omcp_mcp::aggregate::statement::{Statement, has_own_extensions};
use omcp_mcp::revision::Era;

use super::selection::Selection;
use crate::backends::{Known, Table};

/// One backend, and what it was last known to list.
pub struct Part {
    pub backend: BackendName,
    pub known: Option<Arc<Known>>,
}

/// Why a request has no owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unowned {
    /// Nobody has it.
    Unknown,
    /// Several backends call something so; the prefix tells them apart.
    Ambiguous,
}

pub struct View {
    /// In the order of their names.
    parts: Vec<Part>,
    first_pages: [OnceLock<Page>; 8],
    statements: [OnceLock<Statement>; 2],
    digests: [OnceLock<blake3::Hash>; 4],
}

impl View {
    pub fn new(table: &Table, selection: &Selection) -> Self {
        let selected = table.all();
        let selected =
            selected.iter().filter(|(_, served)| served.is_selected(|backend| selection.includes(backend)));
        let mut parts: Vec<Part> = selected
            .map(|(backend, served)| Part { backend: backend.clone(), known: served.known() })
            .collect();
        parts.sort_unstable_by(|one, other| one.backend.cmp(&other.backend));
        Self {
            parts,
            first_pages: Default::default(),
            statements: Default::default(),
            digests: Default::default(),
        }
    }

    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// One page of a list.
    ///
    /// # Errors
    /// What the cursor stands in has changed.
    pub fn page(&self, list: List, to: Era, cursor: Option<&Cursor>) -> Result<Page, Stale> {
        let limits = PageLimits::default();
        if cursor.is_some() {
            return page(self.catalogs(), list, to, cursor, limits);
        }
        let at = List::ALL.iter().position(|one| *one == list).unwrap_or_default();
        let first = &self.first_pages[2 * at + usize::from(to == Era::Modern)];
        Ok(first.get_or_init(|| page(self.catalogs(), list, to, None, limits).unwrap_or_default()).clone())
    }

    /// What the backends say of themselves together.
    pub fn statement(&self, to: Era) -> &Statement {
        self.statements[usize::from(to == Era::Modern)].get_or_init(|| Statement::of(self.sources(), to))
    }

    /// Tells apart two states of a list.
    pub fn digest(&self, list: List) -> blake3::Hash {
        let at = List::ALL.iter().position(|one| *one == list).unwrap_or_default();
        *self.digests[at].get_or_init(|| {
            let mut hasher = blake3::Hasher::new();
            for (backend, source) in self.sources() {
                hasher.update(backend.as_bytes()).update(b"\n");
                for item in &source.list(list).items {
                    hasher.update(item).update(b"\n");
                }
            }
            hasher.finalize()
        })
    }

    /// Whose something is that a request names, and what the owner calls it. Whose a task is, its name alone
    /// says, which is sealed.
    ///
    /// # Errors
    /// Nobody's, or not certainly one backend's.
    pub fn owner(&self, subject: Subject, text: &str) -> Result<(&BackendName, String), Unowned> {
        if let Some((backend, rest)) = subject.named(text)
            && let Some(part) = self.part(backend)
        {
            let renamed = matches!(subject, Subject::Tool | Subject::Prompt);
            let original = match (subject.list().filter(|_| renamed), &part.known) {
                (Some(list), Some(known)) => known.catalog.original(list, &rest).to_owned(),
                _ => rest.into_owned(),
            };
            return Ok((&part.backend, original));
        }
        let list = subject.list().ok_or(Unowned::Unknown)?;
        let listed = self.only_one_with(list, text);
        let owner = match (listed, subject) {
            (Err(Unowned::Unknown), Subject::Resource) => self.only_one_with(List::Templates, text),
            (listed, _) => listed,
        };
        owner.map(|backend| (backend, text.to_owned()))
    }

    /// The backend of this name, if it is one of these.
    pub fn backend(&self, name: &str) -> Option<&BackendName> {
        self.part(name).map(|part| &part.backend)
    }

    /// The backend that methods go to which nobody here knows: the only one with extensions of its own.
    pub fn extended(&self) -> Option<&BackendName> {
        let extended = |part: &&Part| {
            part.known.as_ref().is_some_and(|known| has_own_extensions(known.catalog.source()))
        };
        let mut all = self.parts.iter().filter(extended);
        all.next().filter(|_| all.next().is_none()).map(|part| &part.backend)
    }

    fn only_one_with(&self, list: List, key: &str) -> Result<&BackendName, Unowned> {
        let has = |part: &&Part| part.known.as_ref().is_some_and(|known| known.catalog.has(list, key));
        let mut owners = self.parts.iter().filter(has);
        match (owners.next(), owners.next()) {
            (Some(part), None) => Ok(&part.backend),
            (None, _) => Err(Unowned::Unknown),
            (Some(_), Some(_)) => Err(Unowned::Ambiguous),
        }
    }

    fn part(&self, backend: &str) -> Option<&Part> {
        let at = self.parts.binary_search_by(|part| part.backend.as_str().cmp(backend)).ok()?;
        self.parts.get(at)
    }

    fn catalogs(&self) -> impl Iterator<Item = (&str, &Catalog)> {
        self.parts.iter().filter_map(|part| Some((part.backend.as_str(), &*part.known.as_ref()?.catalog)))
    }

    fn sources(&self) -> impl Iterator<Item = (&str, &Source)> {
        self.catalogs().map(|(backend, catalog)| (backend, catalog.source()))
    }
}
