//! Ids of elicitations, which a backend chooses: `<backend>+<id>`, so that no two are the same. Clients compare
//! them, and send none of them back.

/// What clients of the aggregate call it.
pub fn exposed(backend: &str, id: &str) -> String {
    [backend, "+", id].concat()
}
