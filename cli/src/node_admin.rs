//! Pages of a node's admin listener, read line by line.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::Uri;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

/// Longest wait for TCP to a node.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest line that is kept together, bytes.
const LINE_LEN_MAX: usize = 1024 * 1024;

/// A page that comes line by line.
#[derive(Debug)]
pub struct Page {
    body: Incoming,
    buffer: BytesMut,
}

impl Page {
    /// Asks for a page; `Ok(None)` if the node has none of this name.
    ///
    /// # Errors
    /// The node does not answer in time, or refuses.
    pub async fn open(url: &str, timeout: Duration) -> Result<Option<Self>, String> {
        let url: Uri = url.parse().map_err(|_| format!("{url:?} is not a URL"))?;
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let client: Client<_, Empty<Bytes>> = Client::builder(TokioExecutor::new()).build(connector);
        let answer = tokio::time::timeout(timeout, client.get(url)).await;
        let answer =
            answer.map_err(|_| "no answer in time".to_owned())?.map_err(|error| innermost(&error))?;
        match answer.status().as_u16() {
            200 => Ok(Some(Self { body: answer.into_body(), buffer: BytesMut::new() })),
            404 => Ok(None),
            status => Err(format!("HTTP {status}")),
        }
    }

    /// All of it, as far as it comes.
    pub async fn text(mut self) -> String {
        let mut text = String::new();
        while let Some(line) = self.next_line().await {
            text.push_str(&line);
            text.push('\n');
        }
        text
    }

    /// The next line without its end; `None` at the end of the page.
    pub async fn next_line(&mut self) -> Option<String> {
        loop {
            if let Some(at) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line = self.buffer.split_to(at + 1);
                return Some(String::from_utf8_lossy(&line[..at]).into_owned());
            }
            if self.buffer.len() > LINE_LEN_MAX {
                return Some(String::from_utf8_lossy(&self.buffer.split()).into_owned());
            }
            match self.body.frame().await {
                Some(Ok(frame)) => self.buffer.extend_from_slice(frame.data_ref().map_or(&[], |data| data)),
                Some(Err(_)) | None => {
                    let rest = self.buffer.split();
                    return (!rest.is_empty()).then(|| String::from_utf8_lossy(&rest).into_owned());
                }
            }
        }
    }
}

fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
