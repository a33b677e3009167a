//! Tool arguments repeated in `Mcp-Param-*` headers [2026-07-28 Streamable HTTP: Custom Headers from Tool
//! Parameters].

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use serde_json::Value;

use super::headers::{Field, HeaderView};
use crate::header_value::{decode, encode_if_needed};
use crate::refusal::Refusal;
use crate::{json, object};

const ANNOTATION: &str = "x-mcp-header";
const HEADER_PREFIX: &str = "mcp-param-";

/// Keywords that hold one schema, a list of schemas, or a map of them: an annotation below is not
/// reachable by property names alone.
const SCHEMA_KEYWORDS: [&str; 15] = [
    "items",
    "prefixItems",
    "additionalItems",
    "unevaluatedItems",
    "contains",
    "additionalProperties",
    "unevaluatedProperties",
    "propertyNames",
    "oneOf",
    "anyOf",
    "allOf",
    "not",
    "if",
    "then",
    "else",
];
const SCHEMA_MAP_KEYWORDS: [&str; 5] =
    ["$defs", "definitions", "patternProperties", "dependentSchemas", "dependencies"];

/// A tool argument that HTTP requests repeat in a header.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ParamHeader {
    /// Header name in lower case, `mcp-param-region`.
    pub header: Box<str>,
    /// Property names from the arguments down to the value.
    pub path: Box<[Box<str>]>,
    pub param_type: ParamType,
}

/// What an annotated property may be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ParamType {
    String,
    Integer,
    Boolean,
}

/// Why a tool must not be offered over HTTP: one of its annotations breaks a rule.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InvalidAnnotation {
    /// Property names down to the annotation, joined by dots.
    pub at: String,
    pub reason: &'static str,
}

impl fmt::Display for InvalidAnnotation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invalid {ANNOTATION} at inputSchema.{}: {}", self.at, self.reason)
    }
}

impl std::error::Error for InvalidAnnotation {}

/// The annotated parameters of a tool.
///
/// # Errors
/// An annotation that breaks a rule: the tool has to be left out of lists.
pub fn mcp_params(schema: &Value) -> Result<Vec<ParamHeader>, InvalidAnnotation> {
    let mut found = Vec::new();
    collect(schema, &mut Vec::new(), true, &mut found)?;
    Ok(found)
}

/// Whether a tool, as it stands in a list, may be offered over HTTP (2026-07-28, Tools: x-mcp-header).
///
/// # Errors
/// As [`mcp_params`].
pub fn check_annotations(tool: &[u8]) -> Result<(), InvalidAnnotation> {
    let tool: Value = serde_json::from_slice(tool).unwrap_or_default();
    mcp_params(&tool["inputSchema"]).map(drop)
}

fn collect<'s>(
    schema: &'s Value,
    path: &mut Vec<&'s str>,
    reachable: bool,
    found: &mut Vec<ParamHeader>,
) -> Result<(), InvalidAnnotation> {
    let Some(members) = schema.as_object() else {
        return Ok(());
    };
    if let Some(name) = members.get(ANNOTATION) {
        found.push(annotated(name, members.get("type"), path, reachable, found)?);
    }
    for (keyword, value) in members {
        let below: &mut dyn Iterator<Item = (Option<&'s str>, &'s Value)> = match (keyword.as_str(), value) {
            ("properties", Value::Object(map)) => {
                &mut map.iter().map(|(name, sub)| (Some(name.as_str()), sub))
            }
            (keyword, Value::Object(map)) if SCHEMA_MAP_KEYWORDS.contains(&keyword) => {
                &mut map.values().map(|sub| (None, sub))
            }
            (keyword, Value::Array(list)) if SCHEMA_KEYWORDS.contains(&keyword) => {
                &mut list.iter().map(|sub| (None, sub))
            }
            (keyword, sub) if SCHEMA_KEYWORDS.contains(&keyword) => &mut std::iter::once((None, sub)),
            _ => continue,
        };
        for (property, sub) in below {
            path.push(property.unwrap_or(keyword));
            collect(sub, path, reachable && property.is_some(), found)?;
            path.pop();
        }
    }
    Ok(())
}

fn annotated(
    name: &Value,
    declared: Option<&Value>,
    path: &[&str],
    reachable: bool,
    found: &[ParamHeader],
) -> Result<ParamHeader, InvalidAnnotation> {
    let invalid = |reason| InvalidAnnotation { at: path.join("."), reason };
    let name = name.as_str().filter(|name| is_token(name)).ok_or(invalid("it must be an HTTP token"))?;
    if !reachable || path.is_empty() {
        return Err(invalid("it must be on a property reached through properties alone"));
    }
    let param_type = declared
        .and_then(param_type)
        .ok_or(invalid("the property must be a string, an integer or a boolean"))?;
    let header = format!("{HEADER_PREFIX}{}", name.to_ascii_lowercase());
    if found.iter().any(|other| *other.header == *header) {
        return Err(invalid("another property has the same header name"));
    }
    let path = path.iter().map(|name| Box::from(*name)).collect();
    Ok(ParamHeader { header: header.into(), path, param_type })
}

