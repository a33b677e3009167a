use serde_json::json;

use super::*;

fn custom(name: &str, schema: &Value) -> RuntimeType {
    RuntimeType { name: name.into(), settings_schema_json: schema.to_string(), ..RuntimeType::default() }
}

fn schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "endpoint": {"type": "string", "pattern": "^[a-z.]+:[0-9]+$"},
            "mode": {"enum": ["fast", "slow"]},
            "timeout_seconds": {"type": "integer", "minimum": 1},
            "names": {"type": "array", "items": {"type": "string"}},
            "tls": {"anyOf": [{"$ref": "#/$defs/Tls"}, {"type": "null"}]},
        },
        "required": ["endpoint"],
        "additionalProperties": false,
        "$defs": {"Tls": {
            "type": "object",
            "properties": {"server_name": {"type": "string"}},
            "additionalProperties": false,
        }},
    })
}

fn check(settings: &Value) -> Vec<(String, String)> {
    let catalog = Catalog::default();
    catalog.advertise(vec![custom("mine", &schema())]);
    violations(&catalog, "mine", settings).into_iter().map(|v| (v.field, v.reason)).collect()
}

/// By the only version there is.
fn violations(catalog: &Catalog, type_name: &str, settings: &Value) -> Vec<Violation> {
    let versions = catalog.versions(type_name);
    assert_eq!(versions.len(), 1, "versions of {type_name}");
    versions[0].1.violations(settings)
}

#[test]
fn all_violations_at_once_with_paths() {
    let found = check(&json!({"endpont": "a:1", "timeout_seconds": "x", "names": ["a", 2], "mode": "quick"}));
    let fields: Vec<_> = found.iter().map(|(field, _)| field.as_str()).collect();
    for want in
        ["runtime.endpont", "runtime.endpoint", "runtime.timeout_seconds", "runtime.names[1]", "runtime.mode"]
    {
        assert!(fields.contains(&want), "{want} in {found:?}");
    }
    let reason = |field: &str| &found.iter().find(|(name, _)| name == field).unwrap().1;
    assert!(reason("runtime.endpont").contains("did you mean endpoint?"));
    assert!(reason("runtime.endpoint").contains("is missing"));
    assert_eq!(reason("runtime.names[1]"), "must be string, but is number");
    assert!(reason("runtime.mode").contains("fast"));
}

#[test]
fn references_fit_strings_and_only_strings() {
    assert_eq!(check(&json!({"endpoint": "${HOST}:1", "mode": "${MODE}"})), []);
    let found = check(&json!({"endpoint": "a:1", "timeout_seconds": "${N}"}));
    assert_eq!(found.len(), 1);
    assert!(found[0].1.contains("reference"), "{found:?}");
}

#[test]
fn values_are_not_quoted() {
    let found = check(&json!({"endpoint": "s3cret!", "timeout_seconds": 0}));
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found.iter().all(|(_, reason)| !reason.contains("s3cret")), "{found:?}");
}

#[test]
fn an_optional_object_is_explained_by_its_own_rules() {
    let found = check(&json!({"endpoint": "a:1", "tls": {"server_nam": "x"}}));
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].0, "runtime.tls.server_nam");
    assert!(found[0].1.contains("did you mean server_name?"), "{found:?}");
}

#[test]
fn built_ins_are_known_before_any_node_exists() {
    let catalog = Catalog::default();
    assert!(catalog.names().contains(&"local-process".to_owned()), "{:?}", catalog.names());
    assert!(catalog.versions("nope").is_empty());
    assert_eq!(violations(&catalog, "local-process", &json!({"command": "x"})), []);
    assert_eq!(violations(&catalog, "local-process", &json!({}))[0].field, "runtime.command");
    assert_eq!(violations(&catalog, "remote-http", &json!({}))[0].field, "runtime.url");
}

#[test]
fn an_unusable_schema_checks_nothing_and_does_no_harm() {
    let catalog = Catalog::default();
    for text in ["", "{", "[]", r#"{"type": 7}"#, r##"{"$ref": "http://127.0.0.1:1/x"}"##] {
        let wire =
            RuntimeType { name: "odd".into(), settings_schema_json: text.into(), ..RuntimeType::default() };
        assert_eq!(catalog.advertise(vec![wire]).len(), 1);
    }
    for (_, version) in catalog.versions("odd") {
        assert_eq!(version.violations(&json!({"x": 1})), []);
    }
}
