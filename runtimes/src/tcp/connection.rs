//! [`SocketConnection`]: lines over one socket.

use std::time::Duration;

use async_trait::async_trait;
use omcp_core::{BackendConnection, GatewayError, McpMessage};
use tokio::io::{ReadHalf, WriteHalf};
use tokio::time::timeout;

use super::dial::Socket;
use crate::lines::LineConnection;

/// So long the server may take to end its side once we have ended ours; then the socket is dropped.
const CLOSE_WAIT: Duration = Duration::from_secs(2);

type Lines = LineConnection<ReadHalf<Box<dyn Socket>>, WriteHalf<Box<dyn Socket>>>;

pub struct SocketConnection {
    /// `None` once the end was reported, or we ended it.
    lines: Option<Lines>,
    /// For messages.
    peer: String,
}

impl SocketConnection {
    pub fn new(lines: Lines, peer: String) -> Self {
        Self { lines: Some(lines), peer }
    }

    fn lost(&mut self, error: GatewayError) -> GatewayError {
        self.lines = None;
        let context = format!("the connection to {} is lost", self.peer);
        GatewayError::new(error.kind(), context).with_source(error)
    }
}

#[async_trait]
impl BackendConnection for SocketConnection {
    async fn send(&mut self, message: McpMessage) -> Result<(), GatewayError> {
        let Some(lines) = &mut self.lines else {
            return Err(GatewayError::closed(format!("the connection to {} is closed", self.peer)));
        };
        let sent = lines.send(&message).await;
        sent.map_err(|error| self.lost(error))
    }

    async fn recv(&mut self) -> Result<Option<McpMessage>, GatewayError> {
        let Some(lines) = &mut self.lines else { return Ok(None) };
        match lines.recv().await {
            Ok(Some(message)) => Ok(Some(message)),
            Ok(None) => {
                self.lines = None;
                Err(GatewayError::closed(format!("{} ended the connection", self.peer)))
            }
            Err(error) => Err(self.lost(error)),
        }
    }

    async fn close(&mut self) -> Result<(), GatewayError> {
        if let Some(mut lines) = self.lines.take()
            && timeout(CLOSE_WAIT, lines.discard()).await.is_err()
        {
            tracing::debug!(peer = %self.peer, "the server did not end its side of the connection");
        }
        Ok(())
    }
}
