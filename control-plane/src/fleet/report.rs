//! The answers of FleetService.

use std::sync::Arc;
use std::time::Duration;

use omcp_proto::v1::{
    ListBackendStatusesResponse, ListNodesResponse, Node, NodeBackendStatus, NodeRollout,
    WatchRolloutResponse,
};

use crate::catalog::TypeKey;
use crate::error::Error;
use crate::fleet::Fleet;
use crate::fleet::node::NodeRecord;
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
        let of_backend = |backend| asked.iter().map(move |(name, record)| status(name, record, backend));
        Ok(ListBackendStatusesResponse {
            statuses: backends.iter().flat_map(|name| of_backend(name)).collect(),
        })
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
        let nodes = self.nodes();
        let rollout = |(name, node): (&Arc<str>, &NodeRecord)| NodeRollout {
            node: name.to_string(),
            state: node.state(&head).into(),
            applied_revision: node.applied(&head),
            backends: backends.iter().map(|backend| status(name, node, backend)).collect(),
        };
        let nodes = nodes.iter().filter(|(_, node)| node.connected()).map(rollout).collect();
        WatchRolloutResponse { nodes, head_revision: head.revision }
    }

    fn existing(&self, backends: &[String]) -> Vec<Arc<str>> {
        let table = self.hub.table();
        if backends.is_empty() {
            return table.iter().map(|(name, _)| name.clone()).collect();
        }
        let exists = |name: &&String| table.get(name).is_some();
        backends.iter().filter(exists).map(|name| name.as_str().into()).collect()
    }

    /// Names of the connected nodes that offer this version of a type.
    pub fn offering(&self, key: &TypeKey) -> Vec<String> {
        let nodes = self.nodes();
        let offering =
            nodes.iter().filter(|(_, node)| node.connected() && node.introduction.types.contains(key));
        offering.map(|(name, _)| name.to_string()).collect()
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
    }
}

fn status(node: &str, record: &NodeRecord, backend: &str) -> NodeBackendStatus {
    let (status, rejection) = (Some(record.status(backend)), record.rejection(backend));
    NodeBackendStatus { node: node.to_owned(), status, rejection }
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
