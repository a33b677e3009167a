//! [`Acceptor`]: connections in, also when this program has no descriptor left for them.
//!
//! One descriptor is held in reserve. When there is no other, it is given up for as long as it takes to tell
//! those who wait in the kernel's queue that they should come back.

use std::fs::File;
use std::io::{Error, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

use futures_util::FutureExt;
use rustix::io::Errno;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep};

/// After an error: trying again at once would fail again.
const PAUSE: Duration = Duration::from_millis(50);
/// So many are refused before the next pause.
const REFUSED_AT_ONCE: usize = 64;
/// A shortage that was not felt for so long is over.
const CALM: Duration = Duration::from_secs(5);
/// What is read of a request that is refused. The kernel takes an answer back that leaves bytes unread.
const REQUEST_LEN_MAX: usize = 16 * 1024;
const REFUSAL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\n\
    Content-Type: text/plain; charset=utf-8\r\nContent-Length: 54\r\n\r\n\
    this node has too many files open: try it again later\n";

/// A listener that never fails.
pub struct Acceptor {
    listener: TcpListener,
    /// Whose connections they are, for the log.
    what: &'static str,
    reserve: Option<File>,
    shortage: Option<Shortage>,
}

/// Descriptors are short.
struct Shortage {
    felt: Instant,
    refused: u64,
}

impl Acceptor {
    pub fn new(what: &'static str, listener: TcpListener) -> Self {
        Self { listener, what, reserve: reserve(), shortage: None }
    }

    /// The next connection.
    pub async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        loop {
            match self.listener.accept().await {
                Ok(accepted) => {
                    self.recover();
                    return accepted;
                }
                Err(error) if is_short(&error) => self.run_short(&error),
                // One connection was given up before it was taken.
                Err(error) => tracing::debug!(%error, what = self.what, "cannot accept a connection"),
            }
            sleep(PAUSE).await;
        }
    }

    fn run_short(&mut self, error: &Error) {
        if self.shortage.is_none() {
            tracing::warn!(
                %error,
                what = self.what,
                "no descriptor is left for connections: they are refused until some close; raise the limit of open files (ulimit -Hn, LimitNOFILE=), or lower --connections-max"
            );
        }
        let refused = self.refuse_those_who_wait();
        let before = self.shortage.take().map_or(0, |shortage| shortage.refused);
        self.shortage = Some(Shortage { felt: Instant::now(), refused: before + refused });
    }

    fn refuse_those_who_wait(&mut self) -> u64 {
        self.reserve = None;
        let mut refused = 0;
        for _ in 0..REFUSED_AT_ONCE {
            let Some(Ok((stream, _))) = self.listener.accept().now_or_never() else { break };
            refuse(stream);
            refused += 1;
        }
        self.reserve = reserve();
        refused
    }

    fn recover(&mut self) {
        if let Some(Shortage { refused, .. }) =
            self.shortage.take_if(|shortage| shortage.felt.elapsed() > CALM)
        {
            tracing::info!(refused, what = self.what, "there are descriptors for connections again");
        }
        if self.reserve.is_none() {
            self.reserve = reserve();
        }
    }
}

/// Nobody waits for a client that is refused: what cannot be said at once is not said.
fn refuse(stream: TcpStream) {
    let Ok(mut stream) = stream.into_std() else { return };
    let _ = stream.read(&mut [0; REQUEST_LEN_MAX]);
    let _ = stream.write(REFUSAL);
    let _ = stream.shutdown(Shutdown::Write);
}

fn is_short(error: &Error) -> bool {
    let errors = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    Errno::from_io_error(error).is_some_and(|error| errors.contains(&error))
}

fn reserve() -> Option<File> {
    File::open("/dev/null").ok()
}
