//! `omcp demo-server`: what `omcp up --demo` starts as its backend.

use crate::demo;
use crate::exit::Outcome;
use crate::failure::{Cause, Failure};

/// Serve the demo backend over standard input and output
#[derive(Debug, clap::Args)]
#[command(hide = true)]
pub struct Args {}

pub async fn run(_: Args) -> Result<Outcome, Failure> {
    let served = demo::serve(tokio::io::stdin(), tokio::io::stdout()).await;
    served.map_err(|error| Failure::new(Cause::Failed, "serve the demo backend", error.to_string()))?;
    Ok(Outcome::Done)
}
