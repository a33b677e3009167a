//! Modern clients and a legacy server.

use omcp_mcp::bridge::replay::model::Choices;
use omcp_mcp::bridge::replay::model::lane::{Fate, Plan, play};
use proptest::prelude::*;

use super::all::all;

fn plan() -> impl Strategy<Value = Plan> {
    let fate = prop_oneof![3 => Just(Fate::Answers), 1 => Just(Fate::Hesitates), 1 => Just(Fate::HangsUp)];
    (proptest::collection::vec(1..4_usize, 0..4), fate).prop_map(|(rounds, fate)| Plan { rounds, fate })
}

proptest! {
    #[test]
    fn every_call_gets_its_answer(
        plans in proptest::collection::vec(plan(), 1..5),
        choices in proptest::collection::vec(any::<u8>(), 0..120),
    ) {
        play(plans, &mut Choices::new(&choices));
    }
}

#[test]
fn in_whatever_order_it_comes() {
    let answers = |rounds: &[usize]| Plan { rounds: rounds.to_vec(), fate: Fate::Answers };
    for (plans, depth) in [
        (vec![answers(&[2, 1])], 14),
        (vec![answers(&[1]), answers(&[1])], 9),
        (vec![answers(&[]), answers(&[1])], 9),
        (vec![Plan { fate: Fate::Hesitates, ..answers(&[2]) }], 14),
        (vec![Plan { fate: Fate::HangsUp, ..answers(&[1]) }], 14),
    ] {
        let played = all(depth, |choices| play(plans.clone(), choices));
        assert!(played > 3, "{plans:?}: {played}");
    }
}
