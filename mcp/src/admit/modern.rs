//! The admission ladder of modern HTTP requests.

use std::borrow::Cow;

use super::headers::{Field, HeaderView};
use crate::envelope::{
    Envelope, Kind, META_CLIENT_CAPABILITIES, META_CLIENT_INFO, META_LOG_LEVEL, META_PROTOCOL_VERSION,
};
use crate::header_value::{decode, trim};
use crate::methods;
use crate::refusal::{Refusal, code};

/// Applies every rule that needs no knowledge of tools. [`super::check_params`] is the one that does.
///
/// `served` are the revisions this endpoint answers. Notifications are held to what they do say: this
/// revision requires neither metadata nor headers of them.
///
/// # Errors
/// The refusal that answers the request, with its id.
pub fn admit_modern<H: HeaderView + ?Sized>(
    envelope: &Envelope,
    body: &[u8],
    headers: &H,
    served: &[&str],
) -> Result<(), Refusal> {
    let version = envelope.protocol_version(body);
    let method = envelope.method(body).unwrap_or_default();
    let ask = Ask { envelope, body, headers, served, version: version.as_deref(), method };
    ask.climb().map_err(|refusal| refusal.answering(envelope, body))
}

/// 400, -32602: a request of a modern client lacks the metadata that makes it one.
pub fn missing_envelope(envelope: &Envelope, body: &[u8]) -> Refusal {
    let version = envelope.protocol_version(body).is_none().then_some(META_PROTOCOL_VERSION);
    let capabilities = envelope.client_capabilities_range().is_none().then_some(META_CLIENT_CAPABILITIES);
    let missing: Vec<_> = version.into_iter().chain(capabilities).collect();
    let message = format!("params._meta lacks {} (a string and an object)", missing.join(" and "));
    Refusal::invalid_envelope(message).answering(envelope, body)
}

struct Ask<'a, H: ?Sized> {
    envelope: &'a Envelope,
    body: &'a [u8],
    headers: &'a H,
    served: &'a [&'a str],
    /// The revision that the body names.
    version: Option<&'a str>,
    method: &'a str,
}

