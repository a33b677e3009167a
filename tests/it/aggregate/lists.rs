//! What all backends list together, and how clients hear of its changes.

use anyhow::{Result, ensure};
use omcp_tests::harness::Cluster;
use omcp_tests::harness::client::{Legacy, Modern};
use omcp_tests::harness::manifest::stdio;
use serde_json::{Value, json};

use super::{ALL, House, endpoint, listed, names, owners};

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_listed_in_both_eras() -> Result<()> {
    let house = House::build().await;
    let (modern, legacy) = (Modern::new(&house.endpoint()), Legacy::connect(&house.endpoint()).await?);
    for (method, member, key) in [
        ("tools/list", "tools", "name"),
        ("prompts/list", "prompts", "name"),
        ("resources/list", "resources", "uri"),
        ("resources/templates/list", "resourceTemplates", "uriTemplate"),
    ] {
        let (new, old) = (modern.request(method, json!({})).await?, legacy.request(method, json!({})).await?);
        let (new_names, old_names) = (names(&new[member], key), names(&old[member], key));
        assert_eq!(new_names, old_names, "{method}");
        let prefix =
            |backend: &str| if key == "name" { format!("{backend}__") } else { format!("{backend}+test://") };
        for backend in ALL {
            ensure!(new_names.iter().any(|name| name.starts_with(&prefix(backend))), "{method}: {backend}");
        }
        if key == "name" {
            ensure!(new_names.iter().all(|name| name.len() <= 64), "{method}: {new_names:?}");
        }
        assert_eq!((&new["resultType"], &new["ttlMs"]), (&json!("complete"), &json!(0)), "{method}");
        for absent in ["resultType", "ttlMs", "cacheScope", "_meta", "nextCursor"] {
            assert_eq!(old.get(absent), None, "{method}: {absent}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_backend_takes_anything_away_from_the_endpoint() -> Result<()> {
    let house = House::build().await;
    let found = Modern::new(&house.endpoint()).request("server/discover", json!({})).await?;
    assert_eq!(found["supportedVersions"], json!(["2026-07-28"]));
    for version in ["2025-03-26", "2025-06-18", "2025-11-25"] {
        let client = Legacy::connect_with(Default::default(), &house.endpoint(), version).await?;
        assert_eq!(client.version(), version);
        let capabilities = &client.server["capabilities"];
        for list in ["tools", "prompts", "resources"] {
            assert_eq!(capabilities[list]["listChanged"], true, "{list}");
            assert_eq!(found["capabilities"][list]["listChanged"], true, "{list}");
        }
        assert_eq!(capabilities["resources"]["subscribe"], true);
        for feature in ["logging", "completions"] {
            ensure!(capabilities[feature].is_object(), "{feature}: {capabilities}");
        }
        assert_eq!(client.server["serverInfo"]["name"], "omcp");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_select_backends() -> Result<()> {
    let house = House::build().await;
    for (tags, want) in [("both", vec!["http", "stdio"]), ("remote,both", vec!["http"]), ("nobody", vec![])] {
        let url = format!("{}?tags={tags}", house.endpoint());
        let (modern, legacy) = (Modern::new(&url), Legacy::connect(&url).await?);
        let mut lists = Vec::new();
        for list in
            [modern.request("tools/list", json!({})).await?, legacy.request("tools/list", json!({})).await?]
        {
            lists.push(names(&list["tools"], "name"));
        }
        ensure!(lists.iter().all(|names| owners(names) == want), "{tags}: {lists:?}");
        let outside = json!({ "name": "legacy-http__echo", "arguments": { "message": "x" } });
        let error = modern.open("tools/call", outside).await?.error().await?;
        assert_eq!(error["code"], -32602, "{tags}: {error}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn names_do_not_change_when_backends_come_and_go() -> Result<()> {
    let cluster = Cluster::start(1);
    cluster.apply(&[stdio("b", &[])]);
    let alone = listed(&endpoint(&cluster), &["b"]).await;
    cluster.apply(&[stdio("a", &[]), stdio("c", &["--era", "legacy"])]);
    let among = listed(&endpoint(&cluster), &["a", "b", "c"]).await;
    let own: Vec<&String> = among.iter().filter(|name| name.starts_with("b__")).collect();
    assert_eq!(own, alone.iter().collect::<Vec<_>>());
    for backend in ["a", "c"] {
        cluster.omcp(&["delete", backend, "--yes"]).expect(0);
    }
    assert_eq!(listed(&endpoint(&cluster), &["b"]).await, alone);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_hear_that_the_lists_have_changed() -> Result<()> {
    let cluster = Cluster::start(1);
    cluster.apply(&[stdio("a", &[])]);
    listed(&endpoint(&cluster), &["a"]).await;
    let (modern, legacy) = (Modern::new(&endpoint(&cluster)), Legacy::connect(&endpoint(&cluster)).await?);
    let wanted = json!({ "toolsListChanged": true });
    let mut listen = modern.open("subscriptions/listen", json!({ "notifications": wanted })).await?;
    let first = listen.next().await?.expect("an acknowledgement");
    assert_eq!(first["method"], "notifications/subscriptions/acknowledged");
    assert_eq!(first["params"]["notifications"], wanted);
    let mut stream = legacy.stream(None).await?;
    cluster.apply(&[stdio("b", &[])]);
    let told = listen.next().await?.expect("a change");
    assert_eq!(told["method"], "notifications/tools/list_changed");
    assert_eq!(told["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], json!(1));
    let mut methods = Vec::new();
    while methods.len() < 3 {
        let message = stream.message().await?.expect("a change");
        methods.push(message["method"].as_str().unwrap_or_default().to_owned());
    }
    let all = ["tools", "prompts", "resources"].map(|list| format!("notifications/{list}/list_changed"));
    assert_eq!(methods, all);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_backend_changes_is_listed_anew() -> Result<()> {
    let cluster = Cluster::start(1);
    cluster.apply(&[stdio("modern", &["--era", "modern"]), stdio("legacy", &["--era", "legacy"])]);
    let url = endpoint(&cluster);
    listed(&url, &["legacy", "modern"]).await;
    let client = Modern::new(&url);
    let wanted = json!({ "notifications": { "toolsListChanged": true } });
    let mut listen = client.open("subscriptions/listen", wanted).await?;
    listen.next().await?.expect("an acknowledgement");
    // Whether the node listens to the backend by now, nobody can see: each round changes the list once more.
    let call = json!({ "name": "modern__test_trigger_tool_change" });
    let told = omcp_tests::harness::wait::until("the change to be told", async || {
        client.request("tools/call", call.clone()).await.map_err(|error| format!("{error:#}"))?;
        let next = tokio::time::timeout(std::time::Duration::from_secs(2), listen.next()).await;
        next.map_err(|_| "silence".to_owned())?.map_err(|error| format!("{error:#}"))
    })
    .await;
    assert_eq!(told.expect("a change")["method"], "notifications/tools/list_changed");
    let list: Value = client.request("tools/list", json!({})).await?;
    ensure!(names(&list["tools"], "name").contains(&"modern__echo".to_owned()));
    Ok(())
}
