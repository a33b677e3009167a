//! Answers to list requests. They are made of what is known, and wait for nobody: a backend that does not
//! answer is listed as it last was, and the answer says so.

use std::time::Duration;

use bytes::Bytes;
use omcp_mcp::aggregate::list::List;
use omcp_mcp::aggregate::page::Frame;
use omcp_mcp::bridge::failure::unknown_cursor;
use omcp_mcp::bridge::message::Message;
use omcp_mcp::refusal::{code, error_response};
use omcp_mcp::revision::Era;
use omcp_mcp::{compose, json};
use serde_json::json;

use super::handles::Handles;
use super::view::View;
use super::views::Views;

/// The response to a list request. `handles` are the client's.
pub fn answer(
    views: &Views,
    view: &View,
    list: List,
    request: Message<'_>,
    to: Era,
    handles: &Handles,
) -> Bytes {
    let id = request.id();
    let cursor = match request.param("cursor").filter(|raw| *raw != b"null") {
        None => None,
        Some(raw) => match json::text(raw).and_then(|text| handles.open_cursor(&text, list)) {
            Some(cursor) => Some(cursor),
            None => return unknown_cursor(&id),
        },
    };
    let Ok(page) = view.page(list, to, cursor.as_ref()) else {
        let text = "the list has changed since its last page: begin anew without a cursor";
        return error_response(&id, code::INVALID_PARAMS, text, None).into();
    };
    let state = State::of(views, view, list);
    if state.nobody_answers {
        let data = json!({ "reason": "upstream_unavailable", "backends": state.missing });
        let text = "no backend could be reached yet, so nothing is known of what they list";
        return error_response(&id, code::INTERNAL_ERROR, text, Some(&data)).into();
    }
    let next = match page.next.as_ref().map(|next| handles.seal_cursor(next)).transpose() {
        Ok(next) => next,
        Err(error) => return error_response(&id, code::INTERNAL_ERROR, &error.chain(), None).into(),
    };
    let info = super::info().to_string();
    let ttl_ms = u64::try_from(state.holds.unwrap_or_default().as_millis()).unwrap_or(u64::MAX);
    let (stale, missing) = (&state.stale[..], &state.missing[..]);
    let (info, next) = (info.as_bytes(), next.as_deref());
    let frame = Frame { info, ttl_ms, public: state.public, stale, missing, next };
    compose::response(&id, &frame.result(list, &page, to)).into()
}

/// How much of a list is certain.
struct State<'a> {
    stale: Vec<&'a str>,
    missing: Vec<&'a str>,
    /// For how long it holds, by what every contributor says.
    holds: Option<Duration>,
    public: bool,
    /// Nothing is known, and every backend was tried.
    nobody_answers: bool,
}

impl<'a> State<'a> {
    fn of(views: &Views, view: &'a View, list: List) -> Self {
        let mut state =
            Self { stale: vec![], missing: vec![], holds: None, public: true, nobody_answers: true };
        for part in view.parts() {
            let served = views.served(part.backend.as_str());
            let name = part.backend.as_str();
            let Some(known) = &part.known else {
                state.nobody_answers &= served.is_some_and(|served| served.is_failing());
                state.missing.push(name);
                continue;
            };
            state.nobody_answers = false;
            if !served.is_some_and(|served| served.is_up_to_date(known)) {
                state.stale.push(name);
            }
            let listing = known.catalog.source().list(list);
            if !listing.items.is_empty() {
                let left = Duration::from_millis(listing.ttl_ms).saturating_sub(known.age());
                state.holds = Some(state.holds.map_or(left, |holds| holds.min(left)));
                state.public &= listing.public;
            }
        }
        state.nobody_answers &= !view.parts().is_empty();
        state.public &= state.holds.is_some();
        state
    }
}
