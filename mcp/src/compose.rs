//! Writes small messages. Ids, parameters and results are JSON text as it shall stand on the wire.

use crate::json::write_text;

/// A request.
pub fn request(id: &[u8], method: &str, params: Option<&[u8]>) -> Vec<u8> {
    let mut out = begin(method.len() + id.len() + params.map_or(0, <[u8]>::len));
    out.extend_from_slice(b",\"id\":");
    out.extend_from_slice(id);
    call(method, params, out)
}

/// A notification.
pub fn notification(method: &str, params: Option<&[u8]>) -> Vec<u8> {
    call(method, params, begin(method.len() + params.map_or(0, <[u8]>::len)))
}

/// A response that carries `result`.
pub fn response(id: &[u8], result: &[u8]) -> Vec<u8> {
    let mut out = begin(id.len() + result.len());
    out.extend_from_slice(b",\"id\":");
    out.extend_from_slice(id);
    out.extend_from_slice(b",\"result\":");
    out.extend_from_slice(result);
    out.push(b'}');
    out
}

/// `notifications/cancelled` about the request `id`.
pub fn cancelled(id: &[u8], reason: &str) -> Vec<u8> {
    let mut params = b"{\"requestId\":".to_vec();
    params.extend_from_slice(id);
    params.extend_from_slice(b",\"reason\":");
    write_text(reason, &mut params);
    params.push(b'}');
    notification(crate::methods::CANCELLED, Some(&params))
}

/// Room for the fixed parts of any message beside its payload, bytes.
const FRAME_LEN: usize = 64;

fn begin(payload_len: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(FRAME_LEN + payload_len);
    out.extend_from_slice(b"{\"jsonrpc\":\"2.0\"");
    out
}

fn call(method: &str, params: Option<&[u8]>, mut out: Vec<u8>) -> Vec<u8> {
    out.extend_from_slice(b",\"method\":");
    write_text(method, &mut out);
    if let Some(params) = params {
        out.extend_from_slice(b",\"params\":");
        out.extend_from_slice(params);
    }
    out.push(b'}');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::{Envelope, Kind, ScanLimits};

    #[test]
    fn what_is_written_scans_as_what_was_meant() {
        let limits = ScanLimits::default();
        let sent = request(b"\"a\"", "tools/call", Some(b"{\"name\":\"x\"}"));
        let envelope = Envelope::scan(&sent, &limits).unwrap();
        assert_eq!((envelope.kind(), envelope.id(&sent)), (Kind::Request, Some(&b"\"a\""[..])));
        assert_eq!(envelope.target(&sent).unwrap(), "x");

        let sent = cancelled(b"7", "the \"client\" left");
        let envelope = Envelope::scan(&sent, &limits).unwrap();
        assert_eq!(
            (envelope.kind(), envelope.request_id_param(&sent)),
            (Kind::Notification, Some(&b"7"[..]))
        );

        let sent = response(b"7", b"{}");
        assert_eq!(sent, b"{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{}}");
        assert_eq!(Envelope::scan(&sent, &limits).unwrap().kind(), Kind::Response);
        assert_eq!(notification("a", None), b"{\"jsonrpc\":\"2.0\",\"method\":\"a\"}");
    }
}
