//! The door: what becomes of a request that has just arrived. Looks, and changes nothing.
//!
//! In this order, the first that applies decides:
//!
//! ```text
//! deadline passed                              shed  deadline_expired
//! overload signal against the class            shed  overload
//! threshold of the class reached               shed  priority
//! enough slots are free, its route is below its own limit, nobody of its class or above waits for a slot   admit
//! a retry, and retries have their share         shed  priority
//! draining                                     shed  draining
//! the queue has a place, or somebody gives way           wait
//! otherwise                                    shed  concurrency (no queue), queue_full or fairness
//! ```
//!
//! Who would be admitted or would wait is shed with deadline_unreachable instead when it has a deadline and
//!
//! ```text
//! now + predicted wait + predicted service > deadline, and in flight ≥ max(1, limit ÷ 4)
//! predicted wait = slots needed by those who would be served before it × mean service time ÷ limit
//! ```
//!
//! Before it come all of the classes above, and those of its own unless that is served newest first. Whoever arrives later and
//! overtakes it, and the rest of what is in flight, are left out: who is let in by mistake is found out before it is dispatched,
//! at the price of a wait; who is refused by mistake is lost. The second condition keeps a wrong prediction correctable: see
//! [`predictor`](crate::predictor).
//!
//! Worked number: limit 4, 0.1 s each, 20 of its class wait: 0.5 s. With 0.1 s for itself, a deadline in 0.55 s is unreachable.

use crate::{
    Admission, Class, Duration, Instant, OverloadLevel, Request, RouteId, Rule,
    queue::{Newcomer, Pace, Way},
};

/// What the door says.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Verdict {
    Admit,
    Queue(Way),
    Shed(Rule),
}

impl Admission {
    /// What becomes of a request that arrives at `now`.
    pub(crate) fn judge(&self, now: Instant, request: &Request) -> Verdict {
        let class = request.class;
        if class == Class::Bypass {
            let full = self.bypass_in_flight >= self.settings.bypass_limit.get();
            return if full { Verdict::Shed(Rule::BypassLimit) } else { Verdict::Admit };
        }
        if request.deadline.is_some_and(|deadline| deadline <= now) {
            return Verdict::Shed(Rule::DeadlinePassed);
        }
        if self.overload != OverloadLevel::None && self.overload.sheds(class) {
            return Verdict::Shed(Rule::OverloadSignal);
        }
        if let Some(threshold) = self.settings.shed_at.threshold(class, self.limit(now).get())
            && self.in_flight >= threshold
        {
            return Verdict::Shed(Rule::Threshold);
        }
        if self.is_served_at_once(now, request) {
            let unreachable = request.deadline.is_some() && self.is_unreachable(now, request, 0);
            return if unreachable { Verdict::Shed(Rule::Prediction) } else { Verdict::Admit };
        }
        if request.retry && self.retries_are_many(now, request) {
            return Verdict::Shed(Rule::RetryShare);
        }
        if self.draining {
            return Verdict::Shed(Rule::Draining);
        }
        if self.settings.queue.depth == 0 {
            let route_full = self.routes.is_full(request.route);
            return Verdict::Shed(if route_full { Rule::RouteLimit } else { Rule::SlotsTaken });
        }
        match self.queue.way_in(now, &self.newcomer(request), &self.pace(now)) {
            Ok(way) => match request.deadline {
                Some(_) if self.is_unreachable(now, request, self.wait_nanos(now, request)) => {
                    Verdict::Shed(Rule::Prediction)
                }
                _ => Verdict::Queue(way),
            },
            Err(rule) => Verdict::Shed(rule),
        }
    }

    /// Makes of a request what is judged: of a retry one of the class below while fresh work is shed, of a heavy route's one that
    /// costs as much.
    #[inline]
    pub(crate) fn prepare(&self, now: Instant, request: &mut Request) {
        if request.retry {
            request.class = self.class_of_retry(now, request.class);
        }
        if !self.settings.routes.is_empty() {
            request.cost = self.routes.cost(request);
        }
    }

    /// Whether there is room for this request, and nobody goes before it.
    #[inline]
    fn is_served_at_once(&self, now: Instant, request: &Request) -> bool {
        self.room(now).fits(request)
            && self.queue.is_clear_for(request.class, &self.routes)
            && !self.routes.is_full(request.route)
    }

