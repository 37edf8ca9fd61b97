//! The state machine: every change of state passes through here.

use std::num::NonZeroU32;

use crate::{
    Class, Counters, Decision, Event, Instant, Outcome, OverloadLevel, Permit, Reason, Rejection, Request,
    Rule, Settings, Ticket,
    door::Verdict,
    drain::Drain,
    limiter::{self, Limiter},
    predictor::Predictor,
    queue::{Left, Pace, Queue, Room},
    retries::FreshShed,
    retry_after::{Load, RetryAfter},
    routes::Routes,
    service_time::ServiceTime,
};

/// Decides who gets in, when, and why; see the [crate's head](crate) for the contract.
///
/// Time must not run backwards; a `now` before an earlier one is read as that earlier one, so that callers may read their
/// clock before they take the lock around this.
#[derive(Debug)]
pub struct Admission {
    pub(crate) settings: Settings,
    pub(crate) queue: Queue,
    pub(crate) limiter: Limiter,
    /// Slots taken, bypass not counted.
    pub(crate) in_flight: u32,
    /// The requests that took them.
    pub(crate) requests: u32,
    /// The same by route.
    pub(crate) routes: Routes,
    /// Slots taken by retries.
    pub(crate) retries_in_flight: u32,
    pub(crate) fresh_shed: FreshShed,
    /// What `in_flight` may not exceed: the limit and the reserve, or, after these were lowered, what was in flight then and
    /// still is.
    pub(crate) ceiling: u32,
    pub(crate) bypass_in_flight: u32,
    /// Like `ceiling`, for bypass.
    pub(crate) bypass_ceiling: u32,
    pub(crate) counters: Counters,
    /// Calls since the queue's structure was last checked; debug builds only.
    pub(crate) unchecked: u32,
    pub(crate) peak_in_flight: u32,
    pub(crate) draining: bool,
    /// When the warm-up began.
    pub(crate) warm_since: Instant,
    /// Whether the warm-up, if there is one, is over.
    pub(crate) is_warm: bool,
    pub(crate) overload: OverloadLevel,
    /// The latest `now` so far.
    pub(crate) clock: Instant,
    pub(crate) service_time: ServiceTime,
    pub(crate) predictor: Predictor,
    pub(crate) doomed_started: u64,
    pub(crate) needless_sheds: u64,
    pub(crate) probes_started: u64,
    pub(crate) drain: Drain,
    retry_after: RetryAfter,
}

