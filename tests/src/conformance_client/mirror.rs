//! `x-mcp-header` (2026-07-28, Streamable HTTP: Custom Headers): which arguments of a tool are repeated in
//! headers. Written anew, as everything here that judges the gateway.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

const ANNOTATION: &str = "x-mcp-header";
const TYPES: [&str; 3] = ["string", "integer", "boolean"];

/// Name and value of every header that a call with these arguments carries.
///
/// # Errors
/// An annotation breaks a rule: the tool must not be used.
pub fn headers(schema: &Value, arguments: &Value) -> Result<Vec<(String, String)>> {
    let mut found = BTreeMap::new();
    collect(schema, arguments, &mut found)?;
    Ok(found.into_iter().filter_map(|(name, value)| Some((name, value?))).collect())
}

fn collect(schema: &Value, arguments: &Value, found: &mut BTreeMap<String, Option<String>>) -> Result<()> {
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let argument = &arguments[name];
        if let Some(annotation) = property.get(ANNOTATION) {
            let header = header_name(annotation, &property["type"]).with_context(|| name.clone())?;
            ensure!(
                found.insert(header, text(argument)).is_none(),
                "{name}: another property has its header"
            );
        }
        collect(property, argument, found)?;
    }
    Ok(())
}

fn header_name(annotation: &Value, kind: &Value) -> Result<String> {
    let suffix = annotation.as_str().filter(|text| is_token(text)).context("no HTTP token")?;
    ensure!(kind.as_str().is_some_and(|kind| TYPES.contains(&kind)), "a header cannot hold {kind}");
    Ok(format!("mcp-param-{}", suffix.to_ascii_lowercase()))
}

/// RFC 9110, section 5.6.2.
fn is_token(text: &str) -> bool {
    let is_tchar = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_tchar)
}

fn text(argument: &Value) -> Option<String> {
    match argument {
        Value::String(text) => Some(encoded(text)),
        Value::Bool(_) | Value::Number(_) => Some(argument.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// As it is, unless a header cannot hold it.
fn encoded(text: &str) -> String {
    let is_plain = text.bytes().all(|byte| matches!(byte, b' '..=b'~')) && text.trim() == text;
    let seems_encoded = text.starts_with("=?base64?") && text.ends_with("?=");
    if is_plain && !seems_encoded { text.to_owned() } else { format!("=?base64?{}?=", STANDARD.encode(text)) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn annotated_arguments_are_mirrored() {
        let schema = json!({ "properties": {
            "region": { "type": "string", "x-mcp-header": "Region" },
            "verbose": { "type": "boolean", "x-mcp-header": "Verbose" },
            "query": { "type": "string" },
            "deep": { "type": "object", "properties": { "n": { "type": "integer", "x-mcp-header": "N" } } },
        }});
        let arguments = json!({ "region": " eu", "verbose": null, "query": "q", "deep": { "n": 42 } });
        let mirrored = headers(&schema, &arguments).expect("good annotations");
        let wanted = [("mcp-param-n", "42"), ("mcp-param-region", "=?base64?IGV1?=")];
        assert_eq!(mirrored, wanted.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn annotations_that_break_a_rule_are_found() {
        let one = |kind: &str, name: &str| json!({ "type": kind, "x-mcp-header": name });
        let schemas = [
            json!({ "a": one("string", "") }),
            json!({ "a": one("string", "My Region") }),
            json!({ "a": one("number", "Score") }),
            json!({ "a": one("string", "Region"), "b": one("string", "region") }),
        ];
        for properties in schemas {
            let schema = json!({ "properties": properties });
            assert!(headers(&schema, &Value::Null).is_err(), "{schema}");
        }
    }
}
