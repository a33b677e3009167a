//! Ids of tasks and elicitations, which a backend chooses: `<backend>+<id>`, so that no two are the same.

use super::names::is_backend;

/// What clients of the aggregate call it.
pub fn exposed(backend: &str, id: &str) -> String {
    [backend, "+", id].concat()
}

/// The backend in an exposed id, and what that calls it.
pub fn split(exposed: &str) -> Option<(&str, &str)> {
    exposed.split_once('+').filter(|(backend, _)| is_backend(backend))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_come_back() {
        for id in ["1", "", "a+b", "ui://x"] {
            assert_eq!(split(&exposed("b-1", id)), Some(("b-1", id)));
        }
        assert_eq!(split("1"), None);
        assert_eq!(split("+1"), None);
    }
}
