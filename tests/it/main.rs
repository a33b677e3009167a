//! The integration suite: each module tells one story about the real programs.

/// Which crate may use which; no circles between modules.
mod architecture;
