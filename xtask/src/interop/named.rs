//! Differences between what a client gets directly and through the gateway that have a reason.
//!
//! Sections are those of the protocol design note. A difference that is not here fails, and so does an entry that
//! is about a cell and does not occur there, unless it is one of chance.

use crate::interop::got::Difference;

pub struct Named {
    /// Parts of the name of a cell, all of which it has; with `!` those that it has not.
    cells: &'static [&'static str],
    /// The answers that differ, each of them in every such cell.
    pub things: &'static [&'static str],
    /// A part of what comes through.
    through: &'static str,
    pub reason: &'static str,
    /// It does not always occur.
    pub by_chance: bool,
}

const PUSHED: &str = "section 11: the tool pushes its question, which only a session carries";
const NOT_FOUND: &str =
    "section 7: a modern server's -32602 about a URI is -32002 in a session; this one says -32602 in both";
const ROUNDS: &str =
    "section 8: a modern server runs a tool anew in every round, one with sessions runs it once";
const TASK_ONLY: &str =
    "section 8.6: what is a task for stateless clients is a plain call in this server's sessions";
const TASK_OF_NOBODY: &str =
    "section 8.6: a call that is always a task in this server's sessions is answered for who has no tasks";
const ONE_ANSWER: &str = "section 11: an invocation has one answer, and brings nothing before or after it";
const CANNOT_ASK: &str = "section 11: a function that knows sessions only cannot ask anything";
const NO_SUBSCRIPTIONS: &str =
    "section 8.5: this server takes subscriptions in streams, and none in sessions";
const ONE_CATALOG: &str =
    "section 11: of a server whose lists vary from connection to connection, the aggregate has those of one";
const NO_TASKS: &str = "section 8.6: tasks need not be offered across eras, and the list that the aggregate has is of the other era";
const EVERY_LIST: &str =
    "section 10.3: the aggregate has every list, and an empty one where nobody has entries";
const IN_WORDS: &str = "section 9: structured content without a text comes as one before 2025-06-18";
const NO_LINKS: &str = "section 9: links to resources came with 2025-06-18";
const OWN_LANE: &str = "section 6.3: a stateless client names no session, and the process that each node has for it remembers its own calls";
const NO_AUDIO: &str = "section 9: audio came with 2025-03-26";
const NO_CHOICE: &str = "section 9: no form before 2025-11-25 has several choices";

const ONCE: &str = r#""logs":["about to ask"]"#;
const TWICE: &str = r#""logs":["about to ask","about to ask"]"#;
const LISTS: &[&str] = &["resources", "templates", "prompts"];
const NOTE: &[&str] = &["contents/note://none/at/all"];
const LINKED: &[&str] = &["calls/get-resource-links", "calls/gzip-file-as-resource#2"];
/// What a server remembers of an earlier call.
const REMEMBERED: &[&str] = &[
    "calls/toggle-simulated-logging#2",
    "calls/toggle-subscriber-updates#2",
    "resources/hello.gz",
    "contents/demo://resource/session/hello.gz",
    "updates/demo://resource/dynamic/text/1",
];
const SWITCHED: &[&str] = &[
    "calls/test_dynamic_tool",
    "calls/test_trigger_tool_change#2",
    "calls/test_trigger_prompt_change#2",
    "updates/test://watched-resource",
];
const SOUNDS: &[&str] = &["calls/test_audio_content"];
const TASKS: &[&str] = &["calls/slow_compute", "calls/failing_job", "calls/confirm_delete"];
const FAILING: &[&str] = &["calls/failing_job"];
const LOGGED: &[&str] = &["calls/test_tool_with_logging", "calls/test_logging_tool"];
const STEPPED: &[&str] =
    &["calls/test_tool_with_progress", "calls/test_streaming_elicitation", "calls/progress"];
const WATCHED: &[&str] = &["updates/test://watched-resource"];
const ASKED_ALL: &[&str] = &["calls/test_input_required_result_capabilities"];
const ASKED: &[&str] = &[
    "calls/test_sampling",
    "calls/test_elicitation",
    "calls/open_page",
    "calls/test_elicitation_sep1034_defaults",
    "calls/test_elicitation_sep1330_enums",
    "calls/test_missing_capability",
    "calls/test_input_required_result_elicitation",
    "calls/test_input_required_result_sampling",
    "calls/test_input_required_result_list_roots",
    "calls/test_input_required_result_request_state",
    "calls/test_input_required_result_multiple_inputs",
    "calls/test_input_required_result_multi_round",
    "calls/test_input_required_result_tampered_state",
    "calls/confirm_delete",
    "calls/multi_input",
    "calls/test_tool_with_task",
    "messages/test_input_required_result_prompt",
];
const UPDATES: &[&str] = &["updates/note://first"];

/// The client of 2024-11-05.
const OLDEST: &str = " of 2024-11-05 at ";
const AGGREGATE: &str = " in the aggregate";
const ANY_NODE: &str = " on any node";

