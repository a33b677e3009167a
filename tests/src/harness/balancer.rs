//! A balancer that is as unhelpful as possible: every request goes to any node.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Cluster;

/// Picks at random, in an order that its seed decides.
pub struct Balancer {
    endpoints: Vec<String>,
    state: AtomicU64,
}

impl Balancer {
    /// In front of all nodes, for one backend.
    pub fn new(cluster: &Cluster, backend: &str, seed: u64) -> Self {
        let endpoints = cluster.nodes.iter().map(|node| node.endpoint(backend)).collect();
        Self { endpoints, state: AtomicU64::new(seed) }
    }

    /// In front of all nodes, for whatever they serve.
    pub fn of_nodes(cluster: &Cluster, seed: u64) -> Self {
        let endpoints = cluster.nodes.iter().map(|node| node.mcp.clone()).collect();
        Self { endpoints, state: AtomicU64::new(seed) }
    }

    /// The number of a node.
    pub fn pick(&self) -> usize {
        // SplitMix64: each step is one addition, so threads need no lock.
        let mut z = self.state.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) >> 33).expect("31 bits fit") % self.endpoints.len()
    }

    /// Where that node serves.
    pub fn endpoint(&self, node: usize) -> &str {
        &self.endpoints[node]
    }

    /// The same for any node.
    pub fn any(&self) -> &str {
        self.endpoint(self.pick())
    }
}
