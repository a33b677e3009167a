//! What happens to connections, and when.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use fastrand::Rng;

/// What happens to the bytes of every connection while it is imposed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// Every piece is held for this long, and for up to `jitter_ms` more.
    Latency { ms: u64, jitter_ms: u64 },
    /// No more than this passes.
    Bandwidth { bytes_per_second: u64 },
    /// After so many more bytes the connection is reset, at both ends.
    Reset { after_bytes: u64 },
    /// The peer has lost its power: nothing is read any more and nothing is closed, for good. New connections
    /// end the same way.
    HalfOpen,
    /// Nothing passes meanwhile, and all of it afterwards, as if packets had been dropped and sent again.
    BlackHole,
    /// One byte in so many, on average, has one bit turned.
    Flip { one_in: u64 },
    /// One byte at a time, with this between two of them.
    Drip { every_ms: u64 },
}

/// Which bytes: those of the client, those of the server, or all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Up,
    Down,
    Both,
}

/// A fault for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    pub fault: Fault,
    pub way: Way,
    pub lasts: Duration,
}

/// Faults, one after the other. As text: `latency=200/100 up for 5000, reset=4096 for 1000, none for 500`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Script(pub Vec<Step>);

/// Kinds of faults that can be drawn.
const KINDS: usize = 7;

impl Script {
    /// Faults with quiet between them, for at least so long in all.
    pub fn random(seed: u64, length: Duration) -> Self {
        let mut rng = Rng::with_seed(seed);
        let mut steps = Vec::new();
        let mut left = length;
        while left > Duration::ZERO {
            let way = [Way::Up, Way::Down, Way::Both][rng.usize(..3)];
            let faulty =
                Step { fault: draw(&mut rng), way, lasts: Duration::from_millis(rng.u64(100..2_000)) };
            let quiet = Step {
                fault: Fault::None,
                way: Way::Both,
                lasts: Duration::from_millis(rng.u64(100..1_000)),
            };
            left = left.saturating_sub(faulty.lasts + quiet.lasts);
            steps.extend([faulty, quiet]);
        }
        Self(steps)
    }
}

fn draw(rng: &mut Rng) -> Fault {
    match rng.usize(..KINDS) {
        0 => Fault::Latency { ms: rng.u64(1..300), jitter_ms: rng.u64(1..200) },
        1 => Fault::Bandwidth { bytes_per_second: rng.u64(1_000..64_000) },
        2 => Fault::Reset { after_bytes: rng.u64(..4_096) },
        3 => Fault::HalfOpen,
        4 => Fault::BlackHole,
        5 => Fault::Flip { one_in: rng.u64(64..4_096) },
        _ => Fault::Drip { every_ms: rng.u64(1..20) },
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Latency { ms, jitter_ms } => write!(f, "latency={ms}/{jitter_ms}"),
            Self::Bandwidth { bytes_per_second } => write!(f, "bandwidth={bytes_per_second}"),
            Self::Reset { after_bytes } => write!(f, "reset={after_bytes}"),
            Self::HalfOpen => f.write_str("half-open"),
            Self::BlackHole => f.write_str("black-hole"),
            Self::Flip { one_in } => write!(f, "flip={one_in}"),
            Self::Drip { every_ms } => write!(f, "drip={every_ms}"),
        }
    }
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, value) = text.split_once('=').unwrap_or((text, ""));
        let number = |text: &str| text.parse().map_err(|_| format!("{kind} needs a number: {kind}=N"));
        match kind {
            "none" => Ok(Self::None),
            "latency" => {
                let (ms, jitter_ms) = value.split_once('/').unwrap_or((value, "0"));
                Ok(Self::Latency { ms: number(ms)?, jitter_ms: number(jitter_ms)? })
            }
            "bandwidth" => Ok(Self::Bandwidth { bytes_per_second: number(value)?.max(1) }),
            "reset" => Ok(Self::Reset { after_bytes: number(value)? }),
            "half-open" => Ok(Self::HalfOpen),
            "black-hole" => Ok(Self::BlackHole),
            "flip" => Ok(Self::Flip { one_in: number(value)?.max(1) }),
            "drip" => Ok(Self::Drip { every_ms: number(value)? }),
            _ => Err(format!(
                "unknown fault {kind:?}: use none, latency=MS/JITTER, bandwidth=BYTES, reset=BYTES, half-open, black-hole, flip=ONE_IN or drip=MS"
            )),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let way = match self.way {
            Way::Up => " up",
            Way::Down => " down",
            Way::Both => "",
        };
        write!(f, "{}{way} for {}", self.fault, self.lasts.as_millis())
    }
}

impl FromStr for Step {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let words: Vec<_> = text.split_whitespace().collect();
        let (fault, way, ms) = match words[..] {
            [fault, "for", ms] => (fault, Way::Both, ms),
            [fault, "up", "for", ms] => (fault, Way::Up, ms),
            [fault, "down", "for", ms] => (fault, Way::Down, ms),
            _ => return Err(format!("{text:?} is no step: write FAULT [up|down] for MS")),
        };
        let ms = ms.parse().map_err(|_| format!("{ms:?} are no milliseconds"))?;
        Ok(Self { fault: fault.parse()?, way, lasts: Duration::from_millis(ms) })
    }
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, step) in self.0.iter().enumerate() {
            write!(f, "{}{step}", if index == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

impl FromStr for Script {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.split(',').map(|step| step.trim().parse()).collect::<Result<_, _>>().map(Self)
    }
}
