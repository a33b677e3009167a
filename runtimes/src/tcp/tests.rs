use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use omcp_core::runtime::NoStderr;
use omcp_core::{DynRuntimeType, ErrorKind, McpMessage};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpSocket, UnixListener};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use super::*;
use crate::conformance::peer::Machine;
use crate::conformance::peer::lines::serve;

const PING: &str = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;

fn build(settings: &Value) -> Result<Box<dyn Runtime>, GatewayError> {
    let context = RuntimeContext {
        backend: "b".parse().unwrap(),
        env: BTreeMap::new(),
        stderr: Arc::new(NoStderr),
        node: omcp_core::NodeIdentity::default(),
    };
    DynRuntimeType::create(&Tcp, &settings.to_string(), context)
}

async fn connect(settings: Value) -> Result<Box<dyn BackendConnection>, GatewayError> {
    build(&settings).unwrap().connect().await
}

async fn failure(settings: Value) -> GatewayError {
    match connect(settings).await {
        Ok(_) => panic!("connected"),
        Err(error) => error,
    }
}

/// A ping and its answer.
async fn ping(mut connection: Box<dyn BackendConnection>) {
    connection.send(McpMessage::parse(PING.into()).unwrap()).await.unwrap();
    assert_eq!(connection.recv().await.unwrap().unwrap().id(), Some(&b"1"[..]));
    connection.close().await.unwrap();
}

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

/// An address that nobody else can have and where nobody listens yet.
fn bound() -> (TcpSocket, String) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap().to_string();
    (socket, address)
}

/// Reads one line of the first client, says `answer` and holds the connection until the end of its input.
async fn says(answer: &'static str) -> (String, JoinHandle<Value>) {
    let (listener, address) = listen().await;
    let task = tokio::spawn(async move {
        let (reader, mut writer) = listener.accept().await.unwrap().0.into_split();
        let mut lines = BufReader::new(reader).lines();
        let first = lines.next_line().await.unwrap().unwrap();
        writer.write_all(answer.as_bytes()).await.unwrap();
        if answer.is_empty() {
            writer.shutdown().await.unwrap();
        }
        while let Ok(Some(_)) = lines.next_line().await {}
        serde_json::from_str(&first).unwrap()
    });
    (address, task)
}

#[tokio::test]
async fn the_token_is_shown_as_documented() {
    let (address, seen) =
        says("{\"jsonrpc\":\"2.0\",\"id\":\"omcp/authenticate\",\"result\":{\"x\":1}}\n").await;
    let mut connection = connect(json!({ "endpoint": address, "auth_token": "s3cret\"" })).await.unwrap();
    connection.close().await.unwrap();
    let documented = json!({
        "jsonrpc": "2.0", "id": "omcp/authenticate", "method": "omcp/authenticate", "params": { "token": "s3cret\"" },
    });
    assert_eq!(seen.await.unwrap(), documented);
}

#[tokio::test]
async fn every_refusal_is_about_credentials() {
    for (answer, want) in [
        (
            "{\"jsonrpc\":\"2.0\",\"id\":\"omcp/authenticate\",\"error\":{\"code\":-32001,\"message\":\"not s3cret\"}}\n",
            "refused auth_token with code -32001",
        ),
        ("", "ended the connection when it saw auth_token"),
        (
            "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/hello\"}\n",
            "said something else instead of accepting auth_token",
        ),
        (
            "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\n",
            "said something else instead of accepting auth_token",
        ),
    ] {
        let (address, _seen) = says(answer).await;
        let error = failure(json!({ "endpoint": address, "auth_token": "s3cret" })).await;
        assert_eq!((error.kind(), error.to_string()), (ErrorKind::Auth, format!("{address} {want}")));
        assert!(!error.chain().contains("s3cret"));
    }
}

