//! [`Backend`]: a named MCP server as somebody asked for it. Valid by construction.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use omcp_mcp::revision::Era;

use crate::config::RuntimeConfig;
use crate::invalid::InvalidBackend;
use crate::lifecycle::Lifecycle;

/// Longest backend name: `<backend>__<tool>` has to fit the 64 characters that model APIs accept.
pub const NAME_LEN_MAX: usize = 32;
/// Largest `settings_json` of one backend, bytes. A definition is a description, not a payload.
pub const SETTINGS_LEN_MAX: usize = 64 * 1024;
/// Most tags on one backend.
pub const TAGS_MAX: usize = 32;
/// Longest tag, bytes.
pub const TAG_LEN_MAX: usize = 63;
/// Most environment entries on one backend.
pub const ENV_MAX: usize = 128;
/// Longest display name, bytes.
pub const DISPLAY_NAME_LEN_MAX: usize = 200;

/// `[a-z]([a-z0-9-]{0,30}[a-z0-9])?`: a URL path segment, a URI scheme prefix, and free of `_`,
/// so that `__` can separate it from a tool's name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BackendName(std::sync::Arc<str>);

impl BackendName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for BackendName {
    type Err = InvalidBackend;

    fn from_str(text: &str) -> Result<Self, InvalidBackend> {
        let bytes = text.as_bytes();
        let inner = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-';
        let valid = bytes.len() <= NAME_LEN_MAX
            && bytes.first().is_some_and(u8::is_ascii_lowercase)
            && bytes.iter().all(inner)
            && bytes.last() != Some(&b'-');
        if valid {
            return Ok(Self(text.into()));
        }
        Err(InvalidBackend::new(
            "name",
            format!(
                "{text:?} is not a backend name: use 1 to {NAME_LEN_MAX} of a-z, 0-9 and '-', starting with a letter, not ending with '-'"
            ),
        ))
    }
}

impl fmt::Display for BackendName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::borrow::Borrow<str> for BackendName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// Which protocol era to use with a backend; `Auto` asks the backend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EraPin {
    #[default]
    Auto,
    Only(Era),
}

impl FromStr for EraPin {
    type Err = InvalidBackend;

    fn from_str(text: &str) -> Result<Self, InvalidBackend> {
        match text {
            "" | "auto" => Ok(Self::Auto),
            "legacy" => Ok(Self::Only(Era::Legacy)),
            "modern" => Ok(Self::Only(Era::Modern)),
            other => Err(InvalidBackend::new(
                "era",
                format!("{other:?} is not an era: use auto, legacy or modern"),
            )),
        }
    }
}

/// What was asked, checked as far as it can be without knowing the runtime type.
#[derive(Clone, Debug, PartialEq)]
pub struct Backend {
    pub name: BackendName,
    pub display_name: String,
    pub tags: Vec<String>,
    pub runtime: RuntimeConfig,
    /// Environment of the process, for runtimes that start one. Values may hold references.
    pub env: BTreeMap<String, String>,
    pub era: EraPin,
    pub disabled: bool,
    pub lifecycle: Lifecycle,
}

impl Backend {
    /// Every rule a backend must obey whatever its runtime type, all violations at once.
    pub fn violations(&self) -> Vec<InvalidBackend> {
        let mut found = Vec::new();
        if self.display_name.len() > DISPLAY_NAME_LEN_MAX {
            found.push(too_long("display_name", DISPLAY_NAME_LEN_MAX));
        }
        self.check_tags(&mut found);
        self.check_env(&mut found);
        if self.runtime.settings().len() > SETTINGS_LEN_MAX {
            found.push(too_long("runtime", SETTINGS_LEN_MAX));
        }
        found
    }

    fn check_tags(&self, found: &mut Vec<InvalidBackend>) {
        if self.tags.len() > TAGS_MAX {
            found.push(InvalidBackend::new("tags", format!("more than {TAGS_MAX} tags")));
        }
        for (index, tag) in self.tags.iter().enumerate() {
            let fits = !tag.is_empty() && tag.len() <= TAG_LEN_MAX;
            if !fits || tag.contains([',', ' ', '\n']) {
                let reason =
                    format!("{tag:?} is not a tag: 1 to {TAG_LEN_MAX} bytes without commas or spaces");
                found.push(InvalidBackend::new(format!("tags[{index}]"), reason));
            }
        }
    }

    fn check_env(&self, found: &mut Vec<InvalidBackend>) {
        if self.env.len() > ENV_MAX {
            found.push(InvalidBackend::new("env", format!("more than {ENV_MAX} entries")));
        }
        for (name, value) in &self.env {
            if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
                let reason = "an environment entry needs a name without '=' and no NUL byte";
                found.push(InvalidBackend::new(format!("env.{name}"), reason));
            }
        }
    }

    /// Whether `other` can go on with the runtime of `self`. Names, tags and the lifecycle may differ.
    pub fn same_runtime(&self, other: &Self) -> bool {
        self.runtime == other.runtime
            && self.env == other.env
            && self.era == other.era
            && self.disabled == other.disabled
    }
}

fn too_long(field: &'static str, max: usize) -> InvalidBackend {
    InvalidBackend::new(field, format!("longer than {max} bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["a", "github", "my-server-2", &"a".repeat(32)] {
            assert!(good.parse::<BackendName>().is_ok(), "{good}");
        }
        for bad in ["", "A", "-a", "a-", "a_b", "1a", "a.b", "a/b", "ä", &"a".repeat(33)] {
            assert!(bad.parse::<BackendName>().is_err(), "{bad}");
        }
    }
}
