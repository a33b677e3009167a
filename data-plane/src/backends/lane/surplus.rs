//! [`Surplus`]: how much is read of what nobody asked for.

use std::time::Duration;

/// Messages read in a second that belong to no call: more than any server has to tell, and a hundredth of a core.
pub const SURPLUS_PER_S: u32 = 2_000;
/// The rate holds for each of these; after its share the peer waits for the next, with its answers.
pub(super) const TICK: Duration = Duration::from_millis(250);
const SURPLUS_MAX: u32 = SURPLUS_PER_S / 4;

/// Counts them within one tick. A peer that floods is held back by its own pipe or window, and not its
/// neighbours by the reading of it.
#[derive(Default)]
pub(super) struct Surplus {
    read: u32,
    told: bool,
}

impl Surplus {
    pub fn has_room(&self) -> bool {
        self.read < SURPLUS_MAX
    }

    pub fn add(&mut self) {
        self.read += 1;
        if !self.has_room() && !self.told {
            self.told = true;
            tracing::warn!(
                messages = SURPLUS_MAX,
                "the backend floods: what belongs to no call is read at a limited rate from now on"
            );
        }
    }

    /// The next tick has come.
    pub fn renew(&mut self) {
        self.read = 0;
    }
}