    /// What the queue must know of a request that is to wait.
    pub(crate) fn newcomer(&self, request: &Request) -> Newcomer {
        let known = self.predictor.median(request.route).or_else(|| self.service_time.mean_nanos());
        Newcomer::new(*request, known.unwrap_or(0))
    }

    /// Whether this request, which has to wait for so long, is refused because of its deadline.
    pub(crate) fn is_unreachable(&self, now: Instant, request: &Request, wait_nanos: u64) -> bool {
        self.prediction_counts(now, request, 0) && self.is_doomed(now, request, wait_nanos)
    }

    /// Whether this request, whose turn it is, is refused because of its deadline. The slot that it would take counts as in use:
    /// with a limit of 1 nothing else is when somebody is dispatched. Whoever then arrives is started in any case.
    pub(crate) fn comes_too_late(&self, now: Instant, request: &Request) -> bool {
        request.deadline.is_some()
            && self.prediction_counts(now, request, 1)
            && self.is_doomed(now, request, 0)
    }

    /// Whether by prediction this request will not end before its deadline.
    pub(crate) fn is_doomed(&self, now: Instant, request: &Request, wait_nanos: u64) -> bool {
        let Some(deadline) = request.deadline else { return false };
        let service = self.service_nanos(now, request.route).unwrap_or(0);
        wait_nanos.saturating_add(service) > deadline.nanos_since(now)
    }

    /// Whether a prediction may refuse this request: a quarter of the slots is in use, or of those of its route, and so many `more`.
    fn prediction_counts(&self, now: Instant, request: &Request, more: u32) -> bool {
        let enough = |in_use: u32, limit: u32| in_use.saturating_add(more) >= (limit / 4).max(1);
        let of_route =
            || self.routes.of_limit(request.route).is_some_and(|(n, limit)| enough(n, limit.get()));
        self.settings.predict && (enough(self.in_flight, self.limit(now).get()) || of_route())
    }

    /// How long a newcomer like this that has to wait will do so.
    pub(crate) fn wait_nanos(&self, now: Instant, request: &Request) -> u64 {
        let pace = self.pace(now);
        let ahead = self.queue.slots_ahead(now, request, &pace, &self.routes);
        let for_route = self.wait_for_route_nanos(now, request, &pace);
        self.predictor.fade(now, pace.nanos_to_serve(ahead)).max(for_route)
    }

    /// The same for its route alone, which serves only so many at once.
    fn wait_for_route_nanos(&self, now: Instant, request: &Request, pace: &Pace) -> u64 {
        match self.routes.of_limit(request.route) {
            Some((in_flight, limit)) if in_flight >= limit.get() => {
                let ahead = self.queue.of_route_ahead(now, request, pace);
                let service = self.service_nanos(now, request.route).unwrap_or(0);
                u64::from(ahead).saturating_mul(service) / u64::from(limit.get())
            }
            _ => 0,
        }
    }

    /// How long this request would wait if it arrived now.
    pub(crate) fn predicted_wait(&self, now: Instant, request: &Request) -> Duration {
        let at_once = self.is_served_at_once(now, request);
        Duration::from_nanos(if at_once { 0 } else { self.wait_nanos(now, request) })
    }

    /// How long this request would hold its slot.
    pub(crate) fn predicted_service(&self, request: &Request) -> Option<Duration> {
        self.predictor.median(request.route).map(Duration::from_nanos)
    }

    /// How much of that is still believed after the present silence.
    pub(crate) fn service_nanos(&self, now: Instant, route: RouteId) -> Option<u64> {
        self.predictor.predict(now, route, self.routes.in_flight_of(route) > 0)
    }

    /// How many slots this class may fill before it is refused or waits.
    pub(crate) fn slots(&self, now: Instant, class: Class) -> u32 {
        let limit = self.limit(now).get();
        match class {
            Class::Bypass => self.settings.bypass_limit.get(),
            Class::Critical => limit.saturating_add(self.reserve()),
            _ => self.settings.shed_at.threshold(class, limit).unwrap_or(limit),
        }
    }
}

impl OverloadLevel {
    fn sheds(self, class: Class) -> bool {
        match self {
            Self::None => false,
            Self::Moderate => matches!(class, Class::Normal | Class::Low),
            Self::Severe => matches!(class, Class::High | Class::Normal | Class::Low),
        }
    }
}
