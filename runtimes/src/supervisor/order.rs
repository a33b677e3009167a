//! [`Order`]: what is to be started, as it goes from the node to the supervisor.
//!
//! A header (magic and version, length), then fields that each end with a NUL, as the system's own argument
//! lists do. The read end of the process's standard input travels beside the header.

use std::ffi::{OsStr, OsString};
use std::io::{self, ErrorKind};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// Magic and version. Both ends are the same file, so any other is a mistake.
const MAGIC: [u8; 4] = *b"oms2";
/// Magic and length.
pub const HEADER_LEN: usize = 8;
/// Longest body: twice what Linux takes as arguments and environment of a process by default.
pub const BODY_LEN_MAX: usize = 4 * 1024 * 1024;

/// A process, and the bounds it and its descendants live in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Order {
    pub program: PathBuf,
    pub args: Vec<OsString>,
    /// All of it. Holds secrets: never logged.
    pub env: Vec<(OsString, OsString)>,
    pub working_dir: Option<PathBuf>,
    /// Whether a set-user-id program may be one.
    pub new_privileges: bool,
    /// `RLIMIT_DATA` of each process, bytes.
    pub data_len_max: Option<u64>,
    /// Files that each process may have open, unless it asks for more.
    pub descriptors_max: Option<u64>,
    /// The cgroup to start it in. The supervisor removes it at the end.
    pub cgroup: Option<PathBuf>,
    /// A directory of its own. The supervisor removes it at the end, with all that is in it.
    pub private_dir: Option<PathBuf>,
}

impl Order {
    /// Header and body.
    ///
    /// # Errors
    /// `InvalidInput`: a field holds a NUL, or all of them are too long for any system.
    pub fn encode(&self) -> io::Result<Vec<u8>> {
        let mut fields = Fields(vec![0; HEADER_LEN]);
        fields.push(self.program.as_os_str())?;
        fields.push(path(self.working_dir.as_deref()))?;
        fields.push(path(self.cgroup.as_deref()))?;
        fields.push(path(self.private_dir.as_deref()))?;
        fields.number(self.data_len_max.unwrap_or_default())?;
        fields.number(self.descriptors_max.unwrap_or_default())?;
        fields.number(self.new_privileges.into())?;
        fields.number(self.args.len() as u64)?;
        self.args.iter().try_for_each(|arg| fields.push(arg))?;
        for (name, value) in &self.env {
            fields.push(name)?;
            fields.push(value)?;
        }
        fields.finish()
    }

    /// The length of the body behind this header.
    ///
    /// # Errors
    /// It is no header of this version.
    pub fn body_len(header: [u8; HEADER_LEN]) -> io::Result<usize> {
        let [a, b, c, d, len @ ..] = header;
        let len = u32::from_le_bytes(len) as usize;
        if [a, b, c, d] != MAGIC || len > BODY_LEN_MAX { Err(garbled()) } else { Ok(len) }
    }

    /// # Errors
    /// It is no body of this version.
    pub fn decode(body: &[u8]) -> io::Result<Self> {
        let mut fields = body.strip_suffix(b"\0").ok_or_else(garbled)?.split(|byte| *byte == 0);
        let mut next = || fields.next().map(|field| OsStr::from_bytes(field).to_owned()).ok_or_else(garbled);
        let program = next()?.into();
        let (working_dir, cgroup) = (optional(next()?), optional(next()?));
        let private_dir = optional(next()?);
        let data_len_max = Some(number(&next()?)?).filter(|len| *len > 0);
        let descriptors_max = Some(number(&next()?)?).filter(|count| *count > 0);
        let new_privileges = number(&next()?)? == 1;
        let args = number(&next()?)?;
        let args = (0..args).map(|_| next()).collect::<io::Result<_>>()?;
        let mut env = Vec::new();
        while let Ok(name) = next() {
            env.push((name, next()?));
        }
        Ok(Self {
            program,
            args,
            env,
            working_dir,
            new_privileges,
            data_len_max,
            descriptors_max,
            cgroup,
            private_dir,
        })
    }
}

