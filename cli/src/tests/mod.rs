mod reference;

use super::*;

#[test]
fn json_is_recognised_on_a_broken_command_line() {
    let asks = |line: &str| asks_for_json(line.split(' ').map(str::to_owned));
    assert!(asks("omcp get -o json --bad"));
    assert!(asks("omcp --output=json"));
    assert!(asks("omcp -ojson"));
    assert!(!asks("omcp -o yaml"));
}
