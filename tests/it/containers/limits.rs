use serde_json::{Value, json};

use super::*;

const MIB: u64 = 1024 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn a_container_gets_what_is_safe_unless_told_otherwise() {
    let engine = Engine::with_fixture();
    let life = Life::new("n1", "b1");
    let mut plain = life.connect("plain", &engine, json!({})).await;
    initialize(&mut *plain).await;
    let found = engine.container_of("plain");
    let host = &found["HostConfig"];
    assert_eq!(host["ReadonlyRootfs"], true);
    assert_eq!(host["SecurityOpt"], json!(["no-new-privileges"]));
    assert_eq!(host["PidsLimit"], 256);
    assert_eq!(host["Memory"], 1024 * MIB);
    assert_eq!(host["MemorySwap"], 1024 * MIB);
    assert_eq!(host["NanoCpus"], 1_000_000_000);
    assert_eq!(host["NetworkMode"], "none");
    assert_eq!(host["LogConfig"]["Type"], "none");
    assert_eq!(found["EffectiveCaps"].as_array().map_or(0, Vec::len), 0, "{}", found["EffectiveCaps"]);
    let environment: Value = serde_json::from_str(&call(&mut *plain, "env", json!({})).await).unwrap();
    let names: Vec<_> = environment.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(environment["GREETING"], "hello");
    // The rest is the engine's own.
    for name in names {
        assert!(["GREETING", "PATH", "TERM", "HOME", "HOSTNAME", "container"].contains(&name), "{name}");
    }
    plain.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_for_is_what_it_gets() {
    let engine = Engine::with_fixture();
    let life = Life::new("n1", "b1");
    let settings = json!({
        "command": "/server", "args": ["--era", "legacy", "stdio"], "user": "1000:1000", "network": "host",
        "memory_mib": 128, "cpus": 0.5, "pids_max": 64, "read_only_root": false, "no_new_privileges": false,
        "cap_add": ["NET_BIND_SERVICE"], "working_dir": "/tmp",
        "mounts": [
            { "type": "bind", "source": "/etc", "target": "/host" },
            { "type": "tmpfs", "target": "/tmp", "size_mib": 8 },
        ],
    });
    let mut connection = life.connect("told", &engine, settings).await;
    initialize(&mut *connection).await;
    let found = engine.container_of("told");
    let (host, config) = (&found["HostConfig"], &found["Config"]);
    assert_eq!(config["User"], "1000:1000");
    assert_eq!(config["WorkingDir"], "/tmp");
    assert_eq!(host["NetworkMode"], "host");
    assert_eq!(host["Memory"], 128 * MIB);
    assert_eq!(host["NanoCpus"], 500_000_000);
    assert_eq!(host["PidsLimit"], 64);
    assert_eq!(host["ReadonlyRootfs"], false);
    assert_eq!(host["SecurityOpt"], json!([]));
    assert_eq!(found["BoundingCaps"], json!(["CAP_NET_BIND_SERVICE"]));
    let bind =
        found["Mounts"].as_array().unwrap().iter().find(|mount| mount["Destination"] == "/host").unwrap();
    assert_eq!((&bind["Source"], &bind["RW"]), (&json!("/etc"), &json!(false)));
    let tmpfs = host["Tmpfs"]["/tmp"].as_str().unwrap();
    assert!(tmpfs.contains("size=8388608") && tmpfs.contains("mode=1777"), "{tmpfs}");
    connection.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn backends_on_one_engine_leave_each_other_alone() {
    let engine = Engine::with_fixture();
    let life = Life::new("n1", "b1");
    let mut one = life.connect("one", &engine, json!({})).await;
    let mut two = life.connect("two", &engine, json!({})).await;
    initialize(&mut *one).await;
    initialize(&mut *two).await;
    ask(&mut *one, "die", json!({})).await;
    assert!(received(&mut *one).await.is_err());
    one.close().await.unwrap();
    let big = "x".repeat(1_000_000);
    assert_eq!(call(&mut *two, "echo", json!({ "message": big })).await, big);
    assert_eq!(engine.containers("label=omcp.backend=one"), Vec::<Value>::new());
    assert_eq!(engine.containers("label=omcp.backend=two").len(), 1);
    two.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_may_be_behind_tcp() {
    let engine = Engine::with_fixture();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("tcp://{}", listener.local_addr().unwrap());
    let socket = engine.socket();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut server = tokio::net::UnixStream::connect(&socket).await.unwrap();
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut client, &mut server).await });
        }
    });
    let mut far = Life::new("n1", "b1").connect("far", &engine, json!({ "engine": address })).await;
    initialize(&mut *far).await;
    assert_eq!(call(&mut *far, "echo", json!({ "message": "here" })).await, "here");
    far.close().await.unwrap();
    assert_eq!(engine.containers("label=omcp.backend=far"), Vec::<Value>::new());
}
