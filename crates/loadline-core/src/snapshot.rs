//! The state at one moment as plain data, for status pages, metrics and tests. Looking changes nothing.

use crate::{Admission, Class, Counters, Duration, Instant, LimiterSnapshot, OverloadLevel, Request};

/// How full an [`Admission`](crate::Admission) is: of its [`Snapshot`] what costs nothing to look at, for whoever looks at each
/// request.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Occupancy {
    /// As [`Snapshot::limit`].
    pub limit: u32,
    /// As [`Snapshot::effective_limit`], at the time of the latest call.
    pub effective_limit: u32,
    /// As [`Snapshot::in_flight`].
    pub in_flight: u32,
    /// As [`Snapshot::queued`].
    pub queued: u32,
    /// As [`Snapshot::queue_depth`].
    pub queue_depth: u32,
    /// As [`Snapshot::bypass_limit`].
    pub bypass_limit: u32,
    /// As [`Snapshot::bypass_in_flight`].
    pub bypass_in_flight: u32,
}

/// The state of an [`Admission`](crate::Admission) at one moment.
#[derive(Clone, PartialEq, Debug, Default)]
#[non_exhaustive]
pub struct Snapshot {
    /// Slots, bypass not counted: how many may be in flight that need one each. Of a limit that adapts, the one it stands by.
    pub limit: u32,
    /// Slots there are now: fewer than the limit during a warm-up, more or fewer while an adaptive limit tries another one.
    pub effective_limit: u32,
    /// What moves the limit, and why it is what it is.
    pub limiter: LimiterSnapshot,
    /// How many more the critical class may have in flight.
    pub reserve: u32,
    /// Slots in use, bypass not counted. Above the limit only by the reserve, and while a lowered limit has not been
    /// reached yet.
    pub in_flight: u32,
    /// The most slots that were ever in use at once, bypass not counted.
    pub peak_in_flight: u32,
    /// By [`RouteId::index`](crate::RouteId::index), how many requests of the route are in flight, whatever they cost. As long as
    /// the highest route that ever was.
    pub in_flight_by_route: Vec<u32>,
    /// How many bytes the waiters hold; see [`QueueSettings::held_bytes`](crate::QueueSettings::held_bytes).
    pub held_bytes: u64,
    /// Slots in use by retries.
    pub retries_in_flight: u32,
    /// Slots that retries may use, those that wait included.
    pub retry_share: u32,
    /// How many of the bypass class may be in flight.
    pub bypass_limit: u32,
    /// How many of the bypass class are in flight.
    pub bypass_in_flight: u32,
    /// How many wait, over all classes.
    pub queued: u32,
    /// How many may wait, over all classes.
    pub queue_depth: u32,
    /// How long the oldest waiter of any class has waited; `None` when nobody waits.
    pub oldest_wait: Option<Duration>,
    /// The mean time a slot is held; `None` before the first request ended.
    pub mean_service: Option<Duration>,
    /// Slots handed back per second, over the last 10 s, bypass not counted.
    pub drain_rate: f64,
    /// The share of the slots that was in use, averaged over the last 10 s. 1 is all of them.
    pub utilization: f64,
    /// By [`RouteId::index`](crate::RouteId::index), how long a request of the route will hold its slot, by those that ended
    /// last; `None` while nothing is known. Shorter than the index when nothing is known of the last ones either.
    pub predicted_service: Vec<Option<Duration>>,
    /// How many were started although their deadline had passed, or although prediction said that they would not make it and
    /// could have refused them. Must stay 0.
    pub doomed_started: u64,
    /// How many were rejected for want of room while there was room for them and nobody waited who could have it. Must stay 0.
    pub needless_sheds: u64,
    /// How many were started against the prediction, because less than a quarter of the slots was in use: without them a
    /// wrong prediction would never be corrected.
    pub probes_started: u64,
    /// Whether [`Admission::set_draining`](crate::Admission::set_draining) was called.
    pub draining: bool,
    /// What was last told to [`Admission::set_overload`](crate::Admission::set_overload).
    pub overload: OverloadLevel,
    /// What is particular to one class, by [`Class::index`]; see [`Self::class`].
    pub classes: [ClassSnapshot; Class::ALL.len()],
    /// What became of everything offered since the start.
    pub counters: Counters,
}

