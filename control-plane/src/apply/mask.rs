//! Field masks of UpdateBackend: which parts of a spec are to change.

use omcp_proto::v1::BackendSpec;

use crate::error::{Error, Violation};

/// What a mask names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mask(Vec<Field>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Spec,
    DisplayName,
    Tags,
    RuntimeType,
    SettingsJson,
    Env,
    Era,
    Disabled,
    Lifecycle,
}

const PATHS: [(&str, Field); 9] = [
    ("spec", Field::Spec),
    ("spec.display_name", Field::DisplayName),
    ("spec.tags", Field::Tags),
    ("spec.runtime_type", Field::RuntimeType),
    ("spec.settings_json", Field::SettingsJson),
    ("spec.env", Field::Env),
    ("spec.era", Field::Era),
    ("spec.disabled", Field::Disabled),
    ("spec.lifecycle", Field::Lifecycle),
];

impl Mask {
    /// Reads paths; none means `spec`.
    ///
    /// # Errors
    /// All unknown paths: one that is ignored would look like a change that was made.
    pub fn parse(paths: &[String]) -> Result<Self, Error> {
        if paths.is_empty() {
            return Ok(Self(vec![Field::Spec]));
        }
        let find = |path: &String| PATHS.iter().find(|(known, _)| known == path).map(|(_, field)| *field);
        let unknown: Vec<_> = paths.iter().filter(|path| find(path).is_none()).map(violation).collect();
        if unknown.is_empty() {
            Ok(Self(paths.iter().filter_map(find).collect()))
        } else {
            Err(Error::Invalid(unknown))
        }
    }

    /// `held` with the named fields of `wanted`.
    pub fn merge(&self, held: &BackendSpec, wanted: &BackendSpec) -> BackendSpec {
        let mut merged = held.clone();
        for field in &self.0 {
            match field {
                Field::Spec => merged.clone_from(wanted),
                Field::DisplayName => merged.display_name.clone_from(&wanted.display_name),
                Field::Tags => merged.tags.clone_from(&wanted.tags),
                Field::RuntimeType => merged.runtime_type.clone_from(&wanted.runtime_type),
                Field::SettingsJson => merged.settings_json.clone_from(&wanted.settings_json),
                Field::Env => merged.env.clone_from(&wanted.env),
                Field::Era => merged.era.clone_from(&wanted.era),
                Field::Disabled => merged.disabled = wanted.disabled,
                Field::Lifecycle => merged.lifecycle.clone_from(&wanted.lifecycle),
            }
        }
        merged
    }
}

fn violation(path: &String) -> Violation {
    let known = PATHS.map(|(path, _)| path).join(", ");
    Violation::new("update_mask", format!("{path:?} is not a field that can be changed: use {known}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_named_fields_change_and_unknown_ones_are_refused() {
        let held = BackendSpec { display_name: "a".into(), era: "legacy".into(), ..BackendSpec::default() };
        let wanted = BackendSpec { display_name: "b".into(), disabled: true, ..BackendSpec::default() };
        let merge = |paths: &[&str]| {
            let paths: Vec<_> = paths.iter().map(|path| (*path).to_owned()).collect();
            Mask::parse(&paths).map(|mask| mask.merge(&held, &wanted))
        };
        assert_eq!(merge(&[]).unwrap(), wanted);
        let merged = merge(&["spec.display_name"]).unwrap();
        assert_eq!(
            (merged.display_name.as_str(), merged.era.as_str(), merged.disabled),
            ("b", "legacy", false)
        );
        for bad in ["revision", "spec.nope", "*", "", "spec.env.X"] {
            assert!(merge(&[bad]).is_err(), "{bad}");
        }
    }
}
