//! Which ports to listen on: the usual ones where they are free.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use crate::output;

/// The usual ports of one machine.
pub const MCP: u16 = 4180;
pub const ADMIN: u16 = 4181;
pub const SYNC: u16 = 4182;
pub const NODE_ADMIN: u16 = 4183;

/// A loopback address.
pub fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// The port, or any free one if somebody else has it.
pub fn usual_or_free(port: u16, what: &str, free: bool) -> SocketAddr {
    if free {
        return loopback(0);
    }
    if TcpListener::bind(loopback(port)).is_ok() {
        return loopback(port);
    }
    output::say(&format!("note: port {port} ({what}) is taken; using a free one"));
    loopback(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_not_used() {
        let taken = TcpListener::bind(loopback(0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        assert_eq!(usual_or_free(port, "MCP", false), loopback(0));
        assert_eq!(usual_or_free(port, "MCP", true), loopback(0));
        drop(taken);
        assert_eq!(usual_or_free(port, "MCP", false), loopback(port));
    }
}
