//! A client and a backend that have no revision in common are told so, by name.

use anyhow::{Result, ensure};
use omcp_tests::harness::client::{Legacy, Modern};
use serde_json::json;

use super::House;

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_client_at_a_stateless_backend() -> Result<()> {
    let house = House::build();
    let error = Legacy::connect(&house.endpoint("modern-stdio")).await.err().expect("no session");
    let text = format!("{error:#}");
    for part in ["HTTP 400", "-32022", "2025-11-25", "2026-07-28", "modern-stdio"] {
        ensure!(text.contains(part), "{part} is not in {text}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stateless_client_at_a_handshake_backend() -> Result<()> {
    let house = House::build();
    for backend in ["sse", "legacy-stdio"] {
        let client = Modern::new(&house.endpoint(backend));
        let mut exchange = client.open("tools/call", json!({ "name": "echo" })).await?;
        ensure!(exchange.status.is_client_error(), "{backend}: {}", exchange.status);
        let answer = exchange.answer().await?;
        assert_eq!(answer["id"], 1, "{backend}: {answer}");
        let text = answer["error"].to_string();
        for part in ["2026-07-28", "2025-11-25", backend] {
            ensure!(text.contains(part), "{part} is not in {text}");
        }
    }
    Ok(())
}
