//! The pure parts of the aggregate driven by any bytes, for fuzzing: each line is one message, or one entry
//! of a list.

use bytes::Bytes;

use super::address::Address;
use super::catalog::Catalog;
use super::item;
use super::list::List;
use super::message::Passage;
use super::page::{PageLimits, page};
use super::source::Source;
use super::tasks::{OwnedTask, TaskNames};
use super::{names, uris};
use crate::bridge::message::Owned;
use crate::envelope::Kind;
use crate::revision::Era;

/// Names that anybody can read.
struct Plain;

impl TaskNames for Plain {
    fn name(&self, task: OwnedTask, _: u64) -> Option<String> {
        String::from_utf8(task.to_bytes()).ok()
    }
}

/// Runs every line through the aggregate as message and as entry, and checks what must hold.
///
/// # Panics
/// A promise was broken: that is what fuzzing looks for.
pub fn run(script: &[u8]) {
    let lines: Vec<Bytes> = script.split(|byte| *byte == b'\n').map(Bytes::copy_from_slice).collect();
    lines.iter().for_each(pass);
    list(&lines);
}

fn pass(line: &Bytes) {
    let Ok(message) = Owned::scan(line.clone()) else { return };
    if let Some(address) = Address::of(message.lend()) {
        addressed(&message, &address);
    }
    for method in ["tools/call", "prompts/get", "resources/read", "tasks/get", ""] {
        let passage = Passage { backend: "b", method, tasks: &Plain };
        if let Some(passed) = passage.message(message.lend()) {
            let again = Owned::scan(passed).expect("what passed is a message");
            assert_eq!(again.lend().id(), message.lend().id(), "an id changed");
        }
        if message.lend().kind() == Kind::Request {
            let question =
                Owned::scan(passage.question(message.lend(), "ours")).expect("a question is a message");
            assert_eq!(question.lend().id(), &b"\"ours\""[..]);
        }
    }
}

fn addressed(message: &Owned, address: &Address) {
    let sent = Owned::scan(address.readdress(message.lend(), "there")).expect("what is sent on is a message");
    let again = Address::of(sent.lend()).expect("it is still about something");
    assert_eq!((again.subject, again.text.as_str()), (address.subject, "there"));
    assert_eq!(sent.lend().id(), message.lend().id(), "an id changed");
}

fn list(lines: &[Bytes]) {
    let mut source = Source::new(Era::Modern, &b"{}"[..]);
    // As entries are taken out of a list: without the space around them.
    let entries: Vec<Bytes> = lines
        .iter()
        .map(|line| line.slice_ref(line.trim_ascii()))
        .filter(|line| serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(line).is_ok())
        .collect();
    for list in List::ALL {
        source.list_mut(list).items.clone_from(&entries);
    }
    assert_eq!(Source::decode(&source.encode().into()).as_ref(), Some(&source), "a source does not survive");
    let catalog = Catalog::new("b", source);
    for list in List::ALL {
        looked_up(&catalog, list, &entries);
        for era in [Era::Legacy, Era::Modern] {
            let all = page([("b", &catalog)].into_iter(), list, era, None, PageLimits::default());
            let text = [b"[", &*all.expect("no cursor, no staleness").items, b"]"].concat();
            let shown: Vec<serde_json::Value> = serde_json::from_slice(&text).expect("a page is a list");
            assert_eq!(shown.len(), catalog.len(list));
        }
    }
}

fn looked_up(catalog: &Catalog, list: List, entries: &[Bytes]) {
    for key in entries.iter().filter_map(|entry| item::key(list, entry)) {
        assert!(catalog.has(list, &key), "{key:?} is not found");
        let exposed = item::exposed_key(list, "b", &key);
        match list {
            List::Tools | List::Prompts => {
                let (_, tail) = names::split(&exposed).expect("an exposed name has a backend");
                assert_eq!(catalog.original(list, tail), key);
            }
            _ => assert_eq!(uris::split(&exposed), Some(("b", key.into()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn scripts_run() {
        run(br#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"b__t","_meta":{"progressToken":1}}}
{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"resource_link","uri":"x"}],"taskId":"","task":{"taskId":"x"}}}
{"name":"a","uri":"x://{y}","uriTemplate":"{","execution":1,"outputSchema":[],"_meta":{"ui":{"resourceUri":"ui://x"}}}
{"execution":{},"name":"a.b"}
not a message"#);
    }

    proptest! {
        #[test]
        fn no_line_breaks_a_promise(
            members in proptest::collection::vec(
                ("name|uri|uriTemplate|execution|outputSchema|_meta|x", "\"[a-c._]{0,3}\"|1|\\{\\}|\\[\\]|null"), 0..6),
            space in " {0,2}",
        ) {
            let members: Vec<String> = members
                .iter()
                .map(|(name, value)| format!("{space}\"{name}\"{space}:{space}{value}{space}"))
                .collect();
            run(format!("{{{}}}", members.join(",")).as_bytes());
        }
    }
}
