//! [`Apply`]: check, plan, commit: the one way in for all writes.
//!
//! - [`check`]: everything that can be known to be wrong before a node sees it
//! - [`versions`]: settings judged by all versions of their runtime type
//! - [`mask`]: which parts of a spec an update names
//! - [`one`]: intents about one backend
//! - [`manifest`]: many backends in one transaction

pub mod check;
pub mod manifest;
pub mod mask;
pub mod one;
pub mod versions;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use omcp_proto::v1::{
    ApplyManifestRequest, ApplyManifestResponse, CreateBackendRequest, CreateBackendResponse,
    DeleteBackendRequest, DeleteBackendResponse, DiffManifestRequest, DiffManifestResponse, Manifest,
    SettingsValidation, UpdateBackendRequest, UpdateBackendResponse, Warning,
};
use prost::Message;

use crate::catalog::Catalog;
use crate::config::Limits;
use crate::error::Error;
use crate::fleet::Fleet;
use crate::publish::Hub;
use crate::record::EncodedSpec;
use crate::store::intent::Overlay;
use crate::store::{Done, Intent, RequestKey, Store, View, Write};
use check::{Check, Checked, Policy};
use manifest::ApplyManifest;
use mask::Mask;
use one::{Create, Delete, Update};

/// The one way in for all writes.
#[derive(Debug)]
pub struct Apply {
    pub hub: Arc<Hub>,
    pub store: Store,
    pub catalog: Arc<Catalog>,
    pub fleet: Arc<Fleet>,
    pub limits: Limits,
}

/// Who asks, and how.
struct Order {
    actor: String,
    request: Option<RequestKey>,
    validate_only: bool,
}

impl Apply {
    /// Makes a backend.
    ///
    /// # Errors
    /// `Invalid`, `AlreadyExists`, `TooManyBackends`, `RequestIdReused`, or of the store.
    pub async fn create(
        &self,
        actor: String,
        request: CreateBackendRequest,
    ) -> Result<CreateBackendResponse, Error> {
        let order = order(actor, "CreateBackend", &request, &request.request_id, request.validate_only)?;
        let validation = request.settings_validation();
        let backend = request.backend.unwrap_or_default();
        let offers = self.fleet.offers();
        let mut check = Check::new(&self.catalog, &offers, self.policy(request.strict, validation));
        let checked = check.backend("backend", &backend.name, backend.spec.as_ref());
        let warnings = check.finish()?;
        let checked = checked.expect("what has no violation can be stored");
        let (limits, validate_only) = (self.limits, order.validate_only);
        self.carry_out(order, Create { checked, limits, warnings, validate_only }).await
    }

    /// Changes a backend.
    ///
    /// # Errors
    /// `Invalid`, `NoSuchBackend`, `EtagMismatch`, `RequestIdReused`, or of the store.
    pub async fn update(
        &self,
        actor: String,
        request: UpdateBackendRequest,
    ) -> Result<UpdateBackendResponse, Error> {
        let order = order(actor, "UpdateBackend", &request, &request.request_id, request.validate_only)?;
        let policy = self.policy(request.strict, request.settings_validation());
        let mask = Mask::parse(&request.update_mask.unwrap_or_default().paths)?;
        let backend = request.backend.unwrap_or_default();
        let name = check::name("backend.name", &backend.name)?;
        if backend.spec.is_none() {
            return Err(Error::invalid("backend.spec", "is missing: send the new values"));
        }
        let update = Update {
            name: name.as_str().into(),
            wanted: backend.spec,
            mask,
            etag: backend.etag,
            allow_missing: request.allow_missing,
            limits: self.limits,
            policy,
            catalog: self.catalog.clone(),
            offers: self.fleet.offers(),
            merged: EncodedSpec { bytes: Bytes::new(), hash: Default::default() },
            warnings: Vec::new(),
        };
        self.carry_out(order, update).await
    }

    /// Deletes a backend.
    ///
    /// # Errors
    /// `Invalid`, `NoSuchBackend`, `EtagMismatch`, `RequestIdReused`, or of the store.
    pub async fn delete(
        &self,
        actor: String,
        request: DeleteBackendRequest,
    ) -> Result<DeleteBackendResponse, Error> {
        let order = order(actor, "DeleteBackend", &request, &request.request_id, request.validate_only)?;
        let name = check::name("name", &request.name)?;
        let DeleteBackendRequest { etag, allow_missing, .. } = request;
        self.carry_out(order, Delete { name: name.as_str().into(), etag, allow_missing }).await
    }

