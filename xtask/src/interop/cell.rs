//! What the matrix is made of: a client at a server, through one endpoint of the gateway.

use std::fmt;

use crate::interop::client::{CLIENTS, Client};
use crate::interop::server::{SERVERS, ServerKind, Way};

/// Where a client enters the gateway.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Entrance {
    /// The endpoint of one backend.
    Own,
    /// The endpoint of all backends, of which it sees this one.
    Aggregate,
    /// The endpoint of one backend, on another of several nodes with every request.
    AnyNode,
}

pub struct Cell {
    pub client: &'static Client,
    pub server: &'static ServerKind,
    pub way: Way,
    /// The era in which the gateway speaks with the server, where that is not the client's.
    across: Option<&'static str>,
    pub entrance: Entrance,
}

/// Clients whose cells with nothing to translate are looked at with every test.
const EVERYDAY: [&str; 6] = [
    "TypeScript 1",
    "TypeScript 2 legacy",
    "TypeScript 2 modern",
    "Python 1",
    "Python 2 legacy",
    "Python 2 modern",
];

/// What goes through any of several nodes: each mode, and whatever keeps something on one node.
const TRAVELLED: [&str; 11] = [
    "TypeScript 1 at everything over http",
    "TypeScript 1 at everything over stdio",
    "TypeScript 1 at modern python over http",
    "TypeScript 1 of 2024-11-05 at everything over stdio",
    "TypeScript 2 modern at legacy everything over http",
    "TypeScript 2 modern at fixture over stdio",
    "Python 1 at fixture over tcp",
    "Python 1 at modern fixture over stdio",
    "Python 2 modern at legacy everything over stdio",
    "FastMCP modern at fastmcp over http",
    "rmcp legacy at everything over sse",
];
/// How many those are.
const SEVERAL: usize = 3;

/// The official SDKs at other people's servers, with nothing to translate.
pub fn everyday() -> Vec<Cell> {
    every().into_iter().filter(Cell::is_everyday).collect()
}

/// All the others.
pub fn others() -> Vec<Cell> {
    every().into_iter().filter(|cell| !cell.is_everyday()).collect()
}

fn every() -> Vec<Cell> {
    let mut cells = Vec::new();
    for client in &CLIENTS {
        for server in &SERVERS {
            for way in server.ways() {
                for across in eras(client, server) {
                    for entrance in [Entrance::Own, Entrance::Aggregate, Entrance::AnyNode] {
                        cells.push(Cell { client, server, way, across, entrance });
                    }
                }
            }
        }
    }
    cells.retain(Cell::exists);
    cells
}

/// The client's era as none, and the other, of those that the server speaks.
fn eras(client: &Client, server: &ServerKind) -> Vec<Option<&'static str>> {
    let own = server.speaks(client.era()).then_some(None);
    let other = server.speaks(client.other_era()).then(|| Some(client.other_era()));
    own.into_iter().chain(other).collect()
}

impl Cell {
    fn exists(&self) -> bool {
        self.entrance != Entrance::AnyNode || TRAVELLED.contains(&&*self.pair())
    }

    /// Whether the gateway has nothing to translate, and nothing to take away.
    pub fn is_alike(&self) -> bool {
        self.across.is_none() && self.entrance != Entrance::Aggregate && self.way != Way::Lambda
    }

    fn is_everyday(&self) -> bool {
        let usual = !self.server.is_own() && matches!(self.way, Way::Http | Way::Stdio);
        self.is_alike() && self.nodes() == 1 && usual && EVERYDAY.contains(&self.client.name)
    }

    pub fn nodes(&self) -> usize {
        if self.entrance == Entrance::AnyNode { SEVERAL } else { 1 }
    }

    /// The client, and the server as the client is to see it.
    fn pair(&self) -> String {
        let era = self.across.map(|era| format!("{era} ")).unwrap_or_default();
        format!("{} at {era}{} over {}", self.client.name, self.server.name, self.way.name())
    }

    /// The backend that the client is sent to. Short: in the aggregate it stands before names of 42 characters.
    pub fn backend(&self) -> String {
        let backend = format!("{}-{}", self.server.name, self.way.name());
        match self.pinned() {
            Some(era) => format!("{backend}-{}", &era[..1]),
            None => backend,
        }
    }

    /// The era that the gateway has to be told to use, because the server speaks the client's as well.
    pub fn pinned(&self) -> Option<&'static str> {
        self.across.filter(|_| self.server.is_dual())
    }

    /// Whose answers, directly from the server, are those to compare with: the client's own if it can get any.
    pub fn yardstick(&self) -> Option<&'static Client> {
        if self.server.speaks(self.client.era()) { Some(self.client) } else { self.client.twin() }
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entrance = match self.entrance {
            Entrance::Own => "",
            Entrance::Aggregate => " in the aggregate",
            Entrance::AnyNode => " on any node",
        };
        write!(f, "{}{entrance}", self.pair())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_cell_has_a_name_of_its_own_and_a_yardstick() {
        let cells = every();
        let names: BTreeSet<String> = cells.iter().map(Cell::to_string).collect();
        assert_eq!(names.len(), cells.len());
        assert_eq!((everyday().len(), everyday().len() + others().len()), (36, cells.len()));
        assert!(cells.iter().all(|cell| cell.yardstick().is_some()));
    }

    #[test]
    fn every_travelled_pair_has_a_cell() {
        let travelled = every().into_iter().filter(|cell| cell.entrance == Entrance::AnyNode);
        assert_eq!(travelled.count(), TRAVELLED.len());
    }

    #[test]
    fn only_servers_of_both_eras_are_pinned() {
        let named = |name: &str| every().into_iter().find(|cell| cell.to_string() == name).unwrap();
        let everything = named("TypeScript 2 modern at legacy everything over http");
        assert_eq!((everything.pinned(), everything.backend()), (None, "everything-http".to_owned()));
        let python = named("Python 1 at modern python over stdio in the aggregate");
        assert_eq!((python.pinned(), python.backend()), (Some("modern"), "python-stdio-m".to_owned()));
        assert_eq!(named("Python 1 at python over stdio").backend(), "python-stdio");
    }
}
