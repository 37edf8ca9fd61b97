//! A gate in one expression, for services that write their settings in code.
//!
//! What makes no sense together does not compile: a gate without a queue has no method for the order of service in it.

use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher, Hasher},
    marker::PhantomData,
    num::NonZeroU32,
    time::Duration,
};

use loadline_core::{Discipline, LimiterSettings, RouteSettings, Settings, ShedAt, Warmup};

use crate::Gate;

/// Makes a [`Gate`]. Begun with [`Gate::builder`]; what is not said keeps the defaults of [`Settings`].
///
/// A queue is configured, or switched off, not both:
///
/// ```compile_fail,E0599
/// # use std::{num::NonZeroU32, time::Duration};
/// # use loadline_tower::{Discipline, Gate};
/// Gate::builder(NonZeroU32::MIN).no_queue().discipline(Discipline::Fifo); // error: no method `discipline`
/// ```
///
/// ```compile_fail,E0599
/// # use std::{num::NonZeroU32, time::Duration};
/// # use loadline_tower::Gate;
/// Gate::builder(NonZeroU32::MIN).queue(100, Duration::from_secs(1)).no_queue(); // error: no method `no_queue`
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing is made before `build`"]
pub struct GateBuilder<Q = DefaultQueue> {
    settings: Settings,
    queue: PhantomData<Q>,
}

/// The queue of a [`GateBuilder`] that has said nothing of it.
#[derive(Clone, Copy, Debug)]
pub struct DefaultQueue;

/// The queue of a [`GateBuilder`] that has configured it.
#[derive(Clone, Copy, Debug)]
pub struct OwnQueue;

/// The queue of a [`GateBuilder`] that has none.
#[derive(Clone, Copy, Debug)]
pub struct NoQueue;

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
        GateBuilder { settings, queue: PhantomData }
    }
}

impl GateBuilder<DefaultQueue> {
    /// How many may wait over all classes, and how long each of them. A depth of 0, which may come from a configuration, means
    /// what it means everywhere: nobody waits, as with [`Self::no_queue`].
    ///
    /// # Panics
    /// If so many may wait for no time at all. It would be unclear what is meant: in configuration files a timeout of 0 is none.
    pub fn queue(mut self, depth: u32, timeout: Duration) -> GateBuilder<OwnQueue> {
        assert!(
            depth == 0 || !timeout.is_zero(),
            "{depth} cannot wait for {timeout:?}: say `no_queue()` if nobody is to wait"
        );
        self.settings.queue.depth = depth;
        self.settings.queue.timeout = Some(timeout);
        GateBuilder { settings: self.settings, queue: PhantomData }
    }

    /// Nobody waits: without a free slot the answer is a rejection, at once.
    pub fn no_queue(mut self) -> GateBuilder<NoQueue> {
        self.settings.queue.depth = 0;
        GateBuilder { settings: self.settings, queue: PhantomData }
    }
}

impl<Q: Queue> GateBuilder<Q> {
    /// The order of service inside one class.
    pub const fn discipline(mut self, discipline: Discipline) -> Self {
        self.settings.queue.discipline = discipline;
        self
    }
}

impl<Q> GateBuilder<Q> {
    /// A law that moves the limit, which is then the most that it may be: for who does not know the number.
    ///
    /// ```
    /// use std::num::NonZeroU32;
    /// use loadline_tower::{Gate, LimiterSettings, loadline_core::AutoSettings};
    ///
    /// const AT_MOST: NonZeroU32 = NonZeroU32::new(1_000).unwrap();
    /// let gate = Gate::builder(AT_MOST).limiter(LimiterSettings::Auto(AutoSettings::default())).build();
    /// assert!(gate.snapshot().limit < 1_000, "it begins low and looks around");
    /// ```
    pub const fn limiter(mut self, limiter: LimiterSettings) -> Self {
        self.settings.limiter = limiter;
        self
    }

    /// Treats tenants alike where they compete for slots; see [`Request::with_tenant`](crate::Request::with_tenant) and
    /// [`Tenants`](crate::Tenants).
    pub const fn fair(mut self) -> Self {
        self.settings.fairness = true;
        self
    }

    /// Limits and costs of routes, in the order in which [`Routes`](crate::Routes) was given their names.
    pub fn routes(mut self, routes: impl IntoIterator<Item = RouteSettings>) -> Self {
        // Number 0 is for whatever has no route of its own.
        self.settings.routes = std::iter::once(RouteSettings::default()).chain(routes).collect();
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

    /// How the limit rises after the start, while caches are cold; at once unless said otherwise.
    pub const fn warmup(mut self, warmup: Warmup) -> Self {
        self.settings.warmup = Some(warmup);
        self
    }

    /// Whether a request is refused when by past experience it cannot be answered before its deadline; yes unless said
    /// otherwise. A deadline that has passed is heeded in any case.
    pub const fn predict(mut self, predict: bool) -> Self {
        self.settings.predict = predict;
        self
    }

    /// The gate. Its clones share one limit and one queue.
    #[must_use]
    pub fn build(self) -> Gate {
        Gate::new(self.settings)
    }
}

/// Somebody may wait.
pub trait Queue: sealed::Sealed {}

impl Queue for DefaultQueue {}
impl Queue for OwnQueue {}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::DefaultQueue {}
    impl Sealed for super::OwnQueue {}
}
