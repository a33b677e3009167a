//! ManifestService.

use std::sync::Arc;

use omcp_proto::v1::manifest_service_server::ManifestService;
use omcp_proto::v1::{
    ApplyManifestRequest, ApplyManifestResponse, DiffManifestRequest, DiffManifestResponse,
    ExportManifestRequest, ExportManifestResponse, Manifest, ManifestBackend,
};
use tonic::{Request, Response, Status};

use crate::api::actor;
use crate::apply::Apply;

/// The service.
pub struct Manifests {
    pub apply: Arc<Apply>,
}

#[tonic::async_trait]
impl ManifestService for Manifests {
    async fn apply_manifest(
        &self,
        request: Request<ApplyManifestRequest>,
    ) -> Result<Response<ApplyManifestResponse>, Status> {
        let actor = actor::of(request.metadata());
        Ok(Response::new(self.apply.manifest(actor, request.into_inner()).await?))
    }

    async fn diff_manifest(
        &self,
        request: Request<DiffManifestRequest>,
    ) -> Result<Response<DiffManifestResponse>, Status> {
        Ok(Response::new(self.apply.diff(request.into_inner())?))
    }

    async fn export_manifest(
        &self,
        request: Request<ExportManifestRequest>,
    ) -> Result<Response<ExportManifestResponse>, Status> {
        let tags = request.into_inner().tags;
        let (revision, records) = {
            let table = self.apply.hub.table();
            let records: Vec<_> = table.iter().map(|(name, record)| (name.clone(), record.clone())).collect();
            (table.revision, records)
        };
        let all = records.into_iter().map(|(name, record)| (name, record.decoded()));
        let tagged = all.filter(|(_, spec)| tags.iter().all(|tag| spec.tags.contains(tag)));
        let backends =
            tagged.map(|(name, spec)| ManifestBackend { name: name.to_string(), spec: Some(spec) }).collect();
        Ok(Response::new(ExportManifestResponse { manifest: Some(Manifest { backends }), revision }))
    }
}
