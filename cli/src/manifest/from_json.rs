//! JSON text to [`Node`], every number as it is spelled and every member in its order.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::node::{Node, Value};

/// Reads JSON text.
///
/// # Errors
/// It is none.
pub fn node(text: &str) -> serde_json::Result<Node> {
    let value = match text.trim_start().as_bytes().first() {
        Some(b'{') => return object(text),
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(text)?;
            Value::List(items.into_iter().map(|item| node(item.get())).collect::<Result<_, _>>()?)
        }
        Some(b'"') => Value::Text(serde_json::from_str(text)?),
        _ => match serde_json::from_str(text)? {
            serde_json::Value::Null => Value::Null,
            serde_json::Value::Bool(value) => Value::Bool(value),
            _ => Value::Number(text.trim().to_owned()),
        },
    };
    Ok(Node::new(value))
}

fn object(text: &str) -> serde_json::Result<Node> {
    let Members(members) = serde_json::from_str(text)?;
    let members = members.into_iter().map(|(key, value)| Ok((key, node(value.get())?)));
    Ok(Node::map(members.collect::<serde_json::Result<Vec<_>>>()?))
}

struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(InOrder).map(Members)
    }
}

struct InOrder;

impl<'de> Visitor<'de> for InOrder {
    type Value = Vec<(String, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            members.push(entry);
        }
        Ok(members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_lost() {
        let nested = format!("{}1{}", "[".repeat(100), "]".repeat(100));
        for text in [
            r#"{"b":1.50,"a":123456789012345678901234567890,"c":[true,null,"x\ny",{}],"d":-0.0}"#,
            "\"\u{7f}\u{2028}\"",
            &nested,
        ] {
            assert_eq!(node(text).unwrap().to_json(), text);
        }
        for bad in ["", "{", "[1,]", "x", "{\"a\":}", "1 2", "01"] {
            assert!(node(bad).is_err(), "{bad}");
        }
    }
}
