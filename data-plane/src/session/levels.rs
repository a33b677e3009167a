//! [`Levels`]: a lane of a session whose ends may be of different legacy revisions. What one of them cannot read is
//! said to it in other words; between two of the newest nothing is looked at.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use omcp_core::McpMessage;
use omcp_mcp::bridge::agreement::Agreement;
use omcp_mcp::bridge::downlevel::Passed;
use omcp_mcp::bridge::message::Message;
use omcp_mcp::bridge::server::chosen;
use omcp_mcp::envelope::Kind;
use omcp_mcp::methods;

use crate::backends::lane::{Event, Lane, Sink, WeakLane};

/// The requests whose results older revisions may not know in full.
const RICH: [&str; 3] = [methods::TOOLS_CALL, methods::TOOLS_LIST, methods::PROMPTS_GET];

/// Empty until hands are shaken; then nothing, if both ends are of the newest revision.
#[derive(Clone, Default)]
pub struct Levels(Arc<OnceLock<Option<Uneven>>>);

struct Uneven {
    agreement: Agreement,
    /// Where questions are answered that the client cannot be asked.
    lane: WeakLane,
}

impl Levels {
    /// Hands were shaken.
    pub fn agree(&self, agreement: Agreement, lane: &Lane) {
        self.0.get_or_init(|| agreement.is_uneven().then(|| Uneven { agreement, lane: lane.downgrade() }));
    }

    fn uneven(&self) -> Option<&Uneven> {
        self.0.get()?.as_ref()
    }

    /// The client's request in other words, if the server needs them.
    pub fn request(&self, request: &McpMessage) -> Option<McpMessage> {
        reworded(self.uneven()?.agreement.client_request(lend(request)))
    }

    /// Another message of the client as the server can read it.
    pub fn told(&self, message: McpMessage) -> McpMessage {
        let answer = |uneven: &Uneven| match message.envelope().kind() {
            Kind::Response => reworded(uneven.agreement.client_answer(lend(&message))),
            _ => None,
        };
        self.uneven().and_then(answer).unwrap_or(message)
    }

    /// Who hears of this request of the client. The answer to its own handshake says what was agreed on.
    pub fn hearing(&self, request: &McpMessage, lane: &Lane, sink: Arc<dyn Sink>) -> Arc<dyn Sink> {
        match self.0.get() {
            Some(None) => sink,
            None if request.is_method(methods::INITIALIZE) => {
                let (hello, lane) = (request.clone(), lane.downgrade());
                Arc::new(Greeting { levels: self.clone(), hello, lane, sink })
            }
            None => sink,
            Some(Some(_)) => {
                let method = RICH.into_iter().find(|rich| request.is_method(rich));
                Arc::new(Hearing { levels: self.clone(), method: method.unwrap_or_default(), sink })
            }
        }
    }

    /// Who hears what belongs to no request. It is needed before hands are shaken.
    pub fn overhearing(&self, sink: Arc<dyn Sink>) -> Arc<dyn Sink> {
        Arc::new(Hearing { levels: self.clone(), method: "", sink })
    }
}

impl Uneven {
    /// The server's question as the client can read it; `None` if it was answered here.
    fn question(&self, question: McpMessage) -> Option<McpMessage> {
        match self.agreement.server_request(lend(&question)) {
            Passed::Same => Some(question),
            Passed::Changed(bytes) => Some(reworded(Some(bytes)).unwrap_or(question)),
            Passed::Answered(answer) => {
                self.answer(answer);
                None
            }
        }
    }

    fn answer(&self, answer: Bytes) {
        tracing::debug!(
            "the client's revision does not know what the server asks: it was answered in its stead"
        );
        let sent = self.lane.upgrade().map(|lane| lane.send(McpMessage::trusted(answer)));
        if let Some(Err(error)) = sent {
            tracing::debug!(error = %error.chain(), "the server could not be answered");
        }
    }
}

/// What a change made; nothing, if that is more deeply nested than any message may be.
fn reworded(changed: Option<Bytes>) -> Option<McpMessage> {
    McpMessage::parse(changed?).ok()
}

fn lend(message: &McpMessage) -> Message<'_> {
    Message::new(message.bytes(), message.envelope())
}

/// Puts what the server says into the client's words.
struct Hearing {
    levels: Levels,
    method: &'static str,
    sink: Arc<dyn Sink>,
}

impl Sink for Hearing {
    fn event(&self, event: Event) -> bool {
        let Some(uneven) = self.levels.uneven() else { return self.sink.event(event) };
        match event {
            Event::Message(message) if message.envelope().kind() == Kind::Request => {
                uneven.question(message).is_none_or(|question| self.sink.event(Event::Message(question)))
            }
            Event::Final(message) => {
                let changed = reworded(uneven.agreement.server_answer(lend(&message), self.method));
                self.sink.event(Event::Final(changed.unwrap_or(message)))
            }
            event => self.sink.event(event),
        }
    }
}

/// Waits for the answer to the client's own handshake: what the server chose is good for both.
struct Greeting {
    levels: Levels,
    hello: McpMessage,
    lane: WeakLane,
    sink: Arc<dyn Sink>,
}

impl Sink for Greeting {
    fn event(&self, event: Event) -> bool {
        if let Event::Final(answer) = &event
            && let (Some(revision), Some(lane)) = (chosen(lend(answer)), self.lane.upgrade())
        {
            self.levels.agree(Agreement::new(revision, revision, lend(&self.hello)), &lane);
        }
        self.sink.event(event)
    }
}
