//! AWS Lambda on this machine, with the fixture server as its one function, until standard input ends.
//!
//! `omcp-lambda NAME OPTIONS`: options of the fixture server, with `lambda` among them. Prints `listening on URL`.

use std::io::Read;
use std::process::ExitCode;

use anyhow::{Context, Result};
use omcp_tests::harness::lambda::Lambda;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("omcp-lambda: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (name, options) = arguments.split_first().context("usage: omcp-lambda NAME OPTIONS")?;
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let lambda = Lambda::start(&[(name, &options)]);
    println!("listening on {}", lambda.url());
    std::io::stdin().read_to_end(&mut Vec::new()).context("wait for the end of the input")?;
    Ok(())
}
