//! [`Alarm`]: a deadline that is set anew for every request and hardly ever reached.
//!
//! Tokio puts a timer into its wheel when it is first waited for, and takes it out when it is dropped. An alarm
//! stays in the wheel: when its time has come it looks whether it was put off meanwhile.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use hyper::rt::Timer;
use tokio::time::{Instant, Sleep, sleep_until};

pub struct Alarm {
    sleep: Pin<Box<Sleep>>,
    at: Instant,
}

impl Alarm {
    pub fn at(deadline: Instant) -> Self {
        Self { sleep: Box::pin(sleep_until(deadline)), at: deadline }
    }

    pub fn set(&mut self, deadline: Instant) {
        self.at = deadline;
        // Also one that has rung.
        if deadline < self.sleep.deadline() || self.sleep.is_elapsed() {
            self.sleep.as_mut().reset(deadline);
        }
    }

    /// Ready once the deadline is over.
    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        while self.sleep.as_mut().poll(context).is_ready() {
            if Instant::now() >= self.at {
                return Poll::Ready(());
            }
            self.sleep.as_mut().reset(self.at);
        }
        Poll::Pending
    }

    /// Nobody waits for it. It would keep alive who did.
    pub fn silence(&mut self) {
        _ = self.poll(&mut Context::from_waker(Waker::noop()));
    }
}

/// Hyper's timer for one connection: it sets one alarm again and again.
#[derive(Clone, Default)]
pub struct Alarms(Arc<Mutex<Option<Alarm>>>);

impl Timer for Alarms {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn hyper::rt::Sleep>> {
        self.sleep_until(self.now() + duration)
    }

    fn sleep_until(&self, deadline: std::time::Instant) -> Pin<Box<dyn hyper::rt::Sleep>> {
        let spare = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let deadline = Instant::from(deadline);
        let alarm = match spare {
            Some(mut alarm) => {
                alarm.set(deadline);
                alarm
            }
            None => Alarm::at(deadline),
        };
        Box::pin(Lent { alarm: Some(alarm), home: self.0.clone() })
    }

    fn now(&self) -> std::time::Instant {
        Instant::now().into()
    }
}

/// An alarm that comes back.
struct Lent {
    alarm: Option<Alarm>,
    home: Arc<Mutex<Option<Alarm>>>,
}

impl Future for Lent {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.alarm.as_mut().map_or(Poll::Ready(()), |alarm| alarm.poll(context))
    }
}

impl hyper::rt::Sleep for Lent {}

impl Drop for Lent {
    fn drop(&mut self) {
        *self.home.lock().unwrap_or_else(PoisonError::into_inner) = self.alarm.take();
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    async fn rings_after(alarm: &mut Alarm) -> Duration {
        let began = Instant::now();
        poll_fn(|context| alarm.poll(context)).await;
        began.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn an_alarm_rings_when_it_was_last_set_to() {
        let mut alarm = Alarm::at(Instant::now());
        for (first, then) in [(10, 30), (10, 5), (30, 20), (2, 1)] {
            alarm.set(Instant::now() + first * SECOND);
            // Somebody waits for a while, and is answered.
            tokio::time::timeout(SECOND / 2, rings_after(&mut alarm)).await.unwrap_err();
            alarm.set(Instant::now() + then * SECOND);
            let rung = rings_after(&mut alarm).await;
            assert!(rung >= then * SECOND && rung < then * SECOND + SECOND / 10, "{then}: {rung:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_has_one_alarm() {
        let alarms = Alarms::default();
        for seconds in [10, 3, 7] {
            drop(alarms.sleep(20 * SECOND));
            assert!(alarms.0.lock().unwrap().is_some());
            let began = Instant::now();
            alarms.sleep(seconds * SECOND).await;
            let slept = began.elapsed();
            assert!(slept >= seconds * SECOND && slept < seconds * SECOND + SECOND / 10, "{slept:?}");
        }
    }
}
