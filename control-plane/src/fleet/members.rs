//! [`MemberList`]: which nodes can be reached, as all of them are told. Leases are noisy, so it is no part of
//! the store; and it is a hint: a node that does not find another one there knows better.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use omcp_proto::v1::sync_response::Body;
use omcp_proto::v1::{Member, Members};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::Fleet;
use crate::publish::frame;

/// How long a node that hung up stays listed: the end of its stream is not the end of the node.
pub const KEPT: Duration = Duration::from_secs(60);
/// After its start a control plane does not know who is there: nodes come back within seconds, spread out.
const LEASE: Duration = Duration::from_secs(60);
/// Least time between two lists: when many nodes come at once, each is told of them together.
const PACE: Duration = Duration::from_millis(100);
/// How often it is looked who has been away for too long.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// The list, as messages to nodes.
#[derive(Clone, Debug)]
pub struct MemberList {
    frames: watch::Receiver<Bytes>,
}

impl MemberList {
    /// Starts the task that writes it; it ends with the last handle.
    pub fn start(fleet: Arc<Fleet>) -> Self {
        let (published, frames) = watch::channel(frame_of(&Members { members: Vec::new(), partial: true }));
        tokio::spawn(publish(fleet, published));
        Self { frames }
    }

    /// The message that tells a node of the others; it changes with them.
    pub fn frames(&self) -> watch::Receiver<Bytes> {
        self.frames.clone()
    }
}

async fn publish(fleet: Arc<Fleet>, published: watch::Sender<Bytes>) {
    let began = Instant::now();
    let mut told = fleet.subscribe();
    let mut last = Members { members: Vec::new(), partial: true };
    loop {
        let next = Members { members: fleet.members(KEPT), partial: began.elapsed() < LEASE };
        if next != last {
            published.send_replace(frame_of(&next));
            last = next;
        }
        sleep(PACE).await;
        tokio::select! {
            () = published.closed() => return,
            told = told.changed() => if told.is_err() { return },
            () = sleep(LOOK_EVERY) => {}
        }
    }
}

fn frame_of(members: &Members) -> Bytes {
    frame::message(Body::Members(members.clone()))
}

/// What is told of one node; `None` if nobody could reach it.
pub fn member(node: &str, boot_id: &[u8], url: &str) -> Option<Member> {
    (!url.is_empty()).then(|| Member {
        node: node.to_owned(),
        boot_id: boot_id.to_vec(),
        url: url.to_owned(),
    })
}
