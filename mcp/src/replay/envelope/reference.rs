//! The same verdict, slowly: `serde_json` reads, and the rules of JSON-RPC are applied to what it read.

use std::iter;
use std::ops::Range;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::model::{Facts, Place, Refusal};
use crate::envelope::{
    ID_LEN_MAX, Kind, META_CLIENT_CAPABILITIES, META_CLIENT_INFO, META_LOG_LEVEL, META_PROTOCOL_VERSION,
    META_SUBSCRIPTION_ID, ScanLimits,
};
use crate::methods;

const NOT_JSON: i32 = -32700;
const NOT_JSON_RPC: i32 = -32600;

pub(super) struct Reference<'a>(pub &'a str);

impl<'a> Reference<'a> {
    /// Whether the text keeps within the limits, as far as it can be read.
    pub fn fits(&self, limits: &ScanLimits) -> bool {
        let (depth, members) = match Entries::of(self.0) {
            None => extent(self.0),
            Some(top) => {
                let counted = top.0.iter().filter(|(key, _)| !is_payload(&key.name));
                let members = counted.map(|(_, value)| extent(value).1).max().unwrap_or(0);
                (extent(self.0).0, members.max(top.0.len()))
            }
        };
        depth <= limits.max_depth && members <= limits.max_members
    }

    /// What the message says, or why it is none.
    pub fn judge(&self) -> Result<Facts, Refusal> {
        let refused = |code, id| Err(Refusal { code, id });
        if serde_json::from_str::<&RawValue>(self.0).is_err() {
            return refused(NOT_JSON, None);
        }
        let Some(top) = Entries::of(self.0) else {
            return refused(if is_strict(self.0) { NOT_JSON_RPC } else { NOT_JSON }, None);
        };
        let strict = |(key, value): &(Key<'_>, &str)| {
            is_strict(key.raw) && (is_payload(&key.name) || is_strict(value))
        };
        if !top.0.iter().all(strict) {
            return refused(NOT_JSON, None);
        }
        self.judge_members(&top).ok_or_else(|| Refusal { code: NOT_JSON_RPC, id: self.refused_id(&top) })
    }

    /// Whom a refusal answers.
    fn refused_id(&self, top: &Entries<'a>) -> Place {
        let ids = top.0.iter().filter(|(key, _)| key.name == "id").count();
        let id = top.last("id").filter(|id| ids == 1 && is_valid_id(id));
        self.place(id)
    }

    fn judge_members(&self, top: &Entries<'a>) -> Option<Facts> {
        let params = Entries::within(top.last("params"));
        let meta = Entries::within(params.last("_meta"));
        if top.repeats() || params.repeats() || meta.repeats() {
            return None;
        }
        let sound = string(top.last("jsonrpc")?)? == "2.0"
            && top.last("id").is_none_or(|id| id == "null" || is_valid_id(id))
            && top.last("params").is_none_or(|params| params.starts_with(['{', 'n']))
            && top.last("method").is_none_or(|method| method.starts_with('"'));
        let kind = kind(top).filter(|_| sound)?;
        Some(self.facts(kind, top, &params, &meta))
    }

    fn facts(&self, kind: Kind, top: &Entries<'a>, params: &Entries<'a>, meta: &Entries<'a>) -> Facts {
        let method = top.last("method").and_then(string);
        let target = method.as_deref().and_then(methods::target_member);
        let target = target.and_then(|member| params.last(member)).filter(|value| value.starts_with('"'));
        let progress = match method.as_deref() {
            Some(methods::PROGRESS) => params.last("progressToken"),
            _ => meta.last("progressToken"),
        };
        let result = Entries::within(top.last("result"));
        let result_meta = object(result.last("_meta"));
        let subscription = match kind {
            Kind::Response => Entries::within(result_meta).last(META_SUBSCRIPTION_ID),
            _ => meta.last(META_SUBSCRIPTION_ID),
        };
        let [version, level] = [META_PROTOCOL_VERSION, META_LOG_LEVEL].map(|name| meta.last(name));
        let places = [
            top.last("method"),
            top.last("id").filter(|id| *id != "null"),
            object(top.last("params")),
            top.last("result"),
            top.last("error"),
            object(params.last("_meta")),
            token(progress),
            target,
            object(params.last("arguments")),
            version,
            meta.last(META_CLIENT_CAPABILITIES),
            meta.last(META_CLIENT_INFO),
            level,
            token(params.last("requestId")),
            subscription,
            result_meta,
        ];
        Facts {
            kind,
            raw_newline: pieces(self.0).any(|piece| piece == "\n" || piece == "\r"),
            error_code: Entries::within(top.last("error")).last("code").and_then(integer),
            texts: [top.last("method"), target, result.last("resultType"), version, level]
                .map(|value| string(value?)),
            places: places.map(|part| self.place(part)),
        }
    }

