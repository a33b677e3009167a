//! [`Word`]: what the supervisor tells the node; [`Stop`]: the one thing the node asks. Both of a fixed
//! length, so that nobody has to parse.

use std::time::Duration;

/// Length of a [`Word`].
pub const WORD_LEN: usize = 40;
/// Length of a [`Stop`].
pub const STOP_LEN: usize = 8;

/// What the supervisor tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// The process runs.
    Started { pid: i32 },
    /// It could not be started, by this error of the system.
    Refused { errno: i32 },
    /// It ended, with this raw wait status. Others of its tree may be alive.
    Exited { status: i32, usage: Usage },
    /// Nothing of its tree is left.
    Gone { usage: Usage },
}

/// What a process and the descendants that have ended took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub user: Duration,
    pub system: Duration,
    /// Most memory that one of them held at a time, KiB.
    pub resident_max_kib: u64,
    /// How many of them the system killed because all together exceeded the memory of their cgroup. Known only
    /// where they have one.
    pub oom_kills: u64,
}

impl Word {
    pub fn encode(self) -> [u8; WORD_LEN] {
        let (tag, number, usage) = match self {
            Self::Started { pid } => (0_u32, pid, Usage::default()),
            Self::Refused { errno } => (1, errno, Usage::default()),
            Self::Exited { status, usage } => (2, status, usage),
            Self::Gone { usage } => (3, 0, usage),
        };
        let mut word = [0; WORD_LEN];
        word[..4].copy_from_slice(&tag.to_le_bytes());
        word[4..8].copy_from_slice(&number.to_le_bytes());
        for (place, number) in [
            (8, micros(usage.user)),
            (16, micros(usage.system)),
            (24, usage.resident_max_kib),
            (32, usage.oom_kills),
        ] {
            word[place..place + 8].copy_from_slice(&number.to_le_bytes());
        }
        word
    }

    /// `None`: no word of this version.
    pub fn decode(word: [u8; WORD_LEN]) -> Option<Self> {
        let long = |place: usize| u64::from_le_bytes(std::array::from_fn(|at| word[place + at]));
        let short = |place: usize| u32::from_le_bytes(std::array::from_fn(|at| word[place + at]));
        let number = short(4).cast_signed();
        let usage = Usage {
            user: Duration::from_micros(long(8)),
            system: Duration::from_micros(long(16)),
            resident_max_kib: long(24),
            oom_kills: long(32),
        };
        Some(match short(0) {
            0 => Self::Started { pid: number },
            1 => Self::Refused { errno: number },
            2 => Self::Exited { status: number, usage },
            3 => Self::Gone { usage },
            _ => return None,
        })
    }
}

/// The node wants the process to end. Two of them: the sooner deadlines hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stop {
    /// Time from the end of its input to SIGTERM.
    pub input_closed: Duration,
    /// Time from SIGTERM to SIGKILL.
    pub terminated: Duration,
}

impl Stop {
    /// SIGKILL, now.
    pub const NOW: Self = Self { input_closed: Duration::ZERO, terminated: Duration::ZERO };

    pub fn encode(self) -> [u8; STOP_LEN] {
        let ([a, b, c, d], [e, f, g, h]) =
            (millis(self.input_closed).to_le_bytes(), millis(self.terminated).to_le_bytes());
        [a, b, c, d, e, f, g, h]
    }

    pub fn decode([a, b, c, d, rest @ ..]: [u8; STOP_LEN]) -> Self {
        let millis = |bytes| Duration::from_millis(u32::from_le_bytes(bytes).into());
        Self { input_closed: millis([a, b, c, d]), terminated: millis(rest) }
    }
}

fn micros(time: Duration) -> u64 {
    time.as_micros().try_into().unwrap_or(u64::MAX)
}

fn millis(time: Duration) -> u32 {
    time.as_millis().try_into().unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_arrive_as_they_were_said() {
        let usage = Usage {
            user: Duration::from_micros(7),
            system: Duration::from_secs(9),
            resident_max_kib: 1 << 40,
            oom_kills: 3,
        };
        for word in [
            Word::Started { pid: i32::MAX },
            Word::Refused { errno: 13 },
            Word::Exited { status: -1, usage },
            Word::Gone { usage },
        ] {
            assert_eq!(Word::decode(word.encode()), Some(word));
        }
        assert_eq!(Word::decode([9; WORD_LEN]), None);
        let stop = Stop { input_closed: Duration::from_millis(3), terminated: Duration::from_secs(3600) };
        assert_eq!(Stop::decode(stop.encode()), stop);
        assert_eq!(Stop::decode(Stop::NOW.encode()), Stop::NOW);
    }
}
