//! A client that sends slowly, or holds every descriptor: it is told, and others are served.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use omcp_tests::harness::Cluster;
use omcp_tests::harness::client::Modern;
use omcp_tests::harness::load::Load;
use omcp_tests::harness::manifest::stdio;
use omcp_tests::harness::processes;
use omcp_tests::harness::wait::{self, holds};
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// For what comes after a grace of some seconds, on a machine that is busy compiling.
const LIMIT: Duration = Duration::from_secs(40);
/// Between two pieces of a body.
const DRIP: Duration = Duration::from_millis(100);
/// Descriptors that a node may open in a shortage: a client or two.
const DESCRIPTORS_LEFT: usize = 12;
/// More clients than that.
const CROWD: usize = 40;

/// Sends a request whose body comes in such pieces, until there is an answer. Its status line.
async fn drip(address: &str, body: &[u8], piece_len: usize) -> Result<String> {
    let (mut input, mut output) = TcpStream::connect(address).await?.into_split();
    let head = format!(
        "POST /mcp/a HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Accept: application/json, text/event-stream\r\nMcp-Protocol-Version: 2026-07-28\r\n\
         Mcp-Method: tools/call\r\nMcp-Name: echo\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    output.write_all(head.as_bytes()).await?;
    let sends = async {
        for piece in body.chunks(piece_len) {
            // Who was refused sends in vain.
            if output.write_all(piece).await.is_err() {
                break;
            }
            sleep(DRIP).await;
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        line = timeout(LIMIT, status_line(&mut input)) => line.context("no answer")?,
        () = sends => unreachable!("it never ends"),
    }
}

async fn status_line(input: &mut (impl AsyncReadExt + Unpin)) -> Result<String> {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        line.push(input.read_u8().await.context("the connection ends")?);
    }
    Ok(String::from_utf8_lossy(&line).trim().to_owned())
}

/// A call of `echo` that is so long.
fn call(message_len: usize) -> Vec<u8> {
    let params = json!({ "name": "echo", "arguments": { "message": "x".repeat(message_len) } });
    let params = omcp_tests::harness::client::modern::with_envelope(params);
    json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params }).to_string().into_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_drips_is_refused_and_nobody_else_is_disturbed() -> Result<()> {
    let cluster = Cluster::start(1);
    cluster.apply(&[stdio("a", &[])]);
    let node = &cluster.nodes[0];
    let mut load = Load::default();
    load.add(&node.endpoint("a")).await;
    let address = node.mcp.trim_start_matches("http://").to_owned();
    let slow = tokio::spawn({
        let address = address.clone();
        // 100 bytes a second, for hours.
        async move { drip(&address, &call(2 << 20), 10).await }
    });
    // Far above the floor, and slower than its grace.
    let steady = drip(&address, &call(64 * 1024), 1024).await?;
    ensure!(steady.contains(" 200 "), "{steady}");
    let refused = slow.await??;
    ensure!(refused.contains(" 408 "), "{refused}");
    let (calls, failures) = load.stop().await;
    assert_eq!(failures, Vec::<String>::new(), "of {calls} calls");
    let table = cluster.omcp(&["node", "config", "node-0"]).expect(0).stdout;
    ensure!(table.contains("body rate") && table.contains("1 KiB/s"), "{table}");
    Ok(())
}

/// Lets a process open few more descriptors; the limit it had before.
fn leave_few(pid: u32) -> Result<Rlimit> {
    let few = (processes::descriptors(pid) + DESCRIPTORS_LEFT) as u64;
    // What it may raise its limit to is what we may.
    let limit = Rlimit { current: Some(few), ..getrlimit(Resource::Nofile) };
    Ok(prlimit(Pid::from_raw(pid.cast_signed()), Resource::Nofile, limit)?)
}

/// A connection that asks once and stays open; the status line that it got.
async fn ask(address: &str) -> Result<(TcpStream, String)> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET /nothing HTTP/1.1\r\nHost: {address}\r\n\r\n");
    // Who is refused may be so before it has asked.
    stream.write_all(request.as_bytes()).await.ok();
    let line = timeout(LIMIT, status_line(&mut stream)).await.context("no answer")??;
    Ok((stream, line))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_descriptors_says_so_and_recovers() -> Result<()> {
    let cluster = Cluster::start(1);
    cluster.apply(&[stdio("a", &[])]);
    let node = &cluster.nodes[0];
    let client = Modern::new(&node.endpoint("a"));
    assert_eq!(client.tool("echo", json!({ "message": "before" })).await?, "before");
    let usual = leave_few(node.pid())?;
    let told = || node.output().matches("no descriptor is left").count();
    for address in [&node.mcp, &node.admin].map(|url| url.trim_start_matches("http://")) {
        let mut crowd = Vec::new();
        for _ in 0..CROWD {
            crowd.push(ask(address).await?);
            // Who is there is served.
            assert_eq!(client.tool("echo", json!({ "message": "meanwhile" })).await?, "meanwhile");
        }
        let refused = crowd.iter().filter(|(_, line)| line.contains(" 503 ")).count();
        ensure!((CROWD / 2..CROWD).contains(&refused), "{refused} of {CROWD} were refused");
        drop(crowd);
        wait::until("a descriptor", async || {
            let (_, line) = ask(address).await.map_err(|error| format!("{error:#}"))?;
            holds(line.contains(" 404 "), line)
        })
        .await;
    }
    ensure!(told() == 2, "once for each listener, not {}:\n{}", told(), node.output());
    prlimit(Pid::from_raw(node.pid().cast_signed()), Resource::Nofile, usual)?;
    let (held, line) = ask(node.mcp.trim_start_matches("http://")).await?;
    ensure!(line.contains(" 404 "), "{line}");
    drop(held);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_control_plane_without_descriptors_recovers() -> Result<()> {
    let cluster = Cluster::start(0);
    leave_few(cluster.control_plane.pid())?;
    for address in [&cluster.control_plane.admin, &cluster.control_plane.sync] {
        let address = address.trim_start_matches("http://");
        let mut crowd = Vec::new();
        for _ in 0..CROWD {
            crowd.push(TcpStream::connect(address).await?);
        }
        let mut byte = [0];
        // The last are turned away.
        let away = timeout(LIMIT, async {
            for stream in crowd.iter_mut().rev() {
                if stream.read(&mut byte).await.unwrap_or(0) == 0 {
                    return;
                }
            }
            std::future::pending::<()>().await;
        });
        away.await.context("nobody was turned away")?;
    }
    wait::until("an answer", async || {
        let listed = cluster.omcp(&["nodes"]);
        holds(listed.code == 0, listed)
    })
    .await;
    Ok(())
}

/// Pools of clients keep connections for up to 90 s. This waits for what a node once did after 10.
#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_is_kept() -> Result<()> {
    let cluster = Cluster::start(1);
    let address = cluster.nodes[0].mcp.trim_start_matches("http://");
    let (mut stream, line) = ask(address).await?;
    ensure!(line.contains(" 404 "), "{line}");
    sleep(Duration::from_secs(12)).await;
    stream.write_all(format!("GET /again HTTP/1.1\r\nHost: {address}\r\n\r\n").as_bytes()).await?;
    let mut heard = String::new();
    while !heard.contains("HTTP/1.1 404 ") {
        heard += &timeout(LIMIT, status_line(&mut stream)).await.context("no second answer")??;
    }
    Ok(())
}
