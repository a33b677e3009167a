//! [`plan`]: what has to change so that what is held becomes what is wanted.

use std::collections::BTreeMap;

use crate::backend::BackendName;

/// One step of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change<'a, T> {
    Create(&'a BackendName, &'a T),
    /// Name, what is held, what is wanted.
    Update(&'a BackendName, &'a T, &'a T),
    Delete(&'a BackendName, &'a T),
}

/// The steps from `have` to `want`, by name. What is equal on both sides is not touched.
pub fn plan<'a, T: PartialEq>(
    have: &'a BTreeMap<BackendName, T>,
    want: &'a BTreeMap<BackendName, T>,
) -> Vec<Change<'a, T>> {
    let put = want.iter().filter_map(|(name, wanted)| match have.get(name) {
        None => Some(Change::Create(name, wanted)),
        Some(held) if held != wanted => Some(Change::Update(name, held, wanted)),
        Some(_) => None,
    });
    let gone = have.iter().filter(|(name, _)| !want.contains_key(*name));
    put.chain(gone.map(|(name, held)| Change::Delete(name, held))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(items: &[(&str, u8)]) -> BTreeMap<BackendName, u8> {
        items.iter().map(|(name, value)| (name.parse().unwrap(), *value)).collect()
    }

    #[test]
    fn only_differences_are_steps() {
        let (have, want) = (map(&[("a", 1), ("b", 1), ("c", 1)]), map(&[("b", 1), ("c", 2), ("d", 1)]));
        let name = |text: &str| text.parse::<BackendName>().unwrap();
        let (a, c, d) = (name("a"), name("c"), name("d"));
        assert_eq!(
            plan(&have, &want),
            vec![Change::Update(&c, &1, &2), Change::Create(&d, &1), Change::Delete(&a, &1)]
        );
        assert!(plan(&want, &want).is_empty());
    }
}
