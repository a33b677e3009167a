//! `docs/cli.md` ends with the help of every command, and says the exit codes that there are.

use std::fmt::Write as _;
use std::path::Path;

use clap::{Command, CommandFactory as _};

use crate::cli::Cli;
use crate::exit::CODES;

/// What follows in the page is written by this test.
const MARK: &str =
    "<!-- Below: written by the test `the_page_is_current`; run it with OMCP_WRITE_DOCS=1. -->\n";
/// Columns of the help in the page.
const WIDTH: usize = 80;

#[test]
fn the_page_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/cli.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (prose, _) = page.split_once(MARK).expect("the page has the mark");
    let current = format!("{prose}{MARK}{}", generated());
    if std::env::var_os("OMCP_WRITE_DOCS").is_some() {
        std::fs::write(&path, &current).unwrap();
    }
    assert!(
        page == current || std::env::var_os("OMCP_WRITE_DOCS").is_some(),
        "run it with OMCP_WRITE_DOCS=1"
    );
}

#[test]
fn every_command_has_help_that_fits() {
    for command in commands(&program(), "omcp") {
        let help = help(&command.1, &command.0);
        assert!(command.1.get_about().is_some(), "{} says what it does", command.0);
        assert!(help.lines().all(|line| line.chars().count() <= 100), "{help}");
    }
}

#[test]
fn the_command_line_is_sound() {
    Cli::command().debug_assert();
}

fn generated() -> String {
    let mut out = String::from("\n## Exit codes\n\n| code | meaning |\n|---|---|\n");
    for (code, meaning) in CODES {
        let _ = writeln!(out, "| {code} | {meaning} |");
    }
    for (name, command) in commands(&program(), "omcp") {
        let _ = write!(out, "\n## {name}\n\n```text\n{}\n```\n", help(&command, &name).trim_end());
    }
    out
}

fn program() -> Command {
    let mut program = Cli::command().term_width(WIDTH).disable_help_subcommand(true);
    program.build();
    program
}

/// A command and all below it that are not hidden, each with its full name.
fn commands(command: &Command, name: &str) -> Vec<(String, Command)> {
    let below = command.get_subcommands().filter(|below| !below.is_hide_set() && below.get_name() != "help");
    let below = below.flat_map(|below| commands(below, &format!("{name} {}", below.get_name())));
    [(name.to_owned(), command.clone())].into_iter().chain(below).collect()
}

/// The long help; global options are shown once, with the program itself.
fn help(command: &Command, name: &str) -> String {
    let mut command = command.clone().term_width(WIDTH);
    if name != "omcp" {
        command = command.mut_args(|arg| if arg.is_global_set() { arg.hide(true) } else { arg });
    }
    let lines = command.render_long_help().to_string();
    lines.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}
