//! Names as the aggregate spells them, for what a client asks, and taken away again from what it gets.

use serde_json::{Map, Value};

/// A plan for the aggregate, which puts the backend before every name and URI.
pub fn added(plan: &Value, backend: &str) -> Value {
    let name = |name: &Value| Value::from(format!("{backend}__{}", text(name)));
    let uri = |uri: &Value| Value::from(format!("{backend}+{}", text(uri)));
    let mut plan = plan.clone();
    for calls in ["calls", "completions", "cancel"] {
        each(plan.get_mut(calls), |call| call[0] = name(&call[0]));
    }
    for call in ["touch", "untouch"] {
        if let Some(call) = plan.get_mut(call) {
            call[0] = name(&call[0]);
        }
    }
    for names in ["tasks", "hidden", "skipped"] {
        each(plan.get_mut(names), |tool| *tool = name(tool));
    }
    for uris in ["resources", "subscriptions"] {
        each(plan.get_mut(uris), |resource| *resource = uri(resource));
    }
    if let Some(prompts) = plan.get_mut("prompts").and_then(Value::as_object_mut) {
        let prefixed: Map<String, Value> = std::mem::take(prompts)
            .into_iter()
            .map(|(prompt, arguments)| (format!("{backend}__{prompt}"), arguments))
            .collect();
        *prompts = prefixed;
    }
    plan
}

/// What a client printed, as if it had been at the backend's own endpoint.
pub fn removed(output: &str, backend: &str) -> String {
    output.replace(&format!("{backend}__"), "").replace(&format!("{backend}+"), "")
}

fn each(list: Option<&mut Value>, change: impl Fn(&mut Value)) {
    list.and_then(Value::as_array_mut).into_iter().flatten().for_each(change);
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_added_is_removed_again() {
        let plan = json!({ "calls": [["add", { "a": 1 }]], "hidden": ["env"], "resources": ["note://7"],
                           "prompts": { "review": { "code": "x" } }, "completions": [["review", "code", ""]],
                           "roots": ["file:///tmp"], "tasks": [], "subscriptions": [] });
        let prefixed = added(&plan, "b");
        assert_eq!(prefixed["calls"], json!([["b__add", { "a": 1 }]]));
        assert_eq!(
            (&prefixed["resources"][0], &prefixed["roots"][0]),
            (&json!("b+note://7"), &json!("file:///tmp"))
        );
        assert_eq!(removed(&prefixed.to_string(), "b"), plan.to_string());
    }
}
