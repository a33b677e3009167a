//! [`InvalidBackend`]: why something asked for cannot be.

/// One broken rule: the field as the user typed it, and the reason.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}")]
pub struct InvalidBackend {
    pub field: String,
    pub reason: String,
}

impl InvalidBackend {
    pub fn new(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { field: field.into(), reason: reason.into() }
    }
}
