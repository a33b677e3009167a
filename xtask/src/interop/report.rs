//! What a client got from a server.

use anyhow::{Context, Result};
use serde_json::Value;

use crate::report::Counts;

/// Longest piece of a value that is shown.
const SHOWN_LEN: usize = 300;

/// Members that 2026-07-28 has and the revisions before it have not, or the other way round.
const OF_AN_ERA: [&str; 4] = ["resultType", "ttlMs", "cacheScope", "io.modelcontextprotocol/serverInfo"];

pub struct Got {
    report: Value,
}

impl Got {
    /// Reads the one line of JSON that a client prints.
    pub fn read(output: &str) -> Result<Self> {
        let line = output
            .lines()
            .rev()
            .find(|line| line.starts_with('{'))
            .context("the client printed no report")?;
        Ok(Self { report: serde_json::from_str(line).context("the report is no JSON")? })
    }

    /// Without what only one era has: how a server introduces itself and what it can do, pings, and the members of [`OF_AN_ERA`].
    pub fn of_any_era(mut self) -> Self {
        if let Some(report) = self.report.as_object_mut() {
            report.retain(|name, _| !["server", "capabilities", "ping"].contains(&name.as_str()));
        }
        forget(&mut self.report);
        self
    }

    /// Tools that the server lists and the plan forgot.
    pub fn uncalled(&self) -> Vec<&str> {
        self.report["uncalled"].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
    }

    /// One line per thing that is not the same in `through`.
    pub fn differences(&self, through: &Self) -> Vec<String> {
        let mut found = Vec::new();
        for (path, direct) in self.things() {
            let other = through.report.pointer(&path).unwrap_or(&Value::Null);
            if !is_served(direct, other) {
                found.push(format!("{path}\n    direct  {}\n    through {}", shown(direct), shown(other)));
            }
        }
        found
    }

    /// One check per thing.
    pub fn counts(&self, through: &Self) -> Counts {
        let failed = self.differences(through).len();
        Counts { passed: self.things().len() - failed, failed }
    }

    /// The answers: each tool's, resource's and prompt's own, as JSON pointers.
    fn things(&self) -> Vec<(String, &Value)> {
        let mut things = Vec::new();
        for (name, value) in self.report.as_object().into_iter().flatten() {
            match value {
                Value::Array(items) => {
                    things.extend(
                        items.iter().enumerate().map(|(index, item)| (format!("/{name}/{index}"), item)),
                    );
                }
                Value::Object(members) if matches!(name.as_str(), "contents" | "messages") => {
                    let escape = |key: &str| key.replace('~', "~0").replace('/', "~1");
                    things
                        .extend(members.iter().map(|(key, item)| (format!("/{name}/{}", escape(key)), item)));
                }
                _ => things.push((format!("/{name}"), value)),
            }
        }
        things
    }
}

/// Removes the members that one era has, everywhere.
fn forget(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|name, _| !OF_AN_ERA.contains(&name.as_str()));
            members.values_mut().for_each(forget);
            members.retain(|name, value| {
                name != "_meta" || value.as_object().is_some_and(|meta| !meta.is_empty())
            });
        }
        Value::Array(items) => items.iter_mut().for_each(forget),
        _ => {}
    }
}

/// Whether what came through is what came directly. Some SDKs lose progress that arrives in one piece with
/// the answer, as it does on a pipe: more progress through the gateway is no fault of it, less is.
fn is_served(direct: &Value, through: &Value) -> bool {
    match (progress(direct), progress(through)) {
        (Some(few), Some(many)) => {
            many.starts_with(few) && without_progress(direct) == without_progress(through)
        }
        _ => direct == through,
    }
}

fn progress(value: &Value) -> Option<&[Value]> {
    value.get("progress")?.as_array().map(Vec::as_slice)
}

fn without_progress(value: &Value) -> Value {
    let mut rest = value.clone();
    rest["progress"] = Value::Null;
    rest
}

fn shown(value: &Value) -> String {
    value.to_string().chars().take(SHOWN_LEN).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_answer_is_a_check() {
        let report = |sum: &str| {
            format!(
                r#"{{"server":{{}},"calls":[{{"name":"add","result":{sum}}}],"contents":{{"a/b":1}},"uncalled":[]}}"#
            )
        };
        let (direct, same, other) = (report("2"), report("2"), report("3"));
        let (direct, same, other) = (
            Got::read(&direct).unwrap(),
            Got::read(&format!("noise\n{same}")).unwrap(),
            Got::read(&other).unwrap(),
        );
        assert_eq!(direct.counts(&same), Counts { passed: 3, failed: 0 });
        assert_eq!(direct.counts(&other), Counts { passed: 2, failed: 1 });
        assert!(direct.differences(&other)[0].starts_with("/calls/0"));
    }

    #[test]
    fn progress_may_come_through_that_was_lost_directly_but_not_the_other_way_round() {
        let call = |progress: &str| {
            serde_json::from_str(&format!(r#"{{"result":1,"progress":{progress}}}"#)).unwrap()
        };
        let (few, many): (Value, Value) = (call("[1]"), call("[1,2]"));
        assert!(is_served(&few, &many) && is_served(&many, &many));
        assert!(!is_served(&many, &few) && !is_served(&few, &call("[2,1]")));
    }
}
