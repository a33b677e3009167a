//! [`Principal`]: on whose behalf something is done. Lanes on which a server may ask something, and what
//! clients carry between requests, belong to one of them.

use std::sync::Arc;

/// Who a client is. Everybody is anonymous until clients have keys.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Principal(Arc<str>);

impl Principal {
    pub fn anonymous() -> Self {
        Self(Arc::from("anon"))
    }

    /// Several people may be behind it: nothing that concerns one of them may be shared.
    pub fn is_anonymous(&self) -> bool {
        &*self.0 == "anon"
    }
}
