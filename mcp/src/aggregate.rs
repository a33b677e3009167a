//! Many backends behind one endpoint: names, lists, capabilities and references, as pure code.
//!
//! In reading order:
//!
//! - [`names`], [`uris`], [`ids`], [`tasks`]: what a backend calls something, and what clients of the aggregate
//!   call it
//! - [`list`]: the four kinds of list
//! - [`item`]: one entry of a list, as clients see it
//! - [`source`]: what one backend said of itself and its lists
//! - [`catalog`]: that, ready to be listed and looked up
//! - [`statement`]: the capabilities of all of them
//! - [`page`]: the lists of all of them, and cursors into them
//! - [`address`]: which backend a request is for
//! - [`message`]: a backend's message on its way to the client
//! - [`replay`]: all of it driven by any bytes, for fuzzing

pub mod address;
pub mod catalog;
pub mod ids;
pub mod item;
pub mod list;
pub mod message;
pub mod names;
pub mod page;
pub mod replay;
pub mod source;
pub mod statement;
pub mod tasks;
pub mod uris;
