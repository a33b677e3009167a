//! The task that owns a lane's connection.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use omcp_core::{BackendConnection, ErrorKind, GatewayError, McpMessage};
use omcp_mcp::envelope::Kind;
use omcp_mcp::methods;
use omcp_mcp::refusal::{code, error_response};
use omcp_mcp::revision::Era;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior};

use super::counts::CallCounts;
use super::event::Event;
use super::pending::{Counters, Delivery, Overdue, Pending};
use super::surplus::{Surplus, TICK};
use super::{Command, LaneOptions};

/// Commands taken at once, so that many callers' lines leave in one write.
const BATCH: usize = 64;

pub(super) async fn run(
    mut connection: Box<dyn BackendConnection>,
    options: LaneOptions,
    mut commands: mpsc::Receiver<Command>,
    counters: Arc<Counters>,
    ended: watch::Sender<Option<Arc<GatewayError>>>,
) {
    let pending = Pending::new(counters, options.call_max);
    let batch = Vec::with_capacity(BATCH);
    let mut owner = Owner { options, pending, surplus: Surplus::default(), batch, closing: false };
    // The connection is a stranger's code: a panic in it ends this lane and nothing else.
    let served = AssertUnwindSafe(owner.serve(connection.as_mut(), &mut commands)).catch_unwind().await;
    let error = Arc::new(served.unwrap_or_else(|_| panicked()));
    let lost = owner.pending.lose_all(&error);
    CallCounts::add(&owner.options.counts.lost, lost);
    owner.refuse_rest(commands, &error).await;
    if let Some(sink) = &owner.options.unsolicited {
        sink.event(Event::Lost(error.clone()));
    }
    if let Ok(Err(close)) = AssertUnwindSafe(connection.close()).catch_unwind().await {
        tracing::debug!(error = %close.chain(), "backend connection did not close cleanly");
    }
    ended.send_replace(Some(error));
}

struct Owner {
    options: LaneOptions,
    pending: Pending,
    surplus: Surplus,
    /// Commands taken and not yet obeyed, the next one last.
    batch: Vec<Command>,
    /// Nobody will start anything more: it ends with the last call.
    closing: bool,
}

