//! Whole nodes in this process, without a control plane.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use omcp_proto::v1::Change;
use omcp_proto::v1::change::Op;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use super::*;
use crate::backends::BackendLimits;
use crate::backends::stub::{Stub, spec};
use crate::front::config::FrontConfig;
use crate::sync::held::Held;

fn config(state_dir: &Path) -> NodeConfig {
    NodeConfig {
        name: "n1".to_owned(),
        control_plane: "http://127.0.0.1:1".to_owned(),
        listen: "127.0.0.1:0".parse().unwrap(),
        admin_listen: "127.0.0.1:0".parse().unwrap(),
        state_dir: state_dir.to_owned(),
        secrets_dir: None,
        insecure_listen: false,
        advertise_url: None,
        plugins: Vec::new(),
        shutdown_delay: Duration::ZERO,
        backends: BackendLimits::default(),
        front: FrontConfig { drain_timeout: Duration::from_millis(200), ..FrontConfig::default() },
    }
}

/// A state directory in which a node left these backends.
fn left_behind(backends: &[(&str, Value)]) -> tempfile::TempDir {
    let state = tempfile::tempdir().unwrap();
    let mut held = Held::empty(omcp_core::Epoch([9; 16]), 7);
    for (name, settings) in backends {
        let change = Change { revision: 7, name: (*name).to_owned(), op: Some(Op::Put(spec(settings))) };
        held.put(change).unwrap();
    }
    LastGood::open(state.path()).unwrap().write(&held).unwrap();
    state
}

struct Running {
    mcp: String,
    admin: String,
    stop: oneshot::Sender<()>,
    node: JoinHandle<Result<(), NodeError>>,
}

async fn start(state: &Path, stub: &Stub) -> Running {
    start_with(config(state), stub).await
}

async fn start_with(config: NodeConfig, stub: &Stub) -> Running {
    let node = Node::build(config, stub.registry()).await.unwrap();
    let [mcp, admin] =
        [node.mcp_url(), node.admin_url()].map(|url| url.strip_prefix("http://").unwrap().to_owned());
    let (stop, stopped) = oneshot::channel();
    let node = tokio::spawn(node.run(async move { drop(stopped.await) }));
    Running { mcp, admin, stop, node }
}

impl Running {
    async fn get(&self, path: &str) -> (StatusCode, String) {
        self.get_as(path, &self.admin).await
    }

    async fn get_as(&self, path: &str, host: &str) -> (StatusCode, String) {
        let stream = TcpStream::connect(&self.admin).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let request = Request::get(path).header("Host", host).body(Empty::<Bytes>::new()).unwrap();
        let response = sender.send_request(request).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.into()).unwrap())
    }

    async fn config(&self) -> Value {
        serde_json::from_str(&self.get("/config").await.1).unwrap()
    }

    async fn end(self) {
        self.stop.send(()).unwrap();
        tokio::time::timeout(Duration::from_secs(10), self.node)
            .await
            .expect("the node stops")
            .unwrap()
            .unwrap();
    }
}

#[tokio::test]
async fn a_node_without_anything_is_alive_and_not_ready() {
    let state = tempfile::tempdir().unwrap();
    let node = start(state.path(), &Stub::default()).await;
    assert_eq!(node.get("/healthz").await, (StatusCode::OK, "ok\n".to_owned()));
    let (status, why) = node.get("/readyz").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(why.contains("no last-good file"), "{why}");
    assert_eq!(node.get_as("/healthz", "evil.example").await.0, StatusCode::FORBIDDEN);
    assert_eq!(node.get("/else").await.0, StatusCode::NOT_FOUND);
    node.end().await;
}

