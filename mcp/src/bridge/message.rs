//! [`Message`]: one checked message, lent to a machine.

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;

use crate::envelope::{Envelope, Kind, ScanError, ScanLimits};
use crate::object;

/// Bytes and what their envelope says. The bytes are shared: keeping them costs nothing.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    bytes: &'a Bytes,
    envelope: &'a Envelope,
}

impl<'a> Message<'a> {
    /// `envelope` is the scan of `bytes`.
    pub fn new(bytes: &'a Bytes, envelope: &'a Envelope) -> Self {
        Self { bytes, envelope }
    }

    pub fn bytes(self) -> &'a Bytes {
        self.bytes
    }

    pub fn envelope(self) -> &'a Envelope {
        self.envelope
    }

    pub fn kind(self) -> Kind {
        self.envelope.kind()
    }

    /// The method; empty for responses.
    pub fn method(self) -> &'a str {
        self.envelope.method(self.bytes).unwrap_or_default()
    }

    /// The id as it was spelled; empty if there is none.
    pub fn id(self) -> Bytes {
        self.envelope.id_range().map_or_else(Bytes::new, |id| self.bytes.slice(id))
    }

    pub fn progress_token(self) -> Option<Bytes> {
        self.envelope.progress_token_range().map(|token| self.bytes.slice(token))
    }

    /// The member of `params` called `name`, as text.
    pub fn param(self, name: &str) -> Option<&'a [u8]> {
        self.within(self.envelope.params_range()?, name)
    }

    /// The member of `result` called `name`, as text. None if the result is no object.
    pub fn result_member(self, name: &str) -> Option<&'a [u8]> {
        self.within(self.envelope.result_range()?, name)
    }

    /// The member of `error` called `name`, as text.
    pub fn error_member(self, name: &str) -> Option<&'a [u8]> {
        self.within(self.envelope.error_range()?, name)
    }

    /// The `result`, if it is an object.
    pub fn result_object(self) -> Option<Range<usize>> {
        self.envelope.result_range().filter(|result| self.bytes[result.start] == b'{')
    }

    /// The string in `params._meta[name]`.
    pub fn meta_text(self, name: &str) -> Option<Cow<'a, str>> {
        object::member_text(self.bytes, self.envelope.meta_range()?, name)
    }

    fn within(self, object: Range<usize>, name: &str) -> Option<&'a [u8]> {
        self.bytes.get(object::member(self.bytes, object, name)?)
    }
}

/// A message that a machine keeps or makes.
#[derive(Clone, Debug)]
pub struct Owned {
    bytes: Bytes,
    envelope: Envelope,
}

impl Owned {
    /// # Errors
    /// The bytes are no message.
    pub fn scan(bytes: impl Into<Bytes>) -> Result<Self, ScanError> {
        let bytes = bytes.into();
        let envelope = Envelope::scan(&bytes, &ScanLimits::default())?;
        Ok(Self { bytes, envelope })
    }

    pub fn lend(&self) -> Message<'_> {
        Message::new(&self.bytes, &self.envelope)
    }
}

impl From<Message<'_>> for Owned {
    fn from(message: Message<'_>) -> Self {
        Self { bytes: message.bytes.clone(), envelope: message.envelope.clone() }
    }
}

/// One request of a client and everything that answers it, as the driver numbers them. Never reused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Exchange(pub u64);
