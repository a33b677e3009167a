//! Content blocks that came with later revisions.

use std::ops::Range;

use super::text;
use crate::bridge::edits::{Edits, joined, object, pair, quoted};
use crate::object::{elements, member};
use crate::revision::Revision;

/// Stands in for the address that an embedded resource needs and a sound does not have.
const AUDIO_URI: &str = "about:audio";

/// Replaces the block at `at` if `client` does not know it.
pub(super) fn block(edits: &mut Edits<'_>, bytes: &[u8], at: Range<usize>, client: Revision) {
    let raw = &bytes[at.clone()];
    match text(raw, "type").as_deref() {
        Some("audio") if client < Revision::V2025_03_26 => edits.replace(at, embedded_audio(raw)),
        Some("resource_link") if client < Revision::V2025_06_18 => {
            let (name, uri) = (text(raw, "name").unwrap_or_default(), text(raw, "uri").unwrap_or_default());
            edits.replace(at, text_block(&format!("{name}: {uri}")));
        }
        _ => {}
    }
}

fn embedded_audio(raw: &[u8]) -> Vec<u8> {
    let part = |name| member(raw, 0..raw.len(), name).map_or(&b"\"\""[..], |at| &raw[at]);
    let resource = object(&joined(&[
        &pair("uri", &quoted(AUDIO_URI)),
        &pair("mimeType", part("mimeType")),
        &pair("blob", part("data")),
    ]));
    object(&joined(&[br#""type":"resource""#, &pair("resource", &resource)]))
}

fn text_block(said: &str) -> Vec<u8> {
    object(&joined(&[br#""type":"text""#, &pair("text", &quoted(said))]))
}

/// The parameters of a sampling whose messages hold one block each, of a kind that `client` knows.
pub(super) fn sampling(params: &[u8], client: Revision) -> Vec<u8> {
    let mut edits = Edits::new(params);
    let list = member(params, 0..params.len(), "messages").filter(|at| params[at.start] == b'[');
    for message in list.into_iter().flat_map(|list| elements(params, list)) {
        let Some(at) = member(params, message, "content") else {
            continue;
        };
        let raw = &params[at.clone()];
        let lone = single(raw);
        let shown = lone.as_deref().unwrap_or(raw);
        if text(shown, "type").as_deref() == Some("audio") && client < Revision::V2025_03_26 {
            let kind = text(shown, "mimeType").unwrap_or_default();
            edits.replace(at, text_block(&format!("(audio of type {kind}, which this client cannot take)")));
        } else if let Some(lone) = lone {
            edits.replace(at, lone);
        }
    }
    edits.apply().to_vec()
}

/// One block for a list of blocks: the only one, else the first text. `None` if it is no list.
pub(super) fn single(raw: &[u8]) -> Option<Vec<u8>> {
    if raw.first() != Some(&b'[') {
        return None;
    }
    let blocks: Vec<&[u8]> = elements(raw, 0..raw.len()).map(|at| &raw[at]).collect();
    if let [only] = blocks[..] {
        return Some(only.to_vec());
    }
    let first = blocks.into_iter().find(|block| text(block, "type").as_deref() == Some("text"));
    Some(first.map_or_else(|| text_block(""), <[u8]>::to_vec))
}
