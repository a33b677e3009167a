//! `omcp exit-codes`.

use crate::context::Context;
use crate::exit::{CODES, Outcome};
use crate::failure::Failure;
use crate::manifest::node::Node;
use crate::output::View;
use crate::output::table::Table;

/// List the exit codes and what they mean
#[derive(Debug, clap::Args)]
pub struct Args {}

pub fn run(_: Args, context: &Context) -> Result<Outcome, Failure> {
    let mut table = Table::new(&["CODE", "MEANING"]);
    for (code, meaning) in CODES {
        table.row([code.to_string().into(), meaning.into()]);
    }
    let entry = |(code, meaning): &(u8, &str)| {
        Node::map([
            ("code".to_owned(), Node::number(u64::from(*code))),
            ("meaning".to_owned(), Node::text(*meaning)),
        ])
    };
    View {
        table,
        document: Node::map([("exit_codes".to_owned(), Node::list(CODES.iter().map(entry)))]),
        names: CODES.iter().map(|(code, _)| code.to_string()).collect(),
    }
    .show(context.format())
}
