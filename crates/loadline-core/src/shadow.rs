//! Other settings beside those in force: what they would have decided about the same requests.
//!
//! **Why it exists.** Settings are tried out where the load is real, and where a mistake must not turn anybody away. A shadow
//! hears of each arrival, and of how long each request that ran really took, and runs an [`Admission`] of its own: the same
//! code, with a queue and slots that nobody sits in.
//!
//! **How.** Who is admitted in the shadow holds a virtual slot for as long as the real request was in service, from the moment
//! when the shadow admitted it:
//!
//! ```text
//! end of a virtual service = the later of (real end, virtual start + real service time)
//! ```
//!
//! Real: started at 0 ms, ended at 40 ms. If the shadow made it wait until 10 ms, its virtual slot is free at 50 ms. If the
//! shadow started it at once while it really waited until 20 ms and ended at 60 ms, its service took 40 ms, and its slot is
//! free at 60 ms, for before that nobody knew. A request that never ran is given the service time that its route is predicted
//! to take, none while nothing is known, and teaches the prediction nothing.
//!
//! With the same settings as those in force, both decide alike, event by event (there is a property test).
//!
//! Nothing waits and no timer runs: what fell due between two calls is done, in its order, at the next.
//!
//! **What it cannot know.** How long requests would have taken under its own limit: where the real limit is far off, so are
//! the service times. And clients that would have come back, or not, after another answer.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::{
    Admission, Class, Decision, Event, Explanation, Instant, Occupancy, Outcome, OverloadLevel, Permit,
    Reason, Request, Settings, Snapshot, Ticket,
};

/// An [`Admission`] that decides and is not obeyed; see the module.
#[derive(Debug)]
pub struct Shadow {
    admission: Admission,
    followed: Vec<Followed>,
    vacant: Vec<usize>,
    /// By [`Ticket::index`]: who waits.
    waiting: Vec<usize>,
    /// Virtual services whose end is known. The number makes the order of equal times that of arrival here.
    ends: BinaryHeap<Reverse<(Instant, u64, usize)>>,
    ends_seen: u64,
}

/// Names a request that a [`Shadow`] follows, until it is told how the real one ended.
#[derive(Debug)]
#[must_use = "the shadow follows it until it is told of its end"]
pub struct ShadowKey(usize);

/// One request, in both worlds. Vacant when it is over in both.
#[derive(Debug)]
struct Followed {
    request: Request,
    seen: Virtual,
    real: Real,
}

/// What became of it here.
#[derive(Debug)]
enum Virtual {
    Waiting(Ticket),
    Serving(Permit),
    Ended,
    Shed(Reason),
}

/// What became of it really.
#[derive(Clone, Copy, Debug)]
enum Real {
    /// Not in service yet.
    Coming,
    /// In service since.
    Running(Instant),
    /// It took so many nanoseconds.
    Ended(u64, Outcome),
    /// It was never in service.
    NeverRan,
}