    /// Makes the store equal to a manifest.
    ///
    /// # Errors
    /// `Invalid`, `MassDelete`, a limit of the transaction, `RequestIdReused`, or of the store.
    pub async fn manifest(
        &self,
        actor: String,
        request: ApplyManifestRequest,
    ) -> Result<ApplyManifestResponse, Error> {
        let order = order(actor, "ApplyManifest", &request, &request.request_id, request.validate_only)?;
        let policy = self.policy(request.strict, request.settings_validation());
        let (wanted, warnings) = self.wanted(request.manifest.unwrap_or_default(), policy)?;
        let max_deletes = request.max_deletes as usize;
        let (prune, limits, changes) = (request.prune, self.limits, Vec::new());
        self.carry_out(order, ApplyManifest { wanted, prune, max_deletes, limits, warnings, changes }).await
    }

    /// Tells what a manifest would change.
    ///
    /// # Errors
    /// `Invalid`.
    pub fn diff(&self, request: DiffManifestRequest) -> Result<DiffManifestResponse, Error> {
        let policy = self.policy(request.strict, request.settings_validation());
        let (wanted, warnings) = self.wanted(request.manifest.unwrap_or_default(), policy)?;
        let (prune, limits) = (request.prune, self.limits);
        let apply = ApplyManifest {
            wanted,
            prune,
            max_deletes: 0,
            limits,
            warnings: Vec::new(),
            changes: Vec::new(),
        };
        let table = self.hub.table();
        let (_, changes) = apply.compare(&View::new(&table, &Overlay::new()));
        Ok(DiffManifestResponse { revision: table.revision, changes, warnings })
    }

    fn wanted(&self, manifest: Manifest, policy: Policy) -> Result<(Vec<Checked>, Vec<Warning>), Error> {
        let offers = self.fleet.offers();
        let mut check = Check::new(&self.catalog, &offers, policy);
        let mut wanted = Vec::with_capacity(manifest.backends.len());
        let mut first = BTreeMap::new();
        for (index, backend) in manifest.backends.iter().enumerate() {
            let prefix = format!("backends[{index}]");
            if let Some(earlier) = first.insert(&backend.name, index) {
                check.violate(
                    format!("{prefix}.name"),
                    format!("{:?} is also backends[{earlier}]", backend.name),
                );
            }
            wanted.extend(check.backend(&prefix, &backend.name, backend.spec.as_ref()));
        }
        Ok((wanted, check.finish()?))
    }

    fn policy(&self, strict: bool, settings: SettingsValidation) -> Policy {
        Policy { spec_len_max: self.limits.spec_len_max, strict, settings }
    }

    async fn carry_out<A: Message + Default>(
        &self,
        order: Order,
        intent: impl Intent + 'static,
    ) -> Result<A, Error> {
        let answer = if order.validate_only {
            self.rehearse(intent)?
        } else {
            let Order { actor, request, .. } = order;
            self.store.write(Write { actor, request, intent: Box::new(intent) }).await?
        };
        A::decode(answer).map_err(|error| {
            Error::Store(crate::error::StoreFault::Other(format!("a kept answer cannot be read: {error}")))
        })
    }

    fn rehearse(&self, mut intent: impl Intent) -> Result<Bytes, Error> {
        let (table, overlay) = (self.hub.table(), Overlay::new());
        let view = View::new(&table, &overlay);
        intent.plan(&view)?;
        Ok(intent.answer(&Done { epoch: table.epoch, revision: table.revision, view }).into())
    }
}

fn order(
    actor: String,
    method: &str,
    request: &impl Message,
    request_id: &str,
    validate_only: bool,
) -> Result<Order, Error> {
    if request_id.is_empty() {
        return Ok(Order { actor, request: None, validate_only });
    }
    let id = uuid::Uuid::try_parse(request_id).map_err(|_| {
        Error::invalid("request_id", "is not a UUID: leave it empty or send a new random one")
    })?;
    let mut hasher = blake3::Hasher::new();
    hasher.update(method.as_bytes()).update(&[0]).update(&request.encode_to_vec());
    let body = *hasher.finalize().as_bytes();
    Ok(Order { actor, request: Some(RequestKey { id: id.to_string(), body }), validate_only })
}
