//! The pass that finds an [`Envelope`].

use std::borrow::Cow;

use super::by_method::ByMethod;
use super::id::{integer, is_id};
use super::keys::Keys;
use super::kind::kind;
use super::{
    Envelope, Kind, META_CLIENT_CAPABILITIES, META_CLIENT_INFO, META_LOG_LEVEL, META_PROTOCOL_VERSION,
    META_SUBSCRIPTION_ID, Parts, ScanError, ScanErrorKind, ScanLimits,
};
use crate::json::{self, Fault, Flaw, Halt, Reader, Span, Text};

pub(super) fn scan(bytes: &[u8], limits: &ScanLimits) -> Result<Envelope, ScanError> {
    if bytes.len() > u32::MAX as usize {
        return Err(error(ScanErrorKind::TooMany, u32::MAX as usize, "more than 4 GiB"));
    }
    if let Err(invalid) = std::str::from_utf8(bytes) {
        return Err(error(ScanErrorKind::NotUtf8, invalid.valid_up_to(), ""));
    }
    Scan::new(bytes, limits).run()
}

fn error(kind: ScanErrorKind, offset: usize, detail: &'static str) -> ScanError {
    ScanError { kind, offset, id: None, detail }
}

/// A flaw in the meaning. The walk goes on behind it: broken JSON outranks it, and the id may follow.
type Complaint = (ScanErrorKind, usize, &'static str);

struct Scan<'a> {
    json: Reader<'a>,
    parts: Parts,
    version: Span,
    method_escaped: bool,
    /// Members that only some messages give a meaning, known once the walk is over.
    by_method: ByMethod,
    id_seen: bool,
    id_unusable: bool,
    id_null: bool,
    error_code: Option<i64>,
    /// The client's info has a name and a version.
    client: [bool; 2],
    complaint: Option<Complaint>,
}

impl<'a> Scan<'a> {
    fn new(bytes: &'a [u8], limits: &ScanLimits) -> Self {
        Self {
            json: Reader::new(bytes, limits.max_depth, limits.max_members),
            parts: Parts::default(),
            version: Span::default(),
            method_escaped: false,
            by_method: ByMethod::default(),
            id_seen: false,
            id_unusable: false,
            id_null: false,
            error_code: None,
            client: [false; 2],
            complaint: None,
        }
    }

    fn run(mut self) -> Result<Envelope, ScanError> {
        if self.walk_text().is_err() {
            return Err(self.broken());
        }
        let kind = self.judge();
        match (self.complaint, kind) {
            (None, Some(kind)) => Ok(self.finish(kind)),
            (complaint, _) => Err(self.complain(complaint)),
        }
    }

    /// The whole text: one object, and nothing but whitespace around it.
    fn walk_text(&mut self) -> Result<(), Halt> {
        match self.json.peek() {
            Some(b'{') => self.walk(Self::message_member, true)?,
            Some(b'[') => {
                self.note(ScanErrorKind::BatchArray, "");
                self.json.skip()?;
            }
            Some(_) => {
                self.note(ScanErrorKind::NotJsonRpc, "it is not an object");
                self.json.skip()?;
            }
            None => self.note(ScanErrorKind::Empty, ""),
        }
        match self.json.peek() {
            None => Ok(()),
            Some(_) => self.json.halt(Flaw::Syntax),
        }
    }

    /// One object, member by member.
    #[inline]
    fn walk(
        &mut self,
        visit: impl Fn(&mut Self, &[u8]) -> Result<(), Halt>,
        unique: bool,
    ) -> Result<(), Halt> {
        let mut keys = Keys::new();
        let mut count = 0;
        let mut more = self.json.enter(b'}')?;
        while more {
            let key = self.json.key()?;
            let name = name(self.json.src(), key);
            if unique && !keys.insert(name.clone()) {
                self.note_at(ScanErrorKind::DuplicateKey, key.inner.start(), "");
            }
            visit(self, &name)?;
            count += 1;
            more = self.json.more(b'}', count)?;
        }
        Ok(())
    }

    /// An object walked by `visit`, or any other value; its place.
    fn walk_if_object(
        &mut self,
        visit: impl Fn(&mut Self, &[u8]) -> Result<(), Halt>,
        unique: bool,
    ) -> Result<Span, Halt> {
        if self.json.peek() != Some(b'{') {
            return self.json.value();
        }
        let start = self.json.pos();
        self.walk(visit, unique)?;
        Ok(Span::new(start, self.json.pos()))
    }

