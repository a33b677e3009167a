//! [`ApplyManifest`]: many backends in one transaction, and the guard against deleting too many.

use std::collections::BTreeMap;
use std::sync::Arc;

use omcp_core::{BackendName, Change};
use omcp_proto::v1::{ApplyManifestResponse, BackendSpec, ChangeKind, ManifestChange, Warning};
use prost::Message;

use crate::apply::check::Checked;
use crate::config::Limits;
use crate::diff;
use crate::error::Error;
use crate::record::{EncodedSpec, Record};
use crate::store::{Done, Intent, Plan, View};

/// Deletions that are never thought a mistake.
const DELETES_FREE: usize = 10;
/// One part in so many of all backends may go at once, too.
const DELETES_PART: usize = 5;

/// Makes the store equal to a manifest, for the backends it names; with prune, for all.
pub struct ApplyManifest {
    pub wanted: Vec<Checked>,
    pub prune: bool,
    /// Most deletions; 0 means the guard's own limit.
    pub max_deletes: usize,
    pub limits: Limits,
    pub warnings: Vec<Warning>,
    /// Filled by the plan.
    pub changes: Vec<ManifestChange>,
}

impl Intent for ApplyManifest {
    fn plan(&mut self, have: &View<'_>) -> Result<Plan, Error> {
        let (plan, changes) = self.compare(have);
        self.guard(have, &plan)?;
        self.changes = changes;
        Ok(plan)
    }

    fn answer(&self, done: &Done<'_>) -> Vec<u8> {
        let (epoch, changes, warnings) = (done.epoch.0.to_vec(), self.changes.clone(), self.warnings.clone());
        ApplyManifestResponse { revision: done.revision, epoch, changes, warnings }.encode_to_vec()
    }
}

impl ApplyManifest {
    /// What has to change, for the store and for people. Guards nothing.
    pub fn compare(&self, have: &View<'_>) -> (Plan, Vec<ManifestChange>) {
        let held = self.held(have);
        let want: BTreeMap<BackendName, Side> = self
            .wanted
            .iter()
            .filter_map(|checked| Some((checked.name.parse().ok()?, Side::wanted(checked))))
            .collect();
        let mut plan = Plan::default();
        let mut changes: BTreeMap<&str, ManifestChange> =
            want.keys().map(|name| (name.as_str(), unchanged(name.as_str()))).collect();
        for step in omcp_core::plan(&held, &want) {
            let (name, change) = describe(&step);
            changes.insert(name.as_str(), change);
            match step {
                Change::Create(_, side) | Change::Update(_, _, side) => plan.puts.push(side.put(name)),
                Change::Delete(..) => plan.deletes.push(name.as_str().into()),
            }
        }
        (plan, changes.into_values().collect())
    }

    fn held(&self, have: &View<'_>) -> BTreeMap<BackendName, Side> {
        let side = |name: &str, record: &Record| Some((name.parse().ok()?, Side::held(record)));
        if self.prune {
            return have.all().into_iter().filter_map(|(name, record)| side(name, record)).collect();
        }
        self.wanted.iter().filter_map(|checked| side(&checked.name, have.get(&checked.name)?)).collect()
    }

    fn guard(&self, have: &View<'_>, plan: &Plan) -> Result<(), Error> {
        let (deletes, total) = (plan.deletes.len(), have.len());
        let own_limit = DELETES_FREE.max(total / DELETES_PART);
        let allowed = if self.max_deletes == 0 { own_limit } else { self.max_deletes };
        if deletes > allowed {
            return Err(Error::MassDelete { deletes, total, allowed });
        }
        let (changes, max) = (deletes + plan.puts.len(), self.limits.changes_max);
        if changes > max {
            return Err(Error::TooManyChanges { changes, max });
        }
        let (len, max) =
            (plan.puts.iter().map(|(_, spec)| spec.bytes.len()).sum(), self.limits.transaction_len_max);
        if len > max {
            return Err(Error::TransactionTooLarge { len, max });
        }
        let created = plan.puts.iter().filter(|(name, _)| have.get(name).is_none()).count();
        let (have, max) = (total + created - deletes, self.limits.backends_max);
        if have > max { Err(Error::TooManyBackends { have, max }) } else { Ok(()) }
    }
}

/// A spec on one side of the comparison. Equal bytes are equal specs.
#[derive(Clone)]
struct Side(EncodedSpec);

impl PartialEq for Side {
    fn eq(&self, other: &Self) -> bool {
        self.0.hash == other.0.hash
    }
}

impl Side {
    fn held(record: &Record) -> Self {
        Self(EncodedSpec { bytes: record.spec.clone(), hash: record.hash })
    }

    fn wanted(checked: &Checked) -> Self {
        Self(checked.spec.clone())
    }

    fn put(&self, name: &BackendName) -> (Arc<str>, EncodedSpec) {
        (name.as_str().into(), self.0.clone())
    }

    fn decoded(&self) -> BackendSpec {
        BackendSpec::decode(self.0.bytes.clone()).unwrap_or_default()
    }
}

fn unchanged(name: &str) -> ManifestChange {
    let kind = ChangeKind::Unchanged.into();
    ManifestChange { name: name.to_owned(), kind, ..ManifestChange::default() }
}

fn describe<'a>(step: &Change<'a, Side>) -> (&'a BackendName, ManifestChange) {
    let (name, kind, fields, rebuilds) = match step {
        Change::Create(name, new) => (*name, ChangeKind::Created, Vec::new(), !new.decoded().disabled),
        Change::Update(name, old, new) => {
            let (old, new) = (old.decoded(), new.decoded());
            let rebuilds = diff::rebuilds(name.as_str(), &old, &new);
            (*name, ChangeKind::Updated, diff::fields(&old, &new), rebuilds)
        }
        Change::Delete(name, _) => (*name, ChangeKind::Deleted, Vec::new(), false),
    };
    (name, ManifestChange { name: name.to_string(), kind: kind.into(), fields, rebuilds })
}
