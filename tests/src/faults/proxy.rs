//! The listener, and what it imposes.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use fastrand::Rng;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;

use super::pipe::{Imposed, Weather, carry};
use super::script::{Fault, Script, Way};

/// A proxy in front of one address. It ends, with all its connections, when it is dropped.
pub struct FaultProxy {
    address: SocketAddr,
    imposed: watch::Sender<Imposed>,
    accepted: Arc<AtomicU64>,
    listener: JoinHandle<()>,
}

impl FaultProxy {
    /// Listens on a free port of loopback; connections go on to `to`.
    ///
    /// # Errors
    /// There is no port.
    pub async fn start(to: SocketAddr, seed: u64) -> io::Result<Self> {
        Self::bind("127.0.0.1:0", to, seed).await
    }

    /// The same, on an address of the caller's choice.
    ///
    /// # Errors
    /// It cannot be listened on.
    pub async fn bind(listen: &str, to: SocketAddr, seed: u64) -> io::Result<Self> {
        let listener = TcpListener::bind(listen).await?;
        let address = listener.local_addr()?;
        let (imposed, weather) = watch::channel((Fault::None, Way::Both));
        let accepted = Arc::new(AtomicU64::new(0));
        let listener = tokio::spawn(listen_on(listener, to, seed, weather, accepted.clone()));
        Ok(Self { address, imposed, accepted, listener })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on, on connections that are open and those to come.
    pub fn impose(&self, fault: Fault, way: Way) {
        self.imposed.send_replace((fault, way));
    }

    /// No fault any more. Connections whose peer was lost stay lost.
    pub fn heal(&self) {
        self.impose(Fault::None, Way::Both);
    }

    /// Plays a script to its end, and heals.
    pub async fn play(&self, script: &Script) {
        for step in &script.0 {
            self.impose(step.fault, step.way);
            sleep(step.lasts).await;
        }
        self.heal();
    }

    /// Connections so far.
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

async fn listen_on(
    listener: TcpListener,
    to: SocketAddr,
    seed: u64,
    imposed: watch::Receiver<Imposed>,
    accepted: Arc<AtomicU64>,
) {
    // Ends with this task.
    let mut connections = JoinSet::new();
    // An error of accept is about one connection, or about descriptors that will be free again.
    while let Ok((client, _)) = listener.accept().await {
        let number = accepted.fetch_add(1, Ordering::Relaxed);
        while connections.try_join_next().is_some() {}
        connections.spawn(connection(client, to, imposed.clone(), seed.wrapping_add(number)));
    }
}

async fn connection(mut client: TcpStream, to: SocketAddr, imposed: watch::Receiver<Imposed>, seed: u64) {
    let mut rng = Rng::with_seed(seed);
    let mut up = Weather::new(imposed.clone(), Way::Up, rng.fork());
    let down = Weather::new(imposed, Way::Down, rng.fork());
    up.passable().await;
    let Ok(mut server) = TcpStream::connect(to).await else {
        return reset(&client);
    };
    // Small pieces travel at once, as without a proxy.
    if client.set_nodelay(true).and_then(|()| server.set_nodelay(true)).is_err() {
        return;
    }
    let carried = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        tokio::try_join!(carry(from_client, to_server, up), carry(from_server, to_client, down))
    };
    if carried.is_err() {
        reset(&client);
        reset(&server);
    }
}

/// Dropped, it is not closed but reset.
fn reset(stream: &TcpStream) {
    // One that is gone already needs no reset.
    stream.set_zero_linger().ok();
}
