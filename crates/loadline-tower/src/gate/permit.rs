//! The slot, held by a value: it comes free exactly once, whatever happens to its holder.

use std::{fmt, sync::Arc};

use loadline_core::{self as core, Class, Duration, Outcome};

use super::Shared;

/// A slot of a [`Gate`](super::Gate). Free again when it is completed, or dropped: also by a panic, or with a future that
/// is cancelled.
///
/// Completing it consumes it, so a second time does not compile:
///
/// ```compile_fail,E0382
/// # fn twice(permit: loadline_tower::Permit) {
/// use loadline_core::Outcome;
/// permit.complete(Outcome::Completed);
/// permit.complete(Outcome::Completed); // error: use of moved value
/// # }
/// ```
#[must_use = "dropping the permit frees its slot"]
pub struct Permit {
    shared: Arc<Shared>,
    /// `None` once it was handed back.
    permit: Option<core::Permit>,
    on_end: Option<OnEnd>,
}

/// Told how the work ended.
type OnEnd = Box<dyn FnOnce(Outcome) + Send + Sync>;

impl Permit {
    pub(super) const fn new(shared: Arc<Shared>, permit: core::Permit) -> Self {
        Self { shared, permit: Some(permit), on_end: None }
    }

    /// Calls `told` when the slot has been handed back, with how the work ended: also when the permit is dropped. For
    /// observers that must not miss one; a later call replaces an earlier one's.
    pub fn on_end(&mut self, told: impl FnOnce(Outcome) + Send + Sync + 'static) {
        self.on_end = Some(Box::new(told));
    }

    /// Frees the slot and says how the work ended. Dropping the permit instead is [`Outcome::Aborted`].
    pub fn complete(mut self, outcome: Outcome) {
        self.hand_back(None, outcome);
    }

    /// The same at a moment that has just been: for callers who have read the clock already.
    pub fn complete_at(mut self, moment: tokio::time::Instant, outcome: Outcome) {
        self.hand_back(Some(moment), outcome);
    }

    /// The class it was admitted under.
    #[must_use]
    pub fn class(&self) -> Class {
        self.held().class()
    }

    /// How long it waited in the queue; zero if it did not.
    #[must_use]
    pub fn queued(&self) -> Duration {
        self.held().queued()
    }

    /// Its position in the queue, 0 if it did not wait; see [`loadline_core::Permit::depth`].
    #[must_use]
    pub fn depth(&self) -> u32 {
        self.held().depth()
    }

    /// When it got its slot, on the clock of [`Gate::now`](super::Gate::now).
    #[must_use]
    pub fn admitted_at(&self) -> core::Instant {
        self.held().admitted_at()
    }

    fn held(&self) -> &core::Permit {
        self.permit.as_ref().expect("held until it is consumed")
    }

    fn hand_back(&mut self, moment: Option<tokio::time::Instant>, outcome: Outcome) {
        if let Some(permit) = self.permit.take() {
            let now = moment.map_or_else(|| self.shared.now(), |moment| self.shared.at(moment));
            self.shared.complete(now, permit, outcome);
            if let Some(told) = self.on_end.take() {
                told(outcome);
            }
        }
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").field("permit", &self.permit).finish_non_exhaustive()
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.hand_back(None, Outcome::Aborted);
    }
}
