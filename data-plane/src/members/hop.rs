//! [`Hop`]: the mark by which a node proves to another that it belongs to the fleet and speaks for a client.
//!
//! `omcp-hop: <key id>.<seconds since 1970>.<principal>.<hash of the body>.<mark>`, the last three as
//! base64url. Marked with a key of the keyring are all of these, method, path and the node that is meant. A
//! request with a mark has been handed over once, and is not handed over again.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderName, HeaderValue, Method, Uri};
use omcp_mcp::refusal::Refusal;
use omcp_mcp::token::content::NodeTag;
use omcp_mcp::token::{Key, KeyId};

use super::Members;
use super::keys::now_s;
use crate::backends::bridge::principal::Principal;

pub static HEADER: HeaderName = HeaderName::from_static(NAME);
pub const NAME: &str = "omcp-hop";
/// How far the clocks of two nodes may be apart, seconds: what goes wrong without anybody noticing.
pub const CLOCK_SKEW_S: u64 = 300;
/// Longest name of a principal on the way, bytes.
const PRINCIPAL_LEN_MAX: usize = 1024;

/// Who a request that another node has handed over is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hop {
    pub principal: Principal,
    body: [u8; 32],
}

/// What a mark is about.
struct Marked<'a> {
    method: &'a Method,
    path: &'a str,
    to: NodeTag,
    at_s: u64,
    principal: &'a str,
    body: [u8; 32],
}

impl Marked<'_> {
    /// Unambiguous: each part is preceded by its length.
    fn to_bytes(&self) -> Vec<u8> {
        let at_s = self.at_s.to_le_bytes();
        let parts: [&[u8]; 6] = [
            self.method.as_str().as_bytes(),
            self.path.as_bytes(),
            self.to.as_bytes(),
            &at_s,
            self.principal.as_bytes(),
            &self.body,
        ];
        let mut bytes = Vec::with_capacity(256);
        for part in parts {
            bytes.extend((part.len() as u64).to_le_bytes());
            bytes.extend(part);
        }
        bytes
    }
}

/// The mark of a request that goes to another node.
pub(super) fn mark(
    key: &Key,
    (method, uri): (&Method, &Uri),
    to: NodeTag,
    principal: &Principal,
    body: &[u8],
) -> HeaderValue {
    let (at_s, principal, body) = (now_s(), principal.as_str(), *blake3::hash(body).as_bytes());
    let mark = key.mark(&Marked { method, path: path(uri), to, at_s, principal, body }.to_bytes());
    let [principal, body, mark] =
        [principal.as_bytes(), &body, &mark].map(|part| URL_SAFE_NO_PAD.encode(part));
    HeaderValue::from_str(&format!("{}.{at_s}.{principal}.{body}.{mark}", key.id()))
        .expect("digits, dots and base64url are visible ASCII")
}

impl Hop {
    /// Whether this is the body that the other node has sent.
    ///
    /// # Errors
    /// It is another one.
    pub fn check_body(&self, body: &[u8]) -> Result<(), Refusal> {
        if blake3::hash(body) == self.body {
            Ok(())
        } else {
            Err(refused("its body is not the one that was sent"))
        }
    }
}

impl Members {
    /// Who a request is from that another node has handed over with this mark.
    ///
    /// # Errors
    /// Its mark is none of this fleet's, or not for this request.
    pub fn hop(&self, method: &Method, uri: &Uri, mark: &HeaderValue) -> Result<Hop, Refusal> {
        let hop = self.read_hop(method, uri, mark);
        if hop.is_ok() {
            Self::count(&self.counts.received);
        }
        hop.map_err(|why| {
            // Anybody can send one: no reason to fill the log.
            tracing::debug!(why, "a request with the mark of a node is refused");
            refused(why)
        })
    }

