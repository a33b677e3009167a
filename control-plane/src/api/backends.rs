//! BackendService.

use std::sync::Arc;

use omcp_proto::v1::backend_service_server::BackendService;
use omcp_proto::v1::{
    Backend, CreateBackendRequest, CreateBackendResponse, DeleteBackendRequest, DeleteBackendResponse,
    GetBackendRequest, GetBackendResponse, ListBackendsRequest, ListBackendsResponse, UpdateBackendRequest,
    UpdateBackendResponse, WatchBackendsRequest,
};
use tonic::{Request, Response, Status};

use crate::api::actor;
use crate::api::page::PageToken;
use crate::api::watch::{Changes, WatchContext};
use crate::apply::Apply;
use crate::error::Error;
use crate::publish::Hub;

/// Page size if none is given, and the largest one.
const PAGE_SIZE: usize = 100;
const PAGE_SIZE_MAX: usize = 1000;
/// Backends looked at under one lock.
const STRIDE: usize = 256;

/// The service.
pub struct Backends {
    pub apply: Arc<Apply>,
    pub watch: WatchContext,
}

#[tonic::async_trait]
impl BackendService for Backends {
    type WatchBackendsStream = Changes;

    async fn get_backend(
        &self,
        request: Request<GetBackendRequest>,
    ) -> Result<Response<GetBackendResponse>, Status> {
        let name = request.into_inner().name;
        let record = self.apply.hub.table().get(&name).cloned();
        let backend = record.map(|record| record.to_wire(&name)).ok_or(Error::NoSuchBackend(name))?;
        Ok(Response::new(GetBackendResponse { backend: Some(backend) }))
    }

    async fn list_backends(
        &self,
        request: Request<ListBackendsRequest>,
    ) -> Result<Response<ListBackendsResponse>, Status> {
        Ok(Response::new(list(&self.apply.hub, request.into_inner())?))
    }

    async fn create_backend(
        &self,
        request: Request<CreateBackendRequest>,
    ) -> Result<Response<CreateBackendResponse>, Status> {
        let actor = actor::of(request.metadata());
        Ok(Response::new(self.apply.create(actor, request.into_inner()).await?))
    }

    async fn update_backend(
        &self,
        request: Request<UpdateBackendRequest>,
    ) -> Result<Response<UpdateBackendResponse>, Status> {
        let actor = actor::of(request.metadata());
        Ok(Response::new(self.apply.update(actor, request.into_inner()).await?))
    }

    async fn delete_backend(
        &self,
        request: Request<DeleteBackendRequest>,
    ) -> Result<Response<DeleteBackendResponse>, Status> {
        let actor = actor::of(request.metadata());
        Ok(Response::new(self.apply.delete(actor, request.into_inner()).await?))
    }

    async fn watch_backends(
        &self,
        request: Request<WatchBackendsRequest>,
    ) -> Result<Response<Changes>, Status> {
        Ok(Response::new(self.watch.changes(&request.into_inner())?))
    }
}

fn list(hub: &Hub, request: ListBackendsRequest) -> Result<ListBackendsResponse, Error> {
    let size = match usize::try_from(request.page_size) {
        Ok(0) => PAGE_SIZE,
        Ok(size) if size <= PAGE_SIZE_MAX => size,
        _ => {
            return Err(Error::invalid(
                "page_size",
                format!("must be 1 to {PAGE_SIZE_MAX}, or 0 for {PAGE_SIZE}"),
            ));
        }
    };
    let mut page = match request.page_token.as_str() {
        "" => PageToken { revision: hub.head().revision, epoch: hub.head().epoch, after: String::new() },
        token => PageToken::parse(token, &request.tags)?,
    };
    // One more than asked for tells whether there is a next page.
    let mut backends = find(hub, &page.after, &request.tags, size + 1);
    let more = backends.len() > size;
    backends.truncate(size);
    page.after = backends.last().map(|backend| backend.name.clone()).unwrap_or_default();
    let next_page_token = if more { page.encode(&request.tags) } else { String::new() };
    Ok(ListBackendsResponse {
        backends,
        next_page_token,
        revision: page.revision,
        epoch: page.epoch.0.to_vec(),
    })
}

/// Up to `count` backends after `after` that have all `tags`.
pub fn find(hub: &Hub, after: &str, tags: &[String], count: usize) -> Vec<Backend> {
    let (mut found, mut after) = (Vec::new(), after.to_owned());
    loop {
        let stride = hub.table().after(&after, STRIDE);
        let last = stride.len() < STRIDE;
        for (name, record) in &stride {
            let backend = record.to_wire(name);
            let has = &backend.spec.as_ref().map(|spec| spec.tags.as_slice()).unwrap_or_default();
            if tags.iter().all(|tag| has.contains(tag)) {
                found.push(backend);
            }
            if found.len() == count {
                return found;
            }
        }
        match stride.last() {
            Some((name, _)) if !last => after = name.to_string(),
            _ => return found,
        }
    }
}
