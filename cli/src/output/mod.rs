//! What a command shows, in the form that was asked for.

pub mod table;
pub mod time;

use std::io::{self, IsTerminal as _, Write as _};

use crate::exit::Outcome;
use crate::failure::Failure;
use crate::manifest::node::Node;
use crate::manifest::{Note, write};
use crate::output::table::Table;
use crate::style;

/// Forms of output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Columns for people
    Table,
    /// More columns
    Wide,
    /// One JSON document
    Json,
    /// One YAML document
    Yaml,
    /// Names only, one per line
    Name,
}

/// The same thing in every form.
#[derive(Debug)]
pub struct View {
    pub table: Table,
    pub document: Node,
    pub names: Vec<String>,
}

impl View {
    pub fn render(&self, format: Format) -> String {
        match format {
            Format::Table => self.table.render(false),
            Format::Wide => self.table.render(true),
            Format::Json => write::json(&self.document),
            Format::Yaml => write::yaml(&self.document),
            Format::Name => self.names.iter().map(|name| format!("{name}\n")).collect(),
        }
    }

    /// Writes it to standard output.
    ///
    /// # Errors
    /// Standard output cannot be written, except that nobody reads it any more.
    pub fn show(&self, format: Format) -> Result<Outcome, Failure> {
        print(&self.render(format))
    }
}

/// Writes data to standard output. A reader that went away (`omcp get | head`) is no failure.
///
/// # Errors
/// The output cannot be written.
pub fn print(text: &str) -> Result<Outcome, Failure> {
    let mut out = anstream::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::output(&error)),
        _ => Ok(Outcome::Done),
    }
}

/// Writes chatter to standard error; if nobody can read it, nothing is lost.
pub fn say(text: &str) {
    let _ = writeln!(anstream::stderr().lock(), "{text}");
}

/// Says something worth knowing that did not stop the command.
pub fn warn(text: &str) {
    say(&format!("{}: {}", style::warning("warning"), style::printable(text)));
}

/// Says what was noticed while reading.
pub fn notes(notes: &[Note]) {
    for note in notes {
        let text = format!("{}: {}", note.backend, note.message);
        if note.warning { warn(&text) } else { say(&format!("note: {}", style::printable(&text))) }
    }
}

/// Whether standard error is a terminal that can move its cursor.
pub fn can_redraw() -> bool {
    let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb" || term.is_empty());
    io::stderr().is_terminal() && !dumb
}

/// Whether there is somebody to answer a question.
pub fn can_ask() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks a question that is answered with y or n; without a terminal the answer is no.
pub fn confirm(question: &str) -> bool {
    if !can_ask() {
        return false;
    }
    let _ = write!(anstream::stderr().lock(), "{question} [y/N] ");
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).is_ok() && matches!(answer.trim(), "y" | "Y" | "yes")
}
