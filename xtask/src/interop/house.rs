//! The servers of some cells, a gateway in front of them, and clients that go to either.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::interop::cell::{Cell, Entrance};
use crate::interop::client::Client;
use crate::interop::got::Got;
use crate::interop::listening::Listening;
use crate::interop::server::{LAMBDA_SECRET, ServerKind, Way};
use crate::interop::surroundings::{self, Surroundings};
use crate::interop::{judge, prefix};
use crate::process;
use crate::report::Counts;
use crate::stage::Stage;

/// A client that starts on a busy machine, and waits for a server's slow tools and for what does not come.
const RUN_LIMIT: Duration = Duration::from_secs(180);
/// The member of a plan with what the server asks as soon as a client has greeted it.
const GREETING: &str = "greeting";
/// The member with the seconds that a client waits for what comes beside answers.
const PATIENCE: &str = "patience_s";
/// An invocation of a function has one answer, and brings nothing before or after it.
const FUNCTION_PATIENCE_S: u64 = 3;

pub struct House {
    surroundings: Surroundings,
    listening: Listening,
    /// By number of nodes.
    stages: BTreeMap<usize, Stage>,
    /// What clients got directly, by client, server and transport.
    direct: RefCell<HashMap<String, Got>>,
}

impl House {
    pub fn build(name: &str, cells: &[Cell]) -> Result<Self> {
        let surroundings = Surroundings::install()?;
        let listening = Listening::start(&surroundings, cells)?;
        let mut stages = BTreeMap::new();
        for nodes in cells.iter().map(Cell::nodes).collect::<BTreeSet<_>>() {
            let manifest =
                manifest(&surroundings, &listening, cells.iter().filter(|cell| cell.nodes() == nodes))?;
            let name = format!("{name}-{nodes}");
            stages.insert(nodes, Stage::of_nodes(&name, &manifest, nodes, &[LAMBDA_SECRET])?);
        }
        Ok(Self { surroundings, listening, stages, direct: RefCell::default() })
    }

    pub fn compare(&self, cell: &Cell) -> Result<Counts> {
        let (mut direct, through) = (self.directly(cell)?, self.through(cell)?);
        if !cell.client.knows_structures() {
            direct = direct.without_structures();
        }
        let name = cell.to_string();
        Ok(match cell.is_alike() {
            true => judge::of(&name, &direct, &through),
            false => judge::of(&name, &direct.of_any_era(), &through.of_any_era()),
        })
    }

    fn directly(&self, cell: &Cell) -> Result<Got> {
        let (client, way) = (cell.yardstick().context("it has no twin")?, cell.way.direct());
        let name = format!("{} at {} over {} directly", client.name, cell.server.name, way.name());
        if let Some(got) = self.direct.borrow().get(&name) {
            return Ok(got.clone());
        }
        let target = match way {
            Way::Stdio => [vec!["--".to_owned()], cell.server.words(&self.surroundings, way)].concat(),
            _ => vec![self.listening.url(cell.server, way)?.to_owned()],
        };
        let plan = surroundings::plan(cell.server.plan)?;
        let got = self.survey(&name, client, cell.server, &plan, None, &target)?;
        self.direct.borrow_mut().insert(name, got.clone());
        Ok(got)
    }

    fn through(&self, cell: &Cell) -> Result<Got> {
        let (backend, path) = (cell.backend(), cell.client.path());
        let stage = self.stages.get(&cell.nodes()).context("it is not one of the cells")?;
        let (prefix, target) = match cell.entrance {
            Entrance::Own | Entrance::AnyNode => (None, stage.endpoint(path, &backend)),
            Entrance::Aggregate => (Some(backend.as_str()), stage.aggregate(path, &backend)),
        };
        let plan = plan_through(cell)?;
        self.survey(&format!("{cell} through"), cell.client, cell.server, &plan, prefix, &[target])
    }

    /// Runs a client; `prefix` is the backend whose name stands before everything.
    fn survey(
        &self,
        name: &str,
        client: &Client,
        server: &ServerKind,
        plan: &Value,
        prefix: Option<&str>,
        target: &[String],
    ) -> Result<Got> {
        self.surroundings.clear_files()?;
        let plan = prefix.map_or_else(|| plan.clone(), |backend| prefix::added(plan, backend));
        let plan = self.surroundings.filled(&plan.to_string());
        let mut command = client.command(&self.surroundings, &plan);
        let ended = process::run_apart(&name.replace(' ', "-"), command.args(target), RUN_LIMIT)?;
        let output = ended.success()?.output;
        let got = Got::read(&prefix.map_or(output.clone(), |backend| prefix::removed(&output, backend)))?;
        ensure!(got.uncalled().is_empty(), "the plan of {} calls no {:?}", server.name, got.uncalled());
        Ok(got)
    }
}

/// The plan of a client that goes through the gateway, whose server may be greeted later, or has been before.
fn plan_through(cell: &Cell) -> Result<Value> {
    let mut plan = surroundings::plan(cell.server.plan)?;
    let members = plan.as_object_mut().context("a plan has members")?;
    members.remove(GREETING);
    if cell.way == Way::Lambda {
        members.insert(PATIENCE.to_owned(), FUNCTION_PATIENCE_S.into());
    }
    Ok(plan)
}

/// The backends of these cells. Each has its name as a tag, so that the aggregate can be of one.
fn manifest<'a>(
    surroundings: &Surroundings,
    listening: &Listening,
    cells: impl Iterator<Item = &'a Cell>,
) -> Result<String> {
    let mut backends: BTreeMap<String, Value> = BTreeMap::new();
    for cell in cells {
        let url = if cell.way == Way::Stdio { "" } else { listening.url(cell.server, cell.way)? };
        let (id, runtime) = (cell.backend(), cell.server.runtime(surroundings, cell.way, url));
        let mut backend = json!({ "id": id, "tags": [id], "runtime": runtime });
        if let Some(era) = cell.pinned() {
            backend["era"] = era.into();
        }
        backends.insert(id, backend);
    }
    Ok(json!({ "servers": backends.into_values().collect::<Vec<_>>() }).to_string())
}
