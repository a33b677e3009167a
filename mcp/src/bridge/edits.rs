//! [`Edits`]: several changes to one message, made at once. What is not named stays byte for byte.

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;

use crate::object;
use crate::splice::splice;

/// Changes to `src` that do not overlap, in any order.
pub struct Edits<'a> {
    src: &'a [u8],
    list: Vec<(Range<usize>, Cow<'a, [u8]>)>,
}

impl<'a> Edits<'a> {
    pub fn new(src: &'a [u8]) -> Self {
        Self { src, list: Vec::with_capacity(8) }
    }

    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub fn replace(&mut self, at: Range<usize>, text: impl Into<Cow<'a, [u8]>>) {
        self.list.push((at, text.into()));
    }

    /// Takes every member called one of `remove` out of the object at `object`, and puts `add`
    /// (`"a":1,"b":2`) first into it.
    pub fn members(&mut self, object: Range<usize>, remove: &[&str], add: impl Into<Cow<'a, [u8]>>) {
        let mut from = object.start + 1;
        let mut kept = false;
        for (name, value) in object::members(self.src, object.clone()) {
            let slot = from..value.end;
            from = value.end;
            if remove.contains(&&*name) {
                self.replace(slot, &b""[..]);
                continue;
            }
            // The comma in front of the first member that stays has lost its left side.
            if !kept && slot.start > object.start + 1 {
                let comma = self.src[slot.clone()].iter().position(|byte| *byte == b',').unwrap_or(0);
                self.replace(slot.start + comma..slot.start + comma + 1, &b""[..]);
            }
            kept = true;
        }
        let mut add = add.into();
        if add.is_empty() {
            return;
        }
        if kept {
            add.to_mut().push(b',');
        }
        self.replace(object.start + 1..object.start + 1, add);
    }

    /// Puts `text` behind the last element of the array at `array`.
    pub fn append(&mut self, array: Range<usize>, mut text: Vec<u8>) {
        if object::elements(self.src, array.clone()).next().is_some() {
            text.insert(0, b',');
        }
        self.replace(array.end - 1..array.end - 1, text);
    }

    /// Takes out of the array at `array` what `keep` does not want.
    pub fn retain(&mut self, array: Range<usize>, keep: impl Fn(Range<usize>) -> bool) {
        let all = || object::elements(self.src, array.clone());
        let kept: Vec<&[u8]> = all().filter(|at| keep(at.clone())).map(|at| &self.src[at]).collect();
        if kept.len() < all().count() {
            let kept = [b"[", &*kept.join(&b","[..]), b"]"].concat();
            self.replace(array, kept);
        }
    }

    pub fn apply(mut self) -> Bytes {
        self.list.sort_by_key(|(at, _)| (at.start, at.end));
        let list: Vec<_> = self.list.iter().map(|(at, text)| (at.clone(), &text[..])).collect();
        splice(self.src, &list)
    }
}

/// `"name":value`, to be added as a member. `value` is JSON text.
pub fn pair(name: &str, value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(name.len() + value.len() + 3);
    crate::json::write_text(name, &mut out);
    out.push(b':');
    out.extend_from_slice(value);
    out
}

/// `text` as a JSON string.
pub fn quoted(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 2);
    crate::json::write_text(text, &mut out);
    out
}

/// Members joined by commas; empty ones are left out.
pub fn joined(members: &[&[u8]]) -> Vec<u8> {
    let present: Vec<&[u8]> = members.iter().copied().filter(|member| !member.is_empty()).collect();
    present.join(&b","[..])
}

/// `{members}`.
pub fn object(members: &[u8]) -> Vec<u8> {
    [b"{", members, b"}"].concat()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Value};

    use super::*;

    fn edit(src: &str, remove: &[&str], add: &str) -> String {
        let mut edits = Edits::new(src.as_bytes());
        edits.members(0..src.len(), remove, add.as_bytes().to_vec());
        String::from_utf8(edits.apply().to_vec()).unwrap()
    }

    #[test]
    fn members_go_and_come_and_commas_follow() {
        for (src, remove, add, want) in [
            (r#"{"a":1,"b":2,"c":3}"#, &["a"][..], "", r#"{"b":2,"c":3}"#),
            (r#"{"a":1,"b":2,"c":3}"#, &["b"], "", r#"{"a":1,"c":3}"#),
            (r#"{"a":1,"b":2,"c":3}"#, &["c"], r#""x":0"#, r#"{"x":0,"a":1,"b":2}"#),
            (r#"{"a":1,"b":2,"c":3}"#, &["a", "b"], "", r#"{"c":3}"#),
            (r#"{"a":1 , "b":2}"#, &["a", "b"], r#""x":0"#, r#"{"x":0}"#),
            (r#"{"a":1,"a":2,"b":3}"#, &["a"], "", r#"{"b":3}"#),
            (r#"{}"#, &["a"], r#""x":0"#, r#"{"x":0}"#),
            (r#"{"a":1}"#, &[], "", r#"{"a":1}"#),
        ] {
            assert_eq!(edit(src, remove, add), want, "{src} without {remove:?}");
        }
        let spaced = edit(r#"{ "a" : 1 , "b" : 2 }"#, &["a"], "");
        assert_eq!(serde_json::from_str::<Value>(&spaced).unwrap(), serde_json::json!({"b": 2}));
    }

    #[test]
    fn elements_are_appended() {
        for (src, want) in [("[]", "[9]"), ("[1, 2 ]", "[1, 2 ,9]")] {
            let mut edits = Edits::new(src.as_bytes());
            edits.append(0..src.len(), b"9".to_vec());
            assert_eq!(edits.apply(), want);
        }
    }

    #[test]
    fn elements_are_taken_out() {
        for (src, want) in [("[1, 2 , 3]", "[1, 2 , 3]"), ("[1,12,3]", "[1,3]"), ("[12]", "[]"), ("[]", "[]")]
        {
            let mut edits = Edits::new(src.as_bytes());
            edits.retain(0..src.len(), |at| at.len() == 1);
            assert_eq!(edits.apply(), want);
        }
    }

    proptest! {
        #[test]
        fn an_edit_is_what_a_map_would_do(
            members in proptest::collection::vec(("[a-e]", 0..9i32), 0..8),
            remove in proptest::collection::vec("[a-e]", 0..4),
            pretty in any::<bool>(),
        ) {
            let map: Map<String, Value> = members.into_iter().map(|(key, value)| (key, value.into())).collect();
            let text = if pretty { serde_json::to_string_pretty(&map) } else { serde_json::to_string(&map) };
            let remove: Vec<&str> = remove.iter().map(String::as_str).collect();
            let got: Map<String, Value> = serde_json::from_str(&edit(&text.unwrap(), &remove, r#""z":1"#)).unwrap();
            let mut want = map;
            want.retain(|key, _| !remove.contains(&key.as_str()));
            want.insert("z".into(), 1.into());
            prop_assert_eq!(got, want);
        }
    }
}