struct Fields(Vec<u8>);

impl Fields {
    fn push(&mut self, field: &OsStr) -> io::Result<()> {
        if field.as_bytes().contains(&0) {
            return Err(io::Error::new(ErrorKind::InvalidInput, "an argument or variable holds a NUL byte"));
        }
        self.0.extend_from_slice(field.as_bytes());
        self.0.push(0);
        Ok(())
    }

    fn number(&mut self, number: u64) -> io::Result<()> {
        self.push(OsStr::new(&number.to_string()))
    }

    fn finish(mut self) -> io::Result<Vec<u8>> {
        let len = self.0.len() - HEADER_LEN;
        if len > BODY_LEN_MAX {
            let text = "the arguments and the environment are too long";
            return Err(io::Error::new(ErrorKind::InvalidInput, text));
        }
        self.0[..MAGIC.len()].copy_from_slice(&MAGIC);
        self.0[MAGIC.len()..HEADER_LEN].copy_from_slice(&(len as u32).to_le_bytes());
        Ok(self.0)
    }
}

fn path(path: Option<&Path>) -> &OsStr {
    path.map_or(OsStr::new(""), Path::as_os_str)
}

fn optional(field: OsString) -> Option<PathBuf> {
    (!field.is_empty()).then(|| PathBuf::from(OsString::from_vec(field.into_vec())))
}

fn number(field: &OsStr) -> io::Result<u64> {
    field.to_str().and_then(|text| text.parse().ok()).ok_or_else(garbled)
}

fn garbled() -> io::Error {
    io::Error::new(ErrorKind::InvalidData, "not an order of this version")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(order: &Order) -> io::Result<Order> {
        let bytes = order.encode()?;
        let (header, body) = bytes.split_first_chunk().unwrap();
        assert_eq!(Order::body_len(*header)?, body.len());
        Order::decode(body)
    }

    #[test]
    fn an_order_arrives_as_it_was_sent() {
        let bytes = |text: &[u8]| OsStr::from_bytes(text).to_owned();
        let full = Order {
            program: "/bin/sh".into(),
            args: vec!["-c".into(), "".into(), bytes(b"\xff\n")],
            env: vec![("A".into(), "".into()), ("B".into(), bytes(b"x=\xfe"))],
            working_dir: Some("/".into()),
            new_privileges: true,
            data_len_max: Some(u64::MAX),
            descriptors_max: Some(1024),
            cgroup: Some("/sys/fs/cgroup/x".into()),
            private_dir: Some("/tmp/x".into()),
        };
        let small = Order { program: "p".into(), ..Order::default() };
        for order in [full, small] {
            assert_eq!(sent(&order).unwrap(), order);
        }
    }

    #[test]
    fn what_the_system_would_not_take_is_refused() {
        let nul = Order { args: vec!["a\0b".into()], ..Order::default() };
        let long = Order { args: vec!["x".repeat(BODY_LEN_MAX).into()], ..Order::default() };
        for order in [nul, long] {
            assert_eq!(sent(&order).unwrap_err().kind(), ErrorKind::InvalidInput);
        }
    }

    #[test]
    fn garbage_is_no_order() {
        assert!(Order::body_len(*b"oms3\0\0\0\0").is_err());
        assert!(Order::body_len(*b"oms2\xff\xff\xff\xff").is_err());
        let bytes =
            Order { program: "p".into(), args: vec!["a".into()], ..Order::default() }.encode().unwrap();
        let body = &bytes[HEADER_LEN..];
        for len in 0..body.len() {
            assert!(Order::decode(&body[..len]).is_err(), "{len}");
        }
        assert!(Order::decode(b"p\0\0\0\0x\x000\x000\0").is_err());
    }
}
