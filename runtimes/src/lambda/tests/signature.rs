//! AWS Signature Version 4, computed once more from what arrived.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use crate::test_server::Seen;

pub(super) const KEY_ID: &str = "AKIDEXAMPLE";
pub(super) const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const SCOPE_END: &str = "eu-west-1/lambda/aws4_request";
/// What has to be under the signature, if it is there.
const SIGNED: [&str; 3] = ["host", "x-amz-date", "x-amz-security-token"];

/// Whether the request is signed with [`SECRET`], all of it, for this service and region.
pub(super) fn verify(seen: &Seen) -> Result<(), String> {
    let header = |name: &str| seen.header(name).ok_or_else(|| format!("no header {name}"));
    let given = Authorization::parse(header("authorization")?)?;
    let date = header("x-amz-date")?;
    let scope = format!("{}/{SCOPE_END}", date.get(..8).ok_or("no date")?);
    if given.credential != format!("{KEY_ID}/{scope}") {
        return Err(format!("a credential of another scope: {}", given.credential));
    }
    let missing = |name: &&&str| seen.header(name).is_some() && !given.signed.contains(name);
    if let Some(name) = SIGNED.iter().find(missing) {
        return Err(format!("{name} is not signed"));
    }
    let canonical = canonical_request(seen, &given.signed)?;
    let text = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{}", hex(&Sha256::digest(canonical)));
    let key = scope.split('/').fold(format!("AWS4{SECRET}").into_bytes(), |key, part| sign(&key, part));
    match hex(&sign(&key, &text)) == given.signature {
        true => Ok(()),
        false => Err("the signature does not match".to_owned()),
    }
}

struct Authorization<'a> {
    credential: &'a str,
    signed: Vec<&'a str>,
    signature: &'a str,
}

impl<'a> Authorization<'a> {
    fn parse(text: &'a str) -> Result<Self, String> {
        let rest = text.strip_prefix("AWS4-HMAC-SHA256 ").ok_or("another algorithm")?;
        let part = |name: &str| {
            let found = rest.split(',').find_map(|part| part.trim().strip_prefix(name));
            found.and_then(|value| value.strip_prefix('=')).ok_or_else(|| format!("no {name}"))
        };
        let signed = part("SignedHeaders")?.split(';').collect();
        Ok(Self { credential: part("Credential")?, signed, signature: part("Signature")? })
    }
}

fn canonical_request(seen: &Seen, signed: &[&str]) -> Result<String, String> {
    let (path, query) = seen.path.split_once('?').unwrap_or((&seen.path, ""));
    let mut headers = String::new();
    for name in signed {
        let value = seen.header(name).ok_or_else(|| format!("{name} is signed and missing"))?;
        headers.push_str(&format!("{name}:{}\n", value.trim()));
    }
    let (path, signed) = (encoded(path), signed.join(";"));
    let payload = hex(&Sha256::digest(&seen.body));
    Ok(format!("{}\n{path}\n{query}\n{headers}\n{signed}\n{payload}", seen.method))
}

/// Encodes a path that is encoded already, as every service but S3 wants it.
fn encoded(path: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~/".contains(&b);
    path.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

fn sign(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
