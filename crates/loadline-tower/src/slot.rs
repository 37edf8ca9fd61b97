//! The slot of one HTTP exchange, which may have several holders: the response body, and whoever goes on after it.

use std::{
    fmt,
    sync::{
        Arc, Weak,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use loadline_core::{Class, Outcome};
use tokio::time::Instant;

use crate::{Budget, Observer, Permit};

/// How a request was admitted. The layers put it into the request's extensions, where handlers find it.
///
/// ```
/// # fn handler(request: http::Request<()>) {
/// if let Some(admission) = request.extensions().get::<loadline_tower::Admission>() {
///     println!("{} after {:?} in the queue", admission.class(), admission.waited());
///     println!("time left: {:?}", admission.remaining());
/// }
/// # }
/// ```
#[derive(Clone)]
pub struct Admission {
    budget: Budget,
    waited: Duration,
    /// Weak: a forgotten copy of the request's extensions must not keep the slot.
    held: Weak<Held>,
}

/// Keeps the slot of an exchange although its response body has ended. Dropping the last one frees it.
///
/// It is for work that goes on after the response: a WebSocket or another upgraded connection, or a task that the handler
/// started and does not wait for.
#[derive(Clone)]
#[must_use = "dropping it no longer keeps the slot"]
pub struct Hold {
    _held: Arc<Held>,
}

impl Admission {
    /// The class it was admitted under.
    #[must_use]
    pub const fn class(&self) -> Class {
        self.budget.class()
    }

    /// Time left until its deadline, zero once it has passed; `None` if it has none.
    #[must_use]
    pub fn remaining(&self) -> Option<Duration> {
        self.budget.remaining()
    }

    /// Class and deadline, to be handed on to a task of one's own: [`Budget::scope`].
    #[must_use]
    pub const fn budget(&self) -> Budget {
        self.budget
    }

    /// How long it waited in the queue; zero if it did not.
    #[must_use]
    pub const fn waited(&self) -> Duration {
        self.waited
    }

    /// Keeps the slot beyond the end of the response. `None` if it is free already.
    #[must_use]
    pub fn hold(&self) -> Option<Hold> {
        self.held.upgrade().map(|held| Hold { _held: held })
    }
}

/// The part of the exchange itself in its slot.
#[derive(Debug)]
pub(crate) struct Slot(Arc<Held>);

struct Held {
    /// `None` only while it is dropped.
    permit: Option<Permit>,
    budget: Budget,
    /// How the exchange ended.
    outcome: Word,
    observed: Option<(Arc<dyn Observer>, Instant)>,
}

impl Slot {
    pub(crate) fn new(
        permit: Permit,
        deadline: Option<Instant>,
        observer: Option<Arc<dyn Observer>>,
    ) -> Self {
        if let Some(observer) = &observer {
            observer.on_admitted(permit.class(), permit.queued());
        }
        let observed = observer.map(|observer| (observer, Instant::now()));
        let budget = Budget::new(permit.class()).until(deadline);
        Self(Arc::new(Held { permit: Some(permit), budget, outcome: Word::default(), observed }))
    }

    pub(crate) fn admission(&self) -> Admission {
        let permit = self.0.permit.as_ref().expect("held until the last holder is dropped");
        Admission { budget: self.0.budget, waited: permit.queued(), held: Arc::downgrade(&self.0) }
    }

    pub(crate) fn budget(&self) -> Budget {
        self.0.budget
    }

    pub(crate) fn hold(&self) -> Hold {
        Hold { _held: Arc::clone(&self.0) }
    }

    /// What it is to count as if it is dropped without another word. The first word counts.
    pub(crate) fn presume(&self, outcome: Outcome) {
        self.0.outcome.say(outcome);
    }

    /// The exchange is over. Without a [`Hold`] the slot is free now.
    pub(crate) fn end(self, outcome: Outcome) {
        self.presume(outcome);
    }
}

/// How an exchange ended: the first that is said. Nothing said means that it was given up.
#[derive(Debug, Default)]
struct Word(AtomicU8);

impl Word {
    /// By these numbers, less one.
    const OUTCOMES: [Outcome; 4] = [Outcome::Completed, Outcome::Failed, Outcome::TimedOut, Outcome::Aborted];

    fn say(&self, outcome: Outcome) {
        let number = match outcome {
            Outcome::Completed => 1,
            Outcome::Failed => 2,
            Outcome::TimedOut => 3,
            Outcome::Aborted => 4,
        };
        // Whoever reads it does so with the last holder's drop, which orders it.
        let _already_said = self.0.compare_exchange(0, number, Ordering::Relaxed, Ordering::Relaxed);
    }

    fn said(&self) -> Outcome {
        let number = self.0.load(Ordering::Relaxed);
        number.checked_sub(1).map_or(Outcome::Aborted, |index| Self::OUTCOMES[usize::from(index)])
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let Some(permit) = self.permit.take() else { return };
        let outcome = self.outcome.said();
        let class = permit.class();
        permit.complete(outcome);
        if let Some((observer, since)) = &self.observed {
            observer.on_ended(class, outcome, since.elapsed());
        }
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held")
            .field("permit", &self.permit)
            .field("outcome", &self.outcome)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Admission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admission")
            .field("budget", &self.budget)
            .field("waited", &self.waited)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hold").finish_non_exhaustive()
    }
}