    fn message_member(&mut self, name: &[u8]) -> Result<(), Halt> {
        match name {
            b"jsonrpc" => self.version = self.json.value()?,
            b"id" => self.id()?,
            b"method" => self.method()?,
            b"params" => self.params()?,
            b"result" => {
                self.json.payload = true;
                self.parts.result = self.walk_if_object(Self::result_member, false)?;
                self.json.payload = false;
            }
            b"error" => {
                self.json.payload = true;
                self.parts.error = self.walk_if_object(Self::error_member, false)?;
                self.json.payload = false;
            }
            _ => self.json.skip()?,
        }
        Ok(())
    }

    fn id(&mut self) -> Result<(), Halt> {
        let id = self.json.value()?;
        let raw = id.of(self.json.src()).unwrap_or_default();
        // Of two, neither can be trusted.
        self.id_unusable |= std::mem::replace(&mut self.id_seen, true);
        self.id_null = raw == b"null";
        if is_id(raw) {
            self.parts.id = id;
        } else if !self.id_null {
            self.id_unusable = true;
            self.note_at(ScanErrorKind::NotJsonRpc, id.start(), "`id` must be a string or an integer");
        }
        Ok(())
    }

    fn method(&mut self) -> Result<(), Halt> {
        if self.json.peek() != Some(b'"') {
            self.note(ScanErrorKind::NotJsonRpc, "`method` must be a string");
        }
        self.parts.method = self.json.value()?;
        let raw = self.parts.method.of(self.json.src()).unwrap_or_default();
        self.method_escaped = memchr::memchr(b'\\', raw).is_some();
        Ok(())
    }

    fn params(&mut self) -> Result<(), Halt> {
        match self.json.peek() {
            Some(b'{') => self.parts.params = self.walk_if_object(Self::params_member, true)?,
            // Some clients write `null` for "no parameters"; nothing can hide in it.
            Some(b'n') => self.json.skip()?,
            _ => {
                self.note(ScanErrorKind::NotJsonRpc, "`params` must be an object");
                self.json.skip()?;
            }
        }
        Ok(())
    }

    fn params_member(&mut self, name: &[u8]) -> Result<(), Halt> {
        match name {
            b"_meta" => {
                let object = self.json.peek() == Some(b'{');
                let meta = self.walk_if_object(Self::meta_member, true)?;
                self.parts.meta = if object { meta } else { Span::default() };
            }
            b"name" => self.by_method.name = self.string()?,
            b"uri" => self.by_method.uri = self.string()?,
            b"taskId" => self.by_method.task_id = self.string()?,
            b"progressToken" => self.by_method.progress_token = self.token()?,
            b"requestId" => self.parts.request_id = self.token()?,
            b"arguments" => self.parts.arguments = self.object()?,
            b"requestState" => self.parts.request_state = self.json.value()?,
            _ => self.json.skip()?,
        }
        Ok(())
    }

    fn meta_member(&mut self, name: &[u8]) -> Result<(), Halt> {
        if name == b"progressToken" {
            self.parts.progress_token = self.token()?;
            return Ok(());
        }
        if name == META_CLIENT_INFO.as_bytes() {
            self.parts.client_info = self.walk_if_object(Self::client_info_member, false)?;
            return Ok(());
        }
        let value = self.json.value()?;
        if name == META_PROTOCOL_VERSION.as_bytes() {
            self.parts.protocol_version = value;
        } else if name == META_CLIENT_CAPABILITIES.as_bytes() {
            self.parts.client_capabilities = value;
        } else if name == META_LOG_LEVEL.as_bytes() {
            self.parts.log_level = value;
        } else if name == META_SUBSCRIPTION_ID.as_bytes() {
            self.parts.subscription_id = value;
        }
        Ok(())
    }

    /// Of two members of one name the last one counts.
    fn client_info_member(&mut self, name: &[u8]) -> Result<(), Halt> {
        let is_text = self.json.peek() == Some(b'"');
        match name {
            b"name" => self.client[0] = is_text,
            b"version" => self.client[1] = is_text,
            _ => {}
        }
        self.json.skip()
    }

    fn result_member(&mut self, name: &[u8]) -> Result<(), Halt> {
        match name {
            b"_meta" => {
                let object = self.json.peek() == Some(b'{');
                self.by_method.subscription_id = Span::default();
                let meta = self.walk_if_object(Self::result_meta_member, false)?;
                self.parts.result_meta = if object { meta } else { Span::default() };
            }
            b"resultType" => self.parts.result_type = self.string()?,
            _ => self.json.skip()?,
        }
        Ok(())
    }

