//! Circles in a set of arrows.

use std::collections::{BTreeMap, BTreeSet};

pub type Arrows = BTreeMap<String, BTreeSet<String>>;

/// One shortest circle through each group of places that reach each other, first place repeated at the end.
pub fn circles(arrows: &Arrows) -> Vec<Vec<String>> {
    let mut known = BTreeSet::new();
    let mut found = Vec::new();
    for place in arrows.keys() {
        if known.contains(place) {
            continue;
        }
        if let Some(circle) = shortest(arrows, place) {
            known.extend(circle.iter().cloned());
            found.push(circle);
        }
    }
    found
}

/// The shortest way from `start` back to itself.
fn shortest(arrows: &Arrows, start: &str) -> Option<Vec<String>> {
    let mut ways = vec![vec![start.to_owned()]];
    let mut seen = BTreeSet::new();
    while !ways.is_empty() {
        let mut longer = Vec::new();
        for way in ways {
            for next in arrows.get(way.last()?).into_iter().flatten() {
                let grown = [way.clone(), vec![next.clone()]].concat();
                if next == start {
                    return Some(grown);
                }
                if seen.insert(next.clone()) {
                    longer.push(grown);
                }
            }
        }
        ways = longer;
    }
    None
}
