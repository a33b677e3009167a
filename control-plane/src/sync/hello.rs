//! Reading the first message of a node, and deciding where it is to go on.

use omcp_core::{Digest, Epoch, Revision};
use omcp_proto::SYNC_PROTOCOL;
use omcp_proto::v1::{self, Hello, ResumeSource, RuntimeType};

use crate::catalog::{NODE_TYPES_MAX, SCHEMA_LEN_MAX};
use crate::publish::{Cursor, Hub};
use crate::store::Store;
use crate::sync::end::StreamEnd;

/// Longest name of a node, bytes.
const NODE_NAME_LEN_MAX: usize = 128;
/// Longest other text of a Hello, bytes.
const TEXT_LEN_MAX: usize = 2048;
/// Highest revision a node may claim: room above it for all that will ever be written.
const REVISION_MAX: u64 = 1 << 62;

/// Checks everything about a Hello but its cursor.
///
/// # Errors
/// `Protocol` naming the field, or `Version`.
pub fn check(hello: &Hello) -> Result<(), StreamEnd> {
    let (min, max) = (hello.protocol_min, hello.protocol_max);
    if !(min..=max).contains(&SYNC_PROTOCOL) {
        return Err(StreamEnd::Version { min, max, spoken: SYNC_PROTOCOL });
    }
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if hello.node.is_empty() || hello.node.len() > NODE_NAME_LEN_MAX || !hello.node.bytes().all(plain) {
        return protocol(format!(
            "hello.node: use 1 to {NODE_NAME_LEN_MAX} letters, digits, '-', '_' or '.'"
        ));
    }
    if hello.boot_id.len() != 16 {
        return protocol("hello.boot_id: must have 16 bytes");
    }
    if [&hello.build, &hello.mcp_url, &hello.admin_url].iter().any(|text| text.len() > TEXT_LEN_MAX) {
        return protocol(format!("hello: build and URLs have at most {TEXT_LEN_MAX} bytes each"));
    }
    if hello.runtime_types.len() > NODE_TYPES_MAX {
        return protocol(format!("hello.runtime_types: at most {NODE_TYPES_MAX}"));
    }
    hello.runtime_types.iter().try_for_each(check_type)
}

fn check_type(offered: &RuntimeType) -> Result<(), StreamEnd> {
    let texts = [&offered.name, &offered.version, &offered.origin];
    if offered.name.is_empty() || texts.iter().any(|text| text.len() > NODE_NAME_LEN_MAX) {
        return protocol(
            "hello.runtime_types: name, version and origin have at most 128 bytes, the name at least one",
        );
    }
    if offered.settings_schema_json.len() > SCHEMA_LEN_MAX {
        return protocol(format!(
            "hello.runtime_types: the schema of {} is longer than {SCHEMA_LEN_MAX} bytes",
            offered.name
        ));
    }
    Ok(())
}

/// Where a node goes on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Start {
    /// Its own cursor, or the default one, which leads to a snapshot.
    pub cursor: Cursor,
    /// What it holds does not prove itself: a snapshot has to be of this revision at least.
    pub drifted_at: Option<Revision>,
}

impl Start {
    fn at(cursor: Cursor) -> Self {
        Self { cursor, drifted_at: None }
    }

    fn anew(revision: Revision) -> Self {
        Self { cursor: Cursor::default(), drifted_at: Some(revision) }
    }
}

/// Where a node goes on.
///
/// # Errors
/// The cursor is malformed, or the store could not start a new epoch.
pub async fn resume(hello: &Hello, hub: &Hub, store: &Store) -> Result<Start, StreamEnd> {
    let node = &hello.node;
    let head = hub.head();
    let Some(claimed) = hello.resume.as_ref().map(parse).transpose()? else {
        // A node that holds something and names no cursor has found it wrong by itself.
        let holds = matches!(hello.resume_source(), ResumeSource::Memory | ResumeSource::Disk);
        return Ok(if holds { Start::anew(head.revision) } else { Start::default() });
    };
    if claimed.epoch != head.epoch {
        return Ok(Start::default());
    }
    if claimed.revision > head.revision {
        tracing::error!(
            node,
            claimed = claimed.revision,
            head = head.revision,
            "a node holds a newer revision than the store: the database is an older copy of itself"
        );
        store.start_epoch(claimed.revision).await?;
        return Ok(Start::default());
    }
    let kept = hub.table().digest_at(claimed.revision);
    if kept.is_some_and(|digest| digest != claimed.digest) {
        tracing::warn!(node, revision = claimed.revision, "the node's state has drifted: sending a snapshot");
        return Ok(Start::anew(claimed.revision));
    }
    Ok(Start::at(claimed))
}

/// Reads a cursor.
///
/// # Errors
/// `Protocol`, naming the field.
pub fn parse(cursor: &v1::Cursor) -> Result<Cursor, StreamEnd> {
    let malformed = |field| StreamEnd::Protocol(format!("cursor.{field}: malformed"));
    let epoch = Epoch::from_slice(&cursor.epoch).ok_or_else(|| malformed("epoch"))?;
    let digest = Digest::from_slice(&cursor.digest).ok_or_else(|| malformed("digest"))?;
    if cursor.revision > REVISION_MAX {
        return Err(malformed("revision"));
    }
    Ok(Cursor { epoch, revision: cursor.revision, digest })
}

fn protocol(message: impl Into<String>) -> Result<(), StreamEnd> {
    Err(StreamEnd::Protocol(message.into()))
}
