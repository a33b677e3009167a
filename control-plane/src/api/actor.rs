//! Who asks, for the history.

use tonic::metadata::MetadataMap;

/// Metadata key by which a caller says who it is. Decoration until there is authentication.
pub const KEY: &str = "omcp-actor";
/// Longest name of an actor, bytes.
const LEN_MAX: usize = 128;

/// The caller's name: printable ASCII, shortened; "unknown" if it says none.
pub fn of(metadata: &MetadataMap) -> String {
    let said = metadata.get(KEY).map(|value| value.as_bytes()).unwrap_or_default();
    let printable = |b: &u8| if (b' '..=b'~').contains(b) { char::from(*b) } else { '?' };
    let name: String = said.iter().take(LEN_MAX).map(printable).collect();
    match name.trim() {
        "" => "unknown".to_owned(),
        name => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_printable_and_short() {
        let actor = |value: &[u8]| {
            let mut metadata = MetadataMap::new();
            let value = tonic::metadata::MetadataValue::try_from(value).unwrap();
            metadata.insert(KEY, value);
            of(&metadata)
        };
        assert_eq!(actor(b"anna@laptop"), "anna@laptop");
        assert_eq!(actor("zo\u{eb}".as_bytes()), "zo??");
        assert_eq!(actor(&[b'a'; 300]).len(), 128);
        assert_eq!(actor(b"  "), "unknown");
        assert_eq!(of(&MetadataMap::new()), "unknown");
    }
}