#[tokio::test]
async fn silence_after_the_token_is_a_timeout() {
    let (address, _seen) = says("\n").await;
    let error =
        failure(json!({ "endpoint": address, "auth_token": "s3cret", "handshake_timeout_ms": 50 })).await;
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(error.to_string().contains("did not answer to omcp/authenticate in 50 ms"), "{error}");
}

#[tokio::test]
async fn the_kits_peer_insists_on_the_token() {
    let (listener, address) = listen().await;
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let (reader, writer) = split(socket);
            tokio::spawn(serve(reader, writer, Machine::guarded("t")));
        }
    });
    ping(connect(json!({ "endpoint": address, "auth_token": "t" })).await.unwrap()).await;
    let error = failure(json!({ "endpoint": address, "auth_token": "u" })).await;
    assert_eq!(error.kind(), ErrorKind::Auth);
}

#[tokio::test]
async fn a_unix_socket_is_as_good() {
    let folder = Folder::new();
    let path = folder.path.join("mcp.sock");
    let listener = UnixListener::bind(&path).unwrap();
    tokio::spawn(async move {
        let (reader, writer) = split(listener.accept().await.unwrap().0);
        serve(reader, writer, Machine::new()).await
    });
    ping(connect(json!({ "endpoint": format!("unix:{}", path.display()) })).await.unwrap()).await;
}

#[tokio::test]
async fn nobody_listening_is_unreachable_and_says_where() {
    let (_socket, address) = bound();
    for (endpoint, cause) in
        [(address.as_str(), "Connection refused"), ("unix:/no/such/socket", "No such file or directory")]
    {
        let error = failure(json!({ "endpoint": endpoint, "reconnect_timeout_ms": 50 })).await;
        assert_eq!(error.kind(), ErrorKind::Unreachable);
        let chain = error.chain();
        assert!(chain.starts_with(&format!("could not connect to {endpoint}: ")), "{chain}");
        assert!(chain.contains(cause), "{chain}");
    }
}

#[tokio::test]
async fn a_peer_that_restarts_is_waited_for() {
    let (socket, address) = bound();
    let settings =
        json!({ "endpoint": address, "reconnect_timeout_ms": 30_000, "connect_timeout_ms": 30_000 });
    let runtime = build(&settings).unwrap();
    let connected = tokio::spawn(async move { runtime.connect().await });
    // It is refused at least once before anybody listens.
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!connected.is_finished());
    let listener = socket.listen(1).unwrap();
    tokio::spawn(async move {
        let (reader, writer) = split(listener.accept().await.unwrap().0);
        serve(reader, writer, Machine::new()).await
    });
    ping(connected.await.unwrap().unwrap()).await;
}

#[tokio::test]
async fn a_peer_that_accepts_and_never_speaks_tls_is_a_timeout() {
    let (listener, address) = listen().await;
    tokio::spawn(async move {
        let held = listener.accept().await;
        std::future::pending::<()>().await;
        drop(held);
    });
    let error = failure(json!({ "endpoint": address, "tls": true, "connect_timeout_ms": 100 })).await;
    assert_eq!(
        (error.kind(), error.to_string()),
        (ErrorKind::Timeout, format!("no connection to {address} in 100 ms"))
    );
}

/// The peer ends without a word while a call waits. Measured several times: a busy machine may be slow
/// once, and a timer would be slow every time.
#[tokio::test]
async fn the_end_of_the_peer_is_told_within_100_ms() {
    let mut fastest = Duration::MAX;
    for _ in 0..5 {
        let (listener, address) = listen().await;
        let (end, ended) = oneshot::channel::<()>();
        let peer = tokio::spawn(async move {
            let held = listener.accept().await.unwrap();
            ended.await.ok();
            drop(held);
            Instant::now()
        });
        let mut connection = connect(json!({ "endpoint": address })).await.unwrap();
        connection.send(McpMessage::parse(PING.into()).unwrap()).await.unwrap();
        assert!(tokio::time::timeout(Duration::from_millis(10), connection.recv()).await.is_err());
        end.send(()).unwrap();
        let error = connection.recv().await.unwrap_err();
        fastest = fastest.min(peer.await.unwrap().elapsed());
        assert_eq!(error.kind(), ErrorKind::Closed);
        assert!(error.to_string().contains(&address), "{error}");
        assert!(connection.recv().await.unwrap().is_none());
        connection.close().await.unwrap();
    }
    assert!(fastest < Duration::from_millis(100), "{fastest:?}");
}

