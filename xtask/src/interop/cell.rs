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
                    for entrance in [Entrance::Own, Entrance::Aggregate] {
                        cells.push(Cell { client, server, way, across, entrance });
                    }
                }
            }
        }
    }
    cells
}

/// The client's era as none, and the other, of those that the server speaks.
fn eras(client: &Client, server: &ServerKind) -> Vec<Option<&'static str>> {
    let own = server.speaks(client.era()).then_some(None);
    let other = server.speaks(client.other_era()).then(|| Some(client.other_era()));
    own.into_iter().chain(other).collect()
}

impl Cell {
    /// Whether the gateway has nothing to translate.
    pub fn is_alike(&self) -> bool {
        self.across.is_none() && self.entrance == Entrance::Own
    }

    fn is_everyday(&self) -> bool {
        let usual = !self.server.is_own() && matches!(self.way, Way::Http | Way::Stdio);
        self.is_alike() && usual && EVERYDAY.contains(&self.client.name)
    }

    /// The backend that the client is sent to.
    pub fn backend(&self) -> String {
        let backend = format!("{}-{}", self.server.name, self.way.name());
        match self.pinned() {
            Some(era) => format!("{backend}-{era}"),
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
        write!(f, "{} at ", self.client.name)?;
        if let Some(era) = self.across {
            write!(f, "{era} ")?;
        }
        write!(f, "{} over {}", self.server.name, self.way.name())?;
        match self.entrance {
            Entrance::Own => Ok(()),
            Entrance::Aggregate => write!(f, " in the aggregate"),
        }
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
    fn only_servers_of_both_eras_are_pinned() {
        let named = |name: &str| every().into_iter().find(|cell| cell.to_string() == name).unwrap();
        let everything = named("TypeScript 2 modern at legacy everything over http");
        assert_eq!((everything.pinned(), everything.backend()), (None, "everything-http".to_owned()));
        let python = named("Python 1 at modern python over stdio in the aggregate");
        assert_eq!((python.pinned(), python.backend()), (Some("modern"), "python-stdio-modern".to_owned()));
        assert_eq!(named("Python 1 at python over stdio").backend(), "python-stdio");
    }
}
