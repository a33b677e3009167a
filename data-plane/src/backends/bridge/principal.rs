//! [`Principal`]: on whose behalf something is done. Lanes on which a server may ask something, and what
//! clients carry between requests, belong to one of them.

use std::sync::{Arc, LazyLock};

/// Who a client is. Everybody is anonymous until clients have keys.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Principal(Arc<str>);

impl Principal {
    pub fn anonymous() -> Self {
        static ANONYMOUS: LazyLock<Principal> = LazyLock::new(|| Principal(Arc::from("anon")));
        ANONYMOUS.clone()
    }

    /// The principal that another node has told.
    pub fn named(name: &str) -> Self {
        Self(Arc::from(name))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Several people may be behind it: nothing that concerns one of them may be shared.
    pub fn is_anonymous(&self) -> bool {
        &*self.0 == "anon"
    }
}
