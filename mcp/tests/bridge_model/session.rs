//! A legacy client and a modern server.

use omcp_mcp::bridge::replay::model::Choices;
use omcp_mcp::bridge::replay::model::session::play;
use proptest::prelude::*;

use super::all::all;

proptest! {
    #[test]
    fn every_call_comes_to_its_end(
        plans in proptest::collection::vec((proptest::collection::vec(0..4_usize, 0..5), any::<bool>()), 1..5),
        choices in proptest::collection::vec(any::<u8>(), 0..150),
    ) {
        let (plans, cancels) = plans.into_iter().unzip();
        play(plans, cancels, &mut Choices::new(&choices));
    }
}

#[test]
fn in_whatever_order_it_comes() {
    for (plans, cancels, depth) in [
        (vec![vec![2, 0, 1]], vec![false], 14),
        (vec![vec![1], vec![1]], vec![false, false], 9),
        (vec![vec![1], vec![2]], vec![true, false], 8),
        (vec![vec![1; 9]], vec![false], 6),
    ] {
        let played = all(depth, |choices| play(plans.clone(), cancels.clone(), choices));
        assert!(played >= 1, "{plans:?}: {played}");
    }
}
