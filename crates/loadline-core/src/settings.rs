//! What an operator chooses, already checked: every value that can be written here is meaningful.

use std::num::NonZeroU32;

use crate::{Duration, LimiterSettings, ShedAt, Warmup};

/// Settings of one [`Admission`](crate::Admission). Made with [`Settings::new`] and changed field by field.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Settings {
    /// How many may be in flight at once, bypass not counted: this many, or at most as many if a `limiter` adapts the limit.
    pub limit: NonZeroU32,
    /// What moves the limit below that. Default: nothing.
    pub limiter: LimiterSettings,
    /// How many of the bypass class may be in flight at once.
    pub bypass_limit: NonZeroU32,
    /// How many slots above the limit the critical class may use, and only it. 0: none. See [`Self::usual_reserve`]. With a
    /// limit that adapts, at most the usual reserve of the limit in force.
    pub reserve: u32,
    /// From which share of the limit on a class is refused at once. Default [`ShedAt::OFF`]: the queue decides.
    pub shed_at: ShedAt,
    /// How the limit rises after a start. Default: it is there at once.
    pub warmup: Option<Warmup>,
    /// Whether a request is refused when by past experience it cannot be answered before its deadline. A deadline that has
    /// passed is heeded in any case. Default: yes.
    pub predict: bool,
    /// Whether the waiters of one class are served fairly between tenants, each getting the same slot time. Default: no.
    pub fairness: bool,
    /// What is particular to single routes, by [`RouteId::index`](crate::RouteId::index). A route beyond the end has
    /// [`RouteSettings::default`].
    pub routes: Vec<RouteSettings>,
    /// Who may wait, for how long, and in which order they are served.
    pub queue: QueueSettings,
    /// Seed of the jitter in [`Rejection::retry_after`](crate::Rejection::retry_after). Replicas should differ in it;
    /// a simulation fixes it.
    pub seed: u64,
}

impl Settings {
    /// Health checks at once: a few probes from several balancers, far below what could hurt an application.
    pub const DEFAULT_BYPASS_LIMIT: NonZeroU32 = NonZeroU32::new(16).expect("16 is not zero");

    /// This limit, and defaults for everything else: no reserve, no thresholds.
    #[must_use]
    pub fn new(limit: NonZeroU32) -> Self {
        Self {
            limit,
            limiter: LimiterSettings::Fixed,
            bypass_limit: Self::DEFAULT_BYPASS_LIMIT,
            reserve: 0,
            shed_at: ShedAt::OFF,
            warmup: None,
            predict: true,
            fairness: false,
            routes: Vec::new(),
            queue: QueueSettings::default(),
            seed: 0,
        }
    }

    /// The reserve for who has critical traffic: a tenth of the limit, at least 1. Enough for it to get through while all slots
    /// are taken, and so little that whoever sized the limit need not size it again.
    #[must_use]
    pub fn usual_reserve(limit: NonZeroU32) -> u32 {
        (limit.get() / 10).max(1)
    }
}

/// Settings of one route.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct RouteSettings {
    /// How many of its requests may be in flight at once, whatever they cost; `None`: as many as there are slots. Who has to
    /// wait for his route is passed by everybody of another route. Bypass is not counted.
    pub concurrency: Option<NonZeroU32>,
    /// What one of its requests costs.
    pub cost: RouteCost,
}

impl RouteSettings {
    /// This many at once, at this cost.
    #[must_use]
    pub const fn new(concurrency: Option<NonZeroU32>, cost: RouteCost) -> Self {
        Self { concurrency, cost }
    }
}

/// What a request of a route costs.
///
/// Two kinds of cost must not be mixed up. A *slow* request takes one slot for longer; that is learned, it is never charged in
/// slots (it would be charged twice), and it counts where waiters compete: in the order of service under overload, and in
/// what is fair. A *heavy* request takes more of what the limit stands for while it runs; nobody but the operator knows that.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum RouteCost {
    /// One slot, for as long as requests of the route were seen to take.
    #[default]
    Learned,
    /// This many slots at once, unless [`Request::cost`](crate::Request::cost) is more.
    Fixed(NonZeroU32),
}

