//! Which kind of message a set of members makes.

use super::{Kind, Parts};
use crate::json::{self, Span};

/// The kind, or what is wrong. `null_id`: the id is `null`.
pub(super) fn kind(src: &[u8], parts: &Parts, version: Span, null_id: bool) -> Result<Kind, &'static str> {
    if version.of(src).and_then(json::text).as_deref() != Some("2.0") {
        return Err("`jsonrpc` must be \"2.0\"");
    }
    let has = (!parts.method.is_absent(), !parts.result.is_absent(), !parts.error.is_absent());
    match has {
        (true, false, false) if null_id => Err("`id` must be a string or an integer"),
        (true, false, false) if parts.id.is_absent() => Ok(Kind::Notification),
        (true, false, false) => Ok(Kind::Request),
        (false, true, false) if parts.id.is_absent() => Err("a response needs an `id`"),
        (false, true, false) => Ok(Kind::Response),
        (false, false, true) if parts.error.first(src) != Some(b'{') => Err("`error` must be an object"),
        (false, false, true) => Ok(Kind::Error),
        (false, true, true) => Err("`result` and `error` exclude each other"),
        (false, false, false) => Err("it has no `method`, `result` or `error`"),
        (true, ..) => Err("`method` excludes `result` and `error`"),
    }
}