/// The primitive type of a property; `null` beside it only means that the value may be absent.
fn param_type(declared: &Value) -> Option<ParamType> {
    match declared {
        Value::String(name) => match name.as_str() {
            "string" => Some(ParamType::String),
            "integer" => Some(ParamType::Integer),
            "boolean" => Some(ParamType::Boolean),
            _ => None,
        },
        Value::Array(names) => match names.iter().filter(|name| *name != "null").collect::<Vec<_>>()[..] {
            [name @ Value::String(_)] => param_type(name),
            _ => None,
        },
        _ => None,
    }
}

/// `1*tchar` (RFC 9110, section 5.6.2).
fn is_token(name: &str) -> bool {
    let is_tchar = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(is_tchar)
}

/// Compares the headers of a `tools/call` with its arguments. `arguments` is the object as it stands in
/// the body, or empty. Headers that belong to no parameter are ignored.
///
/// # Errors
/// 400, -32020, without the id: the caller knows it.
pub fn check_params<H: HeaderView + ?Sized>(
    params: &[ParamHeader],
    arguments: &[u8],
    headers: &H,
) -> Result<(), Refusal> {
    params.iter().try_for_each(|param| check(param, arguments, headers).map_err(|why| refuse(param, why)))
}

/// Calls `f` with name and value of each header that a request with these `arguments` has to carry.
pub fn param_fields(params: &[ParamHeader], arguments: &[u8], f: &mut dyn FnMut(&str, &str)) {
    for param in params {
        let Ok(Some(raw)) = value_at(arguments, &param.path) else {
            continue;
        };
        if let Some(text) = field_text(raw) {
            let text = if is_number(raw) { &text[..whole_len(&text)] } else { &text };
            f(&param.header, &encode_if_needed(text));
        }
    }
}

fn is_number(raw: &[u8]) -> bool {
    matches!(raw.first(), Some(b'-' | b'0'..=b'9'))
}

/// Bytes of a number without a fraction of zeros: 2 for `42.0`.
fn whole_len(text: &str) -> usize {
    text.trim_end_matches('0').strip_suffix('.').map_or(text.len(), str::len)
}

/// `None` for values a header does not carry: `null`, objects, arrays.
fn field_text(raw: &[u8]) -> Option<Cow<'_, str>> {
    match raw.first()? {
        b'"' => json::text(raw),
        b'{' | b'[' | b'n' => None,
        _ => std::str::from_utf8(raw).ok().map(Cow::Borrowed),
    }
}

fn check<H: HeaderView + ?Sized>(param: &ParamHeader, arguments: &[u8], headers: &H) -> Result<(), String> {
    let raw = value_at(arguments, &param.path)?;
    let text = raw.and_then(field_text);
    match (Field::of(headers, &param.header), text) {
        (Field::Absent, None) => Ok(()),
        (Field::Absent, Some(_)) => Err("is missing".into()),
        (Field::Repeated, _) => Err("is given more than once".into()),
        (Field::One(_), None) => Err("has no counterpart in the arguments".into()),
        (Field::One(field), Some(text)) => {
            let named = decode(field).map_err(|why| why.to_string())?;
            let numeric = raw.is_some_and(is_number);
            if named == text || numeric && same_number(&named, &text) {
                return Ok(());
            }
            Err("does not match the argument".into())
        }
    }
}

fn refuse(param: &ParamHeader, why: String) -> Refusal {
    Refusal::header_mismatch(format!("the header {} for {} {why}", param.header, param.path.join(".")))
}

/// The value at the end of `path`. A member that comes twice on the way is refused: parsers disagree on it.
fn value_at<'a>(arguments: &'a [u8], path: &[Box<str>]) -> Result<Option<&'a [u8]>, String> {
    let mut at: Range<usize> = 0..arguments.len();
    for name in path {
        let mut named = object::members(arguments, at).filter(|(key, _)| *key == **name);
        let Some((_, value)) = named.next() else {
            return Ok(None);
        };
        if named.next().is_some() {
            return Err("belongs to an argument given twice".into());
        }
        at = value;
    }
    Ok(arguments.get(at))
}

/// Whether two JSON numbers are equal: `42.0` and `42` are.
fn same_number(left: &str, right: &str) -> bool {
    let whole = |text: &str| text.trim_end_matches('0').strip_suffix('.').map(str::len).unwrap_or(text.len());
    let exact = |text: &str| text[..whole(text)].parse::<i128>().ok();
    match (exact(left), exact(right)) {
        (Some(left), Some(right)) => left == right,
        _ => matches!((number(left), number(right)), (Some(left), Some(right)) if left == right),
    }
}

fn number(text: &str) -> Option<f64> {
    serde_json::from_str(text).ok()
}
