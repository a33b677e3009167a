//! [`Context`]: what every command is given.

use omcp_proto::v1::{
    Backend, BackendStatus, GetBackendRequest, ListBackendStatusesRequest, ListBackendsRequest,
    NodeBackendStatus,
};

use crate::args::Global;
use crate::client::Client;
use crate::failure::Failure;
use crate::output::Format;

/// Backends per page when all are listed.
const PAGE_SIZE: i32 = 1000;

/// The global options, and what is reached through them.
#[derive(Clone, Debug)]
pub struct Context {
    pub global: Global,
    /// The whole command line, for completion scripts.
    pub program: fn() -> clap::Command,
}

impl Context {
    pub fn format(&self) -> Format {
        self.global.output.unwrap_or(Format::Table)
    }

    /// # Errors
    /// The server's address is none.
    pub fn client(&self) -> Result<Client, Failure> {
        Client::new(&self.global.server, self.global.timeout)
    }

    /// One backend.
    ///
    /// # Errors
    /// There is none of this name, or the control plane does not answer.
    pub async fn backend(&self, name: &str) -> Result<Backend, Failure> {
        let request = GetBackendRequest { name: name.to_owned() };
        let answer = self.client()?.backends().get_backend(request).await;
        let answer = answer.map_err(|status| Failure::rpc(format!("get backend {name}"), &status))?;
        Ok(answer.into_inner().backend.unwrap_or_default())
    }

    /// Every backend that has all these tags.
    ///
    /// # Errors
    /// The control plane does not answer.
    pub async fn all_backends(&self, tags: &[String]) -> Result<Vec<Backend>, Failure> {
        let mut service = self.client()?.backends();
        let mut found = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = ListBackendsRequest { page_size: PAGE_SIZE, page_token, tags: tags.to_vec() };
            let answer = service.list_backends(request).await;
            let page = answer.map_err(|status| Failure::rpc("list backends", &status))?.into_inner();
            found.extend(page.backends);
            if page.next_page_token.is_empty() {
                return Ok(found);
            }
            page_token = page.next_page_token;
        }
    }

    /// What the nodes say about one backend or, with an empty name, about all.
    ///
    /// # Errors
    /// The control plane does not answer.
    pub async fn statuses(&self, backend: &str, node: &str) -> Result<Vec<NodeBackendStatus>, Failure> {
        let request = ListBackendStatusesRequest { backend: backend.to_owned(), node: node.to_owned() };
        let answer = self.client()?.fleet().list_backend_statuses(request).await;
        Ok(answer
            .map_err(|status| Failure::rpc("list the states of backends", &status))?
            .into_inner()
            .statuses)
    }
}

/// The name of the backend a status is about.
pub fn backend_name(status: &NodeBackendStatus) -> &str {
    let said = status.status.as_ref().map(|BackendStatus { backend, .. }| backend.as_str());
    said.or_else(|| status.rejection.as_ref().map(|rejection| rejection.backend.as_str())).unwrap_or_default()
}
