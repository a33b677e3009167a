//! Batches, which only 2025-03-26 has: split, run side by side, answered together.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;
use http::Response;
use omcp_core::McpMessage;
use omcp_mcp::envelope::{Kind, ScanLimits};
use omcp_mcp::refusal::Refusal;

use super::body::Body;
use super::config::FrontConfig;
use super::events::Presence;
use super::headers::Accepts;
use super::{relay_legacy, reply};
use crate::backends::lane::Labels;
use crate::failure;
use crate::session::Session;

/// Messages in one batch: more is a flood, not a batch.
pub const MESSAGES_MAX: usize = 64;

/// # Errors
/// The batch is empty, too long, or holds something that is no message.
pub async fn relay(
    session: &Arc<Session>,
    bytes: &Bytes,
    config: &FrontConfig,
) -> Result<Response<Body>, Refusal> {
    let messages = split(bytes)?;
    let (requests, rest): (Vec<_>, Vec<_>) =
        messages.into_iter().partition(|message| message.envelope().kind() == Kind::Request);
    for message in rest {
        let accepts = Accepts { json: true, events: false, prefers_events: false };
        drop(relay_legacy::relay(session, &message, accepts, config).await);
    }
    if requests.is_empty() {
        return Ok(reply::accepted());
    }
    let answers = join_all(requests.iter().map(|request| answer(session, request))).await;
    // A call that the client cancelled has no answer.
    let answers: Vec<&[u8]> =
        answers.iter().map(AsRef::as_ref).filter(|answer: &&[u8]| !answer.is_empty()).collect();
    if answers.is_empty() {
        return Ok(reply::accepted());
    }
    Ok(reply::json([b"[", answers.join(&b","[..]).as_slice(), b"]"].concat().into()))
}

async fn answer(session: &Session, request: &McpMessage) -> Bytes {
    let Some(labels) = Labels::of(request) else {
        return Bytes::new();
    };
    if let Some(answer) = relay_legacy::answer_here(session.is_shared(), &labels, request) {
        return answer;
    }
    let id = Bytes::copy_from_slice(labels.id());
    match session.call(request, labels, false) {
        Ok((stream, log)) => {
            let _presence = Presence::of(log.clone());
            log.ended().await;
            session.forget_stream(stream);
            log.answer(true).unwrap_or_default()
        }
        Err(error) => failure::message(&id, session.backend(), &error).into(),
    }
}

fn split(bytes: &Bytes) -> Result<Vec<McpMessage>, Refusal> {
    let items = omcp_mcp::batch::split(bytes, &ScanLimits::default())
        .map_err(|error| Refusal::not_a_message(&error, bytes))?;
    if items.len() > MESSAGES_MAX {
        return Err(Refusal::invalid_request(format!("the batch holds more than {MESSAGES_MAX} messages")));
    }
    items.into_iter().map(|item| one_line(bytes.slice(item.range))).collect()
}

fn one_line(bytes: Bytes) -> Result<McpMessage, Refusal> {
    McpMessage::parse(bytes.clone()).map_err(|error| Refusal::not_a_message(&error, &bytes))
}