impl Shadow {
    /// Nothing in flight, nobody waiting.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            admission: Admission::new(settings),
            followed: Vec::new(),
            vacant: Vec::new(),
            waiting: Vec::new(),
            ends: BinaryHeap::new(),
            ends_seen: 0,
        }
    }

    /// A request has arrived. [`Self::shed`] says whether it would have been rejected.
    pub fn on_arrival(&mut self, now: Instant, request: Request) -> ShadowKey {
        self.advance(now);
        let key = self.vacant.pop().unwrap_or(self.followed.len());
        let seen = match self.admission.on_arrival(now, request) {
            Decision::Admit(permit) => Virtual::Serving(permit),
            Decision::Shed(rejection) => Virtual::Shed(rejection.reason),
            Decision::Queue(ticket) => {
                let index = ticket.index();
                self.waiting.resize(self.waiting.len().max(index + 1), 0);
                self.waiting[index] = key;
                Virtual::Waiting(ticket)
            }
        };
        let followed = Followed { request, seen, real: Real::Coming };
        if key == self.followed.len() {
            self.followed.push(followed);
        } else {
            self.followed[key] = followed;
        }
        self.settle(now);
        ShadowKey(key)
    }

    /// Counts a request that would have been rejected before it got here.
    pub fn record_shed(&mut self, now: Instant, class: Class, reason: Reason) {
        self.advance(now);
        let _ = self.admission.record_shed(now, class, reason);
        self.settle(now);
    }

    /// Whether by now this request would have been rejected, and why.
    #[must_use]
    pub fn shed(&self, key: &ShadowKey) -> Option<Reason> {
        match self.followed[key.0].seen {
            Virtual::Shed(reason) => Some(reason),
            Virtual::Waiting(_) | Virtual::Serving(_) | Virtual::Ended => None,
        }
    }

    /// The real request is in service since `at`, which may have passed.
    pub fn on_start(&mut self, at: Instant, key: &ShadowKey) {
        self.followed[key.0].real = Real::Running(at);
    }

    /// The real request has ended. Whether it would have been rejected by now, and why.
    pub fn on_complete(&mut self, now: Instant, key: ShadowKey, outcome: Outcome) -> Option<Reason> {
        self.advance(now);
        let since = match self.followed[key.0].real {
            Real::Running(since) => since,
            // Not told of its start: it took no time that is known of.
            Real::Coming | Real::Ended(..) | Real::NeverRan => now,
        };
        self.real_end(now, key, Real::Ended(now.nanos_since(since), outcome))
    }

    /// The real request was rejected: it is never in service.
    pub fn on_shed(&mut self, now: Instant, key: ShadowKey) {
        self.advance(now);
        self.real_end(now, key, Real::NeverRan);
    }

    /// The client left before the real request was in service. It would have left a queue here as well.
    pub fn on_cancel(&mut self, now: Instant, key: ShadowKey) {
        self.advance(now);
        if let Virtual::Waiting(ticket) = self.followed[key.0].seen {
            self.admission.on_cancel(now, ticket);
            self.followed[key.0].seen = Virtual::Ended;
        }
        self.real_end(now, key, Real::NeverRan);
    }

    /// As [`Admission::reconfigure`].
    pub fn reconfigure(&mut self, now: Instant, settings: Settings) {
        self.advance(now);
        self.admission.reconfigure(now, settings);
        self.settle(now);
    }

    /// As [`Admission::restart_warmup`].
    pub fn restart_warmup(&mut self, now: Instant) {
        self.advance(now);
        self.admission.restart_warmup(now);
        self.settle(now);
    }

    /// As [`Admission::set_draining`].
    pub fn set_draining(&mut self, now: Instant, draining: bool) {
        self.advance(now);
        self.admission.set_draining(now, draining);
        self.settle(now);
    }

    /// As [`Admission::set_overload`].
    pub fn set_overload(&mut self, now: Instant, level: OverloadLevel) {
        self.advance(now);
        self.admission.set_overload(now, level);
        self.settle(now);
    }

    /// As [`Admission::explain`].
    pub fn explain(&mut self, now: Instant, request: &Request) -> Explanation {
        self.advance(now);
        self.admission.explain(now, request)
    }

    /// As [`Admission::occupancy`], as of the last call.
    #[must_use]
    pub fn occupancy(&self) -> Occupancy {
        self.admission.occupancy()
    }

    /// As [`Admission::snapshot`]; what is in flight is so virtually.
    pub fn snapshot(&mut self, now: Instant) -> Snapshot {
        self.advance(now);
        self.admission.snapshot(now)
    }

    fn real_end(&mut self, now: Instant, ShadowKey(key): ShadowKey, real: Real) -> Option<Reason> {
        self.followed[key].real = real;
        self.plan_end(now, key);
        let reason = match self.followed[key].seen {
            Virtual::Shed(reason) => Some(reason),
            Virtual::Waiting(_) | Virtual::Serving(_) | Virtual::Ended => None,
        };
        self.vacate_if_over(key);
        // Its end may be now.
        self.advance(now);
        reason
    }

    /// Notes when the virtual service ends, as soon as both its beginning and its length are known.
    fn plan_end(&mut self, now: Instant, key: usize) {
        let Followed { request, seen: Virtual::Serving(permit), real } = &self.followed[key] else { return };
        let nanos = match *real {
            Real::Coming | Real::Running(_) => return,
            Real::Ended(nanos, _) => nanos,
            Real::NeverRan => {
                let predicted = self.admission.predicted_service(request);
                predicted.map_or(0, crate::time::nanos)
            }
        };
        let end = permit.admitted_at() + std::time::Duration::from_nanos(nanos);
        self.ends_seen += 1;
        self.ends.push(Reverse((end.max(now), self.ends_seen, key)));
    }

    /// Does what has fallen due by `now`, each at its own time.
    fn advance(&mut self, now: Instant) {
        let mut wake = self.settle(now.min(self.next_end().unwrap_or(now)));
        loop {
            let end = self.next_end();
            let Some(next) = end.into_iter().chain(wake).min().filter(|next| *next <= now) else { return };
            if end == Some(next)
                && let Some(Reverse((at, _, key))) = self.ends.pop()
            {
                self.end(at, key);
            }
            wake = self.settle(next);
        }
    }

    fn next_end(&self) -> Option<Instant> {
        self.ends.peek().map(|Reverse((at, ..))| *at)
    }

    fn end(&mut self, at: Instant, key: usize) {
        let Followed { seen, real, .. } = &mut self.followed[key];
        let outcome = match real {
            Real::Ended(_, outcome) => *outcome,
            // What is only predicted must not confirm the prediction.
            Real::Coming | Real::Running(_) | Real::NeverRan => Outcome::Aborted,
        };
        if let Virtual::Serving(permit) = std::mem::replace(seen, Virtual::Ended) {
            self.admission.on_complete(at, permit, outcome);
        }
        self.vacate_if_over(key);
    }

    /// Takes what `poll` decides at `at`, and returns when it wants to be asked again.
    fn settle(&mut self, at: Instant) -> Option<Instant> {
        loop {
            let (ticket, seen) = match self.admission.poll(at) {
                Event::Dispatch(ticket, permit) => (ticket, Virtual::Serving(permit)),
                Event::Expire(ticket, rejection) => (ticket, Virtual::Shed(rejection.reason)),
                Event::WakeAt(next) => return Some(next),
                Event::Idle => return None,
            };
            let key = self.waiting[ticket.index()];
            self.followed[key].seen = seen;
            self.plan_end(at, key);
            self.vacate_if_over(key);
        }
    }

    fn vacate_if_over(&mut self, key: usize) {
        let Followed { seen, real, .. } = &self.followed[key];
        let seen_over = matches!(seen, Virtual::Ended | Virtual::Shed(_));
        if seen_over && matches!(real, Real::Ended(..) | Real::NeverRan) {
            self.vacant.push(key);
        }
    }
}
