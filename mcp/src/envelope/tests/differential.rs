//! The scan against `serde_json`: same verdict, same ranges, on messages that are nearly right.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use super::*;

/// The members of an object in order, repeated ones included.
struct Entries<'a>(Vec<(String, &'a RawValue)>);

impl<'de> serde::Deserialize<'de> for Entries<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Entries<'de>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries<'de>, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

impl<'a> Entries<'a> {
    fn of(text: &'a str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    fn repeats(&self) -> bool {
        let names: std::collections::HashSet<_> = self.0.iter().map(|(name, _)| name).collect();
        names.len() != self.0.len()
    }

    fn last(&self, name: &str) -> Option<&'a str> {
        self.0.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.get())
    }
}

#[derive(Debug, PartialEq, Default)]
struct Expected {
    kind: Option<Kind>,
    method: Option<String>,
    ranges: Vec<Option<Range<usize>>>,
    raw_newline: bool,
    error_code: Option<i64>,
}

struct Reference<'a>(&'a str);

impl<'a> Reference<'a> {
    fn range(&self, part: Option<&str>) -> Option<Range<usize>> {
        let part = part?;
        let start = part.as_ptr() as usize - self.0.as_ptr() as usize;
        Some(start..start + part.len())
    }

    /// The facts, or the code of the refusal.
    fn judge(&self) -> Result<Expected, i32> {
        if serde_json::from_str::<&RawValue>(self.0).is_err() {
            return Err(-32700);
        }
        if !self.0.trim_start().starts_with('{') {
            return match serde_json::from_str::<Value>(self.0) {
                Ok(_) => Err(-32600),
                Err(_) => Err(-32700),
            };
        }
        let top = Entries::of(self.0).ok_or(-32700)?;
        let is_payload = |name: &str| name == "result" || name == "error";
        let strict = top.0.iter().filter(|(name, _)| !is_payload(name));
        if strict.into_iter().any(|(_, value)| serde_json::from_str::<Value>(value.get()).is_err()) {
            return Err(-32700);
        }
        self.judge_members(&top).ok_or(-32600)
    }

    fn judge_members(&self, top: &Entries<'a>) -> Option<Expected> {
        let params = top.last("params").filter(|params| params.starts_with('{')).and_then(Entries::of);
        let params = params.unwrap_or(Entries(Vec::new()));
        let meta = params.last("_meta").filter(|meta| meta.starts_with('{'));
        let in_meta = meta.and_then(Entries::of).unwrap_or(Entries(Vec::new()));
        if top.repeats() || params.repeats() || in_meta.repeats() {
            return None;
        }
        (text(top.last("jsonrpc")?)? == "2.0").then_some(())?;
        let id = top.last("id").filter(|id| *id != "null");
        id.is_none_or(is_valid_id).then_some(())?;
        let null_id = top.last("id") == Some("null");
        matches!(top.last("params").map(|params| &params[..1]), None | Some("{" | "n")).then_some(())?;
        let kind = match (top.last("method"), top.last("result"), top.last("error")) {
            (Some(_), None, None) if null_id => return None,
            (Some(_), None, None) if id.is_some() => Kind::Request,
            (Some(_), None, None) => Kind::Notification,
            (None, Some(_), None) if id.is_some() => Kind::Response,
            (None, None, Some(error)) if error.starts_with('{') => Kind::Error,
            _ => return None,
        };
        let method = match top.last("method") {
            Some(method) => Some(text(method)?),
            None => None,
        };
        Some(self.collect(kind, method, top, &params, meta, &in_meta))
    }

