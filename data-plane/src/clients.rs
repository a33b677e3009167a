//! [`Clients`]: how much each client address holds of a node, so that none takes all of it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What one client address may hold at once; zero means any number. Loopback addresses are exempt: a
/// proxy of the same machine speaks for everybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientLimits {
    pub connections_max: usize,
    pub calls_max: usize,
    pub streams_max: usize,
    pub sessions_max: usize,
}

/// All client addresses that hold something. Looked up once per connection, never per call.
#[derive(Debug)]
pub struct Clients {
    limits: ClientLimits,
    addresses: Mutex<HashMap<IpAddr, Arc<Client>>>,
}

/// One client address.
#[derive(Debug)]
pub struct Client {
    limits: ClientLimits,
    connections: AtomicUsize,
    calls: AtomicUsize,
    streams: AtomicUsize,
    sessions: AtomicUsize,
}

/// What a client holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holding {
    Connection,
    /// From the request to the head of its answer.
    Call,
    Stream,
    Session,
}

/// Counts one of them for as long as it lives.
#[derive(Debug)]
pub struct Held {
    client: Arc<Client>,
    what: Holding,
}

impl Clients {
    pub fn new(limits: ClientLimits) -> Self {
        Self { limits, addresses: Mutex::default() }
    }

    /// The client at this address, with one more connection; `None` if it has as many as it may.
    pub fn connect(&self, address: IpAddr) -> Option<(Arc<Client>, Held)> {
        let address = address.to_canonical();
        if address.is_loopback() {
            let client = Client::new(ClientLimits {
                connections_max: 0,
                calls_max: 0,
                streams_max: 0,
                sessions_max: 0,
            });
            let held = client.hold(Holding::Connection)?;
            return Some((client, held));
        }
        let mut addresses = self.lock();
        if addresses.len() >= addresses.capacity() / 2 {
            addresses.retain(|_, client| Arc::strong_count(client) > 1);
        }
        let client = addresses.entry(address).or_insert_with(|| Client::new(self.limits)).clone();
        let held = client.hold(Holding::Connection)?;
        Some((client, held))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, Arc<Client>>> {
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Client {
    fn new(limits: ClientLimits) -> Arc<Self> {
        let (connections, calls) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let (streams, sessions) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Arc::new(Self { limits, connections, calls, streams, sessions })
    }

    /// Room for one more; `None` if it has as many as it may.
    pub fn hold(self: &Arc<Self>, what: Holding) -> Option<Held> {
        let (counter, max) = self.of(what);
        if counter.fetch_add(1, Ordering::Relaxed) >= max && max > 0 {
            counter.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        Some(Held { client: self.clone(), what })
    }

    fn of(&self, what: Holding) -> (&AtomicUsize, usize) {
        match what {
            Holding::Connection => (&self.connections, self.limits.connections_max),
            Holding::Call => (&self.calls, self.limits.calls_max),
            Holding::Stream => (&self.streams, self.limits.streams_max),
            Holding::Session => (&self.sessions, self.limits.sessions_max),
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.client.of(self.what).0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clients() -> Clients {
        Clients::new(ClientLimits { connections_max: 2, calls_max: 1, streams_max: 1, sessions_max: 0 })
    }

    #[test]
    fn one_address_cannot_take_everything() {
        let clients = clients();
        let (one, other) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let (client, first) = clients.connect(one).unwrap();
        let second = clients.connect("::ffff:192.0.2.1".parse().unwrap()).unwrap();
        assert!(clients.connect(one).is_none());
        assert!(clients.connect(other).is_some(), "another address has room of its own");
        drop((first, second));
        assert!(clients.connect(one).is_some(), "room comes back");
        let call = client.hold(Holding::Call).unwrap();
        assert!(client.hold(Holding::Call).is_none());
        drop(call);
        assert!(client.hold(Holding::Call).is_some());
        let sessions: Vec<_> = (0..1000).map(|_| client.hold(Holding::Session).unwrap()).collect();
        assert_eq!(sessions.len(), 1000, "zero is no limit");
    }

    #[test]
    fn loopback_speaks_for_everybody() {
        let clients = clients();
        let all: Vec<_> = (0..100).map(|_| clients.connect("127.0.0.1".parse().unwrap()).unwrap()).collect();
        assert_eq!(all.len(), 100);
    }

    #[test]
    fn addresses_that_hold_nothing_are_forgotten() {
        let clients = clients();
        for n in 0..10_000_u32 {
            drop(clients.connect(IpAddr::from(n.to_be_bytes())));
        }
        assert!(clients.lock().len() < 1_000, "{}", clients.lock().len());
    }
}
