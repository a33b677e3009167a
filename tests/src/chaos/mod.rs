//! What the gateway bears: real programs under steady load, while somebody kills, cuts and edits.
//!
//! Reading order:
//!
//! * [`plan`]: how much of it, and the seed that everything random comes from; [`row`]: one line of the table;
//! * [`ledger`]: what was sent, and what the backends wrote down of it; [`caller`]: a client that tries again
//!   where its protocol says so; [`load`]: calls by the clock, each of them judged;
//! * [`streams`]: clients that listen; [`impolite`]: clients that leave without a word;
//! * [`stage`]: control plane, nodes and twenty backends; [`look`]: what a node and its processes hold;
//!   [`fleet`]: where nodes stand towards their control plane;
//! * [`checks`]: rows that most scenarios have; [`scenarios`]: the list.
//!
//! The `omcp-chaos` program runs one scenario, `cargo xtask chaos` all of them.

pub mod caller;
pub mod checks;
pub mod fleet;
pub mod impolite;
pub mod ledger;
pub mod load;
pub mod look;
pub mod plan;
pub mod row;
pub mod scenarios;
pub mod stage;
pub mod streams;
