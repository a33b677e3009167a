//! [`incoming`]: the connections of a listener that never fails.
//!
//! A gRPC server gives up a listener at its first error such as "too many open files". Here whoever waits is
//! turned away instead, with a descriptor that is held in reserve for that, and comes back by itself.

use std::convert::Infallible;
use std::fs::File;
use std::io::Error;
use std::time::Duration;

use futures_util::{FutureExt, Stream, stream};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep};

/// After an error: trying again at once would fail again.
const PAUSE: Duration = Duration::from_millis(50);
/// So many are turned away before the next pause.
const TURNED_AWAY_AT_ONCE: usize = 64;
/// Errors closer to each other are told once.
const CALM: Duration = Duration::from_secs(5);

/// Never ends.
pub fn incoming(listener: TcpListener) -> impl Stream<Item = Result<TcpStream, Infallible>> {
    let acceptor = Acceptor { listener, reserve: reserve(), failed: None };
    stream::unfold(acceptor, |mut acceptor| async move { Some((Ok(acceptor.accept().await), acceptor)) })
}

struct Acceptor {
    listener: TcpListener,
    reserve: Option<File>,
    /// When it did last.
    failed: Option<Instant>,
}

impl Acceptor {
    async fn accept(&mut self) -> TcpStream {
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    // It matters for speed alone.
                    let _ = stream.set_nodelay(true);
                    return stream;
                }
                Err(error) => self.turn_away(&error),
            }
            sleep(PAUSE).await;
        }
    }

    fn turn_away(&mut self, error: &Error) {
        if self.failed.replace(Instant::now()).is_none_or(|failed| failed.elapsed() > CALM) {
            tracing::warn!(
                %error,
                "connections cannot be taken and are closed; if too many files are open, raise the limit (ulimit -n, LimitNOFILE=)"
            );
        }
        self.reserve = None;
        for _ in 0..TURNED_AWAY_AT_ONCE {
            if !matches!(self.listener.accept().now_or_never(), Some(Ok(_))) {
                break;
            }
        }
        self.reserve = reserve();
    }
}

fn reserve() -> Option<File> {
    File::open("/dev/null").ok()
}
