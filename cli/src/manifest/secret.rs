//! Which literals look like secrets, so that an import does not spread them.

/// Parts of a variable's or header's name that mean "keep this to yourself".
const NAME_PARTS: [&str; 12] = [
    "token",
    "secret",
    "password",
    "passwd",
    "apikey",
    "api_key",
    "api-key",
    "credential",
    "authorization",
    "cookie",
    "private_key",
    "access_key",
];
/// Beginnings of well-known credentials, and how long the whole must be at least.
const VALUE_STARTS: [&str; 11] =
    ["ghp_", "gho_", "ghs_", "github_pat_", "glpat-", "sk-", "xoxb-", "xoxp-", "AKIA", "eyJ", "AIza"];
/// Shorter values are no credentials of those kinds.
const VALUE_LEN_MIN: usize = 16;

/// Whether a value under this name looks like a secret that is written out.
pub fn looks_secret(name: &str, value: &str) -> bool {
    let has_reference = value.contains("${");
    !value.is_empty() && !has_reference && (names_secret(name) || value_secret(value))
}

/// Whether a value looks like a credential by itself.
pub fn value_secret(value: &str) -> bool {
    let word = value.rsplit([' ', '=']).next().unwrap_or(value);
    word.len() >= VALUE_LEN_MIN && VALUE_STARTS.iter().any(|start| word.starts_with(start))
}

fn names_secret(name: &str) -> bool {
    let name = name.to_lowercase();
    NAME_PARTS.iter().any(|part| name.contains(part)) || name.ends_with("_key") || name.ends_with("-key")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks() {
        for (name, value, secret) in [
            ("GITHUB_TOKEN", "abc", true),
            ("GITHUB_TOKEN", "${GITHUB_TOKEN}", false),
            ("GITHUB_TOKEN", "", false),
            ("Authorization", "Bearer abc", true),
            ("X-Api-Key", "1", true),
            ("DB_PASSWORD", "x", true),
            ("OPENAI_KEY", "x", true),
            ("PLAIN", "ghp_0123456789abcdef", true),
            ("PLAIN", "--auth=ghp_0123456789abcdef", true),
            ("PLAIN", "sk-x", false),
            ("PATH", "/usr/bin", false),
            ("KEYBOARD", "de", false),
        ] {
            assert_eq!(looks_secret(name, value), secret, "{name}={value}");
        }
    }
}