    fn place(&self, part: Option<&str>) -> Place {
        let part = part?;
        let start = part.as_ptr() as usize - self.0.as_ptr() as usize;
        Some(start..start + part.len())
    }
}

/// Where the elements of an array stand.
pub(super) fn elements(text: &str) -> Vec<Range<usize>> {
    let elements: Vec<&RawValue> = serde_json::from_str(text).expect("the text is an array");
    elements.iter().filter_map(|element| Reference(text).place(Some(element.get()))).collect()
}

fn kind(top: &Entries<'_>) -> Option<Kind> {
    let id = top.last("id");
    match (top.last("method"), top.last("result"), top.last("error")) {
        (Some(_), None, None) if id == Some("null") => None,
        (Some(_), None, None) if id.is_some() => Some(Kind::Request),
        (Some(_), None, None) => Some(Kind::Notification),
        (None, Some(_), None) => id.filter(|id| *id != "null").map(|_| Kind::Response),
        (None, None, Some(error)) => error.starts_with('{').then_some(Kind::Error),
        _ => None,
    }
}

/// What peers answered is taken as it is.
fn is_payload(name: &str) -> bool {
    name == "result" || name == "error"
}

fn object(part: Option<&str>) -> Option<&str> {
    part.filter(|part| part.starts_with('{'))
}

fn token(part: Option<&str>) -> Option<&str> {
    part.filter(|part| !part.starts_with(['{', '[', 't', 'f', 'n']))
}

fn string(raw: &str) -> Option<String> {
    serde_json::from_str(raw).ok()
}

fn integer(raw: &str) -> Option<i64> {
    whole(raw)?.parse().ok()
}

fn is_valid_id(raw: &str) -> bool {
    raw.len() <= ID_LEN_MAX && (raw.starts_with('"') || whole(raw).is_some())
}

/// A number without its fraction of zeros; `None` for other fractions, exponents, and what is no number.
fn whole(raw: &str) -> Option<&str> {
    let (whole, zeros) = raw.split_once('.').unwrap_or((raw, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    (digits(whole.trim_start_matches('-')) && zeros.bytes().all(|byte| byte == b'0')).then_some(whole)
}

/// No string has half a surrogate pair. The text is well-formed.
fn is_strict(text: &str) -> bool {
    pieces(text).filter(|piece| piece.starts_with('"')).all(|piece| string(piece).is_some())
}

/// The deepest nesting of a text, and the most members that one of its containers has.
fn extent(text: &str) -> (usize, usize) {
    let (mut open, mut deepest, mut most) = (Vec::new(), 0, 0);
    for piece in pieces(text) {
        match (piece, open.last_mut()) {
            ("{" | "[", _) => open.push(1),
            ("}" | "]", _) => drop(open.pop()),
            (",", Some(members)) => *members += 1,
            _ => {}
        }
        deepest = deepest.max(open.len());
        most = most.max(open.last().copied().unwrap_or(0));
    }
    (deepest, most)
}

/// The strings of a text, and the single characters between them.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    iter::from_fn(move || {
        let first = rest.chars().next()?;
        let len = if first == '"' { string_len(rest) } else { first.len_utf8() };
        let (piece, tail) = rest.split_at(len);
        rest = tail;
        Some(piece)
    })
}

fn string_len(text: &str) -> usize {
    let mut escaped = false;
    let end = text.bytes().skip(1).position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    });
    end.map_or(text.len(), |end| end + 2)
}

/// The members of an object in order, repeated ones included.
struct Entries<'a>(Vec<(Key<'a>, &'a str)>);

struct Key<'a> {
    raw: &'a str,
    /// Decoded; as it is spelled where that is impossible.
    name: String,
}

impl<'a> Entries<'a> {
    fn of(text: &'a str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// Those of a member that is an object; none of any other.
    fn within(part: Option<&'a str>) -> Self {
        part.and_then(Self::of).unwrap_or(Self(Vec::new()))
    }

    fn repeats(&self) -> bool {
        let names: std::collections::HashSet<_> = self.0.iter().map(|(key, _)| &key.name).collect();
        names.len() != self.0.len()
    }

    fn last(&self, name: &str) -> Option<&'a str> {
        self.0.iter().rev().find(|(key, _)| key.name == name).map(|(_, value)| *value)
    }
}

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
                while let Some((key, value)) = map.next_entry::<&RawValue, &RawValue>()? {
                    let raw = key.get();
                    let name = string(raw).unwrap_or_else(|| raw.trim_matches('"').to_owned());
                    entries.push((Key { raw, name }, value.get()));
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}
