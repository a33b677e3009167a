//! [`Check`]: everything that can be known to be wrong before a node sees it.

use std::collections::BTreeMap;
use std::sync::Arc;

use omcp_core::reference::{self, Reference, Resolve};
use omcp_core::{BackendName, GatewayError};
use omcp_proto::convert;
use omcp_proto::v1::{BackendSpec, SettingsValidation, Warning};
use prost::Message;
use serde_json::Value;

use crate::apply::versions::{Elsewhere, Verdict, Versions};
use crate::catalog::Catalog;
use crate::error::{Error, Violation};
use crate::fleet::offers::Offers;
use crate::record::EncodedSpec;

/// A backend that may be stored.
#[derive(Clone, Debug)]
pub struct Checked {
    pub name: Arc<str>,
    pub spec: EncodedSpec,
}

/// What is refused, and what is a warning.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    pub spec_len_max: usize,
    /// Refuse runtime types that nobody has described yet.
    pub strict: bool,
    /// What happens to settings that their runtime type forbids.
    pub settings: SettingsValidation,
}

/// Collects every violation and warning of one request.
pub struct Check<'a> {
    catalog: &'a Catalog,
    offers: &'a Offers,
    policy: Policy,
    /// The runtime types seen so far that somebody has described.
    types: BTreeMap<String, Versions>,
    violations: Vec<Violation>,
    warnings: Vec<Warning>,
}

impl<'a> Check<'a> {
    pub fn new(catalog: &'a Catalog, offers: &'a Offers, policy: Policy) -> Self {
        let (types, violations, warnings) = Default::default();
        Self { catalog, offers, policy, types, violations, warnings }
    }

    /// Adds a violation of the request itself.
    pub fn violate(&mut self, field: impl Into<String>, reason: impl Into<String>) {
        self.violations.push(Violation::new(field, reason));
    }

    /// Checks one backend; paths get `prefix` before them.
    pub fn backend(&mut self, prefix: &str, name: &str, spec: Option<&BackendSpec>) -> Option<Checked> {
        let Some(spec) = spec else {
            self.violate(
                format!("{prefix}.runtime.type"),
                "is missing: name a runtime type such as local-process",
            );
            return None;
        };
        let before = self.violations.len();
        if let Err(invalid) = convert::backend(name, spec) {
            let prefixed =
                invalid.into_iter().map(|v| Violation::new(format!("{prefix}.{}", v.field), v.reason));
            self.violations.extend(prefixed);
        }
        let max = self.policy.spec_len_max;
        if spec.encoded_len() > max {
            self.violate(prefix, format!("is longer than {max} bytes in all"));
        }
        self.references(prefix, spec);
        self.settings(prefix, name, spec);
        (self.violations.len() == before).then(|| Checked { name: name.into(), spec: EncodedSpec::of(spec) })
    }

    fn references(&mut self, prefix: &str, spec: &BackendSpec) {
        for (name, value) in &spec.env {
            self.reference(|| format!("{prefix}.env.{name}"), value);
        }
        if let Ok(settings) = serde_json::from_str(convert::settings(spec)) {
            self.references_in(&format!("{prefix}.runtime"), &settings);
        }
    }

