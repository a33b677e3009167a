//! [`Client`]: the task that owns the sync stream, its session, and the writing of last-good files.
//!
//! It never ends because of a control plane: whatever goes wrong, the backends go on as they are.

use std::sync::Arc;
use std::time::Duration;

use omcp_proto::v1::sync_request::Body as Said;
use omcp_proto::v1::sync_response::Body as Heard;
use omcp_proto::v1::{Goodbye, Hello, RuntimeType, SyncRequest, SyncResponse};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tonic::{Code, Status, Streaming};

use super::dial::{self, OPEN_DEADLINE};
use super::last_good::Writer;
use super::listings::Listings;
use super::outbox::{Facts, Outbox};
use super::report::reports;
use super::session::{Action, Fault, Session};
use super::view::View;
use crate::backends::BackendSet;
use crate::members::Members;
use omcp_runtimes::backoff::{equal_jitter, full_jitter, random_below};

/// Shortest silence after which the stream is taken for dead: three and a half of the usual heartbeats.
const IDLE_DEADLINE: Duration = Duration::from_secs(35);
/// Longest time between heartbeats that a control plane may announce: more is a mistake.
const HEARTBEAT_MAX: Duration = Duration::from_secs(600);
/// Shortest life of a stream; at most twice that. Replicas rebalance, and resuming stays exercised.
const LIFETIME: Duration = Duration::from_secs(30 * 60);
/// First wait before a reconnect: a restarted control plane is back soon.
const BACKOFF_FIRST: Duration = Duration::from_millis(50);
/// Longest such wait while nobody answers: a node is level again within a second of a repair, and a thousand of
/// them dial no more than 1,500 times a second.
const AWAY_MAX: Duration = Duration::from_millis(900);
/// Longest wait after somebody answered and refused: that takes a person to mend.
const REFUSED_MAX: Duration = Duration::from_secs(15);
/// A stream that brought something and lived this long was a good one; a line that comes and goes is not dialled
/// faster than one that is gone.
const SETTLED: Duration = Duration::from_secs(10);
/// A stream that lived this long was no failed attempt, even if it ended with a refusal.
const STABLE: Duration = Duration::from_secs(60);
/// Between two status reports: changes of a busy node come in bundles.
const REPORT_EVERY: Duration = Duration::from_secs(1);
/// Between the welcome and the first listing: by then the control plane has told what it knows.
const LISTINGS_AFTER: Duration = Duration::from_secs(2);
/// Between a change and its last-good file, so that a burst is written once.
const PERSIST_DELAY: Duration = Duration::from_secs(1);
/// For the goodbye: the control plane would notice without it.
const GOODBYE_DEADLINE: Duration = Duration::from_millis(500);

/// Who this node is, and where its control plane.
#[derive(Clone, Debug)]
pub struct Identity {
    /// `http://HOST:PORT`.
    pub control_plane: String,
    pub node: String,
    pub boot_id: [u8; 16],
    pub mcp_url: String,
    pub admin_url: String,
    /// When they change, the fleet is told by another hello.
    pub runtime_types: watch::Receiver<Vec<RuntimeType>>,
}

/// Nothing can be applied any more: a node that went on would confirm what it does not do.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the task that owns the backends has ended, which is a bug: start the node again")]
pub struct SetEnded;

/// Owns the stream.
pub struct Client {
    identity: Identity,
    session: Session,
    set: BackendSet,
    members: Arc<Members>,
    files: Option<Writer>,
    view: watch::Sender<View>,
    unwritten: Option<Instant>,
    /// How long the present stream may be silent.
    patience: Duration,
    /// Whether the present stream has brought anything beyond a welcome.
    heard_data: bool,
}

/// Why a stream ended.
enum End {
    /// The node stops.
    Stop,
    /// In good order: come back after a wait of up to this.
    Renew(Duration),
    /// The peer or the network went away.
    Lost(String),
    /// Nothing can be applied any more.
    SetEnded,
    /// The peer refused us or broke the contract: what it said before does not count in its favour.
    Refused(String),
}

