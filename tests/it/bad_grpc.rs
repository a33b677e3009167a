//! gRPC requests that no client would send: the documented status each time, and the next one is served.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use omcp_tests::harness::Cluster;
use omcp_tests::harness::manifest::stdio;
use tokio::time::timeout;
use tonic::{Code, Status};
use tonic_types::StatusExt;

const LIMIT: Duration = Duration::from_secs(10);
/// What the suite promises to try at least.
const CASES_MIN: usize = 100;

const OK: &str = "0";
const INVALID_ARGUMENT: &str = "3";
const NOT_FOUND: &str = "5";
const RESOURCE_EXHAUSTED: &str = "8";
const OUT_OF_RANGE: &str = "11";
const UNIMPLEMENTED: &str = "12";
const INTERNAL: &str = "13";

const UNARY: [&str; 12] = [
    "BackendService/GetBackend",
    "BackendService/ListBackends",
    "BackendService/CreateBackend",
    "BackendService/UpdateBackend",
    "BackendService/DeleteBackend",
    "ManifestService/ApplyManifest",
    "ManifestService/DiffManifest",
    "ManifestService/ExportManifest",
    "FleetService/ListNodes",
    "FleetService/ListBackendStatuses",
    "FleetService/ListRuntimeTypes",
    "FleetService/AcceptMassRemoval",
];

/// A request, and the statuses that are right for it.
struct Case {
    name: String,
    method: Method,
    path: String,
    headers: Vec<(&'static str, &'static str)>,
    body: Vec<u8>,
    want: &'static [&'static str],
}

fn call(name: &str, path: &str, body: Vec<u8>, want: &'static [&'static str]) -> Case {
    let headers = vec![("content-type", "application/grpc"), ("te", "trailers")];
    Case { name: format!("{path} {name}"), method: Method::POST, path: path.to_owned(), headers, body, want }
}

/// A message with the prefix of gRPC: not compressed, and its length.
fn framed(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).expect("a short message").to_be_bytes();
    [&[0], &length[..], message].concat()
}

fn frames(path: &str) -> Vec<Case> {
    const BROKEN: &[&str] = &[INTERNAL, INVALID_ARGUMENT];
    vec![
        call("without a message", path, Vec::new(), &[INTERNAL, INVALID_ARGUMENT, UNIMPLEMENTED]),
        call("with half a prefix", path, vec![0, 0, 0], BROKEN),
        call("with a message cut short", path, vec![0, 0, 0, 0, 9, 1], BROKEN),
        call(
            "with a length beyond all limits",
            path,
            vec![0, 255, 255, 255, 255],
            &[OUT_OF_RANGE, RESOURCE_EXHAUSTED],
        ),
        call("compressed without saying how", path, [vec![1], framed(b"x")[1..].to_vec()].concat(), BROKEN),
        call("with an unknown flag", path, vec![7, 0, 0, 0, 0], BROKEN),
        call("that is no protobuf", path, framed(&[0xff; 40]), BROKEN),
        call("with a cut field", path, framed(&[0x0a, 0x7f, b'x']), BROKEN),
    ]
}

fn messages() -> Vec<Case> {
    let mut cases = Vec::new();
    let path = |method: &str| format!("/omcp.v1.{method}");
    // Field 1 as a text that is no UTF-8, where field 1 is a text.
    for method in [
        "BackendService/GetBackend",
        "BackendService/DeleteBackend",
        "FleetService/ListBackendStatuses",
        "FleetService/AcceptMassRemoval",
    ] {
        cases.push(call(
            "with a text that is none",
            &path(method),
            framed(&[0x0a, 2, 0xff, 0xfe]),
            &[INTERNAL, INVALID_ARGUMENT],
        ));
    }
    for method in ["BackendService/CreateBackend", "BackendService/UpdateBackend"] {
        cases.push(call("of nothing", &path(method), framed(b""), &[INVALID_ARGUMENT]));
    }
    for name in [&b""[..], b"No Such Name", b"../../etc/passwd", b"\n", b"x\0y"] {
        let message = [&[0x0a, u8::try_from(name.len()).expect("a short name")], name].concat();
        cases.push(call(
            "of an odd name",
            &path("BackendService/GetBackend"),
            framed(&message),
            &[NOT_FOUND, INVALID_ARGUMENT],
        ));
    }
    cases.push(call(
        "of a page size below zero",
        &path("BackendService/ListBackends"),
        framed(&[8, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1]),
        &[INVALID_ARGUMENT],
    ));
    cases.push(call(
        "of a made-up page",
        &path("BackendService/ListBackends"),
        framed(&[0x12, 3, b'a', b'b', b'c']),
        &[INVALID_ARGUMENT],
    ));
    cases
}

fn places() -> Vec<Case> {
    let nowhere = [
        "/",
        "/omcp.v1.BackendService",
        "/omcp.v1.BackendService/",
        "/omcp.v1.BackendService/NoSuchMethod",
        "/omcp.v1.NoSuchService/GetBackend",
        "/omcp.v2.BackendService/GetBackend",
        "/OMCP.V1.BACKENDSERVICE/GETBACKEND",
        "/omcp.v1.SyncService/Sync",
        "/grpc.health.v1.Health/NoSuchMethod",
    ];
    nowhere.iter().map(|path| call("is nowhere", path, framed(b""), &[UNIMPLEMENTED])).collect()
}

fn cases() -> Vec<Case> {
    let paths = UNARY.map(|method| format!("/omcp.v1.{method}"));
    [paths.iter().flat_map(|path| frames(path)).collect(), messages(), places()]
        .into_iter()
        .flatten()
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn get_the_documented_status_and_harm_nobody() -> Result<()> {
    let cluster = Cluster::start(1);
    cluster.apply(&[stdio("standing", &[])]);
    let client = Client::builder(TokioExecutor::new()).http2_only(true).build_http();
    let cases = cases();
    assert!(cases.len() >= CASES_MIN, "only {} requests", cases.len());
    let mut wrong = Vec::new();
    for case in &cases {
        let status = attempt(&client, &cluster.control_plane.admin, case).await;
        if !status.as_ref().is_ok_and(|status| case.want.contains(&status.as_str())) {
            wrong.push(format!("{}: wanted one of {:?}, not {status:?}", case.name, case.want));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    let healthy =
        call("of what is there", "/omcp.v1.BackendService/GetBackend", framed(b"\x0a\x08standing"), &[OK]);
    assert_eq!(attempt(&client, &cluster.control_plane.admin, &healthy).await?, OK);
    assert!(!cluster.control_plane.output().contains("panicked"));
    Ok(())
}

/// The gRPC status of the answer, wherever it stands. Every error has details.
async fn attempt(client: &Client<HttpConnector, Full<Bytes>>, server: &str, case: &Case) -> Result<String> {
    let request = Request::builder().method(&case.method).uri(format!("{server}{}", case.path));
    let request = case.headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    let answer = timeout(LIMIT, client.request(request.body(Full::from(case.body.clone()))?)).await??;
    let (mut head, body) = answer.into_parts();
    if !head.headers.contains_key("grpc-status") {
        let body = timeout(LIMIT, body.collect()).await??;
        head.headers.extend(body.trailers().cloned().unwrap_or_default());
    }
    let status = Status::from_header_map(&head.headers)
        .with_context(|| format!("HTTP {} without a gRPC status", head.status))?;
    let explained = status.get_details_error_info().is_some_and(|info| info.domain == "omcp");
    ensure!(status.code() == Code::Ok || explained, "no ErrorInfo in {status:?}");
    Ok(i32::from(status.code()).to_string())
}
