//! [`Circle`]: clients that may share a connection. [`Circles`]: what each of them has.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use omcp_core::lifecycle::Isolation;
use omcp_core::{ErrorKind, GatewayError};
use tokio::sync::Mutex as AsyncMutex;

use super::Served;
use crate::backends::bridge::principal::Principal;

/// Circles of one backend that have something at once: each may have a process.
pub const CIRCLES_MAX: usize = 256;

/// Clients that may share a connection, and so a process, with each other and nobody else.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Circle {
    All,
    /// Those of one principal that has a name.
    Of(Principal),
}

/// One thing per circle: whoever comes first makes it, the others wait for it.
pub(super) struct Circles<T>(Mutex<HashMap<Circle, Arc<Place<T>>>>);

struct Place<T> {
    making: AsyncMutex<()>,
    kept: Mutex<Option<T>>,
}

impl<T> Circles<T> {
    /// What a circle has as long as it is `alive`, and else what is made for it: what is kept, and what its
    /// users get.
    ///
    /// # Errors
    /// Those of `make`; `Limit` if too many circles have something.
    pub async fn get<U>(
        &self,
        circle: Circle,
        alive: impl Fn(&T) -> Option<U>,
        make: impl Future<Output = Result<(T, U), GatewayError>>,
    ) -> Result<U, GatewayError> {
        let place = self.place(circle, &alive)?;
        let present = || place.lock().as_ref().and_then(&alive);
        if let Some(present) = present() {
            return Ok(present);
        }
        let _making = place.making.lock().await;
        if let Some(present) = present() {
            return Ok(present);
        }
        let (kept, made) = make.await?;
        *place.lock() = Some(kept);
        Ok(made)
    }

    fn place<U>(
        &self,
        circle: Circle,
        alive: impl Fn(&T) -> Option<U>,
    ) -> Result<Arc<Place<T>>, GatewayError> {
        if let Some(place) = self.lock().get(&circle) {
            return Ok(place.clone());
        }
        self.retain(|kept| alive(kept).is_some());
        let mut places = self.lock();
        if places.len() >= CIRCLES_MAX {
            let context = format!("{CIRCLES_MAX} principals use the backend already; try again later");
            return Err(GatewayError::new(ErrorKind::Limit, context));
        }
        Ok(places.entry(circle).or_default().clone())
    }

    /// Forgets those that do not stay. Where one is being made, its place does.
    pub fn retain(&self, mut stays: impl FnMut(&mut T) -> bool) {
        self.lock().retain(|_, place| {
            let mut kept = place.lock();
            *kept = kept.take().and_then(|mut kept| stays(&mut kept).then_some(kept));
            kept.is_some() || Arc::strong_count(place) > 1
        });
    }

    /// What is wanted of each.
    pub fn each<U>(&self, wanted: impl Fn(&T) -> Option<U>) -> Vec<U> {
        self.lock().values().filter_map(|place| place.lock().as_ref().and_then(&wanted)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Circle, Arc<Place<T>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Place<T> {
    fn lock(&self) -> MutexGuard<'_, Option<T>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Default for Circles<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> Default for Place<T> {
    fn default() -> Self {
        Self { making: AsyncMutex::default(), kept: Mutex::default() }
    }
}

impl Served {
    /// The circle of a legacy session; `None` if it shares with nobody. An HTTP server has sessions of its own.
    pub fn circle(&self, principal: &Principal) -> Option<Circle> {
        match (&self.upstream, self.lifecycle().isolation) {
            (Some(_), _) | (None, Isolation::Session) => None,
            (None, Isolation::Shared) => Some(Circle::All),
            (None, Isolation::Principal) => self.circle_of(principal),
        }
    }

    /// The circle of a principal that shares with no other.
    pub(super) fn circle_of(&self, principal: &Principal) -> Option<Circle> {
        // The name first: it decides most calls.
        let apart = !principal.is_anonymous() && self.lifecycle().isolation == Isolation::Principal;
        apart.then(|| Circle::Of(principal.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str) -> Circle {
        Circle::Of(Principal::named(name))
    }

    async fn get(circles: &Circles<u32>, circle: Circle, fresh: u32) -> Result<u32, GatewayError> {
        circles.get(circle, |kept| (*kept > 0).then_some(*kept), async { Ok((fresh, fresh)) }).await
    }

    #[tokio::test]
    async fn a_circle_has_one_as_long_as_it_lives_and_no_other_has_it() {
        let circles = Circles::default();
        assert_eq!(get(&circles, of("alice"), 1).await.unwrap(), 1);
        assert_eq!(get(&circles, of("alice"), 2).await.unwrap(), 1);
        assert_eq!(get(&circles, of("bob"), 3).await.unwrap(), 3);
        assert_eq!(get(&circles, Circle::All, 4).await.unwrap(), 4);
        circles.retain(|kept| *kept != 1);
        assert_eq!(get(&circles, of("alice"), 5).await.unwrap(), 5);
    }

    #[tokio::test]
    async fn who_comes_while_it_is_made_waits_and_what_fails_leaves_nothing() {
        let circles = Circles::<u32>::default();
        let made = |fresh| async move {
            tokio::task::yield_now().await;
            Ok((fresh, fresh))
        };
        let alive = |kept: &u32| Some(*kept);
        let both = tokio::join!(
            circles.get(of("alice"), alive, made(1)),
            circles.get(of("alice"), alive, async { panic!("made twice") })
        );
        assert_eq!((both.0.unwrap(), both.1.unwrap()), (1, 1));
        let failed = circles.get(of("bob"), alive, async { Err(GatewayError::closed("no")) }).await;
        assert!(failed.is_err());
        assert_eq!(circles.each(alive), [1]);
    }

    #[tokio::test]
    async fn the_dead_make_room_for_others() {
        let circles = Circles::default();
        for number in 0..CIRCLES_MAX {
            get(&circles, of(&number.to_string()), 1).await.unwrap();
        }
        assert_eq!(get(&circles, of("late"), 1).await.unwrap_err().kind(), ErrorKind::Limit);
        circles.retain(|kept| {
            *kept = 0;
            true
        });
        assert_eq!(get(&circles, of("late"), 1).await.unwrap(), 1);
        assert_eq!(circles.lock().len(), 1);
    }
}
