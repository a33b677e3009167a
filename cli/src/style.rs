//! Colours, and text that cannot harm a terminal. Colour is never the only signal.

use anstyle::{AnsiColor, Style};

/// Red and bold.
pub fn error(text: &str) -> String {
    paint(AnsiColor::Red.on_default().bold(), text)
}

/// Yellow.
pub fn warning(text: &str) -> String {
    paint(AnsiColor::Yellow.on_default(), text)
}

/// Green.
pub fn good(text: &str) -> String {
    paint(AnsiColor::Green.on_default(), text)
}

pub fn bold(text: &str) -> String {
    paint(Style::new().bold(), text)
}

pub fn dim(text: &str) -> String {
    paint(Style::new().dimmed(), text)
}

/// Paints always: the stream it is written to drops the colours if they are not wanted there.
fn paint(style: Style, text: &str) -> String {
    format!("{style}{text}{style:#}")
}

/// Text of strangers on one line: control characters would move the cursor or recolour the screen.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if is_harmful(c) { ' ' } else { c }).collect()
}

/// As [`printable`], line ends kept.
pub fn printable_lines(text: &str) -> String {
    text.split('\n').map(printable).collect::<Vec<_>>().join("\n")
}

/// As [`printable_lines`], tabs kept: for text that is data.
pub fn printable_text(text: &str) -> String {
    text.split('\t').map(printable_lines).collect::<Vec<_>>().join("\t")
}

/// Control characters, and those that reorder the text around them.
fn is_harmful(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_cannot_paint() {
        assert_eq!(printable("a\x1b[31mb\nc\u{202e}d"), "a [31mb c d");
        assert_eq!(printable_lines("a\nb\r"), "a\nb ");
    }
}
