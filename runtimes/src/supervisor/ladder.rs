//! [`Ladder`]: the steps by which a process and its descendants are ended. Pure: it is told the time.

use std::time::{Duration, Instant};

use super::word::Stop;

/// What a process gets once the node is gone: nobody reads what it still says, and it must not meet the
/// next node's.
pub const ALONE: Stop = Stop { input_closed: Duration::from_secs(1), terminated: Duration::from_secs(1) };
/// SIGKILL is repeated after so long, twice as long each time: those who were just being forked.
const REPEAT_FIRST: Duration = Duration::from_millis(1);
/// Longest such pause: what is left then is stuck in the kernel, or not ours to kill.
const REPEAT_MAX: Duration = Duration::from_secs(1);

/// How far the end has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ladder {
    #[default]
    Running,
    /// The input has ended; SIGTERM follows.
    Closed { until: Instant, terminated: Duration },
    /// SIGTERM was sent; SIGKILL follows.
    Terminated { until: Instant },
    /// SIGKILL was sent, and is sent again.
    Killed { again: Instant, pause: Duration },
}

/// What is to be sent to every process of the tree now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    Terminate,
    Kill,
}

impl Ladder {
    /// Begins the end, or brings it forward.
    pub fn stop(&mut self, stop: Stop, now: Instant) {
        let sooner = now + stop.input_closed;
        match self {
            Self::Running => *self = Self::Closed { until: sooner, terminated: stop.terminated },
            Self::Closed { until, terminated } => {
                *until = sooner.min(*until);
                *terminated = stop.terminated.min(*terminated);
            }
            Self::Terminated { until } => *until = (sooner + stop.terminated).min(*until),
            Self::Killed { .. } => {}
        }
    }

    /// The process has ended by itself. What it leaves behind has no use, unless the end was asked for and
    /// takes its course.
    pub fn exited(&mut self, now: Instant) {
        if *self == Self::Running {
            self.stop(Stop::NOW, now);
        }
    }

    /// The next step, once it is due.
    pub fn step(&mut self, now: Instant) -> Option<Due> {
        match *self {
            Self::Closed { until, terminated } if until <= now && terminated > Duration::ZERO => {
                *self = Self::Terminated { until: now + terminated };
                Some(Due::Terminate)
            }
            Self::Closed { until, .. } | Self::Terminated { until } if until <= now => {
                *self = Self::Killed { again: now + REPEAT_FIRST, pause: REPEAT_FIRST };
                Some(Due::Kill)
            }
            Self::Killed { again, pause } if again <= now => {
                let pause = (pause * 2).min(REPEAT_MAX);
                *self = Self::Killed { again: now + pause, pause };
                Some(Due::Kill)
            }
            _ => None,
        }
    }

    /// When the next step is due.
    pub fn deadline(&self) -> Option<Instant> {
        match *self {
            Self::Running => None,
            Self::Closed { until, .. } | Self::Terminated { until } => Some(until),
            Self::Killed { again, .. } => Some(again),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn stop(input_closed: u32, terminated: u32) -> Stop {
        Stop { input_closed: input_closed * SECOND, terminated: terminated * SECOND }
    }

    #[test]
    fn the_steps_come_in_order() {
        let (mut ladder, start) = (Ladder::default(), Instant::now());
        assert_eq!((ladder.step(start), ladder.deadline()), (None, None));
        ladder.stop(stop(2, 3), start);
        assert_eq!((ladder.step(start + SECOND), ladder.deadline()), (None, Some(start + 2 * SECOND)));
        assert_eq!(ladder.step(start + 2 * SECOND), Some(Due::Terminate));
        assert_eq!(ladder.step(start + 4 * SECOND), None);
        assert_eq!(ladder.step(start + 5 * SECOND), Some(Due::Kill));
        assert_eq!(ladder.step(start + 5 * SECOND), None);
        let mut now = start + 5 * SECOND;
        for _ in 0..20 {
            let again = ladder.deadline().unwrap();
            assert!(again > now && again <= now + REPEAT_MAX);
            now = again;
            assert_eq!(ladder.step(now), Some(Due::Kill));
        }
    }

    #[test]
    fn an_end_is_only_brought_forward() {
        let (mut ladder, start) = (Ladder::default(), Instant::now());
        ladder.stop(stop(5, 5), start);
        ladder.stop(stop(9, 1), start);
        assert_eq!(ladder, Ladder::Closed { until: start + 5 * SECOND, terminated: SECOND });
        ladder.stop(ALONE, start);
        assert_eq!(ladder.step(start + SECOND), Some(Due::Terminate));
        ladder.stop(Stop::NOW, start + SECOND);
        assert_eq!(ladder.step(start + SECOND), Some(Due::Kill));
        ladder.stop(stop(9, 9), start + SECOND);
        assert_eq!(ladder.deadline(), Some(start + SECOND + REPEAT_FIRST));
    }

    #[test]
    fn what_a_dead_process_leaves_is_killed_unless_it_was_asked_to_end() {
        let start = Instant::now();
        let mut ladder = Ladder::default();
        ladder.exited(start);
        assert_eq!(ladder.step(start), Some(Due::Kill));
        let mut ladder = Ladder::default();
        ladder.stop(stop(2, 3), start);
        ladder.exited(start);
        assert_eq!(ladder.step(start), None);
    }
}
