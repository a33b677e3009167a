//! What differs between two specs, field by field, as a person wrote them in YAML.

use std::collections::BTreeMap;

use omcp_proto::convert;
use omcp_proto::v1::{BackendSpec, FieldChange, Lifecycle};
use serde_json::{Map, Value, json};

/// The fields that differ; empty only if the specs are equal.
pub fn fields(old: &BackendSpec, new: &BackendSpec) -> Vec<FieldChange> {
    let mut changes = Vec::new();
    compare("", Some(&document(old)), Some(&document(new)), &mut changes);
    if changes.is_empty() && old != new {
        // The same settings written in another way: order of keys, white space, long numbers.
        let (old_json, new_json) = (convert::settings(old).to_owned(), convert::settings(new).to_owned());
        changes.push(FieldChange { path: "runtime".into(), old_json, new_json });
    }
    changes
}

/// Whether nodes have to build a new runtime to go from `old` to `new`.
pub fn rebuilds(name: &str, old: &BackendSpec, new: &BackendSpec) -> bool {
    match (convert::backend(name, old), convert::backend(name, new)) {
        (Ok(old), Ok(new)) => !old.same_runtime(&new),
        _ => true,
    }
}

/// A spec in the shape of the YAML it came from; what is empty is absent.
fn document(spec: &BackendSpec) -> Value {
    let settings = serde_json::from_str(convert::settings(spec));
    let mut runtime: Map<String, Value> = settings.unwrap_or_default();
    runtime.insert("type".into(), spec.runtime_type.clone().into());
    let mut document = Map::from_iter([("runtime".to_owned(), Value::Object(runtime))]);
    let fields = [
        ("display_name", json!(spec.display_name)),
        ("tags", json!(spec.tags)),
        ("env", json!(spec.env)),
        ("era", json!(spec.era)),
        ("disabled", json!(spec.disabled)),
        ("lifecycle", spec.lifecycle.as_ref().map(lifecycle).unwrap_or_default()),
    ];
    let filled = fields.into_iter().filter(|(_, value)| !is_empty(value));
    document.extend(filled.map(|(name, value)| (name.to_owned(), value)));
    Value::Object(document)
}

fn lifecycle(lifecycle: &Lifecycle) -> Value {
    let members = [
        ("isolation", json!(lifecycle.isolation)),
        ("min_idle", json!(lifecycle.min_idle)),
        ("idle_timeout_ms", json!(lifecycle.idle_timeout_ms)),
        ("lifetime_max_ms", json!(lifecycle.lifetime_max_ms)),
        ("retry", json!(lifecycle.retry)),
        ("recovery", json!(lifecycle.recovery)),
    ];
    members.into_iter().filter(|(_, value)| !is_empty(value)).collect()
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        Value::Bool(true) | Value::Number(_) => false,
    }
}

fn compare(path: &str, old: Option<&Value>, new: Option<&Value>, changes: &mut Vec<FieldChange>) {
    match (old, new) {
        _ if old == new => {}
        (Some(Value::Object(old)), Some(Value::Object(new))) => {
            for key in union(old.keys(), new.keys()) {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                compare(&path, old.get(key), new.get(key), changes);
            }
        }
        (Some(Value::Array(old)), Some(Value::Array(new))) => {
            for index in 0..old.len().max(new.len()) {
                compare(&format!("{path}[{index}]"), old.get(index), new.get(index), changes);
            }
        }
        _ => {
            let text = |value: Option<&Value>| value.map(Value::to_string).unwrap_or_default();
            changes.push(FieldChange { path: path.to_owned(), old_json: text(old), new_json: text(new) });
        }
    }
}

fn union<'a>(
    old: impl Iterator<Item = &'a String>,
    new: impl Iterator<Item = &'a String>,
) -> Vec<&'a String> {
    let keys: BTreeMap<_, ()> = old.chain(new).map(|key| (key, ())).collect();
    keys.into_keys().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(settings: &str) -> BackendSpec {
        BackendSpec {
            runtime_type: "local-process".into(),
            settings_json: settings.into(),
            ..BackendSpec::default()
        }
    }

    fn lines(old: &BackendSpec, new: &BackendSpec) -> Vec<String> {
        let line =
            |change: FieldChange| format!("{}: {} -> {}", change.path, change.old_json, change.new_json);
        fields(old, new).into_iter().map(line).collect()
    }

    #[test]
    fn paths_are_those_of_the_yaml() {
        let old = spec(r#"{"command":"a","args":["x","y"],"options":{"k":1}}"#);
        let mut new = spec(r#"{"command":"a","args":["x","z","w"],"options":{"l":1}}"#);
        new.tags = vec!["t".into()];
        assert_eq!(
            lines(&old, &new),
            [
                r#"runtime.args[1]: "y" -> "z""#,
                r#"runtime.args[2]:  -> "w""#,
                "runtime.options.k: 1 -> ",
                "runtime.options.l:  -> 1",
                r#"tags:  -> ["t"]"#,
            ]
        );
        assert!(rebuilds("a", &old, &new));
    }

    #[test]
    fn names_do_not_rebuild() {
        let (old, mut new) = (spec("{}"), spec("{}"));
        new.display_name = "x".into();
        assert_eq!(lines(&old, &new), [r#"display_name:  -> "x""#]);
        assert!(!rebuilds("a", &old, &new));
    }

    #[test]
    fn equal_specs_have_no_difference_and_others_always_have_one() {
        assert!(lines(&spec("{}"), &spec("{}")).is_empty());
        assert_eq!(lines(&spec(r#"{"a":1,"b":2}"#), &spec(r#"{"b":2,"a":1}"#)).len(), 1);
    }
}
