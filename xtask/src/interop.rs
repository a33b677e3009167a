//! Other people's clients and servers, directly and through the gateway.
//!
//! A client calls every tool, reads every resource, gets every prompt, and writes down what it got.
//! Through the gateway it has to get the same, also where client and server have no era in common: there the
//! yardstick is the same client at the same server in an era that both speak, or its twin of that era.
//!
//! - [`surroundings`]: interpreters and scripts; [`server`], [`client`]: the peers
//! - [`cell`]: which client at which server, and how
//! - [`prefix`]: names as the aggregate spells them
//! - [`house`]: servers, gateway, and a client that goes there; [`listening`]: servers that listen
//! - [`got`]: what a client got; [`judge`]: whether that is what it gets directly; [`named`]: differences that have a
//!   reason

mod cell;
mod client;
mod got;
mod house;
mod judge;
mod listening;
mod named;
mod prefix;
mod server;
mod surroundings;

use std::collections::BTreeSet;

use crate::cargo;
use crate::interop::cell::Cell;
use crate::interop::house::House;
use crate::report::Report;

/// The short form of the matrix: both SDKs, both directions, both endpoints.
const SHORT: [&str; 6] = [
    "TypeScript 2 modern at legacy everything over http",
    "Python 2 modern at legacy everything over stdio in the aggregate",
    "Python 2 modern at legacy filesystem over stdio",
    "TypeScript 1 at modern python over http",
    "TypeScript 2 modern at legacy rmcp over stdio",
    "Python 1 at modern fastmcp over http in the aggregate",
];

/// Which cells of the matrix.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Options {
    /// All cells instead of a few
    #[arg(long)]
    long: bool,
    /// Of all cells those whose name contains this
    filter: Option<String>,
}

/// The official SDKs at other people's servers, with nothing to translate.
pub fn run(report: &mut Report, filter: &str) {
    visit(report, "interop", &chosen(cell::everyday(), |name| name.contains(filter)));
}

/// Everything else: across eras, through the aggregate, and whatever else there is.
pub fn matrix(report: &mut Report, options: &Options) {
    let wanted = |name: &str| match &options.filter {
        Some(filter) => name.contains(filter),
        None => options.long || SHORT.contains(&name),
    };
    visit(report, "matrix", &chosen(cell::others(), wanted));
}

fn chosen(mut cells: Vec<Cell>, wanted: impl Fn(&str) -> bool) -> Vec<Cell> {
    cells.retain(|cell| wanted(&cell.to_string()));
    cells
}

fn visit(report: &mut Report, name: &str, cells: &[Cell]) {
    let of_cell = |cell: &Cell| [cell.client.example(), cell.server.example()];
    let examples: BTreeSet<_> = cells.iter().flat_map(of_cell).flatten().collect();
    if !cargo::usual_programs(report) || !examples.iter().all(|example| cargo::example(report, example)) {
        return;
    }
    match House::build(name, cells) {
        Ok(house) => {
            for cell in cells {
                report.step(&cell.to_string(), || house.compare(cell));
            }
        }
        Err(error) => report.step(name, || Err(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_form_is_of_cells_that_exist() {
        let chosen = chosen(cell::others(), |name| SHORT.contains(&name));
        assert_eq!(chosen.len(), SHORT.len());
    }
}
