//! Protocol revisions and the two eras they fall into.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One published revision of MCP, oldest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Revision {
    #[serde(rename = "2024-11-05")]
    V2024_11_05,
    #[serde(rename = "2025-03-26")]
    V2025_03_26,
    #[serde(rename = "2025-06-18")]
    V2025_06_18,
    #[serde(rename = "2025-11-25")]
    V2025_11_25,
    #[serde(rename = "2026-07-28")]
    V2026_07_28,
}

/// How a peer opens a conversation: with a handshake (legacy), or with metadata on every request (modern).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Era {
    Legacy,
    Modern,
}

impl Revision {
    pub const ALL: [Self; 5] =
        [Self::V2024_11_05, Self::V2025_03_26, Self::V2025_06_18, Self::V2025_11_25, Self::V2026_07_28];
    pub const LEGACY: [Self; 4] =
        [Self::V2024_11_05, Self::V2025_03_26, Self::V2025_06_18, Self::V2025_11_25];
    pub const MODERN: [Self; 1] = [Self::V2026_07_28];
    pub const LATEST_LEGACY: Self = Self::V2025_11_25;
    pub const LATEST: Self = Self::V2026_07_28;

    /// The revision that `version` names, if it is one of [`Revision::ALL`].
    pub fn parse(version: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|revision| revision.as_str() == version)
    }

    /// The name used on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V2024_11_05 => "2024-11-05",
            Self::V2025_03_26 => "2025-03-26",
            Self::V2025_06_18 => "2025-06-18",
            Self::V2025_11_25 => "2025-11-25",
            Self::V2026_07_28 => "2026-07-28",
        }
    }

    pub const fn era(self) -> Era {
        match self {
            Self::V2026_07_28 => Era::Modern,
            _ => Era::Legacy,
        }
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Era {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Legacy => "legacy",
            Self::Modern => "modern",
        })
    }
}

/// Whether `version` is date-shaped and not older than the first modern revision.
///
/// It need not be a revision this program knows: a client of a future revision is still modern.
pub fn is_modern_version(version: &str) -> bool {
    is_date_shaped(version) && version >= Revision::V2026_07_28.as_str()
}

fn is_date_shaped(version: &str) -> bool {
    let shape = |(at, byte): (usize, &u8)| match at {
        4 | 7 => *byte == b'-',
        _ => byte.is_ascii_digit(),
    };
    version.len() == 10 && version.as_bytes().iter().enumerate().all(shape)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_split_into_eras() {
        for revision in Revision::ALL {
            assert_eq!(Revision::parse(revision.as_str()), Some(revision));
            assert_eq!(revision.to_string(), revision.as_str());
            assert_eq!(is_modern_version(revision.as_str()), revision.era() == Era::Modern);
        }
        assert!(Revision::LEGACY.iter().all(|revision| revision.era() == Era::Legacy));
        assert!(Revision::MODERN.iter().all(|revision| revision.era() == Era::Modern));
        assert_eq!(Era::Legacy.to_string(), "legacy");
        assert_eq!(Era::Modern.to_string(), "modern");
    }

    #[test]
    fn modern_is_a_date_not_before_the_first_modern_revision() {
        for (version, modern) in [
            ("2026-07-28", true),
            ("2026-07-29", true),
            ("2099-01-01", true),
            ("2026-07-27", false),
            ("2025-11-25", false),
            ("DRAFT-2026-v1", false),
            ("2026-7-28", false),
            ("2026-07-28 ", false),
            ("2026/07/28", false),
            ("９026-07-28", false),
            ("", false),
        ] {
            assert_eq!(is_modern_version(version), modern, "{version:?}");
        }
    }
}
