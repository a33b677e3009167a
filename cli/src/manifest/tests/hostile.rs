//! Nothing that can be written makes the reader panic, and every mistake can be shown.

use super::*;

const SAMPLE: &str = "servers: # é
  - id: a
    tags: [x, 'ü😀', \"q\\n\"]
    runtime: &r { type: tcp, n: 1.5, <<: {k: *s} }
    env: { A: \"${B}\" }
---
{\"mcpServers\": {\"Ä\": {\"command\": \"x\", /* c */ \"args\": [1,], \"env\": {\"T_TOKEN\": \"é\"}}}}
";

fn survive(text: &str) {
    for name in ["x.yaml", "x.json"] {
        let loaded = load(&[Arc::new(Source::new(name, text))]);
        for problem in loaded.err().unwrap_or_default() {
            assert!(problem.snippet().contains('^'), "{text:?}");
        }
    }
}

#[test]
fn every_prefix_and_suffix() {
    for (at, _) in SAMPLE.char_indices() {
        survive(&SAMPLE[..at]);
        survive(&SAMPLE[at..]);
    }
}

#[test]
fn every_character_replaced() {
    for (at, old) in SAMPLE.char_indices() {
        for new in [
            "", "\t", "\n", "\r", "\0", ":", "-", "{", "]", "\"", "'", "*", "&", "!", "|", "%", "#",
            "\u{feff}", "😀",
        ] {
            survive(&format!("{}{new}{}", &SAMPLE[..at], &SAMPLE[at + old.len_utf8()..]));
        }
    }
}

#[test]
fn any_path_of_the_server_leads_somewhere() {
    let loaded = read("servers: [{id: a, runtime: {type: tcp, ä: [{b: é}]}}]").unwrap();
    let path = "backends[0].runtime.ä[0].b";
    for end in (0..=path.len()).filter(|end| path.is_char_boundary(*end)) {
        for odd in ["", "[", "]", ".", "[99999999999999999999]", "..", "é"] {
            let path = format!("{}{odd}", &path[..end]);
            let shown = loaded.problem(&path, "is wrong").map(|problem| problem.snippet());
            assert!(shown.is_none_or(|shown| shown.contains('^')), "{path}");
        }
    }
}
