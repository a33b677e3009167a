//! [`Search`]: whether there is anything to seal in what a server says. It looks for the names of members only, so that
//! most answers are never read. One that is spelled with escapes is not seen, and what was not sealed opens nothing.

use std::sync::LazyLock;

use memchr::memmem::{self, Finder};
use omcp_core::McpMessage;
use omcp_mcp::methods;

static STATE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(br#""requestState""#));
/// `taskId` and `taskIds`.
static TASK: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(br#""taskId"#));
/// Of a name that began in one piece and goes on in the next, so much is in the first at most.
const CUT_LEN_MAX: usize = br#""requestState""#.len() - 1;

/// What a server may give in answer to one request.
#[derive(Clone, Copy)]
pub struct Sought {
    states: bool,
    tasks: bool,
}

impl Sought {
    /// None if it may give nothing.
    pub fn of(request: &McpMessage) -> Option<Self> {
        let method = request.method().unwrap_or_default();
        if methods::is_multi_round_trip(method) {
            return Some(Self { states: true, tasks: knows_of_tasks(request) });
        }
        let tasks = methods::is_about_task(method) || method == methods::SUBSCRIPTIONS_LISTEN;
        tasks.then_some(Self { states: true, tasks })
    }

    pub fn is_in(self, said: &[u8]) -> bool {
        self.states && STATE.find(said).is_some() || self.tasks && TASK.find(said).is_some()
    }
}

/// Who does not say so cannot ask for any.
fn knows_of_tasks(request: &McpMessage) -> bool {
    let declared = request.envelope().client_capabilities_range();
    declared.is_some_and(|declared| memmem::find(&request.bytes()[declared], b"tasks").is_some())
}

/// The same in pieces, in their order.
pub struct Search {
    sought: Sought,
    found: bool,
    /// The end of what was looked at.
    cut: [u8; CUT_LEN_MAX],
    cut_len: usize,
}

impl Search {
    pub fn new(sought: Sought) -> Self {
        Self { sought, found: false, cut: [0; CUT_LEN_MAX], cut_len: 0 }
    }

    pub fn look_at(&mut self, piece: &[u8]) {
        let (before, after) = (self.cut_len, piece.len().min(CUT_LEN_MAX));
        let mut seam = [0; 2 * CUT_LEN_MAX];
        seam[..before].copy_from_slice(&self.cut[..before]);
        seam[before..before + after].copy_from_slice(&piece[..after]);
        let seam = &seam[..before + after];
        self.found = self.found || before > 0 && self.sought.is_in(seam) || self.sought.is_in(piece);
        let end = if piece.len() < CUT_LEN_MAX { seam } else { piece };
        self.cut_len = end.len().min(CUT_LEN_MAX);
        self.cut[..self.cut_len].copy_from_slice(&end[end.len() - self.cut_len..]);
    }

    pub fn has_found(&self) -> bool {
        self.found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sought(method: &str, declared: &str) -> Option<Sought> {
        let meta = format!(r#"{{"io.modelcontextprotocol/clientCapabilities":{declared}}}"#);
        let text = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{{"_meta":{meta}}}}}"#);
        Sought::of(&McpMessage::parse(text.into()).unwrap())
    }

    #[test]
    fn only_what_may_be_given_is_looked_for() {
        let state = br#"{"result":{"requestState":"s"}}"#;
        let task = br#"{"result":{"taskId":"t"}}"#;
        let granted = br#"{"params":{"notifications":{"taskIds":[]}}}"#;
        let quoted = br#"{"result":{"content":[{"type":"text","text":"\"requestState\": 1"}]}}"#;
        let able = r#"{"extensions":{"io.modelcontextprotocol/tasks":{}}}"#;
        for (sought, want) in [
            (sought("tools/call", "{}"), [true, false, false, false]),
            (sought("tools/call", able), [true, true, true, false]),
            (sought("tasks/get", able), [true, true, true, false]),
            (sought("subscriptions/listen", "{}"), [true, true, true, false]),
        ] {
            let sought = sought.unwrap();
            assert_eq!([&state[..], task, granted, quoted].map(|said| sought.is_in(said)), want);
        }
        assert!(sought("tools/list", able).is_none());
    }

    #[test]
    fn a_name_may_be_cut_anywhere() {
        let said = br#"{"result":{"requestState":"s"}}"#;
        let found = |pieces: &mut dyn Iterator<Item = &[u8]>| {
            let mut search = Search::new(sought("tools/call", "{}").unwrap());
            pieces.for_each(|piece| search.look_at(piece));
            search.has_found()
        };
        for at in 0..=said.len() {
            let (one, two) = said.split_at(at);
            assert!(found(&mut [one, two].into_iter()), "cut at {at}");
        }
        for len in 1..20 {
            assert!(found(&mut said.chunks(len)), "pieces of {len}");
            assert!(!found(&mut br#"{"result":{"requestSt":"ate"}}"#.chunks(len)), "pieces of {len}");
        }
    }
}
