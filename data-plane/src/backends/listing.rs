//! Asking a backend for everything that it lists.

use std::time::Duration;

use omcp_core::{GatewayError, McpMessage};
use omcp_mcp::aggregate::list::List;
use omcp_mcp::aggregate::source::{Listing, PAGES_MAX, Source};
use omcp_mcp::bridge::message::Message;
use omcp_mcp::envelope::Kind;
use omcp_mcp::refusal::code;
use omcp_mcp::revision::Era;
use serde_json::json;
use tokio::time::{Instant, timeout_at};

use super::dialogue::Dialogue;
use super::introduction::metadata;
use super::lane::Lane;
use super::schemas::{self, Tools};

/// For one page: the backend is up by then.
const PAGE_DEADLINE: Duration = Duration::from_secs(10);
/// For all lists but that of the tools: what is late is asked for again later.
const REST_DEADLINE: Duration = Duration::from_secs(10);

/// What a backend lists.
pub struct Listed {
    pub source: Source,
    /// Lists that could not be had; they are not empty for that.
    pub unknown: Vec<List>,
}

/// Somebody who answers questions, one at a time.
pub trait Answers {
    fn answer(
        &mut self,
        method: &str,
        params: String,
    ) -> impl Future<Output = Result<McpMessage, GatewayError>> + Send;
}

impl Answers for Dialogue {
    async fn answer(&mut self, method: &str, params: String) -> Result<McpMessage, GatewayError> {
        self.ask_message(method, &params, PAGE_DEADLINE).await
    }
}

impl Answers for Lane {
    async fn answer(&mut self, method: &str, params: String) -> Result<McpMessage, GatewayError> {
        let answer = self.request(method, &params, PAGE_DEADLINE).await?;
        Ok(McpMessage::trusted(answer))
    }
}

/// All lists that the server of `source` offers.
pub async fn take(peer: &mut impl Answers, mut source: Source) -> Listed {
    let mut unknown = Vec::new();
    let mut deadline = None;
    for list in List::ALL {
        if !source.offers(list) {
            continue;
        }
        let all = all_pages(peer, list, source.era);
        let found = match (list, deadline) {
            (List::Tools, _) => all.await,
            (_, until) => {
                let until = *deadline.insert(until.unwrap_or_else(|| Instant::now() + REST_DEADLINE));
                timeout_at(until, all).await.unwrap_or(None)
            }
        };
        match found {
            Some(listing) => *source.list_mut(list) = listing,
            None => unknown.push(list),
        }
    }
    Listed { source, unknown }
}

/// `None` if it cannot be had: that is no reason not to serve the backend.
async fn all_pages(peer: &mut impl Answers, list: List, era: Era) -> Option<Listing> {
    let mut listing = Listing::default();
    let mut cursor: Option<String> = None;
    for _ in 0..PAGES_MAX {
        let mut params = json!({});
        if era == Era::Modern {
            params["_meta"] = metadata();
        }
        if let Some(cursor) = cursor {
            params["cursor"] = cursor.into();
        }
        let page = peer.answer(list.method(), params.to_string()).await.ok()?;
        if page.envelope().kind() == Kind::Error {
            // A server that has resources may know no templates.
            let absent = page.envelope().error_code() == Some(i64::from(code::METHOD_NOT_FOUND));
            return absent.then(Listing::default);
        }
        cursor = listing.take(list, Message::new(page.bytes(), page.envelope()));
        if cursor.is_none() {
            break;
        }
    }
    Some(listing)
}

impl Listed {
    /// Number of tools, if they are known.
    pub fn tools(&self) -> Option<u32> {
        let count = self.source.list(List::Tools).items.len();
        let known = !self.unknown.contains(&List::Tools) && self.source.offers(List::Tools);
        known.then(|| u32::try_from(count).unwrap_or(u32::MAX))
    }

    /// Leaves out the tools that must not be offered over HTTP.
    pub fn keep_good_headers(&mut self) {
        self.source.list_mut(List::Tools).items.retain(|tool| schemas::may_be_offered(tool));
    }

    /// What calls have to know of the tools.
    pub fn known_tools(&self) -> Tools {
        let tools = &self.source.list(List::Tools).items;
        Tools::of(&tools.iter().filter_map(|tool| serde_json::from_slice(tool).ok()).collect::<Vec<_>>())
    }
}
