//! The gate: where the core's decisions meet wakers and a clock.
//!
//! One [`Admission`] behind one mutex, shared by every thread and every runtime that holds a clone, so that a limit of N means N
//! over the whole process. The lock is held for one decision, never across an `await`, and no foreign code runs under it:
//! wakers are called, and dropped, after it is released.
//!
//! A freed slot is given to the waiter that the core names before anybody is woken. A newcomer therefore never overtakes
//! somebody who was woken but has not run yet, and wake-ups are as fair as the core's order.
//!
//! Time is tokio's, so a paused test clock is honoured. Nothing is spawned: each [`Waiting`] sleeps until its own expiry, or until
//! the limit rises in a warm-up, and then does what is due for everybody.

mod permit;
mod state;
mod waiting;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use loadline_core::{
    Admission, Class, Decision, Explanation, Instant, Occupancy, Outcome, OverloadLevel, Reason, Rejection,
    Request, Settings, Snapshot,
};

pub use permit::Permit;
pub use waiting::Waiting;

use state::{State, WakeList};

/// Admits async work, at most so much at once. Clones share one limit and one queue.
#[derive(Clone, Debug)]
pub struct Gate {
    shared: Arc<Shared>,
}

/// What became of a request right away.
#[derive(Debug)]
#[must_use = "dropping this gives up the slot or the place in the queue"]
pub enum Attempt {
    /// Go ahead; the slot is held until the permit is completed or dropped.
    Admitted(Permit),
    /// Await this; dropping it gives up the place.
    Queued(Waiting),
    /// Rejected at once.
    Shed(Rejection),
}

impl Gate {
    /// A gate with nothing in flight. Its clock starts now.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let state = Mutex::new(State::new(Admission::new(settings)));
        Self { shared: Arc::new(Shared { origin: tokio::time::Instant::now(), state }) }
    }

    /// Asks for a slot without waiting for it. One short lock; nothing is allocated unless the request is queued.
    pub fn try_admit(&self, request: Request) -> Attempt {
        self.try_admit_at(self.now(), request)
    }

    /// The same at a moment that has just been: for callers who have read the clock already, and say what it showed with
    /// [`Self::at`].
    pub fn try_admit_at(&self, now: Instant, request: Request) -> Attempt {
        let shared = &self.shared;
        shared.update(now, |state| match state.admission.on_arrival(now, request) {
            Decision::Admit(permit) => Attempt::Admitted(Permit::new(Arc::clone(shared), permit)),
            Decision::Shed(rejection) => Attempt::Shed(rejection),
            Decision::Queue(ticket) => {
                let seat = state.seat(ticket);
                let expires = state.admission.expires_at(ticket).map(|at| shared.to_tokio(at));
                let rises = state.admission.next_rise(now).map(|at| shared.to_tokio(at));
                Attempt::Queued(Waiting::new(Arc::clone(shared), ticket, seat, expires, rises))
            }
        })
    }

    /// Waits for a slot, for as long as the settings allow. Dropping the future at any moment gives up the request; it is
    /// never dispatched afterwards.
    ///
    /// # Errors
    /// The rejection, at the door or after a wait.
    ///
    /// # Panics
    /// If it has to wait outside of a tokio runtime with time enabled.
    pub async fn admit(&self, request: Request) -> Result<Permit, Rejection> {
        match self.try_admit(request) {
            Attempt::Admitted(permit) => Ok(permit),
            Attempt::Shed(rejection) => Err(rejection),
            Attempt::Queued(waiting) => waiting.await,
        }
    }

    /// Counts a request that was rejected before it came here, and says when it may come back.
    pub fn record_shed(&self, class: Class, reason: Reason) -> Rejection {
        let now = self.now();
        self.shared.update(now, |state| state.admission.record_shed(now, class, reason))
    }

    /// What would become of a request now, and why; see [`Admission::explain`].
    #[must_use]
    pub fn explain(&self, request: &Request) -> Explanation {
        let now = self.now();
        self.shared.lock().admission.explain(now, request)
    }

    /// How full it is, at the price of one short lock; see [`Admission::occupancy`].
    #[must_use]
    pub fn occupancy(&self) -> Occupancy {
        self.shared.lock().admission.occupancy()
    }

    /// The state at this moment. With many waiters this takes a while, and whoever asks for a slot meanwhile waits for it.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let now = self.now();
        self.shared.lock().admission.snapshot(now)
    }

    /// Puts new settings in force. Nobody who waits or works is lost; see [`Admission::reconfigure`].
    pub fn reconfigure(&self, settings: Settings) {
        let now = self.now();
        self.shared.update(now, |state| state.admission.reconfigure(now, settings));
    }

    /// Starts or ends draining; see [`Admission::set_draining`].
    pub fn set_draining(&self, draining: bool) {
        let now = self.now();
        self.shared.update(now, |state| state.admission.set_draining(now, draining));
    }

    /// Rejects everybody who waits, with [`Reason::Draining`], and says how many: for the end of a drain, a moment before the
    /// process goes. See [`Admission::shed_waiting`].
    pub fn shed_waiting(&self) -> u32 {
        let now = self.now();
        self.shared.update(now, |state| state.admission.shed_waiting(now))
    }

    /// Says how overloaded something other than the slots is; see [`Admission::set_overload`].
    pub fn set_overload(&self, level: OverloadLevel) {
        let now = self.now();
        self.shared.update(now, |state| state.admission.set_overload(now, level));
    }

    /// Begins the warm-up anew; see [`Admission::restart_warmup`].
    pub fn restart_warmup(&self) {
        let now = self.now();
        self.shared.update(now, |state| state.admission.restart_warmup(now));
    }

    /// What to ask for on behalf of the request that this task works on: of its [class](crate::Budget::class), before its
    /// deadline. Plain [`Class::Normal`] outside of one.
    ///
    /// ```
    /// # async fn query(gate: loadline_tower::Gate) -> Result<(), loadline_tower::Rejection> {
    /// let permit = gate.admit(gate.inherited()).await?;
    /// // ... ask the database ...
    /// permit.complete(loadline_tower::Outcome::Completed);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn inherited(&self) -> Request {
        let Some(budget) = crate::Budget::current() else { return Request::new(Class::Normal) };
        let request = Request::new(crate::classify::inherited(budget.class()));
        match budget.remaining() {
            Some(remaining) => request.with_deadline(self.now() + remaining),
            None => request,
        }
    }

    /// The time on this gate's clock: nanoseconds since it was made.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.shared.now()
    }

    /// A moment on this gate's clock; its beginning for one before that.
    #[must_use]
    pub fn at(&self, moment: tokio::time::Instant) -> Instant {
        self.shared.at(moment)
    }

    /// Does what has fallen due by now. Waiting futures see to that themselves while their runtime runs; this is for callers
    /// who want it done at a certain moment, whatever the runtimes are busy with.
    pub fn tick(&self) {
        let now = self.now();
        self.shared.update(now, |_| ());
    }
}