    fn result_meta_member(&mut self, name: &[u8]) -> Result<(), Halt> {
        let value = self.json.value()?;
        if name == META_SUBSCRIPTION_ID.as_bytes() {
            self.by_method.subscription_id = value;
        }
        Ok(())
    }

    fn error_member(&mut self, name: &[u8]) -> Result<(), Halt> {
        let value = self.json.value()?;
        if name == b"code" {
            self.error_code = value.of(self.json.src()).and_then(integer);
        }
        Ok(())
    }

    /// Any value; its place if it is a string.
    fn string(&mut self) -> Result<Span, Halt> {
        self.only(|first| first == b'"')
    }

    /// Any value; its place if it is a string or a number.
    fn token(&mut self) -> Result<Span, Halt> {
        self.only(|first| matches!(first, b'"' | b'-' | b'0'..=b'9'))
    }

    /// Any value; its place if it is an object.
    fn object(&mut self) -> Result<Span, Halt> {
        self.only(|first| first == b'{')
    }

    fn only(&mut self, wanted: impl Fn(u8) -> bool) -> Result<Span, Halt> {
        let wanted = self.json.peek().is_some_and(wanted);
        let value = self.json.value()?;
        Ok(if wanted { value } else { Span::default() })
    }

    fn note(&mut self, kind: ScanErrorKind, detail: &'static str) {
        self.note_at(kind, self.json.pos(), detail);
    }

    fn note_at(&mut self, kind: ScanErrorKind, offset: usize, detail: &'static str) {
        self.complaint.get_or_insert((kind, offset, detail));
    }

    /// What kind of message the members make. Otherwise a complaint is noted.
    fn judge(&mut self) -> Option<Kind> {
        let verdict = kind(self.json.src(), &self.parts, self.version, self.id_null);
        if let Err(detail) = verdict {
            self.note_at(ScanErrorKind::NotJsonRpc, 0, detail);
        }
        verdict.ok()
    }

    fn finish(mut self, kind: Kind) -> Envelope {
        let src = self.json.src();
        let raw = self.parts.method.of(src).unwrap_or_default();
        let decoded_method: Option<Box<str>> =
            if self.method_escaped { json::text(raw).map(|text| text.into_owned().into()) } else { None };
        let method = match &decoded_method {
            Some(method) => method.as_bytes(),
            None => raw.get(1..raw.len().saturating_sub(1)).unwrap_or_default(),
        };
        self.by_method.resolve(kind, method, &mut self.parts);
        let raw_newline = self.json.raw_newline;
        let names_client = self.client == [true; 2];
        Envelope {
            kind,
            raw_newline,
            parts: self.parts,
            decoded_method,
            error_code: self.error_code,
            names_client,
        }
    }

    fn usable_id(&self) -> Option<std::ops::Range<usize>> {
        if self.id_unusable { None } else { self.parts.id.range() }
    }

    fn broken(&self) -> ScanError {
        let Fault { flaw, offset } = self.json.fault().expect("a walk ends early only with a fault");
        let (kind, id) = match flaw {
            Flaw::Syntax => (ScanErrorKind::NotJson, None),
            Flaw::TooDeep => (ScanErrorKind::TooDeep, self.usable_id()),
            Flaw::TooMany => (ScanErrorKind::TooMany, self.usable_id()),
        };
        ScanError { kind, offset, id, detail: "" }
    }

    fn complain(&self, complaint: Option<Complaint>) -> ScanError {
        let (kind, offset, detail) = complaint.unwrap_or((ScanErrorKind::NotJsonRpc, 0, ""));
        ScanError { kind, offset, id: self.usable_id(), detail }
    }
}

/// A member's name with its escapes decoded.
#[inline]
fn name(src: &[u8], key: Text) -> Cow<'_, [u8]> {
    let inner = key.inner.of(src).unwrap_or_default();
    if !key.escaped {
        return Cow::Borrowed(inner);
    }
    let raw = &src[key.inner.start() - 1..key.inner.start() + inner.len() + 1];
    match json::text(raw) {
        Some(text) => Cow::Owned(text.into_owned().into_bytes()),
        // Half a surrogate pair, which only an answer may hold: no name that matters here has one.
        None => Cow::Borrowed(inner),
    }
}
