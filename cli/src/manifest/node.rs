//! [`Node`]: what was written, with the place of every key and value.

use std::fmt;
use std::fmt::Write as _;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Location, Spanned};

use super::source::{Source, Span};

/// One value of a document.
#[derive(Clone, Debug)]
pub struct Node {
    /// Where it stands; for an alias, where the alias stands.
    pub span: Span,
    /// Where its text stands; differs from `span` for an alias.
    defined: Span,
    pub value: Value,
}

/// The kinds of values.
#[derive(Clone, Debug)]
pub enum Value {
    Null,
    Bool(bool),
    /// JSON text of the number, spelled as in the source where JSON allows it.
    Number(String),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Member>),
}

/// One entry of a mapping. Keys may stand twice: whoever reads the mapping reports that.
#[derive(Clone, Debug)]
pub struct Member {
    pub key: String,
    pub key_span: Span,
    pub value: Node,
}

impl Node {
    /// A node that stands nowhere, for what this program writes.
    pub fn new(value: Value) -> Self {
        Self { span: Span::default(), defined: Span::default(), value }
    }

    pub fn text(text: impl Into<String>) -> Self {
        Self::new(Value::Text(text.into()))
    }

    pub fn number(number: u64) -> Self {
        Self::new(Value::Number(number.to_string()))
    }

    pub fn flag(value: bool) -> Self {
        Self::new(Value::Bool(value))
    }

    pub fn list(items: impl IntoIterator<Item = Self>) -> Self {
        Self::new(Value::List(items.into_iter().collect()))
    }

    pub fn map(members: impl IntoIterator<Item = (String, Self)>) -> Self {
        let member = |(key, value)| Member { key, key_span: Span::default(), value };
        Self::new(Value::Map(members.into_iter().map(member).collect()))
    }

    /// What to call its kind in an error.
    pub fn kind(&self) -> &'static str {
        match self.value {
            Value::Null => "nothing",
            Value::Bool(_) => "true or false",
            Value::Number(_) => "a number",
            Value::Text(_) => "text",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }

    /// The members of a mapping; none for anything else.
    pub fn members(&self) -> &[Member] {
        match &self.value {
            Value::Map(members) => members,
            _ => &[],
        }
    }

    /// The first member of this name.
    pub fn member(&self, key: &str) -> Option<&Member> {
        self.members().iter().find(|member| member.key == key)
    }

    /// Compact JSON, in the order of the source.
    pub fn to_json(&self) -> String {
        let mut out = String::new();
        self.write_json(&mut out);
        out
    }

    fn write_json(&self, out: &mut String) {
        match &self.value {
            Value::Null => out.push_str("null"),
            Value::Bool(value) => {
                let _ = write!(out, "{value}");
            }
            Value::Number(text) => out.push_str(text),
            Value::Text(text) => out.push_str(&json_string(text)),
            Value::List(items) => joined(out, ['[', ']'], items, Self::write_json),
            Value::Map(members) => joined(out, ['{', '}'], members, |member, out| {
                out.push_str(&json_string(&member.key));
                out.push(':');
                member.value.write_json(out);
            }),
        }
    }

    /// Spells every number as the source does: 2^53+1 and 1.50 stay what they are.
    pub fn keep_numbers(&mut self, source: &Source) {
        match &mut self.value {
            Value::Number(text) => {
                let written = source.slice(self.defined);
                if serde_json::from_str::<serde_json::Number>(written).is_ok() {
                    written.clone_into(text);
                }
            }
            Value::List(items) => items.iter_mut().for_each(|item| item.keep_numbers(source)),
            Value::Map(members) => members.iter_mut().for_each(|member| member.value.keep_numbers(source)),
            _ => {}
        }
    }
}

/// JSON text of a string.
pub fn json_string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn joined<T>(out: &mut String, [open, close]: [char; 2], items: &[T], write: impl Fn(&T, &mut String)) {
    out.push(open);
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        write(item, out);
    }
    out.push(close);
}

pub fn span(location: Location) -> Span {
    let span = location.span();
    let bytes = |value: Option<u64>| value.and_then(|value| usize::try_from(value).ok()).unwrap_or(0);
    Span { start: bytes(span.byte_offset()), len: bytes(span.byte_len()) }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let found = Spanned::<Value>::deserialize(deserializer)?;
        Ok(Self { span: span(found.referenced), defined: span(found.defined), value: found.value })
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.to_string()))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Value, E> {
        Ok(Value::Number(value.to_string()))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Value, E> {
        Ok(Value::Number(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Number(serde_json::Value::from(value).to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut members = Vec::new();
        while let Some(key) = entries.next_key::<Spanned<String>>()? {
            let value = entries.next_value()?;
            members.push(Member { key: key.value, key_span: span(key.referenced), value });
        }
        Ok(Value::Map(members))
    }
}
