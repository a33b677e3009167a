//! What a client got from a server.

use std::collections::HashMap;
use std::fmt;

use anyhow::{Context, Result};
use serde_json::Value;

/// Longest piece of a value that is shown.
const SHOWN_LEN: usize = 600;

/// Members that 2026-07-28 has and the revisions before it have not, or the other way round.
const OF_AN_ERA: [&str; 5] =
    ["resultType", "ttlMs", "cacheScope", "io.modelcontextprotocol/serverInfo", "execution"];
/// Members that 2025-06-18 brought.
const STRUCTURES: [&str; 2] = ["outputSchema", "structuredContent"];
/// How a server introduces itself and what it can do, and what only sessions have.
const NOT_COMPARED: [&str; 5] = ["server", "capabilities", "instructions", "ping", "level"];

/// Parts of a report whose members are answers.
const BY_NAME: [&str; 3] = ["contents", "messages", "updates"];
/// Members of answers that are lists.
const LISTS: [&str; 3] = ["resources", "resourceTemplates", "prompts"];

#[derive(Clone)]
pub struct Got {
    report: Value,
}

/// An answer that is not the same through the gateway.
pub struct Difference<'a> {
    pub thing: String,
    pub direct: &'a Value,
    pub through: &'a Value,
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

    /// Without what only one era has.
    pub fn of_any_era(mut self) -> Self {
        if let Some(report) = self.report.as_object_mut() {
            report.retain(|name, _| !NOT_COMPARED.contains(&name.as_str()));
        }
        forget(&mut self.report, &OF_AN_ERA);
        self
    }

    /// As a client is told that is older than structured content (section 9 of the protocol's design).
    pub fn without_structures(mut self) -> Self {
        forget(&mut self.report, &STRUCTURES);
        self
    }

    /// Tools that the server lists and the plan forgot.
    pub fn uncalled(&self) -> Vec<&str> {
        self.report["uncalled"].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
    }

    /// How many answers there are.
    pub fn len(&self) -> usize {
        self.things().len()
    }

    /// The answers that are not the same in `through`.
    pub fn differences<'a>(&'a self, through: &'a Self) -> Vec<Difference<'a>> {
        let others: HashMap<String, &Value> = through.things().into_iter().collect();
        let mut found = Vec::new();
        for (thing, direct) in self.things() {
            let through = others.get(&thing).copied().unwrap_or(&Value::Null);
            if !is_served(direct, through) {
                found.push(Difference { thing, direct, through });
            }
        }
        found
    }

    /// The answers: each tool's, resource's and prompt's own, by name.
    fn things(&self) -> Vec<(String, &Value)> {
        let mut things = Vec::new();
        for (kind, value) in self.report.as_object().into_iter().flatten() {
            match value {
                Value::Array(items) => things.extend(named(kind, items)),
                Value::Object(members) if BY_NAME.contains(&kind.as_str()) => {
                    things.extend(members.iter().map(|(name, item)| (format!("{kind}/{name}"), item)));
                }
                Value::Object(members) => {
                    match LISTS.iter().find_map(|list| members.get(*list)?.as_array()) {
                        Some(items) => things.extend(named(kind, items)),
                        None => things.push((kind.clone(), value)),
                    }
                }
                _ => things.push((kind.clone(), value)),
            }
        }
        things
    }
}

impl fmt::Display for Difference<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, direct, through) = narrowed(self.direct, self.through);
        let (direct, through) = (shown(direct), shown(through));
        write!(f, "{} {path}\n    direct  {direct}\n    through {through}", self.thing)
    }
}

/// `calls/add`, and `calls/add#2` for the second such call; without a name its number.
fn named<'a>(kind: &str, items: &'a [Value]) -> Vec<(String, &'a Value)> {
    let mut seen = HashMap::<&str, usize>::new();
    let name = |item: &'a Value| {
        let name = item["name"].as_str().unwrap_or_default();
        let times = seen.entry(name).or_default();
        *times += 1;
        match (name, *times) {
            ("", number) => format!("{kind}/{number}"),
            (name, 1) => format!("{kind}/{name}"),
            (name, number) => format!("{kind}/{name}#{number}"),
        }
    };
    items.iter().map(name).zip(items).collect()
}

/// Removes members by their names, everywhere, and `_meta` that has become empty.
fn forget(value: &mut Value, names: &[&str]) {
    match value {
        Value::Object(members) => {
            members.retain(|name, _| !names.contains(&name.as_str()));
            members.values_mut().for_each(|member| forget(member, names));
            members.retain(|name, value| {
                name != "_meta" || value.as_object().is_some_and(|meta| !meta.is_empty())
            });
        }
        Value::Array(items) => items.iter_mut().for_each(|item| forget(item, names)),
        _ => {}
    }
}

