//! The backends of this node: built from definitions, probed, served, replaced, retired.
//!
//! In reading order:
//!
//! - [`eras`]: which protocol eras a backend speaks
//! - [`stderr`]: what its processes wrote to their standard error
//! - [`health`]: what is known of whether it answers
//! - [`changes`]: the names of which something new is to be told
//! - [`schemas`]: what calls have to know of its tools
//! - [`edition`]: a number that grows with what is listed
//! - [`limits`], [`slots`]: how much all of them may use
//! - [`lane`]: one upstream protocol context
//! - [`bridge`]: lanes and sessions across the eras
//! - [`queue`]: what is to be probed next
//! - [`life`]: how far a definition is from its end
//! - [`turns`]: few connections are opened at once
//! - [`served`]: one built definition: what fronts and sessions hold
//! - [`introduction`]: how the gateway introduces itself
//! - [`dialogue`], [`listing`], [`probe`]: asking a backend what it speaks, and what it lists
//! - [`check`]: asking it whether it is still there
//! - [`prober`]: the few workers that do so
//! - [`table`]: name to served definition, swapped as a whole
//! - [`redacted`]: what is told of a backend has references in it and not their values
//! - [`build`]: from a spec's bytes to a served definition, or the reason why not
//! - [`entry`]: one backend through all its definitions
//! - [`set`]: the task that owns the entries

pub mod bridge;
pub mod build;
pub mod changes;
pub mod check;
pub mod dialogue;
pub mod edition;
pub mod entry;
pub mod eras;
pub mod health;
pub mod introduction;
pub mod lane;
pub mod life;
pub mod limits;
pub mod listing;
pub mod probe;
pub mod prober;
pub mod queue;
pub mod redacted;
pub mod schemas;
pub mod served;
pub mod set;
pub mod slots;
pub mod stderr;
pub mod table;
pub mod turns;

pub use eras::Eras;
pub use limits::BackendLimits;
pub use served::{Circle, Known, ListWatch, Served, SessionGuard, SharedLegacy};
pub use set::{BackendSet, Wanted};
pub use table::Table;

#[cfg(test)]
pub(crate) mod stub;
