use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use omcp_tests::harness::Cluster;
use omcp_tests::harness::client::Http;
use omcp_tests::harness::load::Load;
use omcp_tests::harness::node::Node;
use omcp_tests::harness::wait;
use tokio::time::{sleep, sleep_until};

use super::peers::{Death, Peers};
use super::{cluster, echo, echo_with, offers};

/// How often each peer is killed; `cargo xtask kit --kills N` says it, and judges times from 10 on.
const KILLS: &str = "OMCP_TEST_KILLS";
const KILLS_DEFAULT: usize = 2;
const KILLS_JUDGED: usize = 10;
/// A peer may take its own start time and this much longer until it serves again.
const RECOVERY_MAX: Duration = Duration::from_secs(1);
/// Ready for so long, a peer has started well and its end is an accident; before, it would be a bad start, and
/// several of those a crash loop.
const STARTED_WELL: Duration = Duration::from_secs(6);
/// Fresh sessions that tell how long a start takes.
const STARTS: usize = 5;
/// For one of them: under load a container may take longer than clients usually wait.
const START_LIMIT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(5);

/// What was seen of one backend.
struct Row {
    backend: String,
    start: Duration,
    recoveries: Vec<Duration>,
    served_at: Instant,
}

impl Row {
    fn at(&self, share: f64) -> Duration {
        let mut sorted = self.recoveries.clone();
        sorted.sort_unstable();
        let index = (share * sorted.len() as f64).ceil() as usize;
        sorted[index.clamp(1, sorted.len()) - 1]
    }

    fn is_fine(&self) -> bool {
        self.recoveries.len() < KILLS_JUDGED || self.at(0.99) <= self.start + RECOVERY_MAX
    }

    fn text(&self) -> String {
        let ms = |time: Duration| time.as_millis();
        let (p50, p99, start) = (ms(self.at(0.5)), ms(self.at(0.99)), ms(self.start));
        format!(
            "{:<12} killed {:>3} x, serves again after p50 {p50} ms, p99 {p99} ms; a start takes {start} ms",
            self.backend,
            self.recoveries.len()
        )
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_peer_comes_back_and_disturbs_no_other() -> Result<()> {
    let mut peers = Peers::start().await;
    let cluster = cluster();
    let backends = peers.manifest();
    cluster.try_apply(&backends).expect(8);
    let names: Vec<_> = backends.iter().filter_map(|backend| backend["id"].as_str()).collect();
    let mut rows = Vec::new();
    for name in &names {
        let node = home(&cluster, name)?;
        wait::until(&format!("{name} on {}", node.name()), async || echo(node, name).await).await;
    }
    for name in &names {
        let node = home(&cluster, name)?;
        // Under the load that there is when it comes back.
        let load = others(node, &names, name).await;
        let start = start_of(node, name).await?;
        load.stop().await;
        let (backend, served_at) = ((*name).to_owned(), Instant::now());
        rows.push(Row { backend, start, recoveries: Vec::new(), served_at });
    }
    let kills = std::env::var(KILLS).ok().and_then(|text| text.parse().ok()).unwrap_or(KILLS_DEFAULT);
    for _ in 0..kills {
        for row in &mut rows {
            let node = home(&cluster, &row.backend)?;
            sleep_until((row.served_at + STARTED_WELL).into()).await;
            let load = others(node, &names, &row.backend).await;
            row.recoveries.push(recovery(&mut peers, &cluster, node, &row.backend).await?);
            row.served_at = Instant::now();
            let (calls, failures) = load.stop().await;
            assert_eq!(
                failures,
                Vec::<String>::new(),
                "of {calls} calls of others while {} died",
                row.backend
            );
        }
    }
    rows.iter().for_each(|row| println!("{}", row.text()));
    let slow: Vec<_> = rows.iter().filter(|row| !row.is_fine()).map(Row::text).collect();
    ensure!(slow.is_empty(), "too slow:\n{}", slow.join("\n"));
    Ok(())
}

/// The first node that can serve a backend.
fn home<'a>(cluster: &'a Cluster, backend: &str) -> Result<&'a Node> {
    cluster.nodes.iter().find(|node| offers(node.name(), backend)).context("some node offers it")
}

/// How long a session of its own takes to begin and serve, which is a start where each has a process.
async fn start_of(node: &Node, backend: &str) -> Result<Duration> {
    let mut times = Vec::new();
    for _ in 0..STARTS {
        let began = Instant::now();
        echo_with(Http::patient(START_LIMIT), node, backend).await?;
        times.push(began.elapsed());
    }
    times.sort_unstable();
    Ok(times[STARTS / 2])
}

/// Load on two other backends of the node.
async fn others(node: &Node, names: &[&str], victim: &str) -> Load {
    let mut load = Load::default();
    let bystanders =
        names.iter().filter(|name| ["process", "http", "docker"].contains(name) && **name != victim);
    for name in bystanders.take(2) {
        load.add(&node.endpoint(name)).await;
    }
    load
}

async fn recovery(peers: &mut Peers, cluster: &Cluster, node: &Node, backend: &str) -> Result<Duration> {
    let mut began = Instant::now();
    if peers.kill(backend, cluster, node).await? == Death::Ours {
        began = Instant::now();
    }
    let deadline = began + wait::PATIENCE;
    loop {
        match echo(node, backend).await {
            Ok(()) => return Ok(began.elapsed()),
            Err(error) if Instant::now() > deadline => {
                return Err(error.context(format!("{backend} does not come back")));
            }
            Err(_) => sleep(POLL).await,
        }
    }
}
