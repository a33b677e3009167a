//! `lifecycle:` of a backend, both ways.

use omcp_core::nearest;
use omcp_proto::v1::Lifecycle;

use super::entry::Reader;
use super::node::{Node, Value};

/// What it may hold.
const FIELDS: [&str; 6] =
    ["isolation", "min_idle", "idle_timeout_ms", "lifetime_max_ms", "retry", "recovery"];

impl Reader<'_> {
    pub fn lifecycle(&mut self, entry: &Node) -> Option<Lifecycle> {
        let member = entry.member("lifecycle")?;
        let members = self.members(&member.value, "`lifecycle`")?;
        for unknown in members.iter().filter(|member| !FIELDS.contains(&member.key.as_str())) {
            let hint = match nearest(&unknown.key, FIELDS) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!("`lifecycle` has {}", FIELDS.join(", ")),
            };
            self.report(unknown.key_span, format!("unknown field `lifecycle.{}`", unknown.key), hint);
        }
        Some(Lifecycle {
            isolation: self.text_member(&member.value, "isolation"),
            min_idle: self
                .count(&member.value, "min_idle")
                .map(|count| u32::try_from(count).unwrap_or(u32::MAX)),
            idle_timeout_ms: self.count(&member.value, "idle_timeout_ms"),
            lifetime_max_ms: self.count(&member.value, "lifetime_max_ms"),
            retry: self.text_member(&member.value, "retry"),
            recovery: self.text_member(&member.value, "recovery"),
        })
    }

    /// A whole number that is not negative.
    fn count(&mut self, node: &Node, key: &str) -> Option<u64> {
        let member = node.member(key)?;
        if let Value::Number(text) = &member.value.value
            && let Ok(count) = text.parse()
        {
            return Some(count);
        }
        let message = format!("`lifecycle.{key}` must be a whole number, not {}", member.value.kind());
        self.report(member.value.span, message, "write a number without a unit, for example 60000");
        None
    }
}

/// In the shape people write; what is not set is left out.
pub fn node(lifecycle: &Lifecycle) -> Node {
    let text = |text: &str| (!text.is_empty()).then(|| Node::text(text));
    let members = [
        text(&lifecycle.isolation),
        lifecycle.min_idle.map(|count| Node::number(count.into())),
        lifecycle.idle_timeout_ms.map(Node::number),
        lifecycle.lifetime_max_ms.map(Node::number),
        text(&lifecycle.retry),
        text(&lifecycle.recovery),
    ];
    Node::map(
        FIELDS
            .into_iter()
            .zip(members)
            .filter_map(|(name, value)| value.map(|value| (name.to_owned(), value))),
    )
}
