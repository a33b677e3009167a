//! Opening a sync stream.

use std::time::Duration;

use omcp_proto::MESSAGE_LEN_MAX;
use omcp_proto::v1::sync_request::Body;
use omcp_proto::v1::sync_service_client::SyncServiceClient;
use omcp_proto::v1::{Hello, SyncRequest, SyncResponse};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::Endpoint;

/// For TCP, HTTP/2 and the welcome: a control plane that needs longer is better tried again.
pub const OPEN_DEADLINE: Duration = Duration::from_secs(5);
/// HTTP/2 pings: a dead host is noticed before the idle deadline.
const KEEPALIVE: Duration = Duration::from_secs(10);
/// Messages of ours that the connection has not taken yet; more wait in the outbox.
const SENDING_MAX: usize = 2;

/// Connects and says hello. What is sent to the sender goes to the control plane.
///
/// # Errors
/// The control plane was not reached or refused the stream.
pub async fn open(
    control_plane: &str,
    hello: Hello,
) -> Result<(Streaming<SyncResponse>, mpsc::Sender<SyncRequest>), OpenError> {
    let channel = Endpoint::from_shared(control_plane.to_owned())?
        .connect_timeout(OPEN_DEADLINE)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE)
        .keep_alive_while_idle(true)
        .connect()
        .await?;
    let (sender, outbound) = mpsc::channel(SENDING_MAX);
    sender.send(SyncRequest { body: Some(Body::Hello(hello)) }).await?;
    let mut client = SyncServiceClient::new(channel).max_decoding_message_size(MESSAGE_LEN_MAX);
    Ok((client.sync(ReceiverStream::new(outbound)).await?.into_inner(), sender))
}

/// Why no stream could be opened, with its causes.
pub struct OpenError(pub String);

impl<E: std::error::Error> From<E> for OpenError {
    fn from(error: E) -> Self {
        let mut text = error.to_string();
        let mut next = error.source();
        while let Some(cause) = next {
            let cause_text = cause.to_string();
            // Some layers only repeat what is below them.
            if !text.ends_with(&cause_text) {
                text = format!("{text}: {cause_text}");
            }
            next = cause.source();
        }
        Self(text)
    }
}
