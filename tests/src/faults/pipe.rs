//! One direction of one connection.

use std::future::pending;
use std::io;
use std::time::Duration;

use fastrand::Rng;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;
use tokio::time::sleep;

use super::script::{Fault, Way};

/// Room for one piece.
const PIECE_LEN: usize = 16 * 1024;
/// How many pieces a second a bandwidth is made of.
const PIECES_PER_SECOND: u64 = 20;

/// The fault of the moment, and which bytes it concerns.
pub type Imposed = (Fault, Way);

/// What one direction is under.
pub struct Weather {
    imposed: watch::Receiver<Imposed>,
    way: Way,
    rng: Rng,
    /// What a reset lets through before it, once it has begun.
    until_reset: Option<u64>,
    dead: bool,
}

impl Weather {
    pub fn new(imposed: watch::Receiver<Imposed>, way: Way, rng: Rng) -> Self {
        Self { imposed, way, rng, until_reset: None, dead: false }
    }

    /// Waits while nothing passes; for ever if the peer is gone for good.
    pub async fn passable(&mut self) {
        while matches!(self.fault(), Fault::BlackHole) {
            self.changed().await;
        }
        if self.dead {
            pending::<()>().await;
        }
    }

    fn fault(&mut self) -> Fault {
        let (fault, way) = *self.imposed.borrow_and_update();
        let mine = way == Way::Both || way == self.way;
        self.dead |= mine && fault == Fault::HalfOpen;
        match fault {
            _ if !mine => Fault::None,
            fault => fault,
        }
    }

    async fn changed(&mut self) {
        // Without a proxy nothing changes any more.
        if self.imposed.changed().await.is_err() {
            pending::<()>().await;
        }
    }
}

/// Carries bytes until their end, and then says so to the writer.
///
/// # Errors
/// The connection broke, or is to be reset.
pub async fn carry(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut weather: Weather,
) -> io::Result<()> {
    let mut piece = vec![0; PIECE_LEN];
    loop {
        weather.passable().await;
        let fault = weather.fault();
        let room = room(fault, &mut weather.until_reset)?;
        let len = tokio::select! {
            read = from.read(&mut piece[..room]) => read?,
            () = weather.changed() => continue,
        };
        if len == 0 {
            return to.shutdown().await;
        }
        let bytes = &mut piece[..len];
        delay(fault, len, &mut weather.rng).await;
        if let Fault::Flip { one_in } = fault {
            flip(bytes, one_in, &mut weather.rng);
        }
        // It may have got dark meanwhile.
        weather.passable().await;
        to.write_all(bytes).await?;
        weather.until_reset = weather.until_reset.map(|left| left.saturating_sub(len as u64));
    }
}

/// How much is read at once.
fn room(fault: Fault, until_reset: &mut Option<u64>) -> io::Result<usize> {
    let Fault::Reset { after_bytes } = fault else {
        *until_reset = None;
        return Ok(match fault {
            Fault::Drip { .. } => 1,
            Fault::Bandwidth { bytes_per_second } => {
                usize::try_from(bytes_per_second / PIECES_PER_SECOND).unwrap_or(PIECE_LEN).clamp(1, PIECE_LEN)
            }
            _ => PIECE_LEN,
        });
    };
    match *until_reset.get_or_insert(after_bytes) {
        0 => Err(io::ErrorKind::ConnectionReset.into()),
        left => Ok(usize::try_from(left).unwrap_or(PIECE_LEN).min(PIECE_LEN)),
    }
}

async fn delay(fault: Fault, len: usize, rng: &mut Rng) {
    let wait = match fault {
        Fault::Latency { ms, jitter_ms } => Duration::from_millis(ms + rng.u64(0..=jitter_ms)),
        Fault::Bandwidth { bytes_per_second } => {
            Duration::from_secs_f64(len as f64 / bytes_per_second.max(1) as f64)
        }
        Fault::Drip { every_ms } => Duration::from_millis(every_ms),
        _ => return,
    };
    sleep(wait).await;
}

fn flip(bytes: &mut [u8], one_in: u64, rng: &mut Rng) {
    for byte in bytes {
        if rng.u64(..one_in.max(1)) == 0 {
            *byte ^= 1 << rng.u32(..8);
        }
    }
}