impl<H: HeaderView + ?Sized> Ask<'_, H> {
    fn climb(&self) -> Result<(), Refusal> {
        self.is_call()?;
        let version = self.version_agrees()?;
        if self.envelope.kind() == Kind::Request {
            self.version_is_given()?;
            self.metadata_is_well_formed()?;
        }
        self.version_is_served(version)?;
        self.version_is_in_header(version)?;
        self.method_agrees()?;
        self.name_agrees()?;
        self.method_exists()?;
        self.log_level_is_known()
    }

    fn is_request(&self) -> bool {
        self.envelope.kind() == Kind::Request
    }

    fn is_call(&self) -> Result<(), Refusal> {
        match self.envelope.kind() {
            Kind::Request | Kind::Notification => Ok(()),
            Kind::Response | Kind::Error => Err(Refusal::invalid_request(
                "responses are not accepted; answer input requests by repeating the request",
            )),
        }
    }

    /// The version header, if there is one.
    fn version_agrees(&self) -> Result<Option<&[u8]>, Refusal> {
        let header = match Field::of(self.headers, "mcp-protocol-version") {
            Field::Absent => return Ok(None),
            Field::One(value) => trim(value),
            Field::Repeated => return Err(repeated("MCP-Protocol-Version")),
        };
        match self.version {
            Some(body) if body.as_bytes() != header => Err(differs("MCP-Protocol-Version", "params._meta")),
            _ => Ok(Some(header)),
        }
    }

    fn version_is_given(&self) -> Result<(), Refusal> {
        match self.version {
            Some(_) => Ok(()),
            None => Err(missing_envelope(self.envelope, self.body)),
        }
    }

    fn metadata_is_well_formed(&self) -> Result<(), Refusal> {
        let is_object = |range| self.body.get::<std::ops::Range<usize>>(range)?.first().copied();
        if self.envelope.client_capabilities_range().and_then(is_object) != Some(b'{') {
            let message = format!("params._meta[\"{META_CLIENT_CAPABILITIES}\"] must be an object");
            return Err(Refusal::invalid_envelope(message));
        }
        if self.envelope.client_info_range().is_some() && !self.envelope.names_client() {
            return Err(Refusal::invalid_envelope(format!(
                "params._meta[\"{META_CLIENT_INFO}\"] must be an object with the strings name and version"
            )));
        }
        Ok(())
    }

    fn version_is_served(&self, header: Option<&[u8]>) -> Result<(), Refusal> {
        let named = self.version.map(Cow::Borrowed);
        let Some(version) = named.or_else(|| header.map(String::from_utf8_lossy)) else {
            return Ok(());
        };
        if self.served.contains(&&*version) {
            return Ok(());
        }
        Err(Refusal::unsupported_version(&version, self.served))
    }

    fn version_is_in_header(&self, header: Option<&[u8]>) -> Result<(), Refusal> {
        match header {
            None if self.is_request() => Err(missing("MCP-Protocol-Version")),
            _ => Ok(()),
        }
    }

    fn method_agrees(&self) -> Result<(), Refusal> {
        match Field::of(self.headers, "mcp-method") {
            Field::Absent if self.is_request() => Err(missing("Mcp-Method")),
            Field::Absent => Ok(()),
            Field::Repeated => Err(repeated("Mcp-Method")),
            Field::One(value) if trim(value) == self.method.as_bytes() => Ok(()),
            Field::One(_) => Err(differs("Mcp-Method", "method")),
        }
    }

    fn name_agrees(&self) -> Result<(), Refusal> {
        let Some(member) = methods::target_member(self.method) else {
            return Ok(());
        };
        if !methods::needs_name_header(self.method) {
            return Ok(());
        }
        let target = self.envelope.target(self.body);
        match Field::of(self.headers, "mcp-name") {
            // Nothing to repeat: the handler says what is wrong with the parameters.
            Field::Absent if target.is_none() || !self.is_request() => Ok(()),
            Field::Absent => Err(missing("Mcp-Name")),
            Field::Repeated => Err(repeated("Mcp-Name")),
            Field::One(value) => name_matches(value, target, member),
        }
    }

    fn method_exists(&self) -> Result<(), Refusal> {
        if self.is_request() && methods::is_removed_from_modern(self.method) {
            return Err(Refusal::method_not_found(self.method));
        }
        Ok(())
    }

    fn log_level_is_known(&self) -> Result<(), Refusal> {
        if self.envelope.log_level_range().is_none() {
            return Ok(());
        }
        match self.envelope.log_level(self.body) {
            Some(level) if methods::LOG_LEVELS.contains(&&*level) => Ok(()),
            _ => Err(Refusal::new(200, code::INVALID_PARAMS, unknown_level())),
        }
    }
}

fn name_matches(value: &[u8], target: Option<Cow<'_, str>>, member: &str) -> Result<(), Refusal> {
    let name = decode(value).map_err(|why| Refusal::header_mismatch(format!("the header Mcp-Name {why}")))?;
    if target.as_deref() == Some(&*name) {
        return Ok(());
    }
    Err(differs("Mcp-Name", &format!("params.{member}")))
}

fn missing(header: &str) -> Refusal {
    Refusal::header_mismatch(format!("the header {header} is missing"))
}

fn repeated(header: &str) -> Refusal {
    Refusal::header_mismatch(format!("the header {header} is given more than once"))
}

fn differs(header: &str, part: &str) -> Refusal {
    Refusal::header_mismatch(format!("the header {header} does not match {part} of the body"))
}

fn unknown_level() -> String {
    format!("params._meta[\"{META_LOG_LEVEL}\"] must be one of {}", methods::LOG_LEVELS.join(", "))
}
