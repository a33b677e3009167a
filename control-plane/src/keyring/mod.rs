//! The keys that nodes share: made, kept and rotated here, and streamed to every node beside the revisions.
//!
//! - [`keys`]: [`Keys`], which key comes, seals and leaves
//! - this file: [`Keyring`], and the task that owns the keys

pub mod keys;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use omcp_proto::v1::sync_response::Body;
use tokio::sync::{mpsc, oneshot, watch};

use crate::error::Error;
use crate::fleet::Fleet;
use crate::publish::frame;
use crate::store::Store;
use crate::store::clock::now_ms;
use keys::Keys;

/// How often it is looked whether every node has a key: rotations are rare, and nobody waits for one.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Rotations that may be asked for at once; they all are one.
const ORDERS: usize = 16;

/// A handle on the keys. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Keyring {
    orders: mpsc::Sender<oneshot::Sender<Result<u32, Error>>>,
    frames: watch::Receiver<Bytes>,
}

impl Keyring {
    /// Loads the keys, makes the first one if there is none, and starts the task that owns them; it ends with
    /// its last handle.
    ///
    /// # Errors
    /// The store could not be read or written.
    pub async fn start(store: Store, fleet: Arc<Fleet>) -> Result<Self, Error> {
        let keys = Keys(store.keyring().await?);
        let (orders, inbound) = mpsc::channel(ORDERS);
        let (published, frames) = watch::channel(Bytes::new());
        let mut owner = Owner { keys, store, fleet, published };
        if owner.keys.0.is_empty() {
            owner.rotate().await?;
        }
        owner.publish();
        tokio::spawn(owner.run(inbound));
        Ok(Self { orders, frames })
    }

    /// The message that tells a node of the keys; it changes with them.
    pub fn frames(&self) -> watch::Receiver<Bytes> {
        self.frames.clone()
    }

    /// Brings a new key. Returns its id.
    ///
    /// # Errors
    /// It could not be stored.
    pub async fn rotate(&self) -> Result<u32, Error> {
        let (reply, answer) = oneshot::channel();
        self.orders.send(reply).await.map_err(|_| Error::Stopping)?;
        answer.await.map_err(|_| Error::Stopping)?
    }
}

struct Owner {
    keys: Keys,
    store: Store,
    fleet: Arc<Fleet>,
    published: watch::Sender<Bytes>,
}

impl Owner {
    async fn run(mut self, mut orders: mpsc::Receiver<oneshot::Sender<Result<u32, Error>>>) {
        let mut looks = tokio::time::interval(LOOK_EVERY);
        loop {
            tokio::select! {
                order = orders.recv() => match order {
                    // Whoever hung up does not need the id.
                    Some(reply) => drop(reply.send(self.rotate().await)),
                    None => return,
                },
                _ = looks.tick() => self.look().await,
            }
        }
    }

    async fn look(&mut self) {
        let now_ms = now_ms();
        if self.keys.is_old(now_ms)
            && let Err(error) = self.rotate().await
        {
            tracing::warn!(%error, "the keyring cannot be rotated; trying again");
        }
        let mut next = self.keys.clone();
        let known = self.fleet.know_keyring(self.keys.fingerprint());
        if next.step(known, now_ms)
            && let Err(error) = self.adopt(next).await
        {
            tracing::warn!(%error, "the keyring cannot be stored; trying again");
        }
    }

    async fn rotate(&mut self) -> Result<u32, Error> {
        let mut next = self.keys.clone();
        let (mut id, mut secret) = ([0; 4], [0; 32]);
        getrandom::fill(&mut id)
            .and_then(|()| getrandom::fill(&mut secret))
            .map_err(|_| Error::Randomness)?;
        let coming = next.rotate(u32::from_le_bytes(id), secret, now_ms());
        if next != self.keys {
            self.adopt(next).await?;
            tracing::info!(key = format!("{coming:08x}"), "a key is added to the keyring");
        }
        Ok(coming)
    }

    /// Stored first: what nodes have must survive a crash of this program.
    async fn adopt(&mut self, next: Keys) -> Result<(), Error> {
        self.store.save_keyring(next.0.clone()).await?;
        self.keys = next;
        self.publish();
        Ok(())
    }

    fn publish(&self) {
        self.published.send_replace(frame::message(Body::Keyring(self.keys.to_wire())));
    }
}