impl Gate {
    pub(crate) fn to_tokio(&self, at: Instant) -> tokio::time::Instant {
        self.shared.to_tokio(at)
    }
}

/// What clones, permits and waiters share.
#[derive(Debug)]
struct Shared {
    origin: tokio::time::Instant,
    state: Mutex<State>,
}

impl Shared {
    fn now(&self) -> Instant {
        self.at(tokio::time::Instant::now())
    }

    fn at(&self, moment: tokio::time::Instant) -> Instant {
        Instant::ORIGIN + moment.saturating_duration_since(self.origin)
    }

    fn to_tokio(&self, at: Instant) -> tokio::time::Instant {
        let since = at.saturating_since(Instant::ORIGIN);
        // What the clock cannot express is never reached either: a century will do.
        let far = std::time::Duration::from_secs(100 * 365 * 24 * 3_600);
        self.origin + since.min(far)
    }

    /// When the limit rises next by itself.
    fn next_rise(&self) -> Option<tokio::time::Instant> {
        let now = self.now();
        let at = self.lock().admission.next_rise(now)?;
        Some(self.to_tokio(at))
    }

    /// A panic elsewhere while the lock was held (a broken invariant in a debug build) is reported where it happened; the
    /// others carry on.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One mutation and all that follows from it, as the core's contract asks.
    fn update<T>(&self, now: Instant, mutate: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock();
        let result = mutate(&mut state);
        let mut wakers = WakeList::new();
        while state.settle(now, &mut wakers).is_break() {
            drop(state);
            wakers.wake_all();
            state = self.lock();
        }
        drop(state);
        wakers.wake_all();
        result
    }

    fn complete(&self, now: Instant, permit: loadline_core::Permit, outcome: Outcome) {
        self.update(now, |state| state.admission.on_complete(now, permit, outcome));
    }
}