pub const fn named(
    cells: &'static [&'static str],
    things: &'static [&'static str],
    through: &'static str,
    reason: &'static str,
) -> Named {
    Named { cells, things, through, reason, by_chance: false }
}

/// A difference that depends on the node by which a request comes: what it is, is not judged.
pub const fn by_chance(
    cells: &'static [&'static str],
    things: &'static [&'static str],
    reason: &'static str,
) -> Named {
    Named { cells, things, through: "", reason, by_chance: true }
}

pub const NAMED: &[Named] = &[
    named(&[" at legacy python over"], &["calls/ask"], "Hello, Ada!", PUSHED),
    named(&[" at legacy fastmcp over"], &["calls/ask"], "Hello, Ada!", PUSHED),
    named(&[" at modern python over"], &["calls/ask"], "no back-channel", PUSHED),
    named(&[" at modern fastmcp over"], &["calls/ask"], "unavailable on 2026", PUSHED),
    // Version 2 of the TypeScript SDK gives its callers one code for both.
    named(&["!TypeScript 2", " at modern python over"], NOTE, "-32002", NOT_FOUND),
    named(&["!TypeScript 2", " at modern fastmcp over"], NOTE, "-32002", NOT_FOUND),
    named(&[" at legacy python over"], UPDATES, r#"{"accepted":false}"#, NO_SUBSCRIPTIONS),
    named(&[" at modern python over"], UPDATES, r#""heard":["note://first"]"#, NO_SUBSCRIPTIONS),
    named(&["!lambda", " at modern fixture over"], &["calls/test_streaming_elicitation"], TWICE, ROUNDS),
    named(&["!lambda", " at legacy fixture over"], &["calls/test_streaming_elicitation"], ONCE, ROUNDS),
    named(&[" at legacy fixture over"], &["calls/failing_job"], "as it always does", TASK_ONLY),
    named(&["!lambda", " at legacy fixture over"], &["calls/test_tool_with_task"], "Hello, Ada!", TASK_ONLY),
    // The surveys of version 1 of the TypeScript SDK call it as a task.
    named(&["!TypeScript 1", " at modern fixture over"], FAILING, "as it always does", TASK_OF_NOBODY),
    named(&["!TypeScript 1", "!modern", " at fixture over lambda"], FAILING, "always does", TASK_OF_NOBODY),
    named(&[" over lambda"], LOGGED, r#""logs":[]"#, ONE_ANSWER),
    named(&[" over lambda"], STEPPED, r#""progress":[]"#, ONE_ANSWER),
    named(&[" over lambda"], &["cancel"], r#""counted":"0""#, ONE_ANSWER),
    named(&[" over lambda"], WATCHED, r#""accepted":false"#, ONE_ANSWER),
    named(
        &[" at legacy fixture over lambda"],
        ASKED,
        "does not know that the client can be asked",
        CANNOT_ASK,
    ),
    named(&[" at legacy fixture over lambda"], ASKED_ALL, "asked for 0 of 3", CANNOT_ASK),
    named(&["TypeScript 1 at", " fixture over", AGGREGATE], TASKS, r#""kinds":[]"#, NO_TASKS),
    named(&["everything over", AGGREGATE], &["resources/hello.gz"], "null", ONE_CATALOG),
    // Version 2 of the TypeScript SDK does not ask a server for what it has not declared.
    named(&["!TypeScript 2", " filesystem over", AGGREGATE], LISTS, "null", EVERY_LIST),
    named(&[OLDEST, " filesystem over"], &["calls/read_media_file"], r#""type":"text""#, IN_WORDS),
    named(&[OLDEST, " everything over"], LINKED, ": demo://resource/", NO_LINKS),
    named(&[OLDEST, " everything over"], &["calls/trigger-elicitation-request"], "cancel", NO_CHOICE),
    named(&[OLDEST, " modern fixture over"], SOUNDS, "audio/wav", NO_AUDIO),
    named(&[OLDEST, " at fixture over lambda"], SOUNDS, "audio/wav", NO_AUDIO),
    named(&[OLDEST, " fixture over"], &["calls/test_elicitation_sep1330_enums"], "cancel", NO_CHOICE),
    by_chance(&["modern at legacy everything over", ANY_NODE], REMEMBERED, OWN_LANE),
    by_chance(&["modern at fixture over stdio", ANY_NODE], SWITCHED, OWN_LANE),
];

impl Named {
    pub fn is_about(&self, cell: &str) -> bool {
        self.cells.iter().all(|part| match part.strip_prefix('!') {
            Some(absent) => !cell.contains(absent),
            None => cell.contains(part),
        })
    }

    pub fn names(&self, difference: &Difference<'_>) -> bool {
        self.things.contains(&difference.thing.as_str())
            && difference.through.to_string().contains(self.through)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interop::cell;

    #[test]
    fn every_entry_is_about_some_cell() {
        let cells: Vec<String> = cell::others().iter().map(ToString::to_string).collect();
        for named in NAMED {
            assert!(cells.iter().any(|cell| named.is_about(cell)), "{:?} {:?}", named.cells, named.things);
        }
    }
}
