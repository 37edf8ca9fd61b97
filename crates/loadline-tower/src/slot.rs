//! The slot of one HTTP exchange, which may have several holders: the response body, and whoever goes on after it.

use std::{
    fmt,
    sync::{Arc, OnceLock, Weak},
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
    /// How the exchange ended; unset means that it was given up.
    outcome: OnceLock<Outcome>,
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
        Self(Arc::new(Held { permit: Some(permit), budget, outcome: OnceLock::new(), observed }))
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
        let _already_said = self.0.outcome.set(outcome);
    }

    /// The exchange is over. Without a [`Hold`] the slot is free now.
    pub(crate) fn end(self, outcome: Outcome) {
        self.presume(outcome);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let Some(permit) = self.permit.take() else { return };
        let outcome = self.outcome.get().copied().unwrap_or(Outcome::Aborted);
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
