//! The answers of FleetService.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use omcp_proto::v1::{
    BackendState, BackendStatus, ListBackendStatusesResponse, ListNodesResponse, Node, NodeBackendStatus,
    NodeRollout, NodeState, Rejection, RejectionCode, WatchRolloutResponse,
};

use crate::error::Error;
use crate::fleet::Fleet;
use crate::fleet::node::{KeptStatus, NodeRecord};
use crate::publish::Cursor;

/// Statuses in one answer: what fits a message, with room.
const STATUSES_MAX: usize = 200_000;

impl Fleet {
    /// The nodes by name.
    pub fn list(&self) -> ListNodesResponse {
        let (head, backends) = self.stored();
        let nodes = self.nodes();
        let nodes = nodes.iter().map(|(name, node)| wire(name, node, &head, backends)).collect();
        ListNodesResponse { nodes, head_revision: head.revision, epoch: head.epoch.0.to_vec() }
    }

    /// What each connected node says about each backend; empty names mean all.
    ///
    /// # Errors
    /// There is no such backend or node, or the answer would be too large.
    pub fn statuses(&self, backend: &str, node: &str) -> Result<ListBackendStatusesResponse, Error> {
        let backends = self.backends(backend)?;
        let kept = self.offered_by(self.kept_statuses(&backends, node)?);
        Ok(ListBackendStatusesResponse { statuses: kept.into_iter().map(Kept::decoded).collect() })
    }

    fn kept_statuses(&self, backends: &[Arc<str>], node: &str) -> Result<Vec<Kept>, Error> {
        let nodes = self.nodes();
        if !node.is_empty() && !nodes.contains_key(node) {
            return Err(Error::NoSuchNode(node.to_owned()));
        }
        let asked: Vec<_> = nodes
            .iter()
            .filter(|(name, record)| record.connected() && (node.is_empty() || &***name == node))
            .collect();
        if backends.len() * asked.len() > STATUSES_MAX {
            return Err(Error::invalid(
                "node",
                format!("name a node or a backend: there are more than {STATUSES_MAX} statuses"),
            ));
        }
        let of_backend =
            |backend: &Arc<str>| asked.iter().map(|(name, record)| Kept::of(name, record, backend)).collect();
        Ok(backends.iter().flat_map(|backend| -> Vec<Kept> { of_backend(backend) }).collect())
    }

    fn backends(&self, backend: &str) -> Result<Vec<Arc<str>>, Error> {
        let table = self.hub.table();
        if backend.is_empty() {
            return Ok(table.iter().map(|(name, _)| name.clone()).collect());
        }
        match table.get(backend) {
            Some(_) => Ok(vec![backend.into()]),
            None => Err(Error::NoSuchBackend(backend.to_owned())),
        }
    }

    /// How far each connected node is, with what it says about `backends`; none means all.
    pub fn rollout(&self, backends: &[String]) -> WatchRolloutResponse {
        let (head, _) = self.stored();
        let backends = self.existing(backends);
        let stand = |(name, node): (&Arc<str>, &NodeRecord)| {
            let kept: Vec<_> = backends.iter().map(|backend| Kept::of(name, node, backend)).collect();
            (name.clone(), node.state(&head), node.applied(&head), kept)
        };
        let stands: Vec<_> = self.nodes().iter().filter(|(_, node)| node.connected()).map(stand).collect();
        let rollout =
            |(name, state, applied_revision, kept): (Arc<str>, NodeState, u64, Vec<Kept>)| NodeRollout {
                node: name.to_string(),
                state: state.into(),
                applied_revision,
                backends: self.offered_by(kept).into_iter().map(Kept::brief).collect(),
            };
        WatchRolloutResponse {
            nodes: stands.into_iter().map(rollout).collect(),
            head_revision: head.revision,
        }
    }

    fn existing(&self, backends: &[String]) -> Vec<Arc<str>> {
        let table = self.hub.table();
        if backends.is_empty() {
            return table.iter().map(|(name, _)| name.clone()).collect();
        }
        let exists = |name: &&String| table.get(name).is_some();
        backends.iter().filter(exists).map(|name| name.as_str().into()).collect()
    }

    /// Where else a backend could be served, for the nodes that do not offer its runtime type.
    fn offered_by(&self, told: Vec<Kept>) -> Vec<Kept> {
        let mut by_backend = BTreeMap::new();
        let mut named = |backend: &Arc<str>| -> Vec<String> {
            let offered = || self.offers_for(backend);
            by_backend.entry(backend.clone()).or_insert_with(offered).clone()
        };
        let filled = told.into_iter().map(|kept| {
            let offered_by = if kept.lacks_type() { named(&kept.backend) } else { Vec::new() };
            Kept { offered_by, ..kept }
        });
        filled.collect()
    }

    fn offers_for(&self, backend: &str) -> Vec<String> {
        let spec = self.hub.table().get(backend).map(|record| record.decoded());
        let nodes = spec.map(|spec| self.offers().of_type(&spec.runtime_type)).unwrap_or_default();
        nodes.iter().map(ToString::to_string).collect()
    }

    fn stored(&self) -> (Cursor, usize) {
        let table = self.hub.table();
        (table.cursor(), table.len())
    }
}

fn wire(name: &str, node: &NodeRecord, head: &Cursor, backends: usize) -> Node {
    let introduction = &node.introduction;
    Node {
        name: name.to_owned(),
        state: node.state(head).into(),
        build: introduction.build.clone(),
        mcp_url: introduction.mcp_url.clone(),
        admin_url: introduction.admin_url.clone(),
        applied_revision: node.applied(head),
        persisted_revision: node.persisted_revision,
        head_revision: head.revision,
        silent_ms: ms(node.silent()),
        backends: count(backends),
        rejected: node.rejected_count,
        ready: count(node.ready()),
        resume_source: introduction.resume_source.into(),
        snapshot_bytes: node.snapshot_bytes,
        drained: node.drained,
    }
}

/// What a node says about a backend, taken under the lock and decoded outside it.
struct Kept {
    node: Arc<str>,
    backend: Arc<str>,
    status: Option<KeptStatus>,
    rejection: Option<Rejection>,
    offered_by: Vec<String>,
}

impl Kept {
    fn of(node: &Arc<str>, record: &NodeRecord, backend: &Arc<str>) -> Self {
        let (status, rejection) = (record.status(backend), record.rejection(backend));
        Self { node: node.clone(), backend: backend.clone(), status, rejection, offered_by: Vec::new() }
    }

    fn lacks_type(&self) -> bool {
        self.rejection.as_ref().is_some_and(|found| found.code() == RejectionCode::UnknownType)
    }

    /// A status that says nothing if the node has not spoken of the backend.
    fn decoded(self) -> NodeBackendStatus {
        let silent = || BackendStatus { backend: self.backend.to_string(), ..BackendStatus::default() };
        let status = self.status.as_ref().map_or_else(silent, KeptStatus::decoded);
        let Self { node, rejection, offered_by, .. } = self;
        NodeBackendStatus { node: node.to_string(), status: Some(status), rejection, offered_by }
    }

    /// Without what nobody looks at while all is well: a rollout is told many times.
    fn brief(self) -> NodeBackendStatus {
        let mut told = self.decoded();
        if let Some(status) = told.status.as_mut().filter(|status| status.state() == BackendState::Ready) {
            status.stderr_tail.clear();
        }
        told
    }
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