/// Settings of the queue. Made with `QueueSettings::default()` and changed field by field.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct QueueSettings {
    /// How many may wait at once, over all classes. 0: nobody waits, a request without a free slot is rejected at once
    /// with [`Reason::Concurrency`](crate::Reason::Concurrency).
    pub depth: u32,
    /// How many bytes all waiters together may [hold](crate::Request::with_held_bytes); `None`: any number. A newcomer beyond it
    /// finds the queue as good as full.
    pub held_bytes: Option<u64>,
    /// How long one may wait; `None`: for ever. A waiter keeps the timeout that was in force when it arrived.
    pub timeout: Option<Duration>,
    /// The order of service inside one class.
    pub discipline: Discipline,
    /// What [`Discipline::Codel`] goes by.
    pub codel: CodelSettings,
    /// Classes are served in strict order, so the lower ones could wait for ever. When somebody of a lower class has waited for
    /// this long, his class gets every eighth dispatch until nobody has any more; whom of the class it is given to is the
    /// discipline's choice, as always. `None`: strict order without end.
    pub aging: Option<Duration>,
}

impl Default for QueueSettings {
    /// 2,000 waiters, 5 s, adaptive, lower classes get a share after 2 s.
    fn default() -> Self {
        Self {
            depth: 2_000,
            held_bytes: None,
            timeout: Some(Duration::from_secs(5)),
            discipline: Discipline::Adaptive,
            codel: CodelSettings::default(),
            aging: Some(Duration::from_secs(2)),
        }
    }
}

/// Settings of [`Discipline::Codel`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CodelSettings {
    /// The wait that is nothing to worry about.
    pub target: Duration,
    /// How long waits must have been above the target before the first waiter is dropped.
    pub interval: Duration,
}

impl Default for CodelSettings {
    /// 50 ms and 1 s: ten times those of RFC 8289, for requests instead of packets.
    fn default() -> Self {
        Self { target: Duration::from_millis(50), interval: Duration::from_secs(1) }
    }
}

/// The order in which the waiters of one class are served.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Discipline {
    /// Oldest first. A full queue refuses the newcomer, unless somebody of a lower class waits.
    Fifo,
    /// Newest first. In a full queue the oldest of the class gives way, unless somebody of a lower class waits, or the class is
    /// critical.
    Lifo,
    /// `Fifo` while the class is healthy, `Lifo` while it is overloaded: see [`Snapshot`](crate::Snapshot) for who judges.
    /// While overloaded, routes whose requests take long also go behind those whose requests are quick, but for a share that
    /// each gets in any case.
    /// While overloaded, the oldest waiters also give way ([`Reason::Codel`](crate::Reason::Codel)) when so many newer ones
    /// wait that these alone will take longer than the old one may, or, by what others of its class did, will wait. One
    /// waiter per 100 ms and class is spared, to go on learning how long clients wait.
    #[default]
    Adaptive,
    /// `Fifo`, and when waits have been too long for an interval, some are dropped as their turn comes, ever more often
    /// ([`Reason::Codel`](crate::Reason::Codel)), by the law of RFC 8289. Not critical ones. Known weakness: the law counts on
    /// senders that slow down when one of theirs is dropped; clients do not, so it does not bound the wait of an overload
    /// that lasts. For those who know that and ask for it.
    Codel,
}

impl Discipline {
    /// Every discipline.
    pub const ALL: [Self; 4] = [Self::Fifo, Self::Lifo, Self::Adaptive, Self::Codel];

    /// The word used in configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fifo => "fifo",
            Self::Lifo => "lifo",
            Self::Adaptive => "adaptive",
            Self::Codel => "codel",
        }
    }
}
