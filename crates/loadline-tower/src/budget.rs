//! What the work at hand may still take, known to everything that it awaits.
//!
//! A request comes with a deadline and a class; its handler calls a database, a cache, another service. Each of those calls
//! should end before the same deadline and be as important as the request, and no handler should have to pass two values
//! through ten functions for it. So the server layer puts them beside the task while it polls the handler and the response
//! body, and the client layer and [`Gate::inherited`](crate::Gate::inherited) look there.
//!
//! A task that the handler spawns is another task: wrap its future in [`Budget::scope`].
//!
//! Out of scope: ending work when its time is over. Whoever wants that puts a timeout of [`Budget::remaining`] around it.

use std::{future::Future, time::Duration};

use loadline_core::Class;
use tokio::time::Instant;

tokio::task_local! {
    static CURRENT: Budget;
}

/// How much the work at hand matters, and until when its result is worth something.
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// use std::time::Duration;
/// use loadline_tower::{Budget, Class};
///
/// let budget = Budget::new(Class::High).within(Duration::from_millis(250));
/// budget
///     .scope(async {
///         tokio::time::sleep(Duration::from_millis(100)).await;
///         let left = Budget::current().and_then(|budget| budget.remaining());
///         assert_eq!(left, Some(Duration::from_millis(150)));
///     })
///     .await;
/// assert_eq!(Budget::current(), None);
/// # }
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Budget {
    class: Class,
    deadline: Option<Instant>,
}

impl Budget {
    /// Work of this class, without a deadline.
    #[must_use]
    pub const fn new(class: Class) -> Self {
        Self { class, deadline: None }
    }

    /// It may take so long from now, or less if less was left already.
    #[must_use]
    pub fn within(self, time: Duration) -> Self {
        // What the clock cannot express is never reached either.
        self.until(Instant::now().checked_add(time))
    }

    /// The budget of the request that this task works on; `None` outside of one.
    #[must_use]
    pub fn current() -> Option<Self> {
        CURRENT.try_with(|current| *current).ok()
    }

    /// The class of the request.
    #[must_use]
    pub const fn class(&self) -> Class {
        self.class
    }

    /// Time left, zero once it is over; `None` without a deadline.
    #[must_use]
    pub fn remaining(&self) -> Option<Duration> {
        self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }

    /// Whether the time is over.
    #[must_use]
    pub fn is_spent(&self) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= Instant::now())
    }

    /// The future, with this budget as the [`current`](Self::current) one. For tasks that are spawned.
    pub fn scope<F: Future>(self, future: F) -> impl Future<Output = F::Output> {
        CURRENT.scope(self, future)
    }

    pub(crate) fn until(mut self, deadline: Option<Instant>) -> Self {
        self.deadline = self.deadline.into_iter().chain(deadline).min();
        self
    }

    /// Runs `poll` with this budget as the current one.
    pub(crate) fn enter<T>(self, poll: impl FnOnce() -> T) -> T {
        CURRENT.sync_scope(self, poll)
    }
}
