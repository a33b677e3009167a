//! Sealed tokens: state that clients carry for the gateway, which only nodes of one fleet can read or write.
//!
//! A token is `g1.<key id>.<base64url of nonce, ciphertext and tag>`: visible ASCII, fit for a header or a
//! URL. AES-256-GCM-SIV, so that nonces drawn at random on many nodes do no harm even if two are alike. What
//! a token is for, at which endpoint and for whom is authenticated with it, so a token that was stolen, or
//! brought to another place, opens as little as one that was made up: [`Keyring::open`] knows one answer for
//! all of them.
//!
//! - [`keyring`]: the keys, and sealing with them
//! - [`content`]: what is inside, purpose by purpose
//! - [`replay`]: any bytes as an attack

pub mod content;
pub mod keyring;
pub mod replay;

pub use keyring::{KEY_LEN, Key, KeyId, Keyring, NONCE_LEN};

/// Longest token of those that ride in a header, bytes of its text: it has to fit there beside others.
pub const TOKEN_LEN_MAX: usize = 4 * 1024;
/// Longest of the others: what a server says in it is its own affair.
pub const LONG_TOKEN_LEN_MAX: usize = 256 * 1024;

/// What a token is for. One of one purpose is none of another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    /// `Mcp-Session-Id`, and `sessionId` of HTTP+SSE.
    Session = 1,
    /// `requestState`.
    RequestState = 2,
    /// `taskId`.
    Task = 3,
    /// `cursor`.
    Cursor = 4,
}

impl Purpose {
    /// Longest token for it, bytes of its text.
    pub const fn len_max(self) -> usize {
        match self {
            Self::Session | Self::Task => TOKEN_LEN_MAX,
            Self::RequestState | Self::Cursor => LONG_TOKEN_LEN_MAX,
        }
    }
}

/// Where and for whom a token is good.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Binding<'a> {
    pub purpose: Purpose,
    /// A backend's name, or what an endpoint of many is called.
    pub endpoint: &'a str,
    pub principal: &'a str,
}

impl Binding<'_> {
    /// Unambiguous: each part is preceded by its length.
    fn to_bytes(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(32 + self.endpoint.len() + self.principal.len());
        bytes.push(self.purpose as u8);
        for part in [self.endpoint, self.principal] {
            bytes.extend((part.len() as u64).to_le_bytes());
            bytes.extend(part.as_bytes());
        }
        bytes
    }
}
