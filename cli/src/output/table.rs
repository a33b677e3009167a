//! [`Table`]: columns as wide as what is in them.

use crate::style;

/// Rows under titles. Wide columns are shown on demand only.
#[derive(Debug, Default)]
pub struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
}

#[derive(Debug)]
struct Column {
    title: &'static str,
    wide: bool,
}

/// Text of one row and column, and what it means.
#[derive(Clone, Debug, Default)]
pub struct Cell {
    text: String,
    mood: Mood,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mood {
    #[default]
    Plain,
    Good,
    Bad,
    Waiting,
}

impl Cell {
    pub fn new(text: impl Into<String>, mood: Mood) -> Self {
        Self { text: text.into(), mood }
    }

    /// Padded before it is painted, because colours have no width.
    fn render(&self, width: usize) -> String {
        let text = format!("{:width$}", style::printable(&self.text));
        match self.mood {
            Mood::Plain => text,
            Mood::Good => style::good(&text),
            Mood::Bad => style::error(&text),
            Mood::Waiting => style::warning(&text),
        }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::new(text, Mood::Plain)
    }
}

impl Table {
    /// Titles; those after `|` are of wide columns.
    pub fn new(titles: &[&'static str]) -> Self {
        let column = |title: &&'static str| match title.strip_prefix('|') {
            Some(title) => Column { title, wide: true },
            None => Column { title, wide: false },
        };
        Self { columns: titles.iter().map(column).collect(), rows: Vec::new() }
    }

    /// Adds a row; it needs one cell per column, wide ones included.
    pub fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        let cells: Vec<_> = cells.into_iter().collect();
        debug_assert_eq!(cells.len(), self.columns.len(), "a row has a cell for every column");
        self.rows.push(cells);
    }

    pub fn render(&self, wide: bool) -> String {
        let shown: Vec<_> = (0..self.columns.len()).filter(|at| wide || !self.columns[*at].wide).collect();
        let titles = self.columns.iter().map(|column| Cell::from(column.title)).collect();
        let mut out = String::new();
        for row in [&titles].into_iter().chain(&self.rows) {
            out.push_str(&self.line(row, &shown));
            out.push('\n');
        }
        out
    }

    fn line(&self, row: &[Cell], shown: &[usize]) -> String {
        let last = shown.len().saturating_sub(1);
        let cells = shown.iter().enumerate().map(|(nth, at)| {
            let width = if nth == last { 0 } else { self.width(*at) };
            row[*at].render(width)
        });
        cells.collect::<Vec<_>>().join("   ").trim_end().to_owned()
    }

    fn width(&self, at: usize) -> usize {
        let widest = self.rows.iter().map(|row| row[at].text.chars().count()).max().unwrap_or(0);
        widest.max(self.columns[at].title.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_fit_what_is_in_them() {
        let mut table = Table::new(&["NAME", "STATE", "|URL"]);
        table.row(["a".into(), Cell::new("ready", Mood::Good), "http://x".into()]);
        table.row(["longer-name".into(), Cell::new("failing\x1b[2J", Mood::Bad), "".into()]);
        let plain = |wide| anstream::adapter::strip_str(&table.render(wide)).to_string();
        assert_eq!(plain(false), "NAME          STATE\na             ready\nlonger-name   failing [2J\n");
        assert_eq!(
            plain(true),
            "NAME          STATE         URL\na             ready         http://x\nlonger-name   failing [2J\n"
        );
    }
}
