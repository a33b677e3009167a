//! [`Redaction`]: puts references back where their values slipped into a text.
//!
//! Errors of runtimes name hosts, paths and programs, all of which may have come from a reference. What a
//! node tells (status, logs, answers to clients) goes through here, so that no author of a runtime has to
//! think of it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::GatewayError;
use crate::reference::{Reference, Resolve};

/// Shortest value that is taken out of texts, bytes: shorter ones are no secrets, and stand in every text.
pub const VALUE_LEN_MIN: usize = 4;

/// The values of one backend's references. Cheap to clone; empty for backends without any.
#[derive(Clone, Default)]
pub struct Redaction {
    /// Value and reference, longest value first.
    values: Arc<[(String, String)]>,
}

impl Redaction {
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The text with references in the place of their values.
    pub fn text(&self, text: &str) -> String {
        let replaced = |text: String, (value, reference): &(String, String)| text.replace(value, reference);
        self.values.iter().fold(text.to_owned(), replaced)
    }

    /// The error as it is, or its whole chain as one text if a value stands in it.
    pub fn error(&self, error: GatewayError) -> GatewayError {
        if self.is_empty() {
            return error;
        }
        let chain = error.chain();
        let told = self.text(&chain);
        if told == chain { error } else { GatewayError::new(error.kind(), told) }
    }
}

/// Resolves as `inner` does, and remembers the values.
pub struct Recording<'a> {
    inner: &'a dyn Resolve,
    seen: Mutex<BTreeMap<String, String>>,
}

impl<'a> Recording<'a> {
    pub fn new(inner: &'a dyn Resolve) -> Self {
        Self { inner, seen: Mutex::default() }
    }

    /// What has been resolved so far.
    pub fn redaction(&self) -> Redaction {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let mut values: Vec<_> =
            seen.iter().map(|(value, reference)| (value.clone(), reference.clone())).collect();
        values.sort_by_key(|(value, _)| std::cmp::Reverse(value.len()));
        Redaction { values: values.into() }
    }

    fn remember(&self, value: &str, reference: &Reference<'_>) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        // As it is, as it stands in quotes, and line by line, since logs are lines.
        let quoted = value.escape_debug().to_string();
        for form in [value, &quoted].into_iter().chain(value.lines()) {
            if form.len() >= VALUE_LEN_MIN {
                seen.insert(form.to_owned(), reference.to_string());
            }
        }
    }
}

impl Resolve for Recording<'_> {
    fn resolve(&self, reference: &Reference<'_>) -> Result<String, GatewayError> {
        let value = self.inner.resolve(reference)?;
        self.remember(&value, reference);
        Ok(value)
    }
}

impl std::fmt::Display for Reference<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Env(name) => write!(f, "${{{name}}}"),
            Self::File(name) => write!(f, "${{file:{name}}}"),
        }
    }
}

impl std::fmt::Debug for Redaction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Redaction({} values)", self.values.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    struct Fixed;

    impl Resolve for Fixed {
        fn resolve(&self, reference: &Reference<'_>) -> Result<String, GatewayError> {
            Ok(match reference {
                Reference::Env("HOST") => "db.internal".to_owned(),
                Reference::Env("URL") => "db.internal/\"key\"".to_owned(),
                Reference::File(_) => "first line\nsecond line".to_owned(),
                Reference::Env(_) => "1".to_owned(),
            })
        }
    }

    fn redaction() -> Redaction {
        let recording = Recording::new(&Fixed);
        crate::reference::resolve_text("${HOST} ${URL} ${file:key} ${SHORT}", &recording).unwrap();
        recording.redaction()
    }

    #[test]
    fn values_become_references_again() {
        for (text, want) in [
            ("cannot connect to db.internal:1", "cannot connect to ${HOST}:1"),
            ("db.internal/\"key\" and \"db.internal/\\\"key\\\"\"", "${URL} and \"${URL}\""),
            ("said: second line", "said: ${file:key}"),
            ("first line\nsecond line", "${file:key}"),
            ("nothing", "nothing"),
        ] {
            assert_eq!(redaction().text(text), want);
        }
    }

    #[test]
    fn errors_keep_their_kind_and_lose_their_values() {
        let cause = std::io::Error::other("db.internal is unknown");
        let error = redaction().error(GatewayError::unreachable("no way").with_source(cause));
        assert_eq!(
            (error.kind(), error.chain().as_str()),
            (ErrorKind::Unreachable, "no way: ${HOST} is unknown")
        );
        let other = redaction().error(GatewayError::closed("gone").with_source(std::io::Error::other("why")));
        assert!(std::error::Error::source(&other).is_some(), "what holds no value is left alone");
        assert_eq!(Redaction::default().error(GatewayError::closed("db.internal")).chain(), "db.internal");
    }
}
