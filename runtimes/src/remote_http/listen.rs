//! The session's own stream (GET): what a legacy server says on its own account.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use http::StatusCode;
use tokio::time::sleep;

use super::exchange::{
    Event, RETRY_DEFAULT, RETRY_MAX, RETRY_MIN, Sink, deliver, lost, refusal, session_lost,
};
use super::healing;
use super::session::{Legacy, Session};
use crate::event_stream::{EventStream, is_event_stream};

/// What came of asking for the stream.
pub enum Opened {
    Stream(Box<EventStream>),
    /// The server has none (405), or another is open (409).
    Never,
    /// Perhaps later.
    NotNow,
    /// The session is gone.
    Lost,
}

pub type Opening = BoxFuture<'static, Opened>;

/// Asks for the stream, or to go on with it after `last_event_id`.
pub fn open(session: Arc<Session>, last_event_id: Option<Box<str>>) -> Opening {
    Box::pin(async move {
        let (limits, used) = (session.limits, session.legacy());
        let response = match session.get(last_event_id.as_deref(), limits.call_timeout).await {
            Ok(response) => response,
            Err(error) => {
                tracing::debug!(error = %error.chain(), "could not open the session's stream");
                return Opened::NotNow;
            }
        };
        if response.status().is_success() && is_event_stream(&response) {
            let stream = EventStream::new(response.into_body(), limits.message_len_max, None);
            return Opened::Stream(Box::new(stream));
        }
        let (status, body) = refusal(response, limits.write_timeout).await;
        match status {
            _ if status == StatusCode::METHOD_NOT_ALLOWED => Opened::Never,
            _ if session_lost(used.as_ref(), status, &body) => Opened::Lost,
            _ if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => Opened::NotNow,
            _ => {
                tracing::debug!(%status, "the server has no stream for the session");
                Opened::Never
            }
        }
    })
}

/// Relays the stream for as long as the session lives; opens it again whenever it ends.
pub async fn run(session: Arc<Session>, mut opening: Opening, sink: Sink) {
    let mut last_event_id = None;
    let mut pause = RETRY_DEFAULT;
    let mut of = session.legacy();
    loop {
        match opening.await {
            Opened::Stream(mut stream) => {
                relay(&mut stream, &sink).await;
                last_event_id = stream.last_event_id().map(Into::into).or(last_event_id);
                pause = stream.retry().unwrap_or(RETRY_DEFAULT).clamp(RETRY_MIN, RETRY_MAX);
            }
            Opened::NotNow => pause = longer(pause),
            Opened::Never => return,
            Opened::Lost => {
                let healed = match &of {
                    Some(forgotten) => healing::heal(&session, forgotten).await,
                    None => Err(lost()),
                };
                if let Err(error) = healed {
                    return deliver(&sink, Event::Lost(error)).await;
                }
            }
        }
        sleep(pause).await;
        let present = session.legacy();
        if !same(of.as_ref(), present.as_ref()) {
            // Another session numbers its events anew.
            (of, last_event_id) = (present, None);
        }
        opening = open(Arc::clone(&session), last_event_id.clone());
    }
}

fn same(one: Option<&Arc<Legacy>>, other: Option<&Arc<Legacy>>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => Arc::ptr_eq(one, other),
        (None, None) => true,
        _ => false,
    }
}

async fn relay(stream: &mut EventStream, sink: &Sink) {
    while let Ok(Some(messages)) = stream.messages().await {
        for message in messages {
            deliver(sink, Event::Message(message)).await;
        }
    }
}

fn longer(pause: Duration) -> Duration {
    (pause * 2).min(RETRY_MAX)
}
