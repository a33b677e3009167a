//! JSON with comments, as editors write it. Trailing commas need no help: YAML allows them.

/// Whether a text is meant as JSON rather than YAML.
pub fn is_json(name: &str, text: &str) -> bool {
    let named = |ending| name.len() > 5 && name.ends_with(ending);
    if named(".json") || named(".jsonc") {
        return true;
    }
    let blank = blank_comments(text);
    let mut rest = blank.trim_start().chars();
    rest.next() == Some('{') && matches!(rest.as_str().trim_start().chars().next(), Some('"' | '}'))
}

/// What the scanner is inside of.
#[derive(Clone, Copy, PartialEq)]
enum Inside {
    Nothing,
    Text,
    Escape,
    LineComment,
    BlockComment,
}

/// Replaces comments and tabs by spaces, byte for byte, so that every place stays where it is and the
/// rest is JSON, which YAML includes.
pub fn blank_comments(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut inside = Inside::Nothing;
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        let next = rest.peek().copied();
        match (inside, c, next) {
            (Inside::Nothing, '/', Some('/')) => inside = Inside::LineComment,
            (Inside::Nothing, '/', Some('*')) => {
                rest.next();
                out.push(' ');
                inside = Inside::BlockComment;
            }
            (Inside::BlockComment, '*', Some('/')) => {
                rest.next();
                out.push_str("  ");
                inside = Inside::Nothing;
                continue;
            }
            (Inside::LineComment, '\n', _) => inside = Inside::Nothing,
            (Inside::LineComment | Inside::BlockComment, ..) => {}
            _ => inside = in_json(inside, c),
        }
        push(&mut out, inside, c);
    }
    out
}

fn in_json(inside: Inside, c: char) -> Inside {
    match (inside, c) {
        (Inside::Text, '\\') => Inside::Escape,
        (Inside::Text, '"') => Inside::Nothing,
        (Inside::Escape, _) => Inside::Text,
        (Inside::Nothing, '"') => Inside::Text,
        _ => inside,
    }
}

fn push(out: &mut String, inside: Inside, c: char) {
    let comment = matches!(inside, Inside::LineComment | Inside::BlockComment);
    if c == '\n' || !(comment || inside == Inside::Nothing && c == '\t') {
        out.push(c);
    } else {
        out.extend(std::iter::repeat_n(' ', c.len_utf8()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_every_place() {
        let text = "{ // é\n\t\"a\": \"// no, \\\"/* no */\", /* yes\n */ \"b\": [1, 2]\n}";
        let json = blank_comments(text);
        assert_eq!(json.len(), text.len());
        assert_eq!(json.matches('\n').count(), text.matches('\n').count());
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(value, serde_json::json!({"a": "// no, \"/* no */", "b": [1, 2]}));
    }

    #[test]
    fn tells_json_from_yaml() {
        for (text, json) in [
            ("{\"a\": 1}", true),
            ("// x\n{ \"a\": 1}", true),
            ("{}", true),
            ("{a: http://x}", false),
            ("a: {\"b\": 1}", false),
            ("", false),
        ] {
            assert_eq!(is_json("x", text), json, "{text}");
        }
        assert!(is_json("x.json", "[]"));
    }
}