impl Admission {
    /// Nothing in flight, nobody waiting.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let limiter = Limiter::new(&settings.limiter, settings.limit);
        Self {
            queue: Queue::new(settings.queue.clone(), settings.fairness),
            routes: Routes::new(&settings.routes),
            in_flight: 0,
            requests: 0,
            retries_in_flight: 0,
            fresh_shed: FreshShed::default(),
            ceiling: limiter.in_force().get().saturating_add(settings.reserve),
            limiter,
            bypass_in_flight: 0,
            bypass_ceiling: settings.bypass_limit.get(),
            counters: Counters::default(),
            unchecked: 0,
            peak_in_flight: 0,
            draining: false,
            warm_since: Instant::ORIGIN,
            is_warm: settings.warmup.is_none(),
            overload: OverloadLevel::None,
            clock: Instant::ORIGIN,
            service_time: ServiceTime::default(),
            predictor: Predictor::default(),
            doomed_started: 0,
            needless_sheds: 0,
            probes_started: 0,
            drain: Drain::default(),
            retry_after: RetryAfter::new(settings.seed),
            settings,
        }
    }

    /// A request has arrived. Admitted if a slot is free and nobody of its class or a higher one waits; else queued or shed.
    pub fn on_arrival(&mut self, now: Instant, mut request: Request) -> Decision {
        let now = self.advance(now);
        let asked = request;
        self.prepare(now, &mut request);
        let class = request.class;
        self.counters.offered(class);
        let decision = match self.judge(now, &request) {
            Verdict::Admit => Decision::Admit(self.grant(now, &request, 0, 0)),
            Verdict::Queue(way) => {
                let (pace, newcomer) = (self.pace(now), self.newcomer(&request));
                Decision::Queue(self.queue.push(now, &newcomer, way, &pace, &self.routes))
            }
            Verdict::Shed(rule) => {
                let reason = rule.reason();
                self.watch_door(now, &request, rule);
                // A deadline that an idle service could not meet either says nothing about its load.
                if rule != Rule::Prediction || !self.is_doomed(now, &request, 0) {
                    self.fresh_shed.note(now, &request, reason);
                }
                let mut rejection = self.reject(now, class, reason);
                // Most often nothing but time helps.
                if rule != Rule::SlotsTaken {
                    rejection.remedy = self.remedy(now, &asked, &request, rule);
                }
                Decision::Shed(rejection)
            }
        };
        self.check_after_mutation();
        decision
    }

    /// Admitted work is over; its slot is free from now on.
    ///
    /// # Panics
    /// If the permit was not given by this `Admission`, as far as that can be noticed.
    pub fn on_complete(&mut self, now: Instant, permit: Permit, outcome: Outcome) {
        let now = self.advance(now);
        let class = permit.class();
        if class == Class::Bypass {
            self.bypass_in_flight =
                self.bypass_in_flight.checked_sub(1).expect("a permit is handed back to who gave it");
            self.bypass_ceiling = self.bypass_in_flight.max(self.settings.bypass_limit.get());
        } else {
            self.drain.advance(now, self.in_flight);
            self.drain.handed_back(permit.cost());
            let left = self.in_flight.checked_sub(permit.cost());
            self.in_flight = left.expect("a permit is handed back to who gave it");
            self.requests -= 1;
            self.routes.end(permit.route());
            if permit.is_retry() {
                self.retries_in_flight -= permit.cost();
            }
            let held = now.nanos_since(permit.admitted_at());
            self.predictor.record(now, permit.route(), held, outcome);
            // Work that was given up says nothing about how long it would have taken.
            if outcome != Outcome::Aborted {
                self.service_time.record(held);
            }
            self.teach_limiter(now, &permit, held, outcome);
            self.move_ceiling();
        }
        self.counters.ended(class, outcome);
        self.check_after_mutation();
    }

    /// The client left while it was queued. `false` if its ticket was answered or cancelled before; nothing happens then.
    pub fn on_cancel(&mut self, now: Instant, ticket: Ticket) -> bool {
        let now = self.advance(now);
        let pace = self.pace(now);
        let Some(left) = self.queue.cancel(now, ticket, &pace, &self.routes) else { return false };
        self.counters.abandoned(left.request.class);
        self.check_after_mutation();
        true
    }

    /// The next thing to do: answer waiters until this is `WakeAt` or `Idle`.
    ///
    /// Rejections come before dispatches: a waiter whose time is up when a slot comes free is rejected, not served. One whose
    /// turn it is but whose deadline is out of reach by then, or whom `codel` drops, is rejected instead of being dispatched.
    #[inline]
    pub fn poll(&mut self, now: Instant) -> Event {
        // After most calls nobody waits, and then this is all there is to do.
        if self.queue.is_quiet() {
            self.advance(now);
            return Event::Idle;
        }
        self.poll_waiting(now)
    }

    fn poll_waiting(&mut self, now: Instant) -> Event {
        let now = self.advance(now);
        let pace = self.pace(now);
        if let Some((left, reason)) = self.queue.pop_rejected(now, &pace, &self.routes) {
            return self.expire(now, &left, reason);
        }
        if let Some(mut next) = self.queue.next(now, &pace, &self.room(now), &self.routes) {
            if self.comes_too_late(now, &next.request) {
                let left = self.queue.refuse(now, &next, &pace, &self.routes);
                return self.expire(now, &left, Reason::DeadlineUnreachable);
            }
            if self.settings.predict
                && let Some(needed) = self.predictor.hardly_exceeded(next.request.route)
            {
                // Who has so much time is not too late, for the prediction is never more.
                next = self.queue.with_time(now, next, needed, &pace);
            }
            if self.queue.drops(now, &next) {
                let left = self.queue.refuse(now, &next, &pace, &self.routes);
                return self.expire(now, &left, Reason::Codel);
            }
            let left = self.queue.serve(now, &next, &pace, &self.routes);
            let permit = self.grant(now, &left.request, now.nanos_since(left.arrived), left.depth);
            self.check_after_mutation();
            return Event::Dispatch(left.ticket, permit);
        }
        let due = self.queue.next_expiry().into_iter().chain(self.next_rise(now)).min();
        due.map_or(Event::Idle, Event::WakeAt)
    }

    /// Puts new settings in force at once. Nothing in flight is touched and nobody who waits is lost: a lowered limit is
    /// reached as work ends, a lowered queue depth as waiters are served, and waiters keep their timeout.
    ///
    /// The jitter goes on from where it is unless the seed changes.
    pub fn reconfigure(&mut self, now: Instant, settings: Settings) {
        let now = self.advance(now);
        self.drain.advance(now, self.in_flight);
        self.bypass_ceiling = self.bypass_in_flight.max(settings.bypass_limit.get());
        let regroup = settings.fairness != self.settings.fairness || settings.routes != self.settings.routes;
        self.routes.reconfigure(&settings.routes);
        self.queue.reconfigure(settings.queue.clone());
        if regroup {
            self.queue.regroup(settings.fairness, &self.routes);
        }
        self.limiter.reconfigure(now, &settings.limiter, settings.limit);
        if settings.seed != self.settings.seed {
            self.retry_after = RetryAfter::new(settings.seed);
        }
        self.settings = settings;
        self.finish_warmup(now);
        self.move_ceiling();
        self.check_after_mutation();
    }

    /// Takes note of how overloaded something other than the slots is. In force at the door until the next call; who waits
    /// stays, and bypass is not concerned.
    pub fn set_overload(&mut self, now: Instant, level: OverloadLevel) {
        self.advance(now);
        self.overload = level;
    }

    /// Counts a request that was rejected by somebody else, before it got here, and says when it may come back.
    pub fn record_shed(&mut self, now: Instant, class: Class, reason: Reason) -> Rejection {
        let now = self.advance(now);
        self.counters.offered(class);
        let rejection = self.reject(now, class, reason);
        self.check_after_mutation();
        rejection
    }

    /// When the holder of this ticket will be rejected if it still waits; `None`: never, or it does not wait.
    #[must_use]
    pub fn expires_at(&self, ticket: Ticket) -> Option<Instant> {
        self.queue.expires(ticket)
    }

    /// The position with which the holder of this ticket would be logged if it left now: see [`Permit::depth`]. `None`: it
    /// does not wait.
    #[must_use]
    pub fn depth_of(&self, ticket: Ticket) -> Option<u32> {
        self.queue.depth_of(ticket)
    }

    /// The settings in force.
    #[must_use]
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    #[inline]
    pub(crate) fn room(&self, now: Instant) -> Room {
        let slots = self.limit(now);
        let limit = slots.get();
        Room {
            limit: slots,
            free: limit.saturating_sub(self.in_flight),
            free_with_reserve: limit.saturating_add(self.reserve()).saturating_sub(self.in_flight),
        }
    }

    /// How many slots above the limit in force the critical class may use.
    pub(crate) fn reserve(&self) -> u32 {
        let reserve = self.settings.reserve;
        if self.limiter.adapts() {
            reserve.min(Settings::usual_reserve(self.limiter.in_force()))
        } else {
            reserve
        }
    }

    /// Follows the limit, down only as fast as work ends.
    pub(crate) fn move_ceiling(&mut self) {
        let limit = self.limiter.in_force().get();
        self.ceiling = self.in_flight.max(limit.saturating_add(self.reserve()));
    }

    /// How the service looks to the limiter since the last change.
    fn load(&self) -> limiter::Load {
        let limit = self.limiter.in_force().get();
        // A threshold is in the way of most before the limit is.
        let slots = self.settings.shed_at.threshold(Class::Normal, limit).unwrap_or(limit);
        // Without a queue a slot is free until somebody comes, however many were refused before.
        let nearly = if self.settings.queue.depth == 0 { 1 + slots / 16 } else { 0 };
        let bound = self.in_flight >= slots.saturating_sub(nearly).max(1) || self.queue.waiting() > 0;
        limiter::Load { in_flight: self.in_flight, bound }
    }

    fn teach_limiter(&mut self, now: Instant, permit: &Permit, held_nanos: u64, outcome: Outcome) {
        if !self.limiter.adapts() || !self.is_warm {
            return;
        }
        let sample = limiter::Sample {
            held_nanos,
            outcome,
            route: permit.route(),
            cost: permit.cost(),
            in_flight: permit.in_flight_at_admission(),
        };
        self.limiter.on_complete(now, &sample);
    }

    /// Takes free slots.
    fn grant(&mut self, now: Instant, request: &Request, queued_nanos: u64, depth: u32) -> Permit {
        let class = request.class;
        let mut cost = NonZeroU32::MIN;
        if class == Class::Bypass {
            self.bypass_in_flight += 1;
        } else {
            if let Some(deadline) = request.deadline {
                self.count_doomed(now, request, deadline);
            }
            if self.in_flight == 0 {
                self.predictor.wakes_up(now);
            }
            cost = request.cost.min(self.limit(now));
            self.drain.advance(now, self.in_flight);
            self.in_flight += cost.get();
            self.requests += 1;
            self.routes.begin(request.route);
            if request.retry {
                self.retries_in_flight += cost.get();
            }
            self.peak_in_flight = self.peak_in_flight.max(self.in_flight);
        }
        self.counters.admitted(class);
        Permit::new(request, cost, now, queued_nanos, depth, self.in_flight)
    }

    /// Whatever is started against its deadline is counted; see [`Snapshot::doomed_started`].
    fn count_doomed(&mut self, now: Instant, request: &Request, deadline: Instant) {
        if deadline <= now || self.is_unreachable(now, request, 0) {
            self.doomed_started += 1;
        } else if self.settings.predict && self.is_doomed(now, request, 0) {
            self.probes_started += 1;
        }
    }

    /// Tells a waiter that it is rejected.
    fn expire(&mut self, now: Instant, left: &Left, reason: Reason) -> Event {
        self.watch_queue(now, &left.request, reason);
        self.fresh_shed.note(now, &left.request, reason);
        let mut rejection = self.reject(now, left.request.class, reason);
        rejection.waited = now.saturating_since(left.arrived);
        rejection.depth = left.depth;
        self.check_after_mutation();
        Event::Expire(left.ticket, rejection)
    }

    fn reject(&mut self, now: Instant, class: Class, reason: Reason) -> Rejection {
        self.counters.shed(class, reason);
        if self.retry_after.is_stale(now) {
            self.estimate_return(now);
        }
        Rejection::new(reason, class, self.retry_after.next(now, self.queue.waiting()))
    }

    #[cold]
    fn estimate_return(&mut self, now: Instant) {
        self.drain.advance(now, self.in_flight);
        let load = Load {
            limit: self.limit(now).get(),
            service_nanos: self.service_time.mean_nanos(),
            mean_in_flight: self.drain.mean_in_flight(),
        };
        self.retry_after.estimate(now, &load);
    }

    pub(crate) fn pace(&self, now: Instant) -> Pace {
        Pace::new(self.limit(now).get(), self.service_time.mean_nanos())
    }

    /// The time of this call: never before that of an earlier one.
    #[inline]
    pub(crate) fn advance(&mut self, now: Instant) -> Instant {
        self.clock = self.at_least(now);
        if !self.is_warm {
            self.finish_warmup(self.clock);
            self.limiter.pause(self.clock);
        } else if self.limiter.adapts() {
            self.limiter.advance(self.clock, self.load());
            self.move_ceiling();
        }
        self.clock
    }

    #[inline]
    pub(crate) fn at_least(&self, now: Instant) -> Instant {
        self.clock.max(now)
    }
}
