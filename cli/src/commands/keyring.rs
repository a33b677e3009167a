//! `omcp keyring`.

use clap::Subcommand;
use omcp_proto::v1::RotateKeyringRequest;

use crate::context::Context;
use crate::exit::Outcome;
use crate::failure::Failure;
use crate::output;

/// Replace the key with which nodes seal what clients carry for them
///
/// Session ids and the like are sealed, so that any node can serve them and nobody can make one up. The
/// control plane rotates the key every 30 days by itself.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  omcp keyring rotate    # a node's state directory was copied")]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Bring a new key; it seals as soon as every node has it, and what the old one has sealed stays good for
    /// as long as it lives (24 h at most)
    Rotate,
}

pub async fn run(args: Args, context: &Context) -> Result<Outcome, Failure> {
    match args.action {
        Action::Rotate => rotate(context).await,
    }
}

async fn rotate(context: &Context) -> Result<Outcome, Failure> {
    let answer = context.client()?.fleet().rotate_keyring(RotateKeyringRequest {}).await;
    let answer = answer.map_err(|status| Failure::rpc("rotate the keyring".to_owned(), &status))?;
    output::print(&format!("key {} is on its way to the nodes\n", answer.into_inner().key))
}