#[tokio::test]
async fn a_peer_that_reads_nothing_is_a_timeout() {
    let (listener, address) = listen().await;
    tokio::spawn(async move {
        let held = listener.accept().await;
        std::future::pending::<()>().await;
        drop(held);
    });
    let mut connection = connect(json!({ "endpoint": address, "write_timeout_ms": 100 })).await.unwrap();
    let params = "x".repeat(1_000_000);
    let big = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"m","params":{{"p":"{params}"}}}}"#);
    let big = McpMessage::parse(big.into()).unwrap();
    let error = loop {
        if let Err(error) = connection.send(big.clone()).await {
            break error;
        }
    };
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(error.chain().contains("did not read its input for 100 ms"), "{}", error.chain());
    connection.close().await.unwrap();
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_machine_that_is_gone_is_noticed_within_the_bound() {
    use rustix::net::sockopt;
    let (_listener, address) = listen().await;
    let dialer = Dialer {
        endpoint: Endpoint::parse(&address).unwrap(),
        tls: None,
        connect_timeout: Duration::from_secs(5),
        reconnect_timeout: Duration::from_secs(1),
        keep_alive_timeout: Duration::from_secs(30),
    };
    let Endpoint::Tcp(authority) = &dialer.endpoint else { panic!("an address") };
    let socket = dialer.tcp(authority).await.unwrap();
    assert!(sockopt::socket_keepalive(&socket).unwrap());
    assert!(sockopt::tcp_nodelay(&socket).unwrap());
    assert_eq!(sockopt::tcp_keepidle(&socket).unwrap(), Duration::from_secs(15));
    assert_eq!(sockopt::tcp_keepintvl(&socket).unwrap(), Duration::from_secs(5));
    assert_eq!(sockopt::tcp_keepcnt(&socket).unwrap(), 3);
    assert_eq!(sockopt::tcp_user_timeout(&socket).unwrap(), 30_000);
}

/// A folder that is gone with this value.
struct Folder {
    path: std::path::PathBuf,
}

impl Folder {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("omcp-tcp-{}-{:?}", std::process::id(), Instant::now()));
        let path = Path::new(&path.to_string_lossy().replace(['{', '}', ' ', ':', ','], "")).to_owned();
        std::fs::create_dir(&path).unwrap();
        Self { path }
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.path.join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.path).ok();
    }
}

/// A private authority, and certificates signed by it.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self { issuer: CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap() }
    }

    fn sign(&self, name: &str, purpose: ExtendedKeyUsagePurpose) -> (rcgen::Certificate, KeyPair) {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.extended_key_usages = vec![purpose];
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }

    /// A server called `name` that insists on a certificate of this authority if `mutual`.
    async fn server(&self, name: &str, mutual: bool) -> String {
        let (certificate, key) = self.sign(name, ExtendedKeyUsagePurpose::ServerAuth);
        let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = if mutual {
            let mut roots = RootCertStore::empty();
            roots.add(self.issuer.der().clone()).unwrap();
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
            builder.with_client_cert_verifier(verifier)
        } else {
            builder.with_no_client_auth()
        };
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config = builder.with_single_cert(vec![certificate.der().clone()], key).unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let (listener, address) = listen().await;
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let (reader, writer) = split(acceptor.accept(socket).await?);
                    serve(reader, writer, Machine::new()).await
                });
            }
        });
        address
    }
}

