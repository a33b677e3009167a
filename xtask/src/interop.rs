//! Other people's clients and servers, directly and through the gateway.
//!
//! A client calls every tool, reads every resource, gets every prompt, and writes down what it got.
//! Through the gateway it has to get the same.
//!
//! - [`peer`]: the clients and the servers; [`report`]: what a client got

mod peer;
mod report;

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::interop::peer::{CLIENTS, Client, SERVERS, ServerKind, Surroundings};
use crate::interop::report::Got;
use crate::report::{Counts, Report};
use crate::stage::{Server, Stage};
use crate::{cargo, process};

/// A client that starts on a busy machine, and waits for a server's slow tools.
const RUN_LIMIT: Duration = Duration::from_secs(90);

pub fn run(report: &mut Report, filter: &str) {
    if !cargo::programs(report) {
        return;
    }
    match House::build() {
        Ok(house) => house.try_all(report, filter),
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

    fn compare(&self, name: &str, client: &Client, server: &ServerKind, way: &str) -> Result<Counts> {
        let direct = match way {
            "http" => vec![self.url(server)?],
            _ => [vec!["--".to_owned()], server.stdio_words(&self.surroundings)].concat(),
        };
        let direct = self.survey(&format!("{name} directly"), client, server, &direct)?;
        let endpoint = self.stage.endpoint(&backend(server, way));
        let through = self.survey(&format!("{name} through the gateway"), client, server, &[endpoint])?;
        direct.differences(&through).iter().for_each(|difference| eprintln!("  {difference}"));
        Ok(direct.counts(&through))
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

/// Every server over every transport it has.
fn manifest(surroundings: &Surroundings, http: &[(&'static ServerKind, Server)]) -> String {
    let mut backends = Vec::new();
    for (kind, server) in http {
        let runtime = serde_json::json!({ "type": "remote-http", "url": server.url() });
        backends.push(serde_json::json!({ "id": backend(kind, "http"), "runtime": runtime }));
    }
    for kind in SERVERS.iter().filter(|kind| kind.stdio) {
        let words = kind.stdio_words(surroundings);
        let runtime = serde_json::json!({ "type": "local-process", "command": words[0], "args": words[1..] });
        backends.push(serde_json::json!({ "id": backend(kind, "stdio"), "runtime": runtime }));
    }
    serde_json::json!({ "servers": backends }).to_string()
}
