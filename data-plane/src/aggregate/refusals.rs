//! What clients are told whose request has no backend to go to.

use bytes::Bytes;
use omcp_core::{BackendName, GatewayError};
use omcp_mcp::aggregate::address::{Address, Subject};
use omcp_mcp::bridge::capabilities::{ClientCapabilities, required_tasks};
use omcp_mcp::bridge::failure;
use omcp_mcp::bridge::message::Message;
use omcp_mcp::methods;
use omcp_mcp::refusal::{code, error_response};
use omcp_mcp::revision::Era;
use serde_json::json;

use super::view::Unowned;

/// Methods that need a reference to something of a backend.
const ADDRESSED: [&str; 6] = [
    methods::TOOLS_CALL,
    methods::PROMPTS_GET,
    methods::RESOURCES_READ,
    methods::RESOURCES_SUBSCRIBE,
    methods::RESOURCES_UNSUBSCRIBE,
    methods::COMPLETION_COMPLETE,
];

/// Whether the aggregate knows the method, so that its parameters are to blame.
pub fn is_known(method: &str) -> bool {
    ADDRESSED.contains(&method)
        || (methods::target_member(method) == Some("taskId") && method != methods::TASKS_LIST)
}

/// Nobody has what the request is about, or several have.
pub fn unowned(request: Message<'_>, address: &Address, why: Unowned, to: Era) -> Bytes {
    let (id, name) = (request.id(), &address.text);
    let what = match address.subject {
        Subject::Tool => "tool",
        Subject::Prompt => "prompt",
        Subject::Resource => "resource",
        // One that is somebody else's is not told from one that is none.
        Subject::Task => return failure::unknown_task(&id),
    };
    let text = match why {
        Unowned::Unknown => format!("no backend here has the {what} {name:?}; see the list"),
        Unowned::Ambiguous => format!("several backends have the {what} {name:?}; call it as it is listed"),
    };
    let missing = address.subject == Subject::Resource && why == Unowned::Unknown;
    let code = if missing && to == Era::Legacy { code::RESOURCE_NOT_FOUND } else { code::INVALID_PARAMS };
    let data = missing.then(|| json!({ "uri": name }));
    error_response(&id, code, &text, data.as_ref()).into()
}

/// Tasks are for those who know of them: whoever does not say so on the very request has none.
pub fn tasks_undeclared(request: Message<'_>) -> Option<Bytes> {
    let declared = ClientCapabilities::of_modern(request).tasks;
    (!declared).then(|| failure::missing_capability(&request.id(), &required_tasks()))
}

/// The request does not say what it is about.
pub fn malformed(request: Message<'_>) -> Bytes {
    let text = format!("the parameters of {} do not name what it is about", request.method());
    error_response(&request.id(), code::INVALID_PARAMS, &text, None).into()
}

pub fn no_such_method(request: Message<'_>) -> Bytes {
    failure::method_not_found(&request.id(), request.method())
}

/// The backend was removed just now.
pub fn gone(request: Message<'_>, backend: &BackendName) -> Bytes {
    let error = GatewayError::closed("it is not served here any more");
    crate::failure::message(&request.id(), backend.as_str(), &error).into()
}
