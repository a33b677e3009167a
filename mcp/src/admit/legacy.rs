//! The rules of legacy Streamable HTTP (2025-03-26 to 2025-11-25) that need no session contents.

use crate::envelope::{Envelope, Kind};
use crate::methods;
use crate::refusal::Refusal;
use crate::revision::Revision;

/// The header fields these rules look at.
#[derive(Clone, Copy, Default, Debug)]
pub struct LegacyHeaders<'a> {
    pub protocol_version: Option<&'a str>,
    pub session: Option<&'a str>,
}

/// Whether a POST may go on to its session. `initialize` needs neither header.
///
/// A known revision that is not the negotiated one passes: the text only says SHOULD.
///
/// # Errors
/// The refusal that answers the request, with its id.
pub fn admit_legacy(envelope: &Envelope, body: &[u8], headers: &LegacyHeaders<'_>) -> Result<(), Refusal> {
    if envelope.kind() == Kind::Request && envelope.is_method(body, methods::INITIALIZE) {
        return Ok(());
    }
    version_agrees(envelope, body, headers)
        .and_then(|()| version_is_known(headers))
        .and_then(|()| session_is_given(headers))
        .map_err(|refusal| refusal.answering(envelope, body))
}

/// Whether a GET may open its session's stream.
///
/// # Errors
/// The refusal that answers it.
pub fn admit_legacy_stream(headers: &LegacyHeaders<'_>, accepts_event_stream: bool) -> Result<(), Refusal> {
    if !accepts_event_stream {
        return Err(Refusal::not_acceptable("Accept must include text/event-stream"));
    }
    version_is_known(headers).and_then(|()| session_is_given(headers))
}

/// Whether a DELETE may end its session.
///
/// # Errors
/// The refusal that answers it.
pub fn admit_legacy_delete(headers: &LegacyHeaders<'_>) -> Result<(), Refusal> {
    version_is_known(headers).and_then(|()| session_is_given(headers))
}

/// A legacy body may name its revision too; then both have to say the same.
fn version_agrees(envelope: &Envelope, body: &[u8], headers: &LegacyHeaders<'_>) -> Result<(), Refusal> {
    match (envelope.protocol_version(body), headers.protocol_version) {
        (Some(named), Some(header)) if named != header => Err(Refusal::header_mismatch(
            "the header MCP-Protocol-Version does not match params._meta of the body",
        )),
        _ => Ok(()),
    }
}

fn version_is_known(headers: &LegacyHeaders<'_>) -> Result<(), Refusal> {
    match headers.protocol_version {
        Some(version) if Revision::parse(version).is_none() => {
            Err(Refusal::unknown_legacy_version(&Revision::LEGACY.map(Revision::as_str)))
        }
        _ => Ok(()),
    }
}

fn session_is_given(headers: &LegacyHeaders<'_>) -> Result<(), Refusal> {
    match headers.session {
        Some(_) => Ok(()),
        None => Err(Refusal::session_required()),
    }
}
