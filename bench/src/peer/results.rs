//! The bytes of results and notifications.

use std::fmt::Write as _;
use std::sync::{LazyLock, OnceLock};

use super::{Answer, BIG_TEXT_LEN, Message, PROGRESS_EVENTS, raw};

/// Legacy revisions, as JSON text, oldest first.
const LEGACY: [&str; 4] = ["\"2024-11-05\"", "\"2025-03-26\"", "\"2025-06-18\"", "\"2025-11-25\""];
const SERVER_INFO: &str = r#"{"name":"omcp-bench","version":"1"}"#;
const TOOLS: &str = concat!(
    r#"[{"name":"echo","description":"Returns the text","inputSchema":{"type":"object","properties":{"text":{"type":"string"}}}},"#,
    r#"{"name":"big","description":"Returns 64 KiB","inputSchema":{"type":"object"}},"#,
    r#"{"name":"progress","description":"Reports progress 20 times","inputSchema":{"type":"object"}}]"#,
);

/// The tools in the list; those of [`TOOLS`] unless more were asked for.
static LISTED: OnceLock<String> = OnceLock::new();

/// Text of the `big` tool: printable, without escapes, not all the same.
static BIG_TEXT: LazyLock<String> = LazyLock::new(|| {
    let words = (0..).map(|n: u64| format!("{:016x} ", n.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
    words.flat_map(String::into_bytes).take(BIG_TEXT_LEN).map(char::from).collect()
});

/// Lists so many tools. The others do nothing, and have arguments as real ones do.
pub fn list_tools(count: usize) {
    let mut all = TOOLS.trim_end_matches(']').to_owned();
    for number in 3..count {
        // Writing into a string cannot fail.
        let _ = write!(
            all,
            r#",{{"name":"tool_{number}","description":"Looks up the record with this id and returns it as text","inputSchema":{{"type":"object","properties":{{"id":{{"type":"string","description":"Id of the record"}},"limit":{{"type":"integer","minimum":1,"maximum":100}}}},"required":["id"]}}}}"#
        );
    }
    all.push(']');
    // It is set once, before anybody asks.
    let _ = LISTED.set(all);
}

/// Writes a result, or the error for an unknown method.
pub fn write(message: &Message<'_>, id: &str, out: &mut Vec<u8>) {
    put(out, &[r#"{"jsonrpc":"2.0","id":"#, id, ","]);
    if message.answer() == Answer::UnknownMethod {
        put(out, &[r#""error":{"code":-32601,"message":"unknown method"}}"#]);
        return;
    }
    put(out, &[r#""result":{"#]);
    if message.is_modern() {
        put(out, &[r#""resultType":"complete","#]);
    }
    write_members(message, out);
    put(out, &["}}"]);
}

fn write_members(message: &Message<'_>, out: &mut Vec<u8>) {
    match raw(message.method) {
        "\"initialize\"" => write_initialize(raw(message.params.version), out),
        "\"server/discover\"" => write_discover(out),
        "\"tools/list\"" => put(
            out,
            &[r#""ttlMs":0,"cacheScope":"private","tools":"#, LISTED.get().map_or(TOOLS, String::as_str)],
        ),
        "\"tools/call\"" => write_call(message, out),
        _ => put(out, &[r#""_meta":{}"#]),
    }
}

fn write_initialize(asked: &str, out: &mut Vec<u8>) {
    let version = LEGACY.iter().find(|version| **version == asked).unwrap_or(&LEGACY[3]);
    put(
        out,
        &[r#""protocolVersion":"#, version, r#","capabilities":{"tools":{}},"serverInfo":"#, SERVER_INFO],
    );
}

fn write_discover(out: &mut Vec<u8>) {
    put(
        out,
        &[
            r#""supportedVersions":["2026-07-28"],"capabilities":{"tools":{}},"ttlMs":0,"cacheScope":"public","#,
        ],
    );
    put(out, &[r#""_meta":{"io.modelcontextprotocol/serverInfo":"#, SERVER_INFO, "}"]);
}

fn write_call(message: &Message<'_>, out: &mut Vec<u8>) {
    put(out, &[r#""content":[{"type":"text","text":"#]);
    match raw(message.params.name) {
        "\"big\"" => put(out, &["\"", &BIG_TEXT, "\""]),
        "\"echo\"" => put(out, &[message.params.arguments.text.map_or("\"\"", |text| text.get())]),
        _ => put(out, &["\"done\""]),
    }
    put(out, &[r#"}],"isError":false"#]);
}

/// Writes a progress notification.
pub fn write_progress(token: &str, number: usize, out: &mut Vec<u8>) {
    put(out, &[r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"#, token]);
    put(out, &[&format!(r#","progress":{number},"total":{PROGRESS_EVENTS}}}}}"#)]);
}

fn put(out: &mut Vec<u8>, parts: &[&str]) {
    parts.iter().for_each(|part| out.extend_from_slice(part.as_bytes()));
}
