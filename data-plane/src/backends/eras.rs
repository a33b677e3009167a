//! [`Eras`]: which protocol eras a backend speaks.

use std::fmt;

use omcp_core::EraPin;
use omcp_mcp::revision::{Era, Revision};

/// What a probe found out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Eras {
    /// 2024-11-05 to 2025-11-25: it has a handshake.
    pub legacy: bool,
    /// 2026-07-28 and later: metadata on every request.
    pub modern: bool,
}

impl Eras {
    pub const LEGACY: Self = Self { legacy: true, modern: false };
    pub const MODERN: Self = Self { legacy: false, modern: true };

    pub fn has(self, era: Era) -> bool {
        match era {
            Era::Legacy => self.legacy,
            Era::Modern => self.modern,
        }
    }

    /// The words of `BackendStatus.eras`.
    pub fn names(self) -> Vec<String> {
        [Era::Legacy, Era::Modern]
            .into_iter()
            .filter(|era| self.has(*era))
            .map(|era| era.to_string())
            .collect()
    }

    /// What a definition that pins its era speaks; `None` leaves it to a probe.
    pub fn pinned(pin: EraPin) -> Option<Self> {
        match pin {
            EraPin::Auto => None,
            EraPin::Only(Era::Legacy) => Some(Self::LEGACY),
            EraPin::Only(Era::Modern) => Some(Self::MODERN),
        }
    }
}

/// Names the revisions, for errors that people read.
impl fmt::Display for Eras {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (oldest, newest) = (Revision::V2024_11_05, Revision::LATEST_LEGACY);
        match (self.legacy, self.modern) {
            (true, true) => write!(f, "{oldest} to {}", Revision::LATEST),
            (true, false) => write!(f, "{oldest} to {newest}"),
            (false, true) => write!(f, "{}", Revision::LATEST),
            (false, false) => f.write_str("no known revision"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_names_revisions() {
        assert_eq!(Eras::LEGACY.to_string(), "2024-11-05 to 2025-11-25");
        assert_eq!(Eras::MODERN.to_string(), "2026-07-28");
        assert_eq!(Eras { legacy: true, modern: true }.names(), ["legacy", "modern"]);
    }
}
