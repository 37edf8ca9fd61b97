//! A gate in one expression, for services that write their settings in code.

use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher, Hasher},
    num::NonZeroU32,
    time::Duration,
};

use loadline_core::{Discipline, Settings, ShedAt};

use crate::Gate;

/// Makes a [`Gate`]. Begun with [`Gate::builder`]; what is not said keeps the defaults of [`Settings`].
#[derive(Clone, Debug)]
#[must_use = "nothing is made before `build`"]
pub struct GateBuilder {
    settings: Settings,
}

impl Gate {
    /// A gate that lets `limit` be in flight at once. Unless told otherwise, 2,000 more may wait, for 5 s each.
    ///
    /// ```
    /// use std::{num::NonZeroU32, time::Duration};
    /// use loadline_tower::Gate;
    ///
    /// const AT_ONCE: NonZeroU32 = NonZeroU32::new(20).unwrap();
    /// let gate = Gate::builder(AT_ONCE).queue(100, Duration::from_millis(500)).build();
    /// assert_eq!(gate.snapshot().limit, 20);
    /// ```
    pub fn builder(limit: NonZeroU32) -> GateBuilder {
        let mut settings = Settings::new(limit);
        // Jitter only has to differ between processes; the standard library seeds its hash tables from the system.
        settings.seed = RandomState::new().build_hasher().finish();
        GateBuilder { settings }
    }
}

impl GateBuilder {
    /// How many may wait over all classes, and how long each of them.
    pub const fn queue(mut self, depth: u32, timeout: Duration) -> Self {
        self.settings.queue.depth = depth;
        self.settings.queue.timeout = Some(timeout);
        self
    }

    /// Nobody waits: without a free slot the answer is a rejection, at once.
    pub const fn no_queue(mut self) -> Self {
        self.settings.queue.depth = 0;
        self
    }

    /// The order of service inside one class.
    pub const fn discipline(mut self, discipline: Discipline) -> Self {
        self.settings.queue.discipline = discipline;
        self
    }

    /// From which share of the limit on a class is refused at once, so that what matters more finds room. Off unless said
    /// otherwise; [`ShedAt::USUAL`] is 95, 80 and 60 % for high, normal and low.
    pub const fn shed_at(mut self, shed_at: ShedAt) -> Self {
        self.settings.shed_at = shed_at;
        self
    }

    /// How many slots above the limit [`Class::Critical`](crate::Class::Critical) may use, and only it; none unless said
    /// otherwise.
    pub const fn reserve(mut self, slots: u32) -> Self {
        self.settings.reserve = slots;
        self
    }

    /// How many of [`Class::Bypass`](crate::Class::Bypass) may be in flight at once; 16 unless said otherwise.
    pub const fn bypass_limit(mut self, limit: NonZeroU32) -> Self {
        self.settings.bypass_limit = limit;
        self
    }

    /// The gate. Its clones share one limit and one queue.
    #[must_use]
    pub fn build(self) -> Gate {
        Gate::new(self.settings)
    }
}
