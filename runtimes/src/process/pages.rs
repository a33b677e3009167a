//! What of the program is mapped.
//!
//! A start runs through most of it, and whatever is touched comes with the 64 KiB around it. Little of that is used
//! again, yet all of it counts as the program's memory until the machine runs short.

/// Lets go of all code. What is used again is mapped again, which takes microseconds.
pub fn let_go() {
    #[cfg(target_os = "linux")]
    match crate::supervisor::sys::clean_mappings() {
        Ok(mappings) => mappings.iter().for_each(crate::supervisor::sys::let_go),
        Err(error) => tracing::debug!(%error, "the pages of the start stay mapped"),
    }
}
