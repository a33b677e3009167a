//! Somebody puts an older copy of the database back: nodes notice, and lose nothing unasked.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use omcp_proto::v1::ListNodesRequest;
use omcp_proto::v1::fleet_service_client::FleetServiceClient;
use omcp_tests::harness::Cluster;
use omcp_tests::harness::client::Modern;
use omcp_tests::harness::manifest::stdio;
use omcp_tests::harness::wait::{self, holds};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn an_older_copy_is_a_new_epoch_and_removals_wait_for_consent() -> Result<()> {
    let mut cluster = Cluster::start(2);
    cluster.apply(&[stdio("old-0", &[]), stdio("old-1", &[])]);
    cluster.control_plane.stop();
    let copy = copy_beside(cluster.control_plane.database())?;
    cluster.control_plane.restart();
    let newer: Vec<_> = (0..6).map(|number| stdio(&format!("new-{number}"), &[])).collect();
    cluster.apply(&newer);
    let epoch = epoch(&cluster).await?;
    cluster.control_plane.stop();
    restore(&copy, cluster.control_plane.database())?;
    cluster.control_plane.restart();
    until_all(&cluster, "held-mass-removal").await;
    ensure!(self::epoch(&cluster).await? != epoch, "the epoch is still {epoch:?}");
    serve(&cluster, &["old-0", "old-1", "new-0", "new-5"]).await?;
    cluster.omcp(&["nodes", "accept-removal"]).expect(0);
    until_all(&cluster, "in-sync").await;
    serve(&cluster, &["old-0", "old-1"]).await?;
    ensure!(serve(&cluster, &["new-0"]).await.is_err(), "new-0 is in no store any more");
    Ok(())
}

async fn until_all(cluster: &Cluster, state: &str) {
    wait::until(&format!("every node to be {state}"), async || {
        let nodes = cluster.node_list();
        holds(nodes.len() == cluster.nodes.len() && nodes.iter().all(|node| node["state"] == state), nodes)
    })
    .await;
}

async fn serve(cluster: &Cluster, backends: &[&str]) -> Result<()> {
    for node in &cluster.nodes {
        for backend in backends {
            Modern::new(&node.endpoint(backend)).tool("pid", json!({})).await?;
        }
    }
    Ok(())
}

async fn epoch(cluster: &Cluster) -> Result<Vec<u8>> {
    let mut client = FleetServiceClient::connect(cluster.control_plane.admin.clone()).await?;
    Ok(client.list_nodes(ListNodesRequest {}).await?.into_inner().epoch.to_vec())
}

/// The files of a database that nobody has open.
fn files(database: &Path) -> Vec<PathBuf> {
    let with = |suffix: &str| PathBuf::from(format!("{}{suffix}", database.display()));
    ["", "-wal", "-shm"].map(with).into_iter().filter(|path| path.exists()).collect()
}

fn copy_beside(database: &Path) -> Result<PathBuf> {
    let copy = database.with_extension("copy");
    for file in files(database) {
        let suffix = file.display().to_string().replace(&database.display().to_string(), "");
        fs::copy(&file, format!("{}{suffix}", copy.display()))?;
    }
    Ok(copy)
}

fn restore(copy: &Path, database: &Path) -> Result<()> {
    files(database).iter().try_for_each(fs::remove_file)?;
    for file in files(copy) {
        let suffix = file.display().to_string().replace(&copy.display().to_string(), "");
        fs::copy(&file, format!("{}{suffix}", database.display()))?;
    }
    Ok(())
}