impl Client {
    /// `set` already serves what `session` holds.
    pub fn new(
        identity: Identity,
        session: Session,
        set: BackendSet,
        members: Arc<Members>,
        files: Option<Writer>,
    ) -> Self {
        let view = watch::Sender::new(View::of(&session));
        let patience = OPEN_DEADLINE;
        Self { identity, session, set, members, files, view, unwritten: None, patience, heard_data: false }
    }

    pub fn view(&self) -> watch::Receiver<View> {
        self.view.subscribe()
    }

    /// Keeps a stream open until `stop` turns true; then says goodbye and writes what is unwritten.
    ///
    /// # Errors
    /// The set of backends has ended.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) -> Result<(), SetEnded> {
        let mut failures = 0;
        while !*stop.borrow() {
            let began = Instant::now();
            let end = self.stream(&mut stop).await;
            self.disconnected(&end);
            let wait = match end {
                End::Stop => break,
                End::SetEnded => return Err(SetEnded),
                End::Renew(spread) => random_below(spread),
                End::Lost(_) => {
                    failures = row_of_failures(failures, self.heard_data, began.elapsed());
                    pause(failures, if self.heard_data { Duration::ZERO } else { began.elapsed() })
                }
                End::Refused(_) => {
                    failures = if began.elapsed() >= STABLE { 1 } else { failures + 1 };
                    full_jitter(failures, BACKOFF_FIRST, REFUSED_MAX)
                }
            };
            tokio::select! {
                () = sleep(wait) => {}
                () = stopped(&mut stop) => {}
            }
        }
        if let Some(files) = self.files.take() {
            files.finish().await;
        }
        Ok(())
    }

    async fn stream(&mut self, stop: &mut watch::Receiver<bool>) -> End {
        (self.heard_data, self.patience) = (false, OPEN_DEADLINE);
        let hello = self.hello();
        let opening = dial::open(&self.identity.control_plane, hello);
        let opened = tokio::select! {
            opened = timeout(OPEN_DEADLINE, opening) => opened,
            () = stopped(stop) => return End::Stop,
        };
        match opened {
            Ok(Ok((inbound, sender))) => Box::pin(self.converse(inbound, sender, stop)).await,
            Ok(Err(error)) => End::Lost(error.0),
            Err(_) => End::Lost(format!("no answer within {} s", OPEN_DEADLINE.as_secs())),
        }
    }

    fn hello(&mut self) -> Hello {
        let identity = &mut self.identity;
        Hello {
            node: identity.node.clone(),
            boot_id: identity.boot_id.to_vec(),
            resume: self.session.open(),
            resume_source: self.session.source().into(),
            build: env!("CARGO_PKG_VERSION").to_owned(),
            protocol_min: omcp_proto::SYNC_PROTOCOL,
            protocol_max: omcp_proto::SYNC_PROTOCOL,
            runtime_types: identity.runtime_types.borrow_and_update().clone(),
            mcp_url: identity.mcp_url.clone(),
            admin_url: identity.admin_url.clone(),
        }
    }

    async fn converse(
        &mut self,
        mut inbound: Streaming<SyncResponse>,
        sender: mpsc::Sender<SyncRequest>,
        stop: &mut watch::Receiver<bool>,
    ) -> End {
        let set = self.set.clone();
        let members = self.members.clone();
        let mut outbox = Outbox::default();
        let mut listings = Listings::default();
        let mut listings_at = Instant::now();
        let mut rejections = set.rejections();
        let mut runtime_types = self.identity.runtime_types.clone();
        let mut persisted = self.files.as_ref().map(Writer::persisted);
        let mut report_at = Instant::now();
        let mut silent_until = Instant::now() + self.patience;
        let end_of_life = Instant::now() + LIFETIME + random_below(LIFETIME);
        loop {
            let unwritten = self.unwritten.unwrap_or(end_of_life);
            let more_to_report = async {
                set.changes().any().await;
                sleep_until(report_at).await;
            };
            tokio::select! {
                biased;
                () = stopped(stop) => return self.goodbye(&sender).await,
                room = sender.reserve(), if !outbox.is_empty() => {
                    let Ok(room) = room else { return End::Lost("the stream closed".to_owned()) };
                    let rejections = rejections.borrow_and_update().clone();
                    let persisted = persisted.as_mut().map(|persisted| *persisted.borrow_and_update());
                    let facts = Facts { rejections: &rejections, persisted: persisted.unwrap_or_default() };
                    room.send(SyncRequest { body: outbox.next(&self.session, &facts) });
                }
                room = sender.reserve(), if !listings.is_empty() && Instant::now() >= listings_at => {
                    let Ok(room) = room else { return End::Lost("the stream closed".to_owned()) };
                    if let Some(news) = listings.next(set.table()) {
                        room.send(SyncRequest { body: Some(Said::Listings(news)) });
                    }
                }
                () = sleep_until(listings_at), if !listings.is_empty() && Instant::now() < listings_at => {}
                message = inbound.message() => {
                    let message = match message {
                        Ok(Some(SyncResponse { body: Some(Heard::Listings(told)) })) => {
                            listings.take(told, set.table());
                            silent_until = Instant::now() + self.patience;
                            continue;
                        }
                        Ok(Some(SyncResponse { body: Some(body) })) => body,
                        Ok(Some(_)) => continue,
                        Ok(None) => return End::Lost("the control plane ended the stream".to_owned()),
                        Err(status) => return lost(&status),
                    };
                    let welcome = matches!(message, Heard::Welcome(_));
                    if let Err(end) = self.take(message, &mut outbox).await {
                        return end;
                    }
                    silent_until = Instant::now() + self.patience;
                    if welcome {
                        // Forgotten first, so that what changes meanwhile is told again.
                        drop(set.changes().take());
                        outbox.report(reports(set.statuses(None).await, true));
                        listings.note(set.table().all().keys().cloned());
                        listings_at = Instant::now() + LISTINGS_AFTER;
                        report_at = Instant::now();
                    }
                }
                () = more_to_report, if self.is_connected() && outbox.has_reported() => {
                    let names = set.changes().take();
                    listings.note(names.iter().cloned());
                    outbox.report(reports(set.statuses(Some(names)).await, false));
                    report_at = Instant::now() + REPORT_EVERY;
                }
                () = members.ended().any(), if self.is_connected() && !outbox.has_ended() => {
                    outbox.end(members.ended().tell());
                }
                Ok(()) = rejections.changed(), if self.is_connected() => outbox.ack(),
                true = changed(&mut persisted), if self.is_connected() => {
                    self.look();
                    outbox.ack();
                }
                Ok(()) = runtime_types.changed() => return End::Renew(Duration::ZERO),
                () = sleep_until(unwritten), if self.unwritten.is_some() => self.write(),
                () = sleep_until(silent_until) => return self.silence(),
                () = sleep_until(end_of_life) => return End::Renew(Duration::ZERO),
            }
        }
    }

    /// Takes one message of the control plane.
    async fn take(&mut self, message: Heard, outbox: &mut Outbox) -> Result<(), End> {
        let welcome = matches!(message, Heard::Welcome(_));
        if let Heard::Welcome(welcome) = &message {
            self.patience = patience(welcome.heartbeat_ms);
            tracing::info!(control_plane = %self.identity.control_plane, "connected to the control plane");
        }
        let action = self.session.on(message).map_err(faulty)?;
        match action {
            None => {}
            Some(Action::Ack) => outbox.ack(),
            Some(Action::Keyring(keyring)) => {
                self.members.take_keyring(keyring).await;
                outbox.ack();
            }
            Some(Action::Members(members)) => self.members.take_members(members).await,
            Some(Action::Ended(ended)) => self.members.ended().take(&ended),
            Some(Action::Apply(wanted)) => {
                if !self.set.apply(wanted).await {
                    // What may have ended the set is not what the next start should begin with.
                    self.unwritten = None;
                    return Err(End::SetEnded);
                }
                self.unwritten.get_or_insert_with(|| Instant::now() + PERSIST_DELAY);
                outbox.ack();
            }
            Some(Action::Reconnect(spread_ms)) => {
                return Err(End::Renew(Duration::from_millis(spread_ms.into())));
            }
            Some(Action::Resync) => return Err(End::Renew(Duration::ZERO)),
        }
        self.heard_data |= !welcome;
        self.view.send_modify(|view| {
            view.connected = true;
            view.heard = Some(Instant::now());
            view.last_error.clear();
        });
        self.look();
        Ok(())
    }

    fn is_connected(&self) -> bool {
        self.view.borrow().connected
    }

    /// Shows where the session stands.
    fn look(&self) {
        let persisted = self.files.as_ref().map(|files| *files.persisted().borrow());
        self.view.send_modify(|view| {
            view.stand(&self.session);
            if let Some((epoch, revision)) = persisted {
                view.persisted_revision = if epoch == view.epoch { revision } else { 0 };
            }
        });
    }

    fn write(&mut self) {
        if self.unwritten.take().is_some()
            && let Some(files) = &self.files
        {
            files.write(self.session.held().clone());
        }
    }

    fn silence(&self) -> End {
        let seconds = self.patience.as_secs();
        End::Lost(format!("the control plane was silent for {seconds} s"))
    }

    async fn goodbye(&self, sender: &mpsc::Sender<SyncRequest>) -> End {
        let goodbye = Goodbye { reason: "the node is stopping".to_owned() };
        let said = sender.send(SyncRequest { body: Some(Said::Goodbye(goodbye)) });
        if timeout(GOODBYE_DEADLINE, said).await.is_ok() {
            // The stream ends with its sender; the message still has to leave.
            sleep(GOODBYE_DEADLINE / 10).await;
        }
        End::Stop
    }

    fn disconnected(&mut self, end: &End) {
        self.write();
        let was_connected = self.is_connected();
        let told = self.view.borrow().last_error.clone();
        self.view.send_modify(|view| {
            view.connected = false;
            if let End::Lost(why) | End::Refused(why) = end {
                view.last_error.clone_from(why);
            }
        });
        if let End::Lost(why) | End::Refused(why) = end {
            let control_plane = &self.identity.control_plane;
            if was_connected {
                tracing::warn!(%control_plane, %why, "lost the control plane; backends go on as they are");
            } else if told != *why {
                tracing::warn!(%control_plane, %why, "no control plane; trying again, and backends go on as they are");
            } else {
                tracing::debug!(%control_plane, %why, "control plane not reached; trying again");
            }
        }
    }
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    drop(stop.wait_for(|stop| *stop).await);
}

