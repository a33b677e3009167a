//! The scan against `serde_json`: same verdict, same ranges, on messages that are nearly right.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::replay::envelope::run;

fn space() -> impl Strategy<Value = &'static str> {
    prop_oneof![12 => Just(""), 1 => Just(" "), 1 => Just("\n"), 1 => Just("\t\r\n ")]
}

const BROKEN: [&str; 6] = ["01", "-", "1.", "1e", "tru", "\"\\ud83e\""];

const SCALARS: [&str; 24] = [
    "0",
    "1",
    "-1",
    "1.0",
    "10.00",
    "1.5",
    "1e2",
    "-0",
    "true",
    "false",
    "null",
    "\"\"",
    "\"2.0\"",
    "\"1.0\"",
    "\"a\"",
    "\"\\u0061\"",
    "\"tools/call\"",
    "\"tools\\/call\"",
    "\"resources/read\"",
    "\"tasks/get\"",
    "\"notifications/progress\"",
    "\"é漢🦀\\ud83e\\udd80 \\\" \\\\ \\/\\b\\f\\n\\r\\t\"",
    "\"0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789\"",
    "\"01234567890123456789012345678901234567890123456789012345678901234567890123456789\\n0123456789012345678\"",
];

const NAMES: [&str; 24] = [
    "jsonrpc",
    "id",
    "method",
    "params",
    "result",
    "error",
    "\\u0069d",
    "Method",
    "_meta",
    "name",
    "uri",
    "taskId",
    "arguments",
    "progressToken",
    "requestId",
    "code",
    "resultType",
    "n\\u0061me",
    META_PROTOCOL_VERSION,
    META_CLIENT_CAPABILITIES,
    META_CLIENT_INFO,
    META_LOG_LEVEL,
    META_SUBSCRIPTION_ID,
    "x",
];

fn object(members: Vec<(String, String, &'static str)>) -> String {
    let members: Vec<_> = members
        .iter()
        .map(|(name, value, space)| format!("{space}\"{name}\"{space}:{space}{value}{space}"))
        .collect();
    format!("{{{}}}", members.join(","))
}

fn name() -> impl Strategy<Value = String> {
    select(NAMES.to_vec()).prop_map(str::to_owned)
}

fn value() -> impl Strategy<Value = String> {
    let leaf =
        prop_oneof![100 => select(SCALARS.to_vec()), 1 => select(BROKEN.to_vec())].prop_map(str::to_owned);
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            4 => vec((name(), inner.clone(), space()), 0..6).prop_map(object),
            1 => vec((inner, space()), 0..4).prop_map(|items| {
                let items: Vec<_> = items.iter().map(|(item, space)| format!("{space}{item}{space}")).collect();
                format!("[{}]", items.join(","))
            }),
        ]
    })
}

/// A message that is mostly right: the version is there, and the members that make a kind.
fn message() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => members(0.95, 0.02, 0.02),
        2 => members(0.02, 0.95, 0.02),
        2 => members(0.02, 0.02, 0.95),
        1 => members(0.5, 0.5, 0.5),
    ]
    .prop_shuffle()
    .prop_map(object)
}

/// Members of a message; how probable `method`, `result` and `error` are.
fn members(method: f64, result: f64, error: f64) -> BoxedStrategy<Vec<(String, String, &'static str)>> {
    let member =
        |name: &'static str, value: BoxedStrategy<String>| (Just(name.to_owned()), value, space()).boxed();
    let meta = vec((name(), value(), space()), 0..5).prop_map(object).boxed();
    let params = (vec((name(), value(), space()), 0..4), prop::option::of(member("_meta", meta)))
        .prop_map(|(mut members, meta)| {
            members.extend(meta);
            object(members)
        })
        .boxed();
    let methods =
        ["\"tools/call\"", "\"tasks\\/get\"", "\"resources/read\"", "\"notifications/progress\"", "\"x\""];
    let methods = select(methods.to_vec()).prop_map(str::to_owned).boxed();
    let failure = prop_oneof![3 => vec((name(), value(), space()), 0..4).prop_map(object), 1 => value()];
    let id = prop_oneof![3 => Just("7".to_owned()), 1 => value()].boxed();
    (
        prop::option::weighted(0.97, member("jsonrpc", Just("\"2.0\"".to_owned()).boxed())),
        prop::option::weighted(0.7, member("id", id)),
        prop::option::weighted(method, member("method", methods)),
        prop::option::of(member("params", params)),
        prop::option::weighted(result, member("result", value().boxed())),
        prop::option::weighted(error, member("error", failure.boxed())),
        prop::option::weighted(0.1, (name(), value(), space()).boxed()),
    )
        .prop_map(|(a, b, c, d, e, f, g)| [a, b, c, d, e, f, g].into_iter().flatten().collect::<Vec<_>>())
        .boxed()
}

/// One character changed, taken out or put in, at a place and of a kind that matter.
fn damaged(text: String, at: usize, with: char, how: u8) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    let at = at % chars.len().max(1);
    match how {
        0 if !chars.is_empty() => chars[at] = with,
        1 if !chars.is_empty() => drop(chars.remove(at)),
        2 => chars.insert(at, with),
        _ => {}
    }
    chars.into_iter().collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

    #[test]
    fn verdict_and_ranges_equal_those_of_serde_json(text in message()) {
        run(text.as_bytes());
    }

    #[test]
    fn damaged_messages_get_the_same_verdict(
        text in message(),
        at in any::<usize>(),
        with in select("{}[]\":,\\ \n0-.eutn\u{1}é".chars().collect::<Vec<_>>()),
        how in 0u8..3,
    ) {
        run(damaged(text, at, with, how).as_bytes());
    }

    #[test]
    fn other_values_get_the_same_verdict(text in value()) {
        run(text.as_bytes());
    }

    #[test]
    fn batches_get_the_same_verdict(texts in vec(message(), 0..4)) {
        run(format!("[{}]", texts.join(" , ")).as_bytes());
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..200)) {
        run(&bytes);
    }

    #[test]
    fn accessors_survive_bytes_that_were_not_scanned(text in message(), other in vec(any::<u8>(), 0..40)) {
        if let Ok(envelope) = Envelope::scan(text.as_bytes(), &ScanLimits::default()) {
            let _ = (envelope.method(&other), envelope.id(&other), envelope.target(&other));
            prop_assert!(envelope.id_range().is_none_or(|id| text.get(id).is_some()));
        }
    }
}
