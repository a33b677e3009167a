//! [`Versions`]: settings judged by all versions of their runtime type that the fleet has.
//!
//! The newest version decides. What an older one forbids is a warning that names its nodes: they will say
//! so themselves, and during an upgrade that is what is meant. Versions that no connected node offers
//! count only while no node offers the type at all.

use std::sync::Arc;

use serde_json::Value;

use crate::catalog::{Catalog, KnownType};
use crate::error::Violation;
use crate::fleet::offers::Offers;

/// The versions of one runtime type that count.
pub struct Versions {
    versions: Vec<(Arc<KnownType>, Vec<Arc<str>>)>,
}

/// What settings are worth.
#[derive(Debug, Default, PartialEq)]
pub struct Verdict {
    /// What the newest version forbids.
    pub violations: Vec<Violation>,
    /// What others forbid.
    pub elsewhere: Vec<Elsewhere>,
}

/// A version that the newest one disagrees with.
#[derive(Debug, PartialEq)]
pub struct Elsewhere {
    pub version: String,
    /// Where it is.
    pub nodes: Vec<Arc<str>>,
    /// The first of what it forbids.
    pub violation: Violation,
}

impl Versions {
    /// Those of a type; `None` if nobody has described it.
    pub fn of(type_name: &str, catalog: &Catalog, offers: &Offers) -> Option<Self> {
        let known = catalog.versions(type_name).into_iter();
        let mut versions: Vec<_> =
            known.map(|(key, known)| (known, offers.of_version(&key).to_vec())).collect();
        if versions.iter().any(|(_, nodes)| !nodes.is_empty()) {
            versions.retain(|(_, nodes)| !nodes.is_empty());
        }
        (!versions.is_empty()).then_some(Self { versions })
    }

    pub fn judge(&self, settings: &Value) -> Verdict {
        let judged = self.versions.iter().map(|version| (version, version.0.violations(settings)));
        let mut judged: Vec<_> = judged.collect();
        // Two schemas under one version number are equally new: it is enough to satisfy one of them.
        judged.sort_by_cached_key(|((known, _), found)| (std::cmp::Reverse(known.age()), found.len()));
        let mut judged = judged.into_iter();
        let violations = judged.next().map(|(_, found)| found).unwrap_or_default();
        // Where no node offers the type, an older version is nobody's.
        let elsewhere =
            judged.filter(|((_, nodes), _)| !nodes.is_empty()).filter_map(|((known, nodes), found)| {
                let (version, nodes) = (known.wire.version.clone(), nodes.clone());
                found.into_iter().next().map(|violation| Elsewhere { version, nodes, violation })
            });
        Verdict { violations, elsewhere: elsewhere.collect() }
    }
}

#[cfg(test)]
mod tests {
    use omcp_proto::v1::RuntimeType;
    use serde_json::json;

    use super::*;

    fn kind(version: &str, setting: &str) -> RuntimeType {
        let schema = json!({"properties": {setting: {}}, "additionalProperties": false});
        RuntimeType {
            name: "mine".into(),
            version: version.into(),
            settings_schema_json: schema.to_string(),
            ..RuntimeType::default()
        }
    }

    /// Nodes that each offer one version: what `settings` are worth there.
    fn judge(fleet: &[(&str, RuntimeType)], known: &[RuntimeType], settings: &Value) -> Verdict {
        let (catalog, mut offers) = (Catalog::default(), Offers::default());
        catalog.advertise(known.to_vec());
        for (node, kind) in fleet {
            offers.add(&Arc::from(*node), &catalog.advertise(vec![kind.clone()]));
        }
        Versions::of("mine", &catalog, &offers).unwrap().judge(settings)
    }

    #[test]
    fn the_newest_version_decides_and_others_are_named() {
        let fleet = [("a", kind("1.9.0", "old")), ("b", kind("1.10.0", "new")), ("c", kind("1.9.0", "old"))];
        let verdict = judge(&fleet, &[], &json!({"new": 1}));
        assert_eq!(verdict.violations, []);
        let [elsewhere] = &verdict.elsewhere[..] else { panic!("{verdict:?}") };
        assert_eq!((elsewhere.version.as_str(), elsewhere.nodes.len()), ("1.9.0", 2));
        assert_eq!(elsewhere.violation.field, "runtime.new");

        let verdict = judge(&fleet, &[], &json!({"old": 1}));
        assert_eq!(verdict.violations[0].field, "runtime.old");
        assert_eq!(verdict.elsewhere, []);
    }

    #[test]
    fn of_two_equally_new_ones_either_will_do() {
        let fleet = [("a", kind("1.0", "one")), ("b", kind("1.0", "other"))];
        for setting in ["one", "other"] {
            let verdict = judge(&fleet, &[], &json!({setting: 1}));
            assert_eq!((verdict.violations.len(), verdict.elsewhere.len()), (0, 1), "{setting}");
        }
        assert_eq!(judge(&fleet, &[], &json!({"none": 1})).violations.len(), 1);
    }

    #[test]
    fn one_schema_in_two_versions_is_two_versions() {
        let (catalog, mut offers) = (Catalog::default(), Offers::default());
        for (node, version) in [("a", "1.0"), ("b", "2.0"), ("c", "2.0")] {
            offers.add(&Arc::from(node), &catalog.advertise(vec![kind(version, "same")]));
        }
        let versions = Versions::of("mine", &catalog, &offers).unwrap();
        assert_eq!(versions.versions.len(), 2);
        assert_eq!(versions.judge(&json!({"same": 1})), Verdict::default());
    }

    #[test]
    fn what_no_node_offers_counts_only_where_nobody_offers_anything() {
        let known = [kind("2.0", "new")];
        assert_eq!(judge(&[("a", kind("1.0", "old"))], &known, &json!({"old": 1})), Verdict::default());
        assert_eq!(judge(&[], &known, &json!({"old": 1})).violations.len(), 1);
    }

    #[test]
    fn releases_are_newer_than_what_led_to_them() {
        for (older, newer) in [("1.2.9", "1.10.0"), ("1.0.0-rc.1", "1.0.0"), ("", "0.1"), ("v1", "v2.0+b7")] {
            let fleet = [("a", kind(newer, "new")), ("b", kind(older, "old"))];
            assert_eq!(judge(&fleet, &[], &json!({"new": 1})).violations, [], "{older} {newer}");
        }
    }
}