    fn read_hop(&self, method: &Method, uri: &Uri, given: &HeaderValue) -> Result<Hop, &'static str> {
        let malformed = || "its mark cannot be read";
        let text = given.to_str().map_err(|_| malformed())?;
        let parts: Vec<&str> = text.splitn(6, '.').collect();
        let [id, at_s, principal, body, mark] = parts[..] else { return Err(malformed()) };
        let id = KeyId(u32::from_str_radix(id, 16).map_err(|_| malformed())?);
        let at_s: u64 = at_s.parse().map_err(|_| malformed())?;
        let [principal, body, mark] = [principal, body, mark].map(|part| URL_SAFE_NO_PAD.decode(part).ok());
        let principal = principal.filter(|bytes| bytes.len() <= PRINCIPAL_LEN_MAX);
        let principal = principal.and_then(|bytes| String::from_utf8(bytes).ok()).ok_or_else(malformed)?;
        let bytes = |part: Option<Vec<u8>>| part.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        let (body, mark) = (bytes(body).ok_or_else(malformed)?, bytes(mark).ok_or_else(malformed)?);
        let ring = self.keys.ring();
        let key = ring.key(id).ok_or("it is marked with a key that this node does not have")?;
        let marked = Marked { method, path: path(uri), to: self.me, at_s, principal: &principal, body };
        if !key.marked(&marked.to_bytes(), &mark) {
            return Err("its mark is wrong");
        }
        if now_s().abs_diff(at_s) > CLOCK_SKEW_S {
            return Err("its mark is too old, or the clocks of the nodes are more than 5 minutes apart");
        }
        Ok(Hop { principal: Principal::named(&principal), body })
    }
}

fn path(uri: &Uri) -> &str {
    uri.path_and_query().map_or("/", |path| path.as_str())
}

/// 421: the node that asks knows from it that it is not trusted, whatever the request was about.
fn refused(why: &'static str) -> Refusal {
    Refusal::plain(421, format!("this node takes no such request from another one: {why}"))
}

#[cfg(test)]
mod tests {
    use omcp_proto::v1;

    use super::*;

    fn member(name: &str, secret: u8) -> Members {
        let members = Members::alone(name).unwrap();
        let keys = vec![v1::Key { id: 1, secret: vec![secret; 32] }];
        members.keys.take(&v1::Keyring { fingerprint: secret.into(), active: 1, keys });
        members
    }

    fn hop(to: &Members, method: Method, uri: &'static str, mark: &HeaderValue) -> Result<Hop, u16> {
        to.hop(&method, &Uri::from_static(uri), mark).map_err(|refusal| refusal.status)
    }

    #[test]
    fn a_mark_is_for_one_request_to_one_node() {
        let (a, b) = (member("a", 7), member("b", 7));
        let (uri, alice) = (Uri::from_static("/mcp/x?y=1"), Principal::named("alice"));
        let mark = mark(a.keys.ring().active(), (&Method::POST, &uri), b.me, &alice, b"body");
        let found = hop(&b, Method::POST, "/mcp/x?y=1", &mark).unwrap();
        assert_eq!(found.principal, alice);
        assert!(found.check_body(b"body").is_ok() && found.check_body(b"bodies").is_err());
        assert_eq!(hop(&b, Method::DELETE, "/mcp/x?y=1", &mark), Err(421));
        assert_eq!(hop(&b, Method::POST, "/mcp/x?y=2", &mark), Err(421));
        assert_eq!(hop(&member("c", 7), Method::POST, "/mcp/x?y=1", &mark), Err(421), "another node");
        assert_eq!(hop(&member("b", 8), Method::POST, "/mcp/x?y=1", &mark), Err(421), "another fleet");
        let bob = mark.to_str().unwrap().replace("YWxpY2U", "Ym9i");
        assert_eq!(hop(&b, Method::POST, "/mcp/x?y=1", &bob.parse().unwrap()), Err(421));
        for nonsense in ["", "a", "1.2.3.4.5", "00000001.1.a.b.c.d", "zzzzzzzz.1.YQ.YQ.YQ"] {
            assert_eq!(hop(&b, Method::POST, "/mcp/x", &nonsense.parse().unwrap()), Err(421), "{nonsense}");
        }
    }
}
