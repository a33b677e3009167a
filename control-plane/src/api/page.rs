//! Page tokens of ListBackends: opaque, bound to their filter, never an offset.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use omcp_core::backend::NAME_LEN_MAX;
use omcp_core::{Epoch, Revision};

use crate::error::Error;

const VERSION: u8 = 1;
const HEAD_LEN: usize = 1 + 8 + 16 + 8;

/// Where a page begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageToken {
    /// Store revision at the time of the first page, and its epoch.
    pub revision: Revision,
    pub epoch: Epoch,
    /// Last name of the page before.
    pub after: String,
}

impl PageToken {
    /// Reads a token that was made for the same tags.
    ///
    /// # Errors
    /// It was not made here, or for other tags.
    pub fn parse(text: &str, tags: &[String]) -> Result<Self, Error> {
        let bad = |reason| Error::invalid("page_token", reason);
        if text.len() > 2 * (HEAD_LEN + NAME_LEN_MAX) {
            return Err(bad("is too long to be a page token"));
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| bad("is not a page token of this API"))?;
        let (head, after) =
            bytes.split_at_checked(HEAD_LEN).ok_or_else(|| bad("is not a page token of this API"))?;
        if head[0] != VERSION {
            return Err(bad("is a page token of another version: begin with the first page"));
        }
        if head[1..9] != filter_hash(tags) {
            return Err(bad("was made for other tags: begin with the first page"));
        }
        let epoch = Epoch::from_slice(&head[9..25]).ok_or_else(|| bad("is not a page token of this API"))?;
        let revision =
            u64::from_be_bytes(head[25..].try_into().map_err(|_| bad("is not a page token of this API"))?);
        let after =
            std::str::from_utf8(after).map_err(|_| bad("is not a page token of this API"))?.to_owned();
        Ok(Self { revision, epoch, after })
    }

    pub fn encode(&self, tags: &[String]) -> String {
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(&filter_hash(tags));
        bytes.extend_from_slice(&self.epoch.0);
        bytes.extend_from_slice(&self.revision.to_be_bytes());
        bytes.extend_from_slice(self.after.as_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }
}

fn filter_hash(tags: &[String]) -> [u8; 8] {
    let mut hasher = blake3::Hasher::new();
    for tag in tags {
        hasher.update(&(tag.len() as u64).to_le_bytes()).update(tag.as_bytes());
    }
    let mut short = [0; 8];
    short.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_bound_to_their_filter() {
        let tags = vec!["a".to_owned(), "b".to_owned()];
        let token = PageToken { revision: 7, epoch: Epoch([3; 16]), after: "github".into() };
        let text = token.encode(&tags);
        assert_eq!(PageToken::parse(&text, &tags).unwrap(), token);
        assert!(PageToken::parse(&text, &tags[..1]).is_err());
        assert!(PageToken::parse(&text, &["ab".to_owned()]).is_err());
        for bad in ["x", "!!", &text[..20], &"A".repeat(500), "AAAA"] {
            assert!(PageToken::parse(bad, &tags).is_err(), "{bad}");
        }
    }
}
