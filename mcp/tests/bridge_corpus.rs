//! Scripts for the era bridges, each with what the machines do on it. `@S1` stands for the text of the
//! first `requestState` that was handed out, `@S2` for the second.
//!
//! `OMCP_BLESS=1` writes down what they do now; read the difference before you keep it.

use std::fs;
use std::path::{Path, PathBuf};

use omcp_mcp::bridge::replay;

#[test]
fn lanes_do_what_is_written() {
    check("bridge-lane", replay::lane);
}

#[test]
fn sessions_do_what_is_written() {
    check("bridge-session", replay::session);
}

fn check(folder: &str, run: fn(&[u8]) -> String) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(folder);
    let mut paths: Vec<PathBuf> =
        fs::read_dir(&folder).expect("the corpus").map(|entry| entry.expect("a file").path()).collect();
    paths.sort();
    assert!(!paths.is_empty());
    let bless = std::env::var_os("OMCP_BLESS").is_some();
    for path in paths {
        let written = fs::read_to_string(&path).expect("a script");
        let did = perform(&written, run);
        if bless {
            fs::write(&path, did).expect("a script can be written");
        } else {
            assert_eq!(written, did, "{}", path.display());
        }
    }
}

/// Runs the steps of a transcript, and puts the states it hands out back in their place.
fn perform(written: &str, run: fn(&[u8]) -> String) -> String {
    let steps: Vec<&str> = written.lines().filter(|line| !line.starts_with('>')).collect();
    let mut script = String::new();
    let mut states: Vec<String> = Vec::new();
    for step in steps {
        let step = states
            .iter()
            .enumerate()
            .fold(step.to_owned(), |step, (at, state)| step.replace(&format!("\"@S{}\"", at + 1), state));
        script.push_str(&step);
        script.push('\n');
        states = handed_out(&run(script.as_bytes()));
    }
    let did = run(script.as_bytes());
    states.iter().enumerate().fold(did, |did, (at, state)| did.replace(state, &format!("\"@S{}\"", at + 1)))
}

/// The values of `requestState` in suspensions, as JSON text.
fn handed_out(transcript: &str) -> Vec<String> {
    let suspensions = transcript.lines().filter(|line| line.starts_with("> suspend"));
    suspensions
        .filter_map(|line| {
            let message: serde_json::Value = serde_json::from_str(line.splitn(4, ' ').nth(3)?).ok()?;
            Some(message["result"]["requestState"].to_string())
        })
        .collect()
}
