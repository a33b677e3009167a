//! [`List`]: who is there. A hint: whether a node is really there shows when it is called.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use omcp_mcp::token::content::NodeTag;
use omcp_proto::v1;

use super::forward::Way;

/// Nodes that are kept: as many as a control plane serves.
const MEMBERS_MAX: usize = 20_000;

/// The other nodes. Read without a lock.
#[derive(Default)]
pub struct List(ArcSwap<HashMap<NodeTag, Arc<Member>>>);

/// Another node.
pub struct Member {
    told: v1::Member,
    pub way: Way,
}

impl Member {
    pub fn name(&self) -> &str {
        &self.told.node
    }
}

impl List {
    pub fn get(&self, tag: NodeTag) -> Option<Arc<Member>> {
        self.0.load().get(&tag).cloned()
    }

    pub fn count(&self) -> usize {
        self.0.load().len()
    }

    pub fn tags(&self) -> Vec<NodeTag> {
        self.0.load().keys().copied().collect()
    }

    /// Takes a list. In a partial one only those count that are in it. Connections to nodes that stay where
    /// they are stay open. Returns what is known now.
    pub fn take(&self, told: v1::Members, me: NodeTag) -> v1::Members {
        let before = self.0.load();
        let mut next = if told.partial { HashMap::clone(&before) } else { HashMap::new() };
        for member in told.members.into_iter().take(MEMBERS_MAX) {
            let tag = NodeTag::of(&member.node);
            if tag == me {
                continue;
            }
            match before.get(&tag).filter(|known| known.told.url == member.url) {
                Some(known) => drop(next.insert(tag, known.clone())),
                None => match Way::new(&member.url) {
                    Ok(way) => drop(next.insert(tag, Arc::new(Member { told: member, way }))),
                    Err(error) => {
                        tracing::warn!(node = member.node, url = member.url, %error, "a node cannot be reached");
                    }
                },
            }
        }
        let mut members: Vec<_> = next.values().map(|member| member.told.clone()).collect();
        members.sort_by(|one, other| one.node.cmp(&other.node));
        self.0.store(Arc::new(next));
        v1::Members { members, partial: true }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(node: &str, url: &str) -> v1::Member {
        v1::Member { node: node.to_owned(), boot_id: vec![1; 16], url: url.to_owned() }
    }

    fn names(list: &List) -> Vec<String> {
        let mut names: Vec<_> = list.0.load().values().map(|member| member.name().to_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_list_replaces_and_a_partial_one_adds() {
        let (list, me) = (List::default(), NodeTag::of("me"));
        let all = ["me", "a", "b"].map(|name| member(name, "http://h:1"));
        list.take(v1::Members { members: all.to_vec(), partial: false }, me);
        assert_eq!(names(&list), ["a", "b"], "nobody calls himself");
        let kept = list.get(NodeTag::of("a")).unwrap();
        let partial = vec![member("a", "http://h:1"), member("c", "http://h:2"), member("d", "no url")];
        let known = list.take(v1::Members { members: partial, partial: true }, me);
        assert_eq!(names(&list), ["a", "b", "c"]);
        assert!(Arc::ptr_eq(&kept, &list.get(NodeTag::of("a")).unwrap()), "its connections stay");
        assert_eq!(known.members.len(), 3);
        let moved = vec![member("a", "http://h:9")];
        list.take(v1::Members { members: moved, partial: false }, me);
        assert_eq!(names(&list), ["a"]);
        assert!(!Arc::ptr_eq(&kept, &list.get(NodeTag::of("a")).unwrap()));
    }
}