impl Admission {
    /// How full it is. O(1); a [`snapshot`](Self::snapshot) may look at everybody who waits.
    #[must_use]
    pub fn occupancy(&self) -> Occupancy {
        Occupancy {
            limit: self.limiter.settled().get(),
            effective_limit: self.limit(self.clock).get(),
            in_flight: self.in_flight,
            queued: self.queue.all_unanswered(),
            queue_depth: self.settings.queue.depth,
            bypass_limit: self.settings.bypass_limit.get(),
            bypass_in_flight: self.bypass_in_flight,
        }
    }

    /// The state at this moment.
    #[must_use]
    pub fn snapshot(&self, now: Instant) -> Snapshot {
        let now = self.at_least(now);
        let mut drain = self.drain;
        drain.advance(now, self.in_flight);
        let pace = self.pace(now);
        let classes = Class::ALL.map(|class| ClassSnapshot {
            queued: self.queue.unanswered(class),
            oldest_wait: self.queue.oldest(class).map(|arrived| now.saturating_since(arrived)),
            overloaded: self.queue.is_overloaded(now, class, &pace),
            tenants: self.queue.tenants(class),
            median_patience: self.queue.median_patience(now, class),
            predicted_wait: match class {
                Class::Bypass => Duration::ZERO,
                _ => self.predicted_wait(now, &Request::new(class)),
            },
        });
        let limit = self.limiter.settled().get();
        Snapshot {
            limit,
            effective_limit: self.limit(now).get(),
            limiter: self.limiter.snapshot(self.settings.limit),
            reserve: self.reserve(),
            in_flight: self.in_flight,
            peak_in_flight: self.peak_in_flight,
            in_flight_by_route: self.routes.in_flight().to_vec(),
            held_bytes: self.queue.held_bytes(),
            retries_in_flight: self.retries_in_flight,
            retry_share: self.retry_share(now),
            bypass_limit: self.settings.bypass_limit.get(),
            bypass_in_flight: self.bypass_in_flight,
            queued: classes.iter().map(|class| class.queued).sum(),
            queue_depth: self.settings.queue.depth,
            oldest_wait: classes.iter().filter_map(|class| class.oldest_wait).max(),
            mean_service: self.service_time.mean(),
            drain_rate: drain.rate(),
            utilization: drain.mean_in_flight() / f64::from(limit),
            predicted_service: self.predictor.all(),
            doomed_started: self.doomed_started,
            needless_sheds: self.needless_sheds,
            probes_started: self.probes_started,
            draining: self.draining,
            overload: self.overload,
            classes,
            counters: self.counters.clone(),
        }
    }
}

impl Snapshot {
    /// What is particular to one class.
    #[must_use]
    pub const fn class(&self, class: Class) -> &ClassSnapshot {
        &self.classes[class.index()]
    }
}

/// The state of one class at one moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct ClassSnapshot {
    /// How many wait.
    pub queued: u32,
    /// How long the oldest has waited; `None` when nobody waits.
    pub oldest_wait: Option<Duration>,
    /// Whether the class is overloaded: its oldest waiter has been older than the target for a whole interval without a
    /// break. The target is the mean service time, at least 5 and at most 50 ms; the interval is 100 ms. Judged under every
    /// discipline; `adaptive` acts on it.
    pub overloaded: bool,
    /// How many tenants wait; 0 unless [`Settings::fairness`](crate::Settings::fairness) is on.
    pub tenants: u32,
    /// How long half of the clients would wait before they leave, learned from who left and who did not, most of it in the
    /// last tens of seconds; `None` while too few have left, or beyond 51.2 s. `adaptive` acts on it while overloaded.
    pub median_patience: Option<Duration>,
    /// How long a newcomer would wait by the present backlog; zero while a slot is free for it.
    pub predicted_wait: Duration,
}