    fn collect(
        &self,
        kind: Kind,
        method: Option<String>,
        top: &Entries<'a>,
        params: &Entries<'a>,
        meta: Option<&str>,
        in_meta: &Entries<'a>,
    ) -> Expected {
        let token = |part: Option<&'a str>| part.filter(|part| !part.starts_with(['{', '[', 't', 'f', 'n']));
        let object = |part: Option<&'a str>| part.filter(|part| part.starts_with('{'));
        let string = |part: Option<&'a str>| part.filter(|part| part.starts_with('"'));
        let target = method.as_deref().and_then(crate::methods::target_member);
        let progress = match method.as_deref() {
            Some(crate::methods::PROGRESS) => params.last("progressToken"),
            _ => in_meta.last("progressToken"),
        };
        let result = top.last("result").filter(|result| result.starts_with('{')).and_then(Entries::of);
        let result = result.unwrap_or(Entries(Vec::new()));
        let result_meta = object(result.last("_meta"));
        let subscription = match kind {
            Kind::Response => {
                result_meta.and_then(Entries::of).and_then(|meta| meta.last(META_SUBSCRIPTION_ID))
            }
            _ => in_meta.last(META_SUBSCRIPTION_ID),
        };
        let error = top.last("error").and_then(Entries::of);
        let code = error.and_then(|error| error.last("code").map(str::to_owned));
        let parts = [
            top.last("method"),
            top.last("id").filter(|id| *id != "null"),
            object(top.last("params")),
            top.last("result"),
            top.last("error"),
            meta,
            token(progress),
            target.and_then(|member| string(params.last(member))),
            object(params.last("arguments")),
            in_meta.last(META_PROTOCOL_VERSION),
            in_meta.last(META_CLIENT_CAPABILITIES),
            in_meta.last(META_CLIENT_INFO),
            in_meta.last(META_LOG_LEVEL),
            token(params.last("requestId")),
            subscription,
            result_meta,
        ];
        Expected {
            kind: Some(kind),
            method,
            ranges: parts.iter().map(|part| self.range(*part)).collect(),
            raw_newline: has_newline_outside_strings(self.0),
            error_code: code.and_then(|code| whole(&code).parse().ok()),
        }
    }
}

fn text(raw: &str) -> Option<String> {
    serde_json::from_str(raw).ok()
}

fn is_valid_id(raw: &str) -> bool {
    match serde_json::from_str::<Value>(raw) {
        Ok(Value::String(_)) => true,
        Ok(Value::Number(_)) => {
            !raw.contains(['e', 'E'])
                && raw.split_once('.').is_none_or(|(_, zeros)| zeros.bytes().all(|b| b == b'0'))
        }
        _ => false,
    }
}

/// Without a fraction of zeros.
fn whole(number: &str) -> &str {
    match number.split_once('.') {
        Some((whole, zeros)) if zeros.bytes().all(|byte| byte == b'0') => whole,
        _ => number,
    }
}

fn has_newline_outside_strings(text: &str) -> bool {
    let (mut inside, mut escaped) = (false, false);
    text.chars().any(|c| {
        let newline = !inside && matches!(c, '\n' | '\r');
        inside ^= c == '"' && !escaped;
        escaped = inside && c == '\\' && !escaped;
        newline
    })
}

fn facts(text: &str) -> Result<Expected, i32> {
    let bytes = text.as_bytes();
    let envelope = Envelope::scan(bytes, &ScanLimits::default()).map_err(|error| error.code())?;
    Ok(Expected {
        kind: Some(envelope.kind()),
        method: envelope.method(bytes).map(str::to_owned),
        ranges: vec![
            envelope.method_range(),
            envelope.id_range(),
            envelope.params_range(),
            envelope.result_range(),
            envelope.error_range(),
            envelope.meta_range(),
            envelope.progress_token_range(),
            envelope.target_range(),
            envelope.arguments_range(),
            envelope.protocol_version_range(),
            envelope.client_capabilities_range(),
            envelope.client_info_range(),
            envelope.log_level_range(),
            envelope.request_id_param_range(),
            envelope.subscription_id_range(),
            envelope.result_meta_range(),
        ],
        raw_newline: envelope.has_raw_newline(),
        error_code: envelope.error_code(),
    })
}

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
        prop_assert_eq!(facts(&text), Reference(&text).judge(), "{}", text);
    }

    #[test]
    fn damaged_messages_get_the_same_verdict(
        text in message(),
        at in any::<usize>(),
        with in select("{}[]\":,\\ \n0-.eutn\u{1}é".chars().collect::<Vec<_>>()),
        how in 0u8..3,
    ) {
        let text = damaged(text, at, with, how);
        prop_assert_eq!(facts(&text), Reference(&text).judge(), "{}", text);
    }

    #[test]
    fn other_values_get_the_same_verdict(text in value()) {
        prop_assert_eq!(facts(&text).is_ok(), Reference(&text).judge().is_ok(), "{}", text);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..200)) {
        if let Ok(envelope) = Envelope::scan(&bytes, &ScanLimits::default()) {
            prop_assert!(envelope.method(&bytes).is_some() || envelope.method_range().is_none());
        }
    }

    #[test]
    fn accessors_survive_bytes_that_were_not_scanned(text in message(), other in vec(any::<u8>(), 0..40)) {
        if let Ok(envelope) = Envelope::scan(text.as_bytes(), &ScanLimits::default()) {
            let _ = (envelope.method(&other), envelope.id(&other), envelope.target(&other));
            prop_assert!(envelope.id_range().is_none_or(|id| text.get(id).is_some()));
        }
    }

    #[test]
    fn compact_text_says_the_same(text in message()) {
        let compact = crate::splice::compact(text.as_bytes());
        let again = Envelope::scan(&compact, &ScanLimits::default()).map(|envelope| envelope.has_raw_newline());
        match Envelope::scan(text.as_bytes(), &ScanLimits::default()) {
            Ok(envelope) => {
                prop_assert_eq!(again, Ok(false));
                prop_assert_eq!(
                    serde_json::from_str::<&RawValue>(&text).is_ok(),
                    std::str::from_utf8(&compact).is_ok(),
                );
                let new = crate::splice::with_id(text.as_bytes(), &envelope, b"12345");
                let renewed = Envelope::scan(&new, &ScanLimits::default()).unwrap();
                prop_assert_eq!(renewed.id(&new), envelope.id_range().map(|_| &b"12345"[..]));
            }
            Err(_) => prop_assert!(again.is_err() || text.contains(char::is_whitespace)),
        }
    }
}
