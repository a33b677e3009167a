//! Method names of every revision, and which of them an era knows.

pub const INITIALIZE: &str = "initialize";
pub const INITIALIZED: &str = "notifications/initialized";
pub const SERVER_DISCOVER: &str = "server/discover";
pub const PING: &str = "ping";

pub const TOOLS_LIST: &str = "tools/list";
pub const TOOLS_CALL: &str = "tools/call";
pub const PROMPTS_LIST: &str = "prompts/list";
pub const PROMPTS_GET: &str = "prompts/get";
pub const RESOURCES_LIST: &str = "resources/list";
pub const RESOURCES_TEMPLATES_LIST: &str = "resources/templates/list";
pub const RESOURCES_READ: &str = "resources/read";
pub const RESOURCES_SUBSCRIBE: &str = "resources/subscribe";
pub const RESOURCES_UNSUBSCRIBE: &str = "resources/unsubscribe";
pub const COMPLETION_COMPLETE: &str = "completion/complete";
pub const LOGGING_SET_LEVEL: &str = "logging/setLevel";
pub const SUBSCRIPTIONS_LISTEN: &str = "subscriptions/listen";

pub const TASKS_GET: &str = "tasks/get";
pub const TASKS_UPDATE: &str = "tasks/update";
pub const TASKS_CANCEL: &str = "tasks/cancel";
pub const TASKS_RESULT: &str = "tasks/result";
pub const TASKS_LIST: &str = "tasks/list";

pub const SAMPLING_CREATE_MESSAGE: &str = "sampling/createMessage";
pub const ELICITATION_CREATE: &str = "elicitation/create";
pub const ROOTS_LIST: &str = "roots/list";

pub const CANCELLED: &str = "notifications/cancelled";
pub const PROGRESS: &str = "notifications/progress";
pub const MESSAGE: &str = "notifications/message";
pub const TOOLS_LIST_CHANGED: &str = "notifications/tools/list_changed";
pub const PROMPTS_LIST_CHANGED: &str = "notifications/prompts/list_changed";
pub const RESOURCES_LIST_CHANGED: &str = "notifications/resources/list_changed";
pub const RESOURCES_UPDATED: &str = "notifications/resources/updated";
pub const ROOTS_LIST_CHANGED: &str = "notifications/roots/list_changed";
pub const ELICITATION_COMPLETE: &str = "notifications/elicitation/complete";
pub const SUBSCRIPTIONS_ACKNOWLEDGED: &str = "notifications/subscriptions/acknowledged";
pub const TASKS_STATUS: &str = "notifications/tasks/status";
pub const TASKS: &str = "notifications/tasks";

/// Requests that legacy clients may send and modern servers answer with -32601.
pub const REMOVED_FROM_MODERN: [&str; 7] = [
    INITIALIZE,
    PING,
    LOGGING_SET_LEVEL,
    RESOURCES_SUBSCRIBE,
    RESOURCES_UNSUBSCRIBE,
    TASKS_LIST,
    TASKS_RESULT,
];

/// Requests that only modern servers know.
pub const MODERN_ONLY: [&str; 3] = [SERVER_DISCOVER, SUBSCRIPTIONS_LISTEN, TASKS_UPDATE];

/// Requests that a modern server may answer with `resultType: "input_required"`.
pub const MULTI_ROUND_TRIP: [&str; 3] = [TOOLS_CALL, PROMPTS_GET, RESOURCES_READ];

/// Requests whose results carry `ttlMs` and `cacheScope` in the modern era.
pub const CACHEABLE: [&str; 6] =
    [SERVER_DISCOVER, TOOLS_LIST, PROMPTS_LIST, RESOURCES_LIST, RESOURCES_TEMPLATES_LIST, RESOURCES_READ];

/// Requests that a legacy server may send to a client.
pub const SERVER_TO_CLIENT: [&str; 3] = [SAMPLING_CREATE_MESSAGE, ELICITATION_CREATE, ROOTS_LIST];

/// Log levels, least severe first (RFC 5424).
pub const LOG_LEVELS: [&str; 8] =
    ["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"];

/// Whether `method` existed in the legacy era and is gone from the modern one.
pub fn is_removed_from_modern(method: &str) -> bool {
    REMOVED_FROM_MODERN.contains(&method)
}

/// Whether only modern servers know `method`.
pub fn is_modern_only(method: &str) -> bool {
    MODERN_ONLY.contains(&method)
}

/// Whether a modern server may ask for input before it answers `method`.
pub fn is_multi_round_trip(method: &str) -> bool {
    MULTI_ROUND_TRIP.contains(&method)
}

/// Whether a modern client asks about one task with `method`.
pub fn is_about_task(method: &str) -> bool {
    matches!(method, TASKS_GET | TASKS_UPDATE | TASKS_CANCEL)
}

/// The member of `params` that names what a request is about: `name`, `uri` or `taskId`.
pub fn target_member(method: &str) -> Option<&'static str> {
    match method {
        TOOLS_CALL | PROMPTS_GET => Some("name"),
        RESOURCES_READ | RESOURCES_SUBSCRIBE | RESOURCES_UNSUBSCRIBE => Some("uri"),
        TASKS_GET | TASKS_UPDATE | TASKS_CANCEL | TASKS_RESULT => Some("taskId"),
        _ => None,
    }
}

/// Whether a modern HTTP request with `method` has to repeat its target in `Mcp-Name`.
pub fn needs_name_header(method: &str) -> bool {
    target_member(method).is_some() && !is_removed_from_modern(method)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_header_is_needed_exactly_for_modern_methods_with_a_target() {
        for method in [TOOLS_CALL, PROMPTS_GET, RESOURCES_READ, TASKS_GET, TASKS_UPDATE, TASKS_CANCEL] {
            assert!(needs_name_header(method), "{method}");
        }
        for method in [TOOLS_LIST, RESOURCES_SUBSCRIBE, TASKS_RESULT, SERVER_DISCOVER, CANCELLED, "x/y"] {
            assert!(!needs_name_header(method), "{method}");
        }
    }

    #[test]
    fn no_method_is_both_removed_and_modern_only() {
        assert!(REMOVED_FROM_MODERN.iter().all(|method| !is_modern_only(method)));
        assert!(MULTI_ROUND_TRIP.iter().all(|method| !is_removed_from_modern(method)));
    }
}