impl Owner {
    /// Serves until the lane has to end, and says why.
    async fn serve(
        &mut self,
        connection: &mut dyn BackendConnection,
        commands: &mut mpsc::Receiver<Command>,
    ) -> GatewayError {
        // Deadlines are minutes: that coarse is fine enough for them.
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let step = tokio::select! {
                taken = commands.recv_many(&mut self.batch, BATCH) => {
                    if taken == 0 {
                        Err(closed_here())
                    } else {
                        self.gather(commands).await;
                        self.obey(connection).await
                    }
                }
                message = connection.recv(), if self.surplus.has_room() => {
                    self.hear(message, connection).await
                }
                _ = tick.tick() => {
                    self.surplus.renew();
                    self.expire(connection).await
                }
            };
            if let Err(error) = step {
                return error;
            }
            if self.closing && self.pending.is_empty() {
                return closed_here();
            }
        }
    }

    /// Lets other callers that are ready put their commands into the same write: the scheduler runs this
    /// task right after the first of them.
    async fn gather(&mut self, commands: &mut mpsc::Receiver<Command>) {
        if self.batch.len() >= BATCH {
            return;
        }
        tokio::task::yield_now().await;
        while self.batch.len() < BATCH {
            match commands.try_recv() {
                Ok(command) => self.batch.push(command),
                Err(_) => return,
            }
        }
    }

    async fn obey(&mut self, connection: &mut dyn BackendConnection) -> Result<(), GatewayError> {
        self.batch.reverse();
        while let Some(command) = self.batch.pop() {
            match command {
                Command::Call { id, message, sink, traits } => {
                    self.pending.insert(id, sink, traits);
                    connection.send(message).await?;
                }
                Command::Send(message) => connection.send(message).await?,
                Command::Cancel { id, reason } => {
                    self.cancel(id, Event::Cancelled, reason, connection).await?;
                }
                Command::CloseWhenQuiet => self.closing = true,
                Command::Close => return Err(closed_here()),
            }
        }
        Ok(())
    }

    async fn cancel(
        &mut self,
        id: u64,
        event: Event,
        reason: &str,
        connection: &mut dyn BackendConnection,
    ) -> Result<(), GatewayError> {
        if !self.pending.finish(id, event) {
            return Ok(());
        }
        let text = format!(
            r#"{{"jsonrpc":"2.0","method":"{}","params":{{"requestId":{id},"reason":"{reason}"}}}}"#,
            methods::CANCELLED
        );
        connection.send(McpMessage::trusted(text.into())).await
    }

    async fn hear(
        &mut self,
        message: Result<Option<McpMessage>, GatewayError>,
        connection: &mut dyn BackendConnection,
    ) -> Result<(), GatewayError> {
        let Some(message) = message? else {
            return Err(GatewayError::closed("the backend ended the connection"));
        };
        match message.envelope().kind() {
            Kind::Response | Kind::Error => {
                let known =
                    own_id(message.id()).is_some_and(|id| self.pending.finish(id, Event::Final(message)));
                if !known {
                    self.surplus.add();
                    CallCounts::add(&self.options.counts.late, 1);
                    tracing::debug!("dropped a response that nobody waits for");
                }
                Ok(())
            }
            Kind::Request => self.asked(message, connection).await,
            Kind::Notification => self.notified(message, connection).await,
        }
    }

    /// A request of the peer: only legacy peers may send one.
    async fn asked(
        &mut self,
        message: McpMessage,
        connection: &mut dyn BackendConnection,
    ) -> Result<(), GatewayError> {
        if message.is_method(methods::PING) {
            self.surplus.add();
            let id = message.id().unwrap_or(b"0");
            let pong = [br#"{"jsonrpc":"2.0","id":"#, id, br#","result":{}}"#].concat();
            return connection.send(McpMessage::trusted(pong.into())).await;
        }
        if self.options.era == Era::Modern {
            self.surplus.add();
            tracing::debug!("dropped a request of a modern backend: its revision forbids them");
            return Ok(());
        }
        if self.options.shared {
            self.surplus.add();
            let id = message.id().unwrap_or(b"0");
            let text = "several clients share this server, so it can ask none of them";
            let refusal = error_response(id, code::METHOD_NOT_FOUND, text, None);
            return connection.send(McpMessage::trusted(refusal.into())).await;
        }
        let id = self.pending.oldest();
        self.deliver(id, message, connection).await
    }

    async fn notified(
        &mut self,
        message: McpMessage,
        connection: &mut dyn BackendConnection,
    ) -> Result<(), GatewayError> {
        if message.is_method(methods::CANCELLED) && self.options.era == Era::Modern {
            return self.withdrawn(own_id(message.envelope().request_id_param(message.bytes())));
        }
        match self.addressee(&message) {
            Addressee::Call(id) => self.deliver(Some(id), message, connection).await,
            Addressee::All => self.deliver(None, message, connection).await,
            Addressee::Nobody => {
                self.surplus.add();
                Ok(())
            }
        }
    }

    fn addressee(&self, notification: &McpMessage) -> Addressee {
        let (envelope, bytes) = (notification.envelope(), notification.bytes());
        let certain = |id: Option<u64>| id.map_or(Addressee::Nobody, Addressee::Call);
        let likely = |id: Option<u64>| id.map_or(Addressee::All, Addressee::Call);
        match notification.method() {
            Some(methods::PROGRESS) => certain(own_id(envelope.progress_token(bytes))),
            Some(methods::MESSAGE) if self.options.era == Era::Modern => {
                certain(self.pending.only_with_logs())
            }
            Some(methods::MESSAGE) if self.options.shared => Addressee::Nobody,
            Some(methods::MESSAGE) => likely(self.pending.oldest()),
            _ => likely(own_id(envelope.subscription_id_range().map(|range| &bytes[range]))),
        }
    }

    /// A modern backend ends a subscription by cancelling it (2026-07-28 stdio).
    fn withdrawn(&mut self, id: Option<u64>) -> Result<(), GatewayError> {
        if let Some(id) = id {
            let error = GatewayError::closed("the backend ended the call");
            self.pending.finish(id, Event::Lost(Arc::new(error)));
        }
        Ok(())
    }

    /// To the call it belongs to, else to whoever takes what belongs to none.
    async fn deliver(
        &mut self,
        id: Option<u64>,
        message: McpMessage,
        connection: &mut dyn BackendConnection,
    ) -> Result<(), GatewayError> {
        let Some(id) = id else {
            self.unsolicited(message);
            return Ok(());
        };
        match self.pending.deliver(id, message) {
            Delivery::Done => Ok(()),
            Delivery::NoSuchCall => {
                self.surplus.add();
                Ok(())
            }
            Delivery::Refused => {
                let slow = Arc::new(GatewayError::closed("the client did not read its stream fast enough"));
                self.cancel(id, Event::Lost(slow), "client is gone", connection).await
            }
        }
    }

    fn unsolicited(&mut self, message: McpMessage) {
        self.surplus.add();
        if let Some(sink) = &self.options.unsolicited {
            sink.event(Event::Message(message));
        }
    }

    async fn expire(&mut self, connection: &mut dyn BackendConnection) -> Result<(), GatewayError> {
        for (id, why) in self.pending.expired(Instant::now()) {
            let context = match why {
                Overdue::Silent(time) => {
                    format!("the backend was silent on this call for {} ms", time.as_millis())
                }
                Overdue::Long(time) => format!("the call lasted longer than {} ms", time.as_millis()),
            };
            CallCounts::add(&self.options.counts.timed_out, 1);
            let late = Event::Lost(Arc::new(GatewayError::timeout(context)));
            self.cancel(id, late, "timed out", connection).await?;
        }
        Ok(())
    }

    /// Calls that were accepted and never sent get the reason too.
    async fn refuse_rest(&mut self, mut commands: mpsc::Receiver<Command>, error: &Arc<GatewayError>) {
        commands.close();
        let taken = std::mem::take(&mut self.batch);
        taken.into_iter().for_each(|command| self.refuse(command, error));
        while let Some(command) = commands.recv().await {
            self.refuse(command, error);
        }
    }

    fn refuse(&mut self, command: Command, error: &Arc<GatewayError>) {
        if let Command::Call { id, sink, traits, .. } = command {
            self.pending.insert(id, sink, traits);
            self.pending.finish(id, Event::Unsent(error.clone()));
        }
    }
}

/// Whom a notification is for.
enum Addressee {
    Call(u64),
    /// Whoever takes what belongs to no call.
    All,
    Nobody,
}

fn panicked() -> GatewayError {
    GatewayError::new(ErrorKind::Internal, "the runtime panicked; its connection is given up")
}

fn closed_here() -> GatewayError {
    GatewayError::closed("the gateway closed the connection to the backend")
}

/// Our own ids are plain decimal numbers.
fn own_id(raw: Option<&[u8]>) -> Option<u64> {
    std::str::from_utf8(raw?).ok()?.parse().ok()
}