    fn references_in(&mut self, path: &str, value: &Value) {
        match value {
            Value::String(text) => self.reference(|| path.to_owned(), text),
            Value::Array(items) => {
                items
                    .iter()
                    .enumerate()
                    .for_each(|(at, item)| self.references_in(&format!("{path}[{at}]"), item));
            }
            Value::Object(members) => {
                members.iter().for_each(|(key, member)| self.references_in(&format!("{path}.{key}"), member));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn reference(&mut self, path: impl FnOnce() -> String, text: &str) {
        if let Err(error) = reference::resolve_text(text, &AnyValue) {
            self.violations.push(Violation::new(path(), error.to_string()));
        }
    }

    fn settings(&mut self, prefix: &str, name: &str, spec: &BackendSpec) {
        let Ok(settings) = serde_json::from_str::<Value>(convert::settings(spec)) else { return };
        if spec.runtime_type.is_empty() || !settings.is_object() {
            return;
        }
        let Some(verdict) = self.judge(&spec.runtime_type, &settings) else {
            return self.unknown_type(prefix, name, &spec.runtime_type);
        };
        for found in verdict.violations {
            self.forbidden(name, Violation::new(format!("{prefix}.{}", found.field), found.reason));
        }
        for found in verdict.elsewhere {
            self.forbidden_elsewhere(prefix, name, &spec.runtime_type, &found);
        }
    }

    /// `None` if nobody has described the type.
    fn judge(&mut self, runtime_type: &str, settings: &Value) -> Option<Verdict> {
        if !self.types.contains_key(runtime_type) {
            let versions = Versions::of(runtime_type, self.catalog, self.offers)?;
            self.types.insert(runtime_type.to_owned(), versions);
        }
        self.types.get(runtime_type).map(|versions| versions.judge(settings))
    }

    fn forbidden(&mut self, name: &str, found: Violation) {
        if self.policy.settings != SettingsValidation::Warn {
            return self.violations.push(found);
        }
        let message = format!("{}; nodes will reject this backend", found.reason);
        self.warn("INVALID_SETTINGS", name, found.field, message);
    }

    fn forbidden_elsewhere(&mut self, prefix: &str, name: &str, runtime_type: &str, found: &Elsewhere) {
        let Elsewhere { version, nodes, violation } = found;
        let message = format!(
            "{} {} in version {version} of {runtime_type}, which these nodes have: {}",
            violation.field,
            violation.reason,
            nodes.join(", ")
        );
        self.warn("OTHER_VERSION", name, format!("{prefix}.{}", found.violation.field), message);
    }

    fn unknown_type(&mut self, prefix: &str, name: &str, runtime_type: &str) {
        let field = format!("{prefix}.runtime.type");
        let known = self.catalog.names();
        let message = format!("{runtime_type:?} is not known yet: known types are {}", known.join(", "));
        if self.policy.strict {
            return self.violate(field, message);
        }
        let message = format!("{message}; its settings are not checked, and no connected node offers it");
        self.warn("UNKNOWN_RUNTIME_TYPE", name, field, message);
    }

    fn warn(&mut self, reason: &str, backend: &str, field: String, message: String) {
        self.warnings.push(Warning { reason: reason.into(), backend: backend.into(), field, message });
    }

    /// Warns of types that some of the connected nodes do not offer.
    fn lacking(&mut self) {
        let (offers, connected) = (self.offers, self.offers.connected());
        for runtime_type in std::mem::take(&mut self.types).into_keys() {
            let lacking = offers.lacking(&runtime_type);
            if !lacking.is_empty() {
                let message = format!(
                    "{} of {connected} connected nodes do not offer runtime type {runtime_type}: {}",
                    lacking.len(),
                    lacking.join(", ")
                );
                self.warn("RUNTIME_TYPE_NOT_OFFERED", "", String::new(), message);
            }
        }
    }

    /// The warnings, if there is no violation.
    ///
    /// # Errors
    /// All violations.
    pub fn finish(mut self) -> Result<Vec<Warning>, Error> {
        self.lacking();
        if self.violations.is_empty() { Ok(self.warnings) } else { Err(Error::Invalid(self.violations)) }
    }
}

/// Whether a string may be the name of a backend, and which one.
///
/// # Errors
/// It may not, as a violation of `field`.
pub fn name(field: &str, text: &str) -> Result<BackendName, Error> {
    text.parse::<BackendName>().map_err(|invalid| Error::invalid(field, invalid.reason))
}

/// Only the form of a reference can be checked here: its value is on the nodes.
struct AnyValue;

impl Resolve for AnyValue {
    fn resolve(&self, _: &Reference<'_>) -> Result<String, GatewayError> {
        Ok(String::new())
    }
}
