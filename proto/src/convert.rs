//! From wire words to core nouns, naming every field that does not fit.

use omcp_core::{Backend, BackendName, EraPin, InvalidBackend, RuntimeConfig};

use crate::v1::BackendSpec;

/// Reads a spec under its name.
///
/// # Errors
/// Every broken rule at once, with the path of the field as a person writes it in YAML
/// (`runtime.type`, `tags[2]`, `env.NAME`).
pub fn backend(name: &str, spec: &BackendSpec) -> Result<Backend, Vec<InvalidBackend>> {
    let mut found = Vec::new();
    let name: Option<BackendName> = keep(name.parse(), &mut found);
    let era: Option<EraPin> = keep(spec.era.parse(), &mut found);
    check_type(&spec.runtime_type, &mut found);
    check_settings(&spec.settings_json, &mut found);
    // A name that is no name does not keep the other rules from being checked.
    let name = name.unwrap_or_else(|| "unnamed".parse().expect("a backend name"));
    let backend = Backend {
        name,
        era: era.unwrap_or_default(),
        display_name: spec.display_name.clone(),
        tags: spec.tags.clone(),
        runtime: RuntimeConfig::new(spec.runtime_type.as_str(), settings(spec)),
        env: spec.env.clone(),
        disabled: spec.disabled,
    };
    found.extend(backend.violations());
    if found.is_empty() { Ok(backend) } else { Err(found) }
}

/// The settings text; an empty field is an empty object.
pub fn settings(spec: &BackendSpec) -> &str {
    if spec.settings_json.is_empty() { "{}" } else { &spec.settings_json }
}

fn keep<T>(result: Result<T, InvalidBackend>, found: &mut Vec<InvalidBackend>) -> Option<T> {
    result.map_err(|invalid| found.push(invalid)).ok()
}

fn check_type(name: &str, found: &mut Vec<InvalidBackend>) {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if name.is_empty() {
        found.push(InvalidBackend::new(
            "runtime.type",
            "is missing: name a runtime type such as local-process",
        ));
    } else if name.len() > 63 || !name.bytes().all(plain) {
        let reason = format!("{name:?} is not a runtime type: use up to 63 of a-z, 0-9 and '-'");
        found.push(InvalidBackend::new("runtime.type", reason));
    }
}

fn check_settings(text: &str, found: &mut Vec<InvalidBackend>) {
    if text.is_empty() {
        return;
    }
    match serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(text) {
        Ok(members) if members.contains_key("type") => {
            found.push(InvalidBackend::new("runtime.type", "stands twice: settings may not hold \"type\""));
        }
        Ok(_) => {}
        Err(error) => {
            found.push(InvalidBackend::new("runtime", format!("settings are not a JSON object: {error}")))
        }
    }
}
