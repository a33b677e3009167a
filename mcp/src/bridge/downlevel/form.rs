//! Choices in a form, as revisions before 2025-11-25 wrote them.

use std::ops::Range;

use super::text;
use crate::bridge::edits::{Edits, joined, pair};
use crate::object::{elements, member, members};

/// The parameters of an elicitation whose choices are plain lists; `None` if one cannot be said so.
pub(super) fn plain(params: &[u8]) -> Option<Vec<u8>> {
    let mut edits = Edits::new(params);
    let schema = member(params, 0..params.len(), "requestedSchema").filter(|at| params[at.start] == b'{');
    let fields = schema.and_then(|at| member(params, at, "properties")).filter(|at| params[at.start] == b'{');
    for (_, field) in fields.into_iter().flat_map(|fields| members(params, fields)) {
        if text(&params[field.clone()], "type").as_deref() == Some("array") {
            return None;
        }
        if let Some(choices) = choices(params, field.clone()) {
            edits.members(field, &["oneOf"], choices);
        }
    }
    Some(edits.apply().to_vec())
}

/// `oneOf` of titled constants as `enum` and `enumNames`.
fn choices(params: &[u8], field: Range<usize>) -> Option<Vec<u8>> {
    let list = member(params, field, "oneOf").filter(|at| params[at.start] == b'[')?;
    let (mut values, mut names) = (Vec::new(), Vec::new());
    for choice in elements(params, list) {
        let value = member(params, choice.clone(), "const")?;
        let name = member(params, choice, "title").unwrap_or_else(|| value.clone());
        values.push(&params[value]);
        names.push(&params[name]);
    }
    let list = |items: &[&[u8]]| [b"[", &*joined(items), b"]"].concat();
    Some(joined(&[&pair("enum", &list(&values)), &pair("enumNames", &list(&names))]))
}