#[tokio::test]
async fn a_node_starts_from_its_file_without_a_control_plane() {
    let state = left_behind(&[("a", json!({"speaks": "modern"})), ("bad", json!({"create": "fail"}))]);
    let stub = Stub::default();
    let node = start(state.path(), &stub).await;
    assert_eq!(node.get("/readyz").await.0, StatusCode::OK);
    let config = loop {
        let config = node.config().await;
        if config["backends"][0]["state"] == "ready" {
            break config;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert_eq!((&config["revision"], &config["source"]), (&json!(7), &json!("disk")));
    assert_eq!(config["epoch"], "09".repeat(16));
    assert_eq!(
        (&config["backends"][0]["tools"], &config["backends"][1]["state"]),
        (&json!(2), &json!("rejected"))
    );
    assert_eq!(config["rejections"][0]["code"], "INVALID");
    assert_eq!(config["control_plane"]["connected"], false);
    let metrics = node.get("/metrics").await.1;
    for line in [
        "omcp_config_revision 7",
        "omcp_backends{state=\"ready\"} 1",
        "omcp_backend_state{backend=\"bad\",state=\"rejected\"} 1",
    ] {
        assert!(metrics.lines().any(|got| got == line), "{line} in {metrics}");
    }
    assert_eq!(node.get("/backends/a/logs?lines=5").await, (StatusCode::OK, String::new()));
    assert_eq!(node.get("/backends/none/logs").await.0, StatusCode::NOT_FOUND);
    assert_eq!(stub.0.open(), 1);
    node.end().await;
    assert_eq!(stub.0.open(), 0, "its processes are gone");
    assert!(!state.path().join("starts").exists(), "an end in good order is no crash");
}

#[tokio::test]
async fn what_cannot_be_used_is_named() {
    let state = tempfile::tempdir().unwrap();
    let stub = Stub::default();
    let exposed = NodeConfig { listen: "0.0.0.0:0".parse().unwrap(), ..config(state.path()) };
    assert!(matches!(Node::build(exposed, stub.registry()).await, Err(NodeError::Config(_))));
    let node = Node::build(config(state.path()), stub.registry()).await.unwrap();
    let taken = NodeConfig { listen: node.mcp_address().unwrap(), ..config(state.path()) };
    assert!(matches!(Node::build(taken, stub.registry()).await, Err(NodeError::Listen { what: "MCP", .. })));
    let shared = Node::build(config(state.path()), stub.registry()).await;
    let Err(NodeError::State { source, .. }) = shared else { panic!("two nodes share a directory") };
    assert!(source.to_string().contains("another node"));
}

#[tokio::test]
async fn ten_thousand_backends_are_served_soon_after_the_start() {
    let names: Vec<_> = (0..10_000).map(|n| format!("b{n}")).collect();
    let backends: Vec<_> = names.iter().map(|name| (name.as_str(), json!({}))).collect();
    // Without optimisation. Measured up to three times: a busy machine may be slow once.
    let (limit, mut fastest) = (Duration::from_secs(5), Duration::MAX);
    for _ in 0..3 {
        let state = left_behind(&backends);
        let began = Instant::now();
        let node = Node::build(config(state.path()), Stub::default().registry()).await.unwrap();
        let built = began.elapsed();
        println!("10,000 backends loaded and built in {built:?}");
        assert_eq!(node.table().len(), 10_000);
        fastest = fastest.min(built);
        if fastest < limit {
            break;
        }
    }
    assert!(fastest < limit, "{fastest:?}");
}

#[tokio::test]
async fn a_client_that_says_nothing_or_half_a_word_is_left() {
    let state = tempfile::tempdir().unwrap();
    let mut config = config(state.path());
    config.front.header_timeout = Duration::from_millis(100);
    let node = start_with(config, &Stub::default()).await;
    for said in ["", "P", "PRI * HTTP/2.0\r\n\r\nSM", "POST /mcp HTTP/1.1\r\nHost: 127.0"] {
        let mut stream = TcpStream::connect(&node.mcp).await.unwrap();
        stream.write_all(said.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let closed = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await;
        assert!(closed.is_ok(), "{said:?} is waited on");
    }
    node.end().await;
}

#[tokio::test]
async fn http2_is_spoken_with_who_begins_with_it() {
    let state = tempfile::tempdir().unwrap();
    let node = start(state.path(), &Stub::default()).await;
    // The preface comes in pieces that look like a method of HTTP/1.
    let (near, far) = tokio::io::duplex(64 * 1024);
    let (mcp, stream) = (node.mcp.clone(), TcpStream::connect(&node.mcp).await.unwrap());
    stream.set_nodelay(true).unwrap();
    tokio::spawn(in_pieces(far, stream));
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(near)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::get(format!("http://{mcp}/nowhere")).body(Empty::<Bytes>::new()).unwrap();
    let response = sender.send_request(request).await.unwrap();
    assert_eq!((response.version(), response.status()), (http::Version::HTTP_2, StatusCode::NOT_FOUND));
    node.end().await;
}

/// Hands the first bytes on one by one.
async fn in_pieces(far: DuplexStream, stream: TcpStream) {
    let ((mut from_client, mut to_client), (mut from_node, mut to_node)) =
        (tokio::io::split(far), stream.into_split());
    let there = async {
        for _ in 0..8 {
            let byte = from_client.read_u8().await.unwrap();
            to_node.write_u8(byte).await.unwrap();
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        tokio::io::copy(&mut from_client, &mut to_node).await
    };
    let back = tokio::io::copy(&mut from_node, &mut to_client);
    drop(tokio::join!(there, back));
}
