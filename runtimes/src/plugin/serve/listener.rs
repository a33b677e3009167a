//! [`Listener`]: where a plugin listens.

use std::io;
use std::path::Path;

use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio_stream::wrappers::{TcpListenerStream, UnixListenerStream};

/// A bound socket.
pub enum Listener {
    Unix(UnixListenerStream),
    Tcp(TcpListenerStream),
}

impl Listener {
    /// Binds `unix:/path` or `HOST:PORT`.
    ///
    /// # Errors
    /// The address cannot be used.
    pub async fn bind(address: &str) -> io::Result<Self> {
        match address.strip_prefix("unix:") {
            Some(path) => Self::bind_unix(Path::new(path.strip_prefix("//").unwrap_or(path))).await,
            None => Ok(TcpListener::bind(address).await?.into()),
        }
    }

    /// Binds a Unix socket. One that a dead program has left behind is replaced.
    ///
    /// # Errors
    /// The path cannot be used.
    pub async fn bind_unix(path: &Path) -> io::Result<Self> {
        match UnixListener::bind(path) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                if UnixStream::connect(path).await.is_ok() {
                    return Err(error);
                }
                std::fs::remove_file(path)?;
                UnixListener::bind(path).map(Into::into)
            }
            bound => bound.map(Into::into),
        }
    }
}

impl From<UnixListener> for Listener {
    fn from(listener: UnixListener) -> Self {
        Self::Unix(UnixListenerStream::new(listener))
    }
}

impl From<TcpListener> for Listener {
    fn from(listener: TcpListener) -> Self {
        Self::Tcp(TcpListenerStream::new(listener))
    }
}
