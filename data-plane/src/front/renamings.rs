//! [`Renamings`]: sessions of HTTP servers whose names were read a moment ago.
//!
//! A busy session names itself with each of its calls, and opening a seal is a good part of what the node does
//! with one.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use http::HeaderValue;

use crate::backends::bridge::principal::Principal;

/// Sessions remembered. Of more that are busy at once, some are opened more often.
const SLOTS: usize = 1024;
/// How long a name is known without being opened anew: so much longer it is good when its time, or its key's,
/// is over.
const KNOWN_FOR: Duration = Duration::from_secs(5);

/// Names of ours, and the server's that they stand for.
pub struct Renamings {
    slots: Box<[Mutex<Option<Box<Known>>>]>,
}

struct Known {
    endpoint: Box<str>,
    principal: Principal,
    ours: HeaderValue,
    theirs: HeaderValue,
    since: Instant,
}

impl Default for Renamings {
    fn default() -> Self {
        let slots = std::iter::repeat_with(Mutex::default).take(SLOTS).collect();
        Self { slots }
    }
}

impl Renamings {
    /// The server's name of a session, if it was told for just this endpoint and principal a moment ago.
    pub fn theirs(&self, endpoint: &str, principal: &Principal, ours: &HeaderValue) -> Option<HeaderValue> {
        let slot = self.slot(ours);
        let known = slot.as_ref().filter(|known| known.ours == *ours)?;
        let same = *known.endpoint == *endpoint && known.principal == *principal;
        (same && known.since.elapsed() < KNOWN_FOR).then(|| known.theirs.clone())
    }

    /// Remembers what was sealed in a name.
    pub fn learn(&self, endpoint: &str, principal: &Principal, ours: &HeaderValue, theirs: &HeaderValue) {
        let known = Known {
            endpoint: endpoint.into(),
            principal: principal.clone(),
            ours: ours.clone(),
            theirs: theirs.clone(),
            since: Instant::now(),
        };
        *self.slot(ours) = Some(Box::new(known));
    }

    fn slot(&self, ours: &HeaderValue) -> MutexGuard<'_, Option<Box<Known>>> {
        self.slots[index(ours)].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A name ends with the tag of its seal, which is as random as a hash.
fn index(ours: &HeaderValue) -> usize {
    let tag = ours.as_bytes().last_chunk::<8>().map_or(0, |tag| u64::from_le_bytes(*tag));
    (tag.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as usize % SLOTS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_known_where_it_was_opened_and_for_a_while() {
        let (renamings, alice, bob) =
            (Renamings::default(), Principal::named("alice"), Principal::named("bob"));
        let (ours, theirs) = (HeaderValue::from_static("ours"), HeaderValue::from_static("theirs"));
        assert_eq!(renamings.theirs("files", &alice, &ours), None);
        renamings.learn("files", &alice, &ours, &theirs);
        assert_eq!(renamings.theirs("files", &alice, &ours), Some(theirs));
        assert_eq!(renamings.theirs("file", &alice, &ours), None);
        assert_eq!(renamings.theirs("files", &bob, &ours), None);
        assert_eq!(renamings.theirs("files", &alice, &HeaderValue::from_static("our")), None);
        let mut slot = renamings.slot(&ours);
        slot.as_mut().unwrap().since -= KNOWN_FOR;
        drop(slot);
        assert_eq!(renamings.theirs("files", &alice, &ours), None);
    }
}
