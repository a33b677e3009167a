//! A port that is ours also while nobody listens on it.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::TcpSocket;

/// A free loopback port, kept for as long as this value lives.
///
/// A socket is bound to it that never listens. Linux lets a program listen beside it that sets `SO_REUSEADDR`,
/// as everybody does who uses Tokio, and lets it end and come back. Whoever asks for any port gets another one,
/// and so does a connection for its own end.
pub struct Port {
    address: SocketAddr,
    _socket: TcpSocket,
}

impl Port {
    /// # Panics
    /// No port is free.
    pub fn keep() -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_reuseaddr(true).expect("an option of every socket");
        socket.bind((Ipv4Addr::LOCALHOST, 0).into()).expect("a free port");
        let address = socket.local_addr().expect("a bound socket has an address");
        Self { address, _socket: socket }
    }

    /// Where to listen.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}
