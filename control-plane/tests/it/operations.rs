//! Running it: addresses, health, reflection, restarts.

use omcp_control_plane::{Config, ControlPlane, StartError};
use omcp_proto::v1::*;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use crate::harness::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_is_served_on_both_listeners() {
    let plane = Plane::start().await;
    for channel in [plane.admin_channel().await, plane.sync_channel().await] {
        let mut client = HealthClient::new(channel);
        for service in ["", "omcp.v1.BackendService", "omcp.v1.SyncService"] {
            let health =
                client.check(HealthCheckRequest { service: service.into() }).await.unwrap().into_inner();
            assert_eq!(health.status, 1, "{service}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reflection_describes_the_api_and_what_it_imports() {
    let plane = Plane::start().await;
    let mut client = ServerReflectionClient::new(plane.admin_channel().await);
    let ask = |message_request| ServerReflectionRequest {
        host: String::new(),
        message_request: Some(message_request),
    };
    let asked = tokio_stream::iter([
        ask(MessageRequest::ListServices(String::new())),
        ask(MessageRequest::FileContainingSymbol("omcp.v1.BackendService".into())),
        ask(MessageRequest::FileByFilename("google/protobuf/field_mask.proto".into())),
    ]);
    let mut answers = client.server_reflection_info(asked).await.unwrap().into_inner();
    let Some(MessageResponse::ListServicesResponse(list)) =
        answers.message().await.unwrap().unwrap().message_response
    else {
        panic!("a list")
    };
    let names: Vec<_> = list.service.into_iter().map(|service| service.name).collect();
    for want in
        ["omcp.v1.BackendService", "omcp.v1.ManifestService", "omcp.v1.FleetService", "grpc.health.v1.Health"]
    {
        assert!(names.iter().any(|name| name == want), "{want} in {names:?}");
    }
    for _ in 0..2 {
        let answer = answers.message().await.unwrap().unwrap().message_response;
        assert!(matches!(answer, Some(MessageResponse::FileDescriptorResponse(_))), "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn addresses_beyond_loopback_need_a_flag() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::new(dir.path().join("x.db"));
    config.admin_listen = "127.0.0.1:0".parse().unwrap();
    config.sync_listen = "0.0.0.0:0".parse().unwrap();
    let error = ControlPlane::start(config.clone()).await.unwrap_err();
    assert!(matches!(error, StartError::Insecure { .. }));
    assert!(
        error.to_string().contains("--sync-listen") && error.to_string().contains("--insecure-listen"),
        "{error}"
    );
    config.insecure_listen = true;
    ControlPlane::start(config).await.unwrap().shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_control_planes_never_share_a_database() {
    let plane = Plane::start().await;
    let error = ControlPlane::start(plane.config.clone()).await.unwrap_err();
    assert!(error.to_string().contains("another control plane"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_copied_back_leads_nodes_into_a_new_epoch() {
    let mut plane = Plane::start().await;
    plane.apply(&["a", "b"]).await;
    plane.stop().await;
    let yesterday = std::fs::read(plane.db()).unwrap();
    plane.restart().await;
    let revision = plane.apply(&["c"]).await;
    let mut node = plane.node("n1").await;
    node.reach(revision).await;
    let epoch = node.epoch;
    plane.stop().await;
    std::fs::write(plane.db(), yesterday).unwrap();
    plane.restart().await;
    node = node.resume(&plane).await;
    while node.snapshots == 0 {
        node.next().await.unwrap().unwrap();
    }
    assert_ne!(node.epoch, epoch);
    assert!(node.revision > revision);
    assert_eq!(node.held.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn actors_reach_the_history() {
    let mut plane = Plane::start().await;
    let mut request =
        tonic::Request::new(CreateBackendRequest { backend: backend("a", "x"), ..Default::default() });
    request.metadata_mut().insert("omcp-actor", "anna@laptop".parse().unwrap());
    plane.backends().await.create_backend(request).await.unwrap();
    plane.delete("a").await;
    plane.stop().await;
    let url = format!("sqlite://{}", plane.db().display());
    let mut connection = <sqlx::SqliteConnection as sqlx::Connection>::connect(&url).await.unwrap();
    let actors: Vec<String> = sqlx::query_scalar("SELECT actor FROM history ORDER BY revision")
        .fetch_all(&mut connection)
        .await
        .unwrap();
    assert_eq!(actors, ["anna@laptop", "unknown"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_clients_at_once_never_meet_a_busy_database() {
    let plane = Plane::start().await;
    let client = plane.backends().await;
    let tasks = (0..64).map(|n| {
        let mut client = client.clone();
        tokio::spawn(async move {
            for round in 0..5 {
                let name = format!("c{n}");
                let backend = backend(&name, &format!("r{round}"));
                let request = UpdateBackendRequest { backend, allow_missing: true, ..Default::default() };
                client.update_backend(request).await.unwrap();
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    let listed =
        plane.backends().await.list_backends(ListBackendsRequest::default()).await.unwrap().into_inner();
    assert_eq!((listed.backends.len(), listed.revision), (64, 320));
}
