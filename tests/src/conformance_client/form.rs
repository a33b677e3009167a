//! How questions to the user are answered: with what the form proposes, and yes.

use serde_json::{Map, Value, json};

/// The result of `elicitation/create`. A field that proposes nothing is a yes or no.
pub fn accepted(params: &Value) -> Value {
    let fields = params["requestedSchema"]["properties"].as_object();
    let value = |field: &Value| field.get("default").cloned().unwrap_or(json!(true));
    let filled = fields.into_iter().flatten().map(|(name, field)| (name.clone(), value(field)));
    json!({ "action": "accept", "content": filled.collect::<Map<_, _>>() })
}

/// Name and arguments of the call once more, with the answers to what its result asks for.
pub fn answered(name: &str, asked: &Value) -> Value {
    let questions = asked["inputRequests"].as_object().into_iter().flatten();
    let answers = questions.map(|(key, question)| (key.clone(), accepted(&question["params"])));
    let mut params =
        json!({ "name": name, "arguments": {}, "inputResponses": answers.collect::<Map<_, _>>() });
    if let Some(state) = asked.get("requestState") {
        params["requestState"] = state.clone();
    }
    params
}
