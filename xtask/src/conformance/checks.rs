//! The results of one run of the suite: a folder per scenario, a file of checks in each.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::report::Counts;

/// How the checks of a run ended. A check may be made several times in one scenario.
pub struct Checks {
    ends: BTreeMap<Check, Vec<String>>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Check {
    scenario: String,
    id: String,
    /// An id is a requirement, which several checks of one scenario may be about.
    name: String,
}

/// A check that did not end as it does without the gateway.
pub struct Difference {
    scenario: String,
    id: String,
    name: String,
    direct: String,
    through: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scenario, id, name, direct, through } = self;
        write!(f, "{scenario:42} {id:50} {name}: direct {direct}, through the gateway {through}")
    }
}

impl Difference {
    /// Whether it is one of this check, which is called by its id, or by its own name where several have the id.
    pub fn is_of(&self, scenario: &str, check: &str) -> bool {
        self.scenario == scenario && (self.id == check || self.name == check)
    }
}

impl Checks {
    pub fn read(folder: &Path) -> Result<Self> {
        let mut ends: BTreeMap<Check, Vec<String>> = BTreeMap::new();
        for entry in fs::read_dir(folder).with_context(|| format!("list {}", folder.display()))? {
            let entry = entry?;
            let scenario = scenario_of(&entry.file_name().to_string_lossy());
            let file = entry.path().join("checks.json");
            let text = fs::read(&file).with_context(|| format!("read {}", file.display()))?;
            let checks: Vec<Value> = serde_json::from_slice(&text).context("checks are a JSON list")?;
            for check in checks {
                let text = |name: &str| check[name].as_str().unwrap_or_default().to_owned();
                let check = Check { scenario: scenario.clone(), id: text("id"), name: text("name") };
                ends.entry(check).or_default().push(text("status"));
            }
        }
        ends.values_mut().for_each(|ends| ends.sort());
        Ok(Self { ends })
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    pub fn has(&self, scenario: &str) -> bool {
        self.ends.keys().any(|check| check.scenario == scenario)
    }

    /// The same, where it does not matter how often a check ended so.
    pub fn once(mut self) -> Self {
        self.ends.values_mut().for_each(Vec::dedup);
        self
    }

    /// The rest, where some scenarios have nothing to say.
    pub fn without(&self, scenarios: &[&str]) -> Self {
        let rest = self.ends.iter().filter(|(check, _)| !scenarios.contains(&check.scenario.as_str()));
        Self { ends: rest.map(|(check, ends)| (check.clone(), ends.clone())).collect() }
    }

    /// Warnings, skipped checks and remarks count neither way.
    pub fn counts(&self) -> Counts {
        let count = |wanted: &str| self.ends.values().flatten().filter(|end| *end == wanted).count();
        Counts { passed: count("SUCCESS"), failed: count("FAILURE") }
    }

    /// One line per failed check.
    pub fn failures(&self) -> Vec<String> {
        let failed = self.ends.iter().filter(|(_, ends)| ends.iter().any(|end| end == "FAILURE"));
        failed
            .map(|(check, _)| format!("{:42} {} {} FAILURE", check.scenario, check.id, check.name))
            .collect()
    }

    /// Where `through` ended otherwise than this run.
    pub fn differences(&self, through: &Self) -> Vec<Difference> {
        let checks: BTreeSet<_> = self.ends.keys().chain(through.ends.keys()).collect();
        let differing = checks.into_iter().filter(|check| self.ends.get(check) != through.ends.get(check));
        let difference = |check: &Check| Difference {
            scenario: check.scenario.clone(),
            id: check.id.clone(),
            name: check.name.clone(),
            direct: self.shown(check),
            through: through.shown(check),
        };
        differing.map(difference).collect()
    }

    fn shown(&self, check: &Check) -> String {
        self.ends.get(check).map_or_else(|| "not made".to_owned(), |ends| ends.join("+"))
    }
}

/// `server-ping-2026-11-23T06-17-27-988Z` holds the scenario `ping` of server mode; client mode has no prefix.
fn scenario_of(folder: &str) -> String {
    let name = folder.strip_prefix("server-").unwrap_or(folder);
    let stamp = "-2026-11-23T06-17-27-988Z".len();
    name.get(..name.len().saturating_sub(stamp)).unwrap_or(name).to_owned()
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// Checks of one scenario, `ping`.
    pub fn checks(ends: &[(&str, &[&str])]) -> Checks {
        let check = |id: &str| {
            let [scenario, id, name] = ["ping", id, "Ping"].map(str::to_owned);
            Check { scenario, id, name }
        };
        let owned = |ends: &[&str]| ends.iter().map(|end| (*end).to_owned()).collect();
        Checks { ends: ends.iter().map(|(id, ends)| (check(id), owned(ends))).collect() }
    }

    #[test]
    fn the_scenario_stands_between_prefix_and_time() {
        assert_eq!(scenario_of("server-server-sse-polling-2026-11-23T06-17-28-777Z"), "server-sse-polling");
    }

    #[test]
    fn how_often_a_check_was_made_may_not_matter() {
        let direct = checks(&[("a", &["SUCCESS"]), ("b", &["SUCCESS"])]).once();
        let through = checks(&[("a", &["SUCCESS", "SUCCESS"]), ("b", &["FAILURE", "SUCCESS"])]).once();
        let found: Vec<_> = direct.differences(&through).into_iter().map(|found| found.id).collect();
        assert_eq!(found, ["b"]);
    }

    #[test]
    fn every_check_is_compared() {
        let direct = checks(&[("a", &["SUCCESS"]), ("b", &["INFO", "SUCCESS"]), ("c", &["SUCCESS"])]);
        let through = checks(&[("a", &["SUCCESS"]), ("b", &["FAILURE", "SUCCESS"]), ("d", &["SUCCESS"])]);
        let found: Vec<_> = direct.differences(&through).into_iter().map(|found| found.id).collect();
        assert_eq!(found, ["b", "c", "d"]);
        assert_eq!(through.counts(), Counts { passed: 3, failed: 1 });
        assert_eq!(direct.differences(&direct).len(), 0);
    }
}
