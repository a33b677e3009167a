//! `${NAME}`: a reference to a value that only the node that builds a runtime may see.
//!
//! `${NAME}` and `${env:NAME}` name an environment variable of the node, `${file:NAME}` a file in
//! its secrets directory; `$${` is a literal `${`.

use crate::error::{ErrorKind, GatewayError};

/// Where the values of references come from.
pub trait Resolve: Send + Sync {
    /// # Errors
    /// `MissingReference`, naming the reference and where it was looked for.
    fn resolve(&self, reference: &Reference<'_>) -> Result<String, GatewayError>;
}

/// One parsed reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reference<'a> {
    Env(&'a str),
    File(&'a str),
}

impl<'a> Reference<'a> {
    fn parse(text: &'a str) -> Result<Self, GatewayError> {
        let (kind, name) = text.split_once(':').unwrap_or(("env", text));
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-' || b == b'.';
        let valid = !name.is_empty() && name.bytes().all(plain) && !name.starts_with('.');
        match kind {
            "env" if valid => Ok(Self::Env(name)),
            "file" if valid => Ok(Self::File(name)),
            _ => Err(invalid(format!("${{{text}}} is not a reference: use ${{NAME}} or ${{file:NAME}}"))),
        }
    }
}

/// Replaces the references of one string.
///
/// # Errors
/// A malformed reference, or one that has no value here.
pub fn resolve_text(text: &str, resolve: &dyn Resolve) -> Result<String, GatewayError> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, after) = (&rest[..at], &rest[at + 2..]);
        if let Some(escaped) = before.strip_suffix('$') {
            out.push_str(escaped);
            out.push_str("${");
            rest = after;
            continue;
        }
        let (name, tail) = after.split_once('}').ok_or_else(|| {
            invalid("a reference lacks its closing brace: write ${NAME}, or $${ for a literal ${")
        })?;
        out.push_str(before);
        out.push_str(&resolve.resolve(&Reference::parse(name)?)?);
        rest = tail;
    }
    out.push_str(rest);
    Ok(out)
}

/// Replaces the references in every string value of a JSON document.
///
/// # Errors
/// As [`resolve_text`]; the field that holds the reference is named.
pub fn resolve_json(json: &str, resolve: &dyn Resolve) -> Result<String, GatewayError> {
    if !json.contains("${") {
        return Ok(json.to_owned());
    }
    let mut value = serde_json::from_str(json).map_err(|_| invalid("settings are not JSON"))?;
    resolve_value(&mut value, "", resolve)?;
    Ok(value.to_string())
}

fn resolve_value(
    value: &mut serde_json::Value,
    path: &str,
    resolve: &dyn Resolve,
) -> Result<(), GatewayError> {
    match value {
        serde_json::Value::String(text) => {
            *text = resolve_text(text, resolve).map_err(|error| at(path, &error))?;
        }
        serde_json::Value::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                resolve_value(item, &format!("{path}[{index}]"), resolve)?;
            }
        }
        serde_json::Value::Object(members) => {
            for (key, member) in members {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                resolve_value(member, &path, resolve)?;
            }
        }
        _ => {}
    }
    Ok(())
}

fn at(field: &str, error: &GatewayError) -> GatewayError {
    GatewayError::new(error.kind(), format!("{field}: {error}"))
}

fn invalid(context: impl Into<String>) -> GatewayError {
    GatewayError::new(ErrorKind::InvalidSettings, context)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed;

    impl Resolve for Fixed {
        fn resolve(&self, reference: &Reference<'_>) -> Result<String, GatewayError> {
            match reference {
                Reference::Env("HOST") => Ok("db\"1".into()),
                Reference::File("key") => Ok("k".into()),
                other => Err(GatewayError::new(ErrorKind::MissingReference, format!("{other:?} is not set"))),
            }
        }
    }

    #[test]
    fn text() {
        for (text, want) in [
            ("plain", "plain"),
            ("--host=${HOST}:1", "--host=db\"1:1"),
            ("${env:HOST}${file:key}", "db\"1k"),
            ("$${HOST} $$ $5", "${HOST} $$ $5"),
        ] {
            assert_eq!(resolve_text(text, &Fixed).unwrap(), want);
        }
        for bad in ["${HOST", "${}", "${file:../x}", "${vault:x}", "${a b}"] {
            assert_eq!(resolve_text(bad, &Fixed).unwrap_err().kind(), ErrorKind::InvalidSettings, "{bad}");
        }
    }

    #[test]
    fn references_stand_anywhere_and_keys_are_no_place_for_them() {
        let json = r#"{"a":{"b":[{"c":"${HOST}"},["${file:key}"]]},"${HOST}":"x"}"#;
        let want = r#"{"a":{"b":[{"c":"db\"1"},["k"]]},"${HOST}":"x"}"#;
        assert_eq!(resolve_json(json, &Fixed).unwrap(), want);
        let error = resolve_json(r#"{"a":{"b":[1,{"c":"${file:none}"}]}}"#, &Fixed).unwrap_err();
        assert!(error.to_string().starts_with("a.b[1].c: "), "{error}");
    }

    #[test]
    fn json_names_the_field_and_keeps_numbers() {
        let json = r#"{"args":["${HOST}"],"n":9007199254740993,"x":"${NOPE}"}"#;
        let error = resolve_json(json, &Fixed).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::MissingReference);
        assert!(error.to_string().starts_with("x: "), "{error}");
        let fine = resolve_json(r#"{"args":["${HOST}"],"n":9007199254740993}"#, &Fixed).unwrap();
        assert_eq!(fine, r#"{"args":["db\"1"],"n":9007199254740993}"#);
    }
}
