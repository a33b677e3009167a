//! Members whose meaning depends on the message, gathered before that is known.

use super::{Kind, Parts};
use crate::json::Span;
use crate::methods;

#[derive(Default)]
pub(super) struct ByMethod {
    pub(super) name: Span,
    pub(super) uri: Span,
    pub(super) task_id: Span,
    pub(super) progress_token: Span,
    /// `result._meta`'s, which counts in responses only.
    pub(super) subscription_id: Span,
}

impl ByMethod {
    /// Gives the members their meaning.
    pub(super) fn resolve(&self, kind: Kind, method: &[u8], parts: &mut Parts) {
        let method = std::str::from_utf8(method).unwrap_or_default();
        parts.target = match methods::target_member(method) {
            Some("name") => self.name,
            Some("uri") => self.uri,
            Some("taskId") => self.task_id,
            _ => Span::default(),
        };
        if method == methods::PROGRESS {
            parts.progress_token = self.progress_token;
        }
        if kind == Kind::Response {
            parts.subscription_id = self.subscription_id;
        }
    }
}
