//! Publishing: from what was committed to what nodes and watchers receive.
//!
//! - [`cursor`]: a point in the store's history
//! - [`table`]: the newest state of every backend, in memory
//! - [`frame`]: changes, encoded once and shared
//! - [`snapshot`]: everything, compressed once and shared
//! - [`hub`]: [`Hub`], which the writer feeds and everybody else reads

pub mod cursor;
pub mod frame;
pub mod hub;
pub mod snapshot;
pub mod table;

pub use cursor::Cursor;
pub use frame::Frame;
pub use hub::{CatchUp, Hub};
pub use snapshot::EncodedSnapshot;
pub use table::{Commit, Table};
