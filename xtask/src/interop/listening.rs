//! Servers that listen, for as long as this value lives.

use std::collections::HashMap;

use anyhow::{Context, Result};

use crate::interop::cell::Cell;
use crate::interop::server::{ServerKind, Way};
use crate::interop::surroundings::Surroundings;
use crate::stage::Server;
use crate::tools;

/// By name and way.
pub struct Listening(HashMap<(&'static str, Way), Server>);

impl Listening {
    /// Those of these cells, and those that clients are at directly.
    pub fn start(surroundings: &Surroundings, cells: &[Cell]) -> Result<Self> {
        let mut servers = HashMap::new();
        let ways = |cell: &Cell| [cell.way, cell.way.direct()].map(|way| (cell.server, way));
        for (kind, way) in cells.iter().flat_map(ways) {
            if way == Way::Stdio || servers.contains_key(&(kind.name, way)) {
                continue;
            }
            if way == Way::Lambda {
                tools::python("lambda")?;
            }
            let name = format!("{}-{}", kind.name, way.name());
            let server = Server::start(&name, &mut kind.command(surroundings, way));
            let server = server.with_context(|| format!("start {name}"))?;
            // The one that hosts a function has processes of its own.
            let server = if way == Way::Lambda { server.with_grace() } else { server };
            servers.insert((kind.name, way), server);
        }
        Ok(Self(servers))
    }

    pub fn url(&self, kind: &ServerKind, way: Way) -> Result<&str> {
        Ok(self.0.get(&(kind.name, way)).context("it does not listen")?.url())
    }
}
