//! The array form of JSON-RPC. Only revision 2025-03-26 has it, and only from client to server.

use std::ops::Range;

use crate::envelope::{Envelope, ScanError, ScanErrorKind, ScanLimits};
use crate::object;

/// One message of a batch.
#[derive(Clone, Debug)]
pub struct BatchItem {
    /// Where the message stands in the batch.
    pub range: Range<usize>,
    /// Its parts, relative to `range.start`.
    pub envelope: Envelope,
}

/// Takes a batch apart. An empty batch gives an empty list.
///
/// # Errors
/// The text is no JSON array, or one of its elements is no message; the offset counts from the start of
/// the batch, and no id is given: a refused batch is refused as a whole.
pub fn split(bytes: &[u8], limits: &ScanLimits) -> Result<Vec<BatchItem>, ScanError> {
    match Envelope::scan(bytes, limits) {
        Err(error) if error.kind == ScanErrorKind::BatchArray => {}
        Err(error) => return Err(error),
        Ok(_) => return Err(ScanError::no_batch()),
    }
    object::elements(bytes, 0..bytes.len()).map(|range| item(bytes, range, limits)).collect()
}

fn item(bytes: &[u8], range: Range<usize>, limits: &ScanLimits) -> Result<BatchItem, ScanError> {
    let start = range.start;
    let envelope = Envelope::scan(&bytes[range.clone()], limits).map_err(|error| error.within(start))?;
    Ok(BatchItem { range, envelope })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::Kind;

    #[test]
    fn elements_become_messages() {
        let batch = br#" [ {"jsonrpc":"2.0","id":1,"method":"ping"},
            {"jsonrpc":"2.0","method":"notifications/initialized"} ] "#;
        let items = split(batch, &ScanLimits::default()).unwrap();
        let kinds: Vec<_> = items.iter().map(|item| item.envelope.kind()).collect();
        assert_eq!(kinds, [Kind::Request, Kind::Notification]);
        let first = &batch[items[0].range.clone()];
        assert_eq!(items[0].envelope.method(first), Some("ping"));
        assert!(split(b"[]", &ScanLimits::default()).unwrap().is_empty());
    }

    #[test]
    fn a_bad_element_spoils_the_batch() {
        for (batch, kind, offset) in [
            (r#"[{"jsonrpc":"2.0","id":1,"method":"a"},{"jsonrpc":"1.0"}]"#, ScanErrorKind::NotJsonRpc, 39),
            ("[1]", ScanErrorKind::NotJsonRpc, 1),
            ("[[]]", ScanErrorKind::BatchArray, 1),
            ("[}", ScanErrorKind::NotJson, 1),
            (r#"{"jsonrpc":"2.0","id":1,"method":"a"}"#, ScanErrorKind::NotJsonRpc, 0),
        ] {
            let error = split(batch.as_bytes(), &ScanLimits::default()).unwrap_err();
            assert_eq!((error.kind, error.offset, error.id), (kind, offset, None), "{batch}");
        }
    }
}
