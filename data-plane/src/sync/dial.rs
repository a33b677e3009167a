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
/// For TCP alone: as long as the system waits before it repeats its first packet. A later attempt finds a network
/// that was repaired sooner than this one would.
pub const CONNECT_DEADLINE: Duration = Duration::from_millis(900);
/// HTTP/2 pings: a dead host or a cut network is noticed within the sum of the two.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(7);
const KEEPALIVE_WAIT: Duration = Duration::from_secs(5);
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
        .connect_timeout(CONNECT_DEADLINE)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEPALIVE_EVERY)
        .keep_alive_timeout(KEEPALIVE_WAIT)
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
