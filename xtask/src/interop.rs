//! Other people's clients and servers, directly and through the gateway.
//!
//! A client calls every tool, reads every resource, gets every prompt, and writes down what it got.
//! Through the gateway it has to get the same, also where client and server have no era in common: there the
//! yardstick is the same client at the same server in an era that both speak, or its twin of that era.
//!
//! - [`peer`]: the clients and the servers; [`report`]: what a client got

mod peer;
mod report;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use crate::interop::peer::{CLIENTS, Client, SERVERS, ServerKind, Surroundings};
use crate::interop::report::Got;
use crate::report::{Counts, Report};
use crate::stage::{Server, Stage};
use crate::{cargo, process};

/// A client that starts on a busy machine, and waits for a server's slow tools.
const RUN_LIMIT: Duration = Duration::from_secs(90);

/// Pairs that have an era in common.
pub fn run(report: &mut Report, filter: &str) {
    visit(report, |house, report| house.try_all(report, filter));
}

/// Pairs that have none, as the gateway shows the server. `wanted` of nothing is all of them.
pub fn matrix(report: &mut Report, wanted: &[&str]) {
    visit(report, |house, report| house.cross_all(report, wanted));
}

fn visit(report: &mut Report, with: impl FnOnce(&House, &mut Report)) {
    if !cargo::programs(report) {
        return;
    }
    match House::build() {
        Ok(house) => with(&house, report),
        Err(error) => report.step("interop", || Err(error)),
    }
}

/// All servers, and a gateway in front of them.
struct House {
    surroundings: Surroundings,
    http: Vec<(&'static ServerKind, Server)>,
    stage: Stage,
}

impl House {
    fn build() -> Result<Self> {
        let surroundings = Surroundings::install()?;
        let mut http = Vec::new();
        for kind in SERVERS.iter().filter(|kind| kind.http) {
            let server = Server::start(kind.name, &mut kind.http_command(&surroundings));
            http.push((kind, server.with_context(|| format!("start {}", kind.name))?));
        }
        let stage = Stage::start("interop", &manifest(&surroundings, &http))?;
        Ok(Self { surroundings, http, stage })
    }

    fn try_all(&self, report: &mut Report, filter: &str) {
        for client in &CLIENTS {
            for server in SERVERS.iter().filter(|server| client.speaks_with(server)) {
                for way in ["http", "stdio"] {
                    let name = format!("{} at {} over {way}", client.name, server.name);
                    let exists = if way == "http" { server.http } else { server.stdio };
                    if exists && name.contains(filter) {
                        report.step(&name, || self.compare(&name, client, server, way));
                    }
                }
            }
        }
    }

    fn cross_all(&self, report: &mut Report, wanted: &[&str]) {
        for client in &CLIENTS {
            for server in SERVERS.iter().filter(|server| server.is_dual() || !client.speaks_with(server)) {
                for way in ["http", "stdio"] {
                    let era = client.other_era();
                    let name = format!("{} at {era} {} over {way}", client.name, server.name);
                    let exists = if way == "http" { server.http } else { server.stdio };
                    if exists && (wanted.is_empty() || wanted.iter().any(|wanted| name.contains(wanted))) {
                        report.step(&name, || self.cross(&name, client, server, way));
                    }
                }
            }
        }
    }

    /// A client at a server of the other era.
    fn cross(&self, name: &str, client: &Client, server: &ServerKind, way: &str) -> Result<Counts> {
        let (fitting, backend) = match server.is_dual() {
            true => (client, pinned(server, way, client.other_era())),
            false => (client.twin().context("it has no twin")?, backend(server, way)),
        };
        let direct = self.directly(name, fitting, server, way)?.of_any_era();
        let endpoint = self.stage.endpoint(&backend);
        let through = self.survey(&format!("{name} across eras"), client, server, &[endpoint])?.of_any_era();
        direct.differences(&through).iter().for_each(|difference| eprintln!("  {difference}"));
        Ok(direct.counts(&through))
    }

    fn compare(&self, name: &str, client: &Client, server: &ServerKind, way: &str) -> Result<Counts> {
        let direct = self.directly(name, client, server, way)?;
        let endpoint = self.stage.endpoint(&backend(server, way));
        let through = self.survey(&format!("{name} through the gateway"), client, server, &[endpoint])?;
        direct.differences(&through).iter().for_each(|difference| eprintln!("  {difference}"));
        Ok(direct.counts(&through))
    }

    fn directly(&self, name: &str, client: &Client, server: &ServerKind, way: &str) -> Result<Got> {
        let target = match way {
            "http" => vec![self.url(server)?],
            _ => [vec!["--".to_owned()], server.stdio_words(&self.surroundings)].concat(),
        };
        self.survey(&format!("{name} directly"), client, server, &target)
    }

    fn url(&self, server: &ServerKind) -> Result<String> {
        let running = self.http.iter().find(|(kind, _)| kind.name == server.name);
        Ok(running.context("it does not run")?.1.url().to_owned())
    }

    fn survey(&self, name: &str, client: &Client, server: &ServerKind, target: &[String]) -> Result<Got> {
        self.surroundings.clear_files()?;
        let mut command = client.command(&self.surroundings, server);
        let ended = process::run_apart(&name.replace(' ', "-"), command.args(target), RUN_LIMIT)?;
        let got = Got::read(&ended.success()?.output)?;
        ensure!(got.uncalled().is_empty(), "the plan of {} calls no {:?}", server.name, got.uncalled());
        Ok(got)
    }
}

fn backend(server: &ServerKind, way: &str) -> String {
    format!("{}-{way}", server.name)
}

/// A server of both eras, of which the gateway is to use one.
fn pinned(server: &ServerKind, way: &str, era: &str) -> String {
    format!("{}-{era}", backend(server, way))
}

/// Every server over every transport it has; those of both eras also in each alone.
fn manifest(surroundings: &Surroundings, http: &[(&'static ServerKind, Server)]) -> String {
    let mut backends = Vec::new();
    let mut add = |kind: &ServerKind, way: &str, runtime: serde_json::Value| {
        backends.push(json!({ "id": backend(kind, way), "runtime": runtime }));
        for era in ["legacy", "modern"].iter().filter(|_| kind.is_dual()) {
            backends.push(json!({ "id": pinned(kind, way, era), "era": era, "runtime": runtime }));
        }
    };
    for (kind, server) in http {
        add(kind, "http", json!({ "type": "remote-http", "url": server.url() }));
    }
    for kind in SERVERS.iter().filter(|kind| kind.stdio) {
        let words = kind.stdio_words(surroundings);
        add(kind, "stdio", json!({ "type": "local-process", "command": words[0], "args": words[1..] }));
    }
    json!({ "servers": backends }).to_string()
}
