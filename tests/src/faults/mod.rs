//! A TCP proxy that does to connections what networks do.
//!
//! * [`script`]: faults, and what happens when, as text or drawn from a seed;
//! * [`pipe`]: one direction of one connection, under whatever fault is imposed;
//! * [`proxy`]: the listener. What it draws, it draws from its seed: the same seed and the same traffic give the
//!   same faults.
//!
//! The `omcp-fault-proxy` program is its command line.

pub mod pipe;
pub mod proxy;
pub mod script;

#[cfg(test)]
mod tests;

pub use proxy::FaultProxy;
pub use script::{Fault, Script, Step, Way};