/// Whether what came through is what came directly. More progress through the gateway is no fault of it, less
/// is: some SDKs lose what arrives in one piece with the answer, as it does on a pipe. Neither is a question for
/// roots: servers with sessions ask for them when they like, and a stateless client is asked in its next call.
fn is_served(direct: &Value, through: &Value) -> bool {
    let (Some(few), Some(many)) = (list(direct, "progress"), list(through, "progress")) else {
        return direct == through;
    };
    let mut same = through.clone();
    same["progress"] = direct["progress"].clone();
    if let (Some(asked), Some(more)) = (list(direct, "asked"), list(through, "asked"))
        && more.iter().filter(|method| *method != "roots/list").eq(asked)
    {
        same["asked"] = direct["asked"].clone();
    }
    many.starts_with(few) && *direct == same
}

fn list<'a>(value: &'a Value, name: &str) -> Option<&'a [Value]> {
    value.get(name)?.as_array().map(Vec::as_slice)
}

/// The place where two values begin to differ, and what is there.
fn narrowed<'a>(mut direct: &'a Value, mut through: &'a Value) -> (String, &'a Value, &'a Value) {
    let mut path = String::new();
    while let Some((name, one, other)) = only_difference(direct, through) {
        path = format!("{path}/{name}");
        (direct, through) = (one, other);
    }
    (path, direct, through)
}

fn only_difference<'a>(direct: &'a Value, through: &'a Value) -> Option<(String, &'a Value, &'a Value)> {
    let pairs: Vec<(String, &Value, &Value)> = match (direct, through) {
        (Value::Object(one), Value::Object(other))
            if one.len() == other.len() && one.keys().all(|name| other.contains_key(name)) =>
        {
            one.iter().map(|(name, value)| (name.clone(), value, &other[name])).collect()
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            one.iter().zip(other).enumerate().map(|(at, (one, other))| (at.to_string(), one, other)).collect()
        }
        _ => return None,
    };
    let mut different = pairs.into_iter().filter(|(_, one, other)| one != other);
    different.next().filter(|_| different.next().is_none())
}

fn shown(value: &Value) -> String {
    value.to_string().chars().take(SHOWN_LEN).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn got(report: &str) -> Got {
        Got::read(report).unwrap()
    }

    #[test]
    fn every_answer_has_a_name() {
        let report = |sum: &str| {
            got(&format!(
                r#"{{"server":{{}},"calls":[{{"name":"add","result":{sum}}},{{"name":"add"}}],"contents":{{"a/b":1}},"completions":[{{}}]}}"#
            ))
        };
        let names: Vec<String> = report("2").things().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["server", "calls/add", "calls/add#2", "contents/a/b", "completions/1"]);
        let (direct, same, other) = (report("2"), report("2"), report("3"));
        assert!(direct.differences(&same).is_empty());
        let found = direct.differences(&other);
        assert_eq!((found.len(), found[0].thing.as_str()), (1, "calls/add"));
    }

    #[test]
    fn what_one_era_has_is_no_difference() {
        let legacy = got(r#"{"ping":{},"tools":[{"name":"a"}],"contents":{"u":{"text":"t"}}}"#).of_any_era();
        let modern = got(
            r#"{"tools":[{"name":"a"}],"contents":{"u":{"text":"t","ttlMs":0,"cacheScope":"private","resultType":"complete","_meta":{"io.modelcontextprotocol/serverInfo":{}}}}}"#,
        );
        assert!(legacy.differences(&modern.of_any_era()).is_empty());
    }

    #[test]
    fn an_old_client_is_told_of_no_structures() {
        let direct = got(r#"{"calls":[{"name":"a","result":{"content":[],"structuredContent":{}}}]}"#);
        let through = got(r#"{"calls":[{"name":"a","result":{"content":[]}}]}"#);
        assert!(direct.clone().without_structures().differences(&through).is_empty());
        assert_eq!(direct.clone().without_structures().differences(&direct).len(), 1);
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

    #[test]
    fn a_stateless_client_may_be_asked_for_roots_in_any_call() {
        let call = |asked: Value| serde_json::json!({ "progress": [], "asked": asked });
        let none = call(serde_json::json!([]));
        assert!(is_served(&none, &call(serde_json::json!(["roots/list"]))));
        assert!(!is_served(&none, &call(serde_json::json!(["elicitation/create"]))));
        assert!(!is_served(&call(serde_json::json!(["roots/list"])), &none));
    }

    #[test]
    fn a_difference_shows_its_place() {
        let value =
            |text: &str| serde_json::json!({ "name": "add", "result": { "content": [{ "text": text }] } });
        let (one, other) = (value("1"), value("2"));
        assert_eq!(narrowed(&one, &other).0, "/result/content/0/text");
        assert_eq!(narrowed(&one, &serde_json::json!({})).0, "");
    }
}
