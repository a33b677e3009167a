//! From wire words to core nouns, naming every field that does not fit.

use omcp_core::lifecycle::{self, MIN_IDLE_MAX};
use omcp_core::{Backend, BackendName, EraPin, InvalidBackend, Lifecycle, RuntimeConfig};

use crate::v1;
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
    let lifecycle = lifecycle(spec.lifecycle.as_ref(), &mut found);
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
        lifecycle,
    };
    found.extend(backend.violations());
    if found.is_empty() { Ok(backend) } else { Err(found) }
}

/// The settings text; an empty field is an empty object.
pub fn settings(spec: &BackendSpec) -> &str {
    if spec.settings_json.is_empty() { "{}" } else { &spec.settings_json }
}

fn lifecycle(wire: Option<&v1::Lifecycle>, found: &mut Vec<InvalidBackend>) -> Lifecycle {
    let default = Lifecycle::default();
    let Some(wire) = wire else { return default };
    let mut time = |field: &str, ms: Option<u64>, absent| match ms {
        Some(ms) => keep(lifecycle::time(field, ms), found).unwrap_or(absent),
        None => absent,
    };
    let idle_timeout = time("idle_timeout_ms", wire.idle_timeout_ms, default.idle_timeout);
    let lifetime_max = time("lifetime_max_ms", wire.lifetime_max_ms, default.lifetime_max);
    let min_idle = wire.min_idle.unwrap_or(default.min_idle);
    if min_idle > MIN_IDLE_MAX {
        let reason = format!("{min_idle} is too many: at most {MIN_IDLE_MAX} connections are kept warm");
        found.push(InvalidBackend::new("lifecycle.min_idle", reason));
    }
    Lifecycle {
        isolation: keep(wire.isolation.parse(), found).unwrap_or_default(),
        min_idle,
        idle_timeout,
        lifetime_max,
        retry: keep(wire.retry.parse(), found).unwrap_or_default(),
        recovery: keep(wire.recovery.parse(), found).unwrap_or_default(),
    }
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