/// Resolves to false, and only then, if there is nothing to wait for.
async fn changed<T>(receiver: &mut Option<watch::Receiver<T>>) -> bool {
    match receiver {
        Some(receiver) => receiver.changed().await.is_ok(),
        None => false,
    }
}

/// How many attempts in a row came to nothing, now that a stream is lost which lived this long.
fn row_of_failures(before: u32, heard_data: bool, lived: Duration) -> u32 {
    if heard_data && lived >= SETTLED { 1 } else { before + 1 }
}

/// How long to wait after an attempt that reached nobody. The time that it took counts.
fn pause(failures: u32, took: Duration) -> Duration {
    equal_jitter(failures, BACKOFF_FIRST, AWAY_MAX).saturating_sub(took)
}

/// Three heartbeats may get lost; the fourth is late by half.
fn patience(heartbeat_ms: u32) -> Duration {
    let heartbeat = Duration::from_millis(heartbeat_ms.into()).min(HEARTBEAT_MAX);
    IDLE_DEADLINE.max(heartbeat * 7 / 2)
}

fn faulty(fault: Fault) -> End {
    tracing::warn!(%fault, "the sync stream broke its contract and is closed");
    End::Refused(fault.to_string())
}

fn lost(status: &Status) -> End {
    let why = format!("{}: {}", status.code(), status.message());
    match status.code() {
        Code::Aborted => {
            tracing::warn!(%why, "the control plane closed the stream: is another node of this name running?");
            End::Refused(why)
        }
        // Saying the same again has the same outcome, however much was heard before.
        Code::InvalidArgument | Code::FailedPrecondition => End::Refused(why),
        _ => End::Lost(why),
    }
}

#[cfg(test)]
mod tests;
