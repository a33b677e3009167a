//! Header fields of one message. It has few: looking at their names is cheaper than hashing one.

use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};

/// The first value of a field.
pub fn first<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    all(headers, name).next()
}

/// All values of a field, in their order.
pub fn all<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a HeaderValue> {
    headers.iter().filter_map(move |(field, value)| (field == name).then_some(value))
}

/// Gives a field this value and no other.
pub fn set(headers: &mut HeaderMap, name: &HeaderName, value: HeaderValue) {
    let mut given = headers.iter_mut().filter_map(|(field, value)| (field == name).then_some(value));
    if let (Some(only), None) = (given.next(), given.next()) {
        *only = value;
    } else {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use http::header::{ACCEPT, HOST, VIA};

    use super::*;

    #[test]
    fn a_field_that_is_set_has_one_value() {
        let mut headers = HeaderMap::new();
        for (name, value) in [(HOST, "a"), (ACCEPT, "x"), (VIA, "1"), (ACCEPT, "y")] {
            headers.append(name, HeaderValue::from_static(value));
        }
        assert_eq!(all(&headers, &ACCEPT).collect::<Vec<_>>(), ["x", "y"]);
        let new = HeaderName::from_static("new");
        for name in [&HOST, &ACCEPT, &new] {
            set(&mut headers, name, HeaderValue::from_static("z"));
            assert_eq!(all(&headers, name).collect::<Vec<_>>(), ["z"], "{name}");
        }
        assert_eq!((headers.len(), first(&headers, &VIA).unwrap().as_bytes()), (4, &b"1"[..]));
        assert_eq!(first(&headers, &HeaderName::from_static("none")), None);
    }
}