#[tokio::test]
async fn tls_trusts_whom_it_is_told_to_trust() {
    let (folder, authority) = (Folder::new(), Authority::new());
    let ca_file = folder.file("ca.pem", &authority.issuer.pem());
    let by_address = authority.server("127.0.0.1", false).await;
    ping(connect(json!({ "endpoint": by_address, "tls": { "ca_file": ca_file } })).await.unwrap()).await;
    let by_name = authority.server("mcp.internal", false).await;
    let tls = json!({ "ca_file": ca_file, "server_name": "mcp.internal" });
    ping(connect(json!({ "endpoint": by_name, "tls": tls })).await.unwrap()).await;
    for (tls, why) in [
        (json!(true), "UnknownIssuer"),
        (json!({ "ca_file": ca_file }), "certificate not valid for name"),
        (json!({ "ca_file": ca_file, "server_name": "other.internal" }), "certificate not valid for name"),
    ] {
        let error = failure(json!({ "endpoint": by_name, "tls": tls })).await;
        assert_eq!(error.kind(), ErrorKind::Unreachable);
        assert!(error.chain().contains(why), "{}", error.chain());
    }
}

#[tokio::test]
async fn tls_proves_who_we_are() {
    let (folder, authority) = (Folder::new(), Authority::new());
    let (certificate, key) = authority.sign("node", ExtendedKeyUsagePurpose::ClientAuth);
    let ca_file = folder.file("ca.pem", &authority.issuer.pem());
    let cert_file = folder.file("node.pem", &certificate.pem());
    let key_file = folder.file("node.key", &key.serialize_pem());
    let server = authority.server("127.0.0.1", true).await;
    let tls = json!({ "ca_file": ca_file, "cert_file": cert_file, "key_file": key_file });
    ping(connect(json!({ "endpoint": server, "tls": tls })).await.unwrap()).await;
    // TLS 1.3 tells a client only after its handshake that it is not welcome.
    let mut connection = connect(json!({ "endpoint": server, "tls": { "ca_file": ca_file } })).await.unwrap();
    let error = connection.recv().await.unwrap_err();
    assert!(error.chain().contains("CertificateRequired"), "{}", error.chain());
}

#[test]
fn what_cannot_work_is_refused_by_field() {
    let folder = Folder::new();
    let empty = folder.file("empty.pem", "");
    let endpoint = "h:1";
    for (settings, want) in [
        (json!({ "endpoint": "h" }), "endpoint: write HOST:PORT or unix:/PATH".to_owned()),
        (
            json!({ "endpoint": endpoint, "auth_token": "" }),
            "auth_token: is empty; leave it out for none".to_owned(),
        ),
        (
            json!({ "endpoint": endpoint, "keep_alive_timeout_ms": 5999 }),
            "keep_alive_timeout_ms: has to be between 6000 and 3600000 milliseconds".to_owned(),
        ),
        (
            json!({ "endpoint": "unix:/s", "tls": true }),
            "tls: a Unix socket needs none; leave it out".to_owned(),
        ),
        (
            json!({ "endpoint": endpoint, "tls": { "server_name": "a b" } }),
            "tls.server_name: is neither a host name nor an address".to_owned(),
        ),
        (
            json!({ "endpoint": endpoint, "tls": { "ca_file": "/no/such.pem" } }),
            "tls.ca_file: /no/such.pem could not be read on this node".to_owned(),
        ),
        (
            json!({ "endpoint": endpoint, "tls": { "ca_file": empty } }),
            format!("tls.ca_file: {empty} holds no certificate in PEM form"),
        ),
        (
            json!({ "endpoint": endpoint, "tls": { "cert_file": empty } }),
            "tls.key_file: is missing; cert_file needs it".to_owned(),
        ),
    ] {
        let Err(error) = build(&settings) else { panic!("{settings} accepted") };
        assert_eq!((error.kind(), error.to_string()), (ErrorKind::InvalidSettings, want));
    }
    for settings in [json!({}), json!({ "endpoint": endpoint, "tls": { "insecure": true } })] {
        assert!(build(&settings).is_err(), "{settings}");
    }
}
