//! Intents about one backend: [`Create`], [`Update`], [`Delete`].

use std::sync::Arc;

use omcp_proto::v1::{
    Backend, BackendSpec, CreateBackendResponse, DeleteBackendResponse, UpdateBackendResponse, Warning,
};
use prost::Message;

use crate::apply::check::{Check, Checked, Policy};
use crate::apply::mask::Mask;
use crate::catalog::Catalog;
use crate::config::Limits;
use crate::error::Error;
use crate::fleet::offers::Offers;
use crate::record::{EncodedSpec, Record};
use crate::store::{Done, Intent, Plan, View};

/// Makes a backend.
pub struct Create {
    pub checked: Checked,
    pub limits: Limits,
    pub warnings: Vec<Warning>,
    pub validate_only: bool,
}

impl Intent for Create {
    fn plan(&mut self, have: &View<'_>) -> Result<Plan, Error> {
        let Checked { name, spec } = &self.checked;
        if have.get(name).is_some() {
            return Err(Error::AlreadyExists(name.to_string()));
        }
        room(have, &self.limits)?;
        Ok(Plan { puts: vec![(name.clone(), spec.clone())], deletes: Vec::new() })
    }

    fn answer(&self, done: &Done<'_>) -> Vec<u8> {
        let Checked { name, spec } = &self.checked;
        let revision = if self.validate_only { 0 } else { done.revision };
        let backend = Some(as_stored(done, name, spec));
        CreateBackendResponse { backend, revision, warnings: self.warnings.clone() }.encode_to_vec()
    }
}

/// Changes a backend, or makes it if that is allowed.
pub struct Update {
    pub name: Arc<str>,
    pub wanted: Option<BackendSpec>,
    pub mask: Mask,
    pub etag: String,
    pub allow_missing: bool,
    pub limits: Limits,
    pub policy: Policy,
    pub catalog: Arc<Catalog>,
    pub offers: Arc<Offers>,
    /// Filled by the plan: what is stored, and what to know about it.
    pub merged: EncodedSpec,
    pub warnings: Vec<Warning>,
}

impl Intent for Update {
    fn plan(&mut self, have: &View<'_>) -> Result<Plan, Error> {
        let held = have.get(&self.name);
        if held.is_none() && !self.allow_missing {
            return Err(Error::NoSuchBackend(self.name.to_string()));
        }
        check_etag(&self.name, &self.etag, held)?;
        let wanted = self.wanted.clone().unwrap_or_default();
        let merged = match held {
            Some(held) => self.mask.merge(&held.decoded(), &wanted),
            None => wanted,
        };
        let mut check = Check::new(&self.catalog, &self.offers, self.policy);
        let checked = check.backend("backend", &self.name, Some(&merged));
        self.warnings.extend(check.finish()?);
        self.merged = checked.map_or_else(|| EncodedSpec::of(&merged), |checked| checked.spec);
        if held.is_some_and(|held| held.hash == self.merged.hash) {
            return Ok(Plan::default());
        }
        if held.is_none() {
            room(have, &self.limits)?;
        }
        Ok(Plan { puts: vec![(self.name.clone(), self.merged.clone())], deletes: Vec::new() })
    }

    fn answer(&self, done: &Done<'_>) -> Vec<u8> {
        let backend = Some(as_stored(done, &self.name, &self.merged));
        UpdateBackendResponse { backend, revision: done.revision, warnings: self.warnings.clone() }
            .encode_to_vec()
    }
}

/// Deletes a backend.
pub struct Delete {
    pub name: Arc<str>,
    pub etag: String,
    pub allow_missing: bool,
}

impl Intent for Delete {
    fn plan(&mut self, have: &View<'_>) -> Result<Plan, Error> {
        let held = have.get(&self.name);
        match held {
            None if self.allow_missing => return Ok(Plan::default()),
            None => return Err(Error::NoSuchBackend(self.name.to_string())),
            Some(_) => check_etag(&self.name, &self.etag, held)?,
        }
        Ok(Plan { puts: Vec::new(), deletes: vec![self.name.clone()] })
    }

    fn answer(&self, done: &Done<'_>) -> Vec<u8> {
        DeleteBackendResponse { revision: done.revision }.encode_to_vec()
    }
}

fn check_etag(name: &str, etag: &str, held: Option<&Record>) -> Result<(), Error> {
    let current = held.map(Record::etag).unwrap_or_default();
    if etag.is_empty() || etag == current {
        return Ok(());
    }
    Err(Error::EtagMismatch { name: name.to_owned(), current })
}

fn room(have: &View<'_>, limits: &Limits) -> Result<(), Error> {
    let (have, max) = (have.len(), limits.backends_max);
    if have < max { Ok(()) } else { Err(Error::TooManyBackends { have, max }) }
}

/// The backend after the write; after a mere check, what it would hold.
fn as_stored(done: &Done<'_>, name: &str, spec: &EncodedSpec) -> Backend {
    let held = done.view.get(name).map(|record| record.to_wire(name));
    let spec = BackendSpec::decode(spec.bytes.clone()).ok();
    Backend { name: name.to_owned(), spec, ..held.unwrap_or_default() }
}
