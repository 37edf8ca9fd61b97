//! Random histories against a shadow model that is slow and obvious: lists of who waits, searched from end to end.
//!
//! The model knows nothing of slabs, heaps and intrusive lists. It checks for each event that the one who was named is the one
//! that the rules name, that everybody is answered exactly once, and that nobody was overtaken.
//!
//! It does not predict service times, and so knows neither what a tenant has had, nor what is cheap, nor who may come too late. Where
//! that decides, it knows a set of those who may be next (the head of each tenant and route, or those of its kind who have more time),
//! and that one of them is.

use std::{cmp::Ordering, num::NonZeroU32};

use loadline_core::{
    Admission, Class, Cohort, Decision, Discipline, Duration, Event, Instant, Outcome, OverloadLevel,
    Percent, Permit, Reason, Remedy, Request, RouteCost, RouteId, RouteSettings, Settings, ShedAt, Snapshot,
    TenantId, Ticket, Verdict, Warmup,
};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Action {
    /// A request, and its deadline after so many milliseconds.
    Arrive(Request, Option<u64>),
    /// So many of one class at once.
    Crowd(Class, usize),
    /// The n-th permit in flight, modulo their number.
    Complete(usize, Outcome),
    /// The n-th waiter.
    Cancel(usize),
    /// A ticket that was answered before.
    CancelStale(usize),
    /// Nanoseconds to microseconds or milliseconds pass.
    Wait(u64),
    /// To the moment that the core asked for, exactly.
    WaitUntilDue,
    Reconfigure(Settings),
    Drain(bool),
    ShedWaiting,
    RestartWarmup,
    Overload(OverloadLevel),
    Record(Class, Reason),
}

fn class() -> impl Strategy<Value = Class> {
    prop_oneof![6 => Just(Class::Normal), 4 => prop::sample::select(&Class::ALL[..])]
}

fn settings() -> impl Strategy<Value = Settings> {
    let timeout =
        prop_oneof![1 => Just(None), 5 => (0_u64..400).prop_map(|ms| Some(Duration::from_millis(ms)))];
    let discipline = prop::sample::select(&Discipline::ALL[..]);
    let depth = prop_oneof![2 => 0_u32..8, 1 => 20_u32..80];
    let share = || prop::option::of((1_u8..=100).prop_map(|n| Percent::new(n).unwrap()));
    let shed_at = prop_oneof![
        3 => Just(ShedAt::OFF),
        1 => (share(), share(), share()).prop_map(|(high, normal, low)| ShedAt { high, normal, low }),
    ];
    let aging =
        prop_oneof![1 => Just(None), 3 => (0_u64..300).prop_map(|ms| Some(Duration::from_millis(ms)))];
    (1_u32..6, 1_u32..3, 0_u32..3, shed_at, depth, timeout, discipline, aging, any::<u64>()).prop_map(
        |(limit, bypass, reserve, shed_at, depth, timeout, discipline, aging, seed)| {
            let mut settings = Settings::new(NonZeroU32::new(limit).unwrap());
            settings.bypass_limit = NonZeroU32::new(bypass).unwrap();
            settings.reserve = reserve;
            settings.shed_at = shed_at;
            settings.queue.aging = aging;
            settings.queue.codel.target = Duration::from_millis(seed % 30);
            settings.queue.codel.interval = Duration::from_millis(seed % 70);
            settings.warmup = (seed % 3 == 0).then(|| Warmup {
                from: Percent::new(1 + (seed % 100) as u8).unwrap(),
                over: Duration::from_nanos(seed % 500_000_000),
            });
            settings.predict = seed % 4 != 0;
            settings.fairness = seed % 5 < 2;
            settings.queue.held_bytes = (seed % 7 < 2).then_some(seed % 5_000);
            let route = |bits: u64| {
                let cost =
                    NonZeroU32::new((bits >> 2) as u32 % 4).map_or(RouteCost::Learned, RouteCost::Fixed);
                RouteSettings::new(NonZeroU32::new(bits as u32 % 4), cost)
            };
            let rows = [0, 4, 8].map(|shift| route(seed >> (20 + shift)));
            settings.routes = rows[..seed as usize % 4].to_vec();
            settings.queue.depth = depth;
            settings.queue.timeout = timeout;
            settings.queue.discipline = discipline;
            settings.seed = seed;
            settings
        },
    )
}

fn request() -> impl Strategy<Value = Request> {
    let tenant = prop_oneof![1 => Just(None), 3 => (0_u64..4).prop_map(|n| Some(TenantId::new(n)))];
    let cohort = prop_oneof![2 => Just(None), 1 => (0_u8..128).prop_map(|n| Some(Cohort::new(n)))];
    let bytes = prop_oneof![1 => Just(0), 1 => 0_u32..3_000];
    (class(), 0_u16..3, prop::bool::weighted(0.2), tenant, cohort, bytes).prop_map(
        |(class, route, retry, tenant, cohort, bytes)| {
            let mut request = Request::new(class).with_route(RouteId::new(route)).with_retry(retry);
            (request.tenant, request.cohort, request.held_bytes) = (tenant, cohort, bytes);
            request
        },
    )
}

fn action() -> impl Strategy<Value = Action> {
    let outcome =
        prop::sample::select(vec![Outcome::Completed, Outcome::Failed, Outcome::TimedOut, Outcome::Aborted]);
    let deadline = prop_oneof![3 => Just(None), 2 => (0_u64..300).prop_map(Some)];
    let cost = prop_oneof![4 => Just(1_u32), 1 => 1_u32..8];
    prop_oneof![
        12 => (request(), cost, deadline).prop_map(|(request, cost, deadline)| {
            Action::Arrive(request.with_cost(NonZeroU32::new(cost).unwrap()), deadline)
        }),
        1 => (class(), 10_usize..40).prop_map(|(class, n)| Action::Crowd(class, n)),
        8 => (any::<usize>(), outcome).prop_map(|(n, outcome)| Action::Complete(n, outcome)),
        3 => any::<usize>().prop_map(Action::Cancel),
        1 => any::<usize>().prop_map(Action::CancelStale),
        3 => (0_u64..60_000_000).prop_map(Action::Wait),
        2 => (0_u64..5).prop_map(Action::Wait),
        3 => Just(Action::WaitUntilDue),
        1 => settings().prop_map(Action::Reconfigure),
        1 => any::<bool>().prop_map(Action::Drain),
        1 => Just(Action::ShedWaiting),
        1 => Just(Action::RestartWarmup),
        1 => prop::sample::select(vec![OverloadLevel::None, OverloadLevel::Moderate, OverloadLevel::Severe])
            .prop_map(Action::Overload),
        1 => (class(), prop::sample::select(&Reason::ALL[..])).prop_map(|(class, reason)| Action::Record(class, reason)),
    ]
}

struct Waiter {
    /// Counts waiters in order of arrival.
    number: u64,
    ticket: Ticket,
    class: Class,
    request: Request,
    arrived: Instant,
    expires: Option<Instant>,
    dispatched_before: u32,
    /// Whether it may have been spared from giving way though it is not the oldest, and is served after all others since.
    spared: bool,
}

impl Waiter {
    const fn is_newer_than(&self, other: &Self) -> bool {
        self.number > other.number
    }
}

/// The shadow.
struct Model {
    admission: Admission,
    settings: Settings,
    now: Instant,
    due: Option<Instant>,
    /// In order of arrival.
    waiting: Vec<Waiter>,
    /// With their routes.
    permits: Vec<(Permit, RouteId)>,
    answered: Vec<Ticket>,
    dispatched: u32,
    /// Dispatches in a row that went past a class that has waited too long.
    overtaken: u32,
    /// Since when nothing has completed while something was in flight.
    silent_since: Instant,
    /// When a request last took as long as predicted or longer, by route.
    confirmed: [Instant; 3],
    warm_since: Instant,
    /// The warm-up is over, whatever settings come.
    warm: bool,
    /// When a request that is no retry was last shed for want of capacity, by class.
    fresh_shed: [Option<Instant>; 5],
    draining: bool,
    /// Everybody who waits is to be told that nobody is served any more.
    sending_away: bool,
    overload: OverloadLevel,
    offered: u64,
    admitted: u64,
    shed: u64,
    abandoned: u64,
    ended: u64,
}

impl Model {
    fn new(settings: Settings) -> Self {
        Self {
            admission: Admission::new(settings.clone()),
            settings,
            now: Instant::ORIGIN,
            due: None,
            waiting: Vec::new(),
            permits: Vec::new(),
            answered: Vec::new(),
            dispatched: 0,
            overtaken: 0,
            silent_since: Instant::ORIGIN,
            confirmed: [Instant::ORIGIN; 3],
            warm_since: Instant::ORIGIN,
            warm: false,
            fresh_shed: [None; 5],
            draining: false,
            sending_away: false,
            overload: OverloadLevel::None,
            offered: 0,
            admitted: 0,
            shed: 0,
            abandoned: 0,
            ended: 0,
        }
    }

    fn in_flight(&self, bypass: bool) -> u32 {
        let permits = self.permits.iter().map(|(permit, _)| permit);
        permits.filter(|permit| (permit.class() == Class::Bypass) == bypass).map(Permit::cost).sum()
    }

    /// Whether a route is at its own limit.
    fn is_full(&self, route: RouteId) -> bool {
        let counted = self.permits.iter().filter(|(permit, _)| permit.class() != Class::Bypass);
        let in_flight = counted.filter(|(_, other)| *other == route).count();
        let limit = self.settings.routes.get(route.index()).and_then(|row| row.concurrency);
        limit.is_some_and(|limit| in_flight >= limit.get() as usize)
    }

    /// Who of this class waits for a slot, not for his route, in order of arrival.
    fn ready(&self, class: Class) -> impl DoubleEndedIterator<Item = &Waiter> + Clone {
        self.waiting.iter().filter(move |waiter| waiter.class == class && !self.is_full(waiter.request.route))
    }

    /// Whether the waiters of this class are all alike: nothing but their arrival decides.
    fn is_plain(&self, class: Class) -> bool {
        let mut of_class = self.waiting.iter().filter(|waiter| waiter.class == class);
        let first = of_class.clone().next().map(|waiter| waiter.request.route);
        !self.settings.fairness
            && of_class.all(|waiter| waiter.request.cohort.is_none() && Some(waiter.request.route) == first)
    }

    /// How many slots there are.
    fn limit(&self) -> u32 {
        self.limit_at(self.now)
    }

    fn limit_at(&self, at: Instant) -> u32 {
        let limit = self.settings.limit.get();
        let Some(warmup) = self.settings.warmup.filter(|_| !self.warm) else { return limit };
        let (elapsed, over) = (at.saturating_since(self.warm_since).as_nanos(), warmup.over.as_nanos());
        if elapsed >= over {
            return limit;
        }
        let from = u128::from(warmup.from.get());
        let percent_of_over = from * over + (100 - from) * elapsed;
        ((u128::from(limit) * percent_of_over / over / 100) as u32).max(1)
    }

    /// How many slots it gets.
    fn slots(&self, request: &Request) -> u32 {
        if request.class == Class::Bypass { 1 } else { request.cost.get().min(self.limit()) }
    }

    /// Whether it may be in flight too.
    fn has_slots(&self, request: &Request) -> bool {
        let slots = match request.class {
            Class::Bypass => self.settings.bypass_limit.get(),
            Class::Critical => self.limit() + self.settings.reserve,
            _ => self.limit(),
        };
        self.in_flight(request.class == Class::Bypass) + self.slots(request) <= slots
    }

    fn apply(&mut self, action: Action) {
        match action {
            Action::Arrive(mut request, deadline) => {
                request.deadline = deadline.map(|ms| self.now + Duration::from_millis(ms));
                self.arrive(request);
            }
            Action::Crowd(class, n) => {
                for _ in 0..n {
                    self.arrive(Request::new(class));
                    self.drain();
                }
            }
            Action::Complete(n, outcome) if !self.permits.is_empty() => {
                let (permit, route) = self.permits.swap_remove(n % self.permits.len());
                let held = self.now.saturating_since(permit.admitted_at());
                let predicted = self.admission.snapshot(self.now).predicted_service;
                let predicted = predicted.get(route.index()).copied().flatten();
                if permit.class() != Class::Bypass && predicted.is_none_or(|predicted| held >= predicted) {
                    self.confirmed[route.index()] = self.now;
                }
                if permit.class() != Class::Bypass
                    && matches!(outcome, Outcome::Completed | Outcome::TimedOut)
                {
                    self.silent_since = self.now;
                }
                self.admission.on_complete(self.now, permit, outcome);
                self.ended += 1;
            }
            Action::Cancel(n) if !self.waiting.is_empty() => {
                let waiter = self.waiting.remove(n % self.waiting.len());
                assert!(self.admission.on_cancel(self.now, waiter.ticket));
                self.answered.push(waiter.ticket);
                self.abandoned += 1;
            }
            Action::CancelStale(n) if !self.answered.is_empty() => {
                let stale = self.answered[n % self.answered.len()];
                assert!(!self.admission.on_cancel(self.now, stale));
            }
            Action::Wait(nanos) => self.now = self.now + Duration::from_nanos(nanos),
            Action::WaitUntilDue => self.now = self.due.unwrap_or(self.now),
            Action::Reconfigure(settings) => {
                let over = self.settings.warmup.map_or(Duration::ZERO, |warmup| warmup.over);
                self.warm |= self.now.saturating_since(self.warm_since) >= over;
                self.settings = settings.clone();
                self.admission.reconfigure(self.now, settings);
            }
            Action::Drain(draining) => {
                self.draining = draining;
                self.admission.set_draining(self.now, draining);
            }
            Action::ShedWaiting => {
                assert_eq!(self.admission.shed_waiting(self.now), self.waiting.len() as u32);
                self.sending_away = true;
            }
            Action::RestartWarmup => {
                self.warm_since = self.now;
                self.warm = false;
                self.admission.restart_warmup(self.now);
            }
            Action::Overload(level) => {
                self.overload = level;
                self.admission.set_overload(self.now, level);
            }
            Action::Record(class, reason) => {
                let _ = self.admission.record_shed(self.now, class, reason);
                self.offered += 1;
                self.shed += 1;
            }
            Action::Complete(..) | Action::Cancel(_) | Action::CancelStale(_) => {}
        }
        self.drain();
    }

    fn arrive(&mut self, request: Request) {
        self.mark_who_may_be_spared();
        let asked = request;
        let mut request = request;
        let lately = |at: &Instant| self.now.saturating_since(*at) < Duration::from_secs(1);
        if request.retry
            && request.class != Class::Bypass
            && self.fresh_shed[request.class.index()].as_ref().is_some_and(lately)
        {
            request.class = Class::QUEUED[(request.class.index() + 1).min(3)];
        }
        let row = self.settings.routes.get(request.route.index());
        if let Some(RouteCost::Fixed(cost)) = row.map(|row| row.cost) {
            request.cost = request.cost.max(cost);
        }
        let class = request.class;
        self.offered += 1;
        let bypass = class == Class::Bypass;
        let mut above = Class::QUEUED.into_iter().filter(|other| !bypass && other.index() <= class.index());
        let nobody_first = above.all(|class| self.ready(class).next().is_none());
        let slot_free = self.has_slots(&request) && nobody_first && (bypass || !self.is_full(request.route));
        let has_place = self.has_place(&request, &self.admission.snapshot(self.now));
        let refused = self.refused_whatever_is_free(&request);
        let too_many_retries = !slot_free && refused.is_none() && self.has_too_many_retries(&request);
        let refused = refused.or_else(|| too_many_retries.then_some(Reason::Priority));
        let doomed = if refused.is_some() { None } else { self.refused_by_prediction(&request, slot_free) };
        let explanation = self.admission.explain(self.now, &asked);
        match self.admission.on_arrival(self.now, asked) {
            Decision::Admit(permit) => {
                assert_eq!(refused, None);
                assert_ne!(doomed, Some(true));
                assert!(slot_free, "admitted without a free slot, or past who waits");
                assert_eq!((permit.queued(), permit.depth()), (Duration::ZERO, 0));
                assert_eq!(permit.cost(), self.slots(&request));
                assert_eq!(explanation.verdict, Verdict::Admit);
                self.begins(class);
                self.admitted += 1;
                self.permits.push((permit, request.route));
            }
            Decision::Queue(ticket) => {
                assert_eq!(refused, None);
                assert_ne!(doomed, Some(true));
                assert_eq!(explanation.verdict, Verdict::Queue);
                assert!(has_place != Some(false) && !slot_free && !bypass);
                assert!(!self.draining && self.settings.queue.depth > 0);
                assert!(self.waiting.iter().all(|waiter| waiter.ticket.index() != ticket.index()));
                assert!(!self.answered.contains(&ticket), "tickets are never reissued");
                let timeout = self.settings.queue.timeout.map(|timeout| self.now + timeout);
                let expires = timeout.into_iter().chain(request.deadline).min();
                assert_eq!(self.admission.expires_at(ticket), expires);
                if let Some(bound) = self.settings.queue.held_bytes.filter(|_| request.held_bytes > 0) {
                    assert!(self.admission.snapshot(self.now).held_bytes <= bound);
                }
                self.waiting.push(Waiter {
                    number: self.offered,
                    ticket,
                    class,
                    request,
                    arrived: self.now,
                    expires,
                    dispatched_before: self.dispatched,
                    spared: false,
                });
            }
            Decision::Shed(rejection) => {
                let reason = rejection.reason;
                match refused {
                    Some(refused) => assert_eq!(reason, refused),
                    None if reason == Reason::DeadlineUnreachable => assert_ne!(doomed, Some(false)),
                    None => {
                        assert!(!slot_free, "shed with a slot free: {rejection:?}");
                        assert_ne!(doomed, Some(true));
                        if self.draining && !bypass {
                            assert_eq!(reason, Reason::Draining);
                        } else if bypass || self.settings.queue.depth == 0 {
                            assert_eq!(reason, Reason::Concurrency);
                        } else {
                            assert_ne!(has_place, Some(true), "refused although there is a place");
                            let by_tenant = reason == Reason::Fairness && self.settings.fairness;
                            assert!(reason == Reason::QueueFull || by_tenant, "{reason}");
                        }
                    }
                }
                assert_eq!(rejection.class, class);
                // The reason that an idle service would have given too.
                let alone = reason == Reason::DeadlineUnreachable && {
                    let snapshot = self.admission.snapshot(self.now);
                    self.is_doomed(&request, 0, &snapshot)
                };
                self.check_remedy(asked, rejection.remedy);
                if !alone {
                    self.note_shed(&request, reason);
                }
                assert_eq!(explanation.verdict, Verdict::Shed(reason));
                assert_eq!(explanation.remedy, rejection.remedy);
                assert!((1.0..=30.0).contains(&rejection.retry_after.as_secs_f64()));
                self.shed += 1;
            }
        }
    }

    /// What is said to let a request in does. The request was just rejected, so it counts among those who were: a retry may fall
    /// for it.
    fn check_remedy(&self, asked: Request, remedy: Option<Remedy>) {
        let mut changed = asked;
        match remedy {
            Some(Remedy::HigherClass(class)) => changed.class = class,
            Some(Remedy::Budget(budget)) => changed.deadline = Some(self.now + budget),
            _ => return,
        }
        let verdict = self.admission.explain(self.now, &changed).verdict;
        assert!(!matches!(verdict, Verdict::Shed(_)), "{remedy:?} would not have helped: {verdict:?}");
    }

    /// Why a request of this class is refused although a slot may be free, if it is.
    fn refused_whatever_is_free(&self, request: &Request) -> Option<Reason> {
        let class = request.class;
        if class != Class::Bypass && request.deadline.is_some_and(|deadline| deadline <= self.now) {
            return Some(Reason::DeadlineExpired);
        }
        let signal = match self.overload {
            OverloadLevel::None => 9,
            OverloadLevel::Moderate => 2,
            OverloadLevel::Severe => 1,
        };
        if class != Class::Bypass && class.index() >= signal {
            return Some(Reason::Overload);
        }
        let ShedAt { high, normal, low } = self.settings.shed_at;
        // Refused when in flight ÷ limit ≥ share.
        let share =
            [None, high, normal, low, None][class.index()].map_or(u32::MAX, |share| share.get().into());
        if self.in_flight(false) * 100 >= share.saturating_mul(self.limit()) {
            return Some(Reason::Priority);
        }
        None
    }

    fn has_too_many_retries(&self, request: &Request) -> bool {
        let permits = self.permits.iter().map(|(permit, _)| permit);
        let working = permits.filter(|permit| permit.is_retry() && permit.class() != Class::Bypass);
        let waiting = self.waiting.iter().filter(|waiter| waiter.request.retry);
        let held = working.map(Permit::cost).sum::<u32>()
            + waiting.map(|waiter| waiter.request.cost.get()).sum::<u32>();
        let is_retry = request.retry && request.class != Class::Bypass;
        let share = (self.limit() / 5).max(3);
        is_retry && held > 0 && held + request.cost.get() > share
    }

    fn note_shed(&mut self, request: &Request, reason: Reason) {
        if !request.retry && !matches!(reason, Reason::DeadlineExpired | Reason::Draining) {
            self.fresh_shed[request.class.index()] = Some(self.now);
        }
    }

    /// Whether a request that would be admitted, or would find a place in the queue, is refused because of its deadline;
    /// `None`: not known.
    fn refused_by_prediction(&self, request: &Request, slot_free: bool) -> Option<bool> {
        let class = request.class;
        if class == Class::Bypass || request.deadline.is_none() || !self.prediction_counts(request, 0) {
            return Some(false);
        }
        let snapshot = self.admission.snapshot(self.now);
        if slot_free {
            return Some(self.is_doomed(request, 0, &snapshot));
        }
        if self.draining || !self.has_place(request, &snapshot)? {
            return Some(false);
        }
        if self.settings.fairness {
            return None;
        }
        let ahead = Class::QUEUED.into_iter().filter(|other| {
            other.index() < class.index() || *other == class && !self.newest_first(class, &snapshot)
        });
        let ahead = ahead.flat_map(|class| self.ready(class));
        let slots = ahead.map(|waiter| waiter.request.cost.get()).sum::<u32>();
        let wait = snapshot.mean_service.unwrap_or_default().as_nanos() as u64 * u64::from(slots)
            / u64::from(self.limit());
        let mut wait = self.fade(wait);
        if self.is_full(request.route) {
            let of_route = self.waiting.iter().filter(|other| {
                other.request.route == request.route
                    && (other.class.index() < class.index()
                        || other.class == class && !self.newest_first(class, &snapshot))
            });
            let service = self.service(request.route, &snapshot).as_nanos() as u64;
            let row = self.settings.routes[request.route.index()].concurrency.expect("it is at its limit");
            wait = wait.max(of_route.count() as u64 * service / u64::from(row.get()));
        }
        Some(self.is_doomed(request, wait, &snapshot))
    }

    /// Whether enough is in use, and so much more, for a prediction to refuse this one.
    fn prediction_counts(&self, request: &Request, more: u32) -> bool {
        let route = request.route;
        let limit_of_route = self.settings.routes.get(route.index()).and_then(|row| row.concurrency);
        let counted = self.permits.iter().filter(|(permit, _)| permit.class() != Class::Bypass);
        let of_route = counted.filter(|(_, other)| *other == route).count() as u32;
        self.in_flight(false) + more >= (self.limit() / 4).max(1)
            || limit_of_route.is_some_and(|limit| of_route + more >= (limit.get() / 4).max(1))
    }

    /// Whether the queue has a place for this one, or somebody gives way to it; `None`: not known.
    fn has_place(&self, request: &Request, snapshot: &Snapshot) -> Option<bool> {
        let (class, depth) = (request.class, self.settings.queue.depth);
        if depth == 0 {
            return Some(false);
        }
        let held = snapshot.held_bytes + u64::from(request.held_bytes);
        if request.held_bytes > 0 && self.settings.queue.held_bytes.is_some_and(|bound| held > bound) {
            return None;
        }
        let time_is_up = |waiter: &Waiter| waiter.expires.is_some_and(|at| at <= self.now);
        if (self.waiting.len() as u32) < depth || self.waiting.iter().any(time_is_up) {
            return Some(true);
        }
        let lowest = self.waiting.iter().map(|waiter| waiter.class).max_by_key(|class| class.index())?;
        match lowest.index().cmp(&class.index()) {
            Ordering::Less => Some(false),
            Ordering::Greater => Some(true),
            Ordering::Equal if class == Class::Critical => Some(false),
            Ordering::Equal if self.settings.fairness || request.cohort.is_some() => None,
            Ordering::Equal => Some(self.newest_first(class, snapshot)),
        }
    }

    fn is_doomed(&self, request: &Request, wait: u64, snapshot: &Snapshot) -> bool {
        let Some(deadline) = request.deadline else { return false };
        let needed = Duration::from_nanos(wait) + self.service(request.route, snapshot);
        self.settings.predict && needed > deadline.saturating_since(self.now)
    }

    /// The service time that is still believed after a silence.
    fn service(&self, route: RouteId, snapshot: &Snapshot) -> Duration {
        let known = snapshot.predicted_service.get(route.index()).copied().flatten().unwrap_or_default();
        let known = known.as_nanos() as u64;
        let in_flight =
            self.permits.iter().any(|(permit, of)| permit.class() != Class::Bypass && *of == route);
        let seconds = self.now.saturating_since(self.confirmed[route.index()]).as_secs();
        let alone = if in_flight { known } else { known.checked_shr(seconds as u32).unwrap_or(0) };
        Duration::from_nanos(self.fade(known).min(alone))
    }

    fn fade(&self, nanos: u64) -> u64 {
        let halvings = self.now.saturating_since(self.silent_since).as_millis() / 250;
        if halvings > 63 { 0 } else { nanos >> halvings }
    }

    /// Something of this class is about to be in flight.
    fn begins(&mut self, class: Class) {
        if class != Class::Bypass && self.in_flight(false) == 0 {
            self.silent_since = self.now;
        }
    }

    /// Drains the core's events; each names the waiter that the rules name.
    fn drain(&mut self) {
        let mut dispatching = false;
        loop {
            self.mark_who_may_be_spared();
            let before = self.admission.snapshot(self.now);
            match self.admission.poll(self.now) {
                Event::Dispatch(ticket, permit) => {
                    dispatching = true;
                    let next = self.next(&before).0.into_iter().find(|next| next.0 == ticket);
                    self.overtaken = next.expect("it is next, and fits").1;
                    let waiter = self.answer(ticket);
                    assert!(!self.is_full(waiter.request.route));
                    self.dispatched += 1;
                    self.admitted += 1;
                    assert_eq!(permit.class(), waiter.class);
                    assert_eq!(permit.cost(), self.slots(&waiter.request));
                    assert!(!self.comes_too_late(&waiter.request, &before), "its deadline is out of reach");
                    self.begins(waiter.class);
                    assert!(
                        waiter.expires.is_none_or(|at| at > self.now),
                        "dispatched after its time was up"
                    );
                    assert_eq!(permit.queued(), self.now.saturating_since(waiter.arrived));
                    assert_eq!(permit.depth(), self.dispatched - waiter.dispatched_before);
                    self.permits.push((permit, waiter.request.route));
                }
                Event::Expire(ticket, rejection) => {
                    let is_next = self.next(&before).0.iter().any(|next| next.0 == ticket);
                    let plain = self.is_plain(rejection.class);
                    let waiter = self.answer(ticket);
                    self.shed += 1;
                    assert_eq!(rejection.class, waiter.class);
                    self.note_shed(&waiter.request, rejection.reason);
                    assert_eq!(rejection.waited, self.now.saturating_since(waiter.arrived));
                    assert_eq!(rejection.depth, self.dispatched - waiter.dispatched_before + 1);
                    let dropped_by_law = rejection.reason == Reason::Codel
                        && self.settings.queue.discipline == Discipline::Codel;
                    let too_late = rejection.reason == Reason::DeadlineUnreachable || dropped_by_law;
                    // Where waiters are not alike, a dispatch may change which of them is the dearest.
                    let in_vain = rejection.reason == Reason::Codel && !plain;
                    assert!(!dispatching || too_late || in_vain, "other rejections come before dispatches");
                    let deadline_passed =
                        waiter.request.deadline.is_some_and(|deadline| deadline <= self.now);
                    match rejection.reason {
                        Reason::Draining => assert!(self.sending_away),
                        reason if self.sending_away => panic!("{reason}, and not because it is the end"),
                        Reason::QueueTimeout => {
                            assert!(!deadline_passed && waiter.expires.is_some_and(|at| at <= self.now));
                        }
                        Reason::DeadlineExpired => assert!(deadline_passed),
                        Reason::DeadlineUnreachable => {
                            assert!(is_next && self.comes_too_late(&waiter.request, &before));
                        }
                        Reason::QueueFull => {
                            assert_ne!(waiter.class, Class::Critical, "critical gives way to nobody");
                            assert!(
                                self.waiting.iter().all(|other| {
                                    other.class.index() <= waiter.class.index()
                                        || other.is_newer_than(&waiter)
                                }),
                                "gave way while a lower class waited"
                            );
                            // Nobody gives way but to its own class, newest first, or to a higher one.
                            assert!(self.waiting.iter().any(|other| {
                                other.is_newer_than(&waiter)
                                    && (other.class.index() < waiter.class.index()
                                        || other.class == waiter.class
                                            && matches!(
                                                self.settings.queue.discipline,
                                                Discipline::Lifo | Discipline::Adaptive
                                            ))
                            }));
                        }
                        Reason::Fairness => {
                            assert!(self.settings.fairness && waiter.class != Class::Critical);
                            let mut others = self.waiting.iter().filter(|other| other.class == waiter.class);
                            assert!(others.any(|other| other.is_newer_than(&waiter)), "somebody came");
                        }
                        Reason::Codel if dropped_by_law => {
                            assert!(is_next && waiter.class != Class::Critical);
                            assert!(rejection.waited >= self.settings.queue.codel.target);
                            let others = self.waiting.iter().filter(|other| other.class == waiter.class);
                            assert!(others.count() > 0, "who is alone is not dropped");
                        }
                        Reason::Codel => assert!(self.waits_in_vain(&waiter, &before)),
                        reason => panic!("nobody is expired for {reason}"),
                    }
                }
                Event::WakeAt(at) => {
                    let expiry = self.waiting.iter().filter_map(|waiter| waiter.expires).min();
                    if Some(at) != expiry {
                        assert!(expiry.is_none_or(|expiry| at < expiry), "nobody is forgotten");
                        let before = self.limit_at(Instant::from_nanos(at.as_nanos() - 1));
                        assert!(before == self.limit() && self.limit_at(at) > before, "the limit rises then");
                    }
                    assert!(at > self.now);
                    self.due = Some(at);
                    break;
                }
                Event::Idle => {
                    assert!(self.waiting.iter().all(|waiter| waiter.expires.is_none()));
                    self.due = None;
                    break;
                }
            }
        }
        if std::mem::take(&mut self.sending_away) {
            assert!(self.waiting.is_empty(), "everybody was told");
        }
        self.check_who_was_spared();
        let snapshot = self.admission.snapshot(self.now);
        assert!(self.next(&snapshot).1, "there is room for who is next");
        self.check_totals();
    }

    fn answer(&mut self, ticket: Ticket) -> Waiter {
        let position = self.waiting.iter().position(|waiter| waiter.ticket == ticket);
        let position = position.unwrap_or_else(|| panic!("{ticket:?} was answered or cancelled before"));
        self.answered.push(ticket);
        self.waiting.remove(position)
    }

    /// Whether `waiter`, which need not wait any more, should give way to those of its class who are newer.
    fn waits_in_vain(&self, waiter: &Waiter, snapshot: &Snapshot) -> bool {
        let class = snapshot.class(waiter.class);
        let Some(service) = snapshot.mean_service else { return false };
        let target = service.clamp(Duration::from_millis(5), Duration::from_millis(50));
        let alike =
            |other: &Waiter| other.class != waiter.class || other.request.route == waiter.request.route;
        let plain = self.is_plain(waiter.class) && self.waiting.iter().all(alike);
        let newer = self.waiting.iter().filter(|other| {
            other.class == waiter.class
                && other.ticket != waiter.ticket
                && (!plain || other.is_newer_than(waiter))
        });
        let slots = newer.clone().map(|other| other.request.cost.get()).sum::<u32>();
        let newer = newer.count() as u32;
        let limit = self.limit();
        let leaves = class.median_patience.map(|patience| waiter.arrived + patience);
        let Some(end) = waiter.expires.into_iter().chain(leaves).min() else { return false };
        self.settings.queue.discipline == Discipline::Adaptive
            && waiter.class != Class::Critical
            && class.overloaded
            && self.now.saturating_since(waiter.arrived) >= 2 * target
            && newer >= limit.max(16)
            && service * slots > end.saturating_since(self.now) * limit
    }

    /// Nobody waits in vain but the witnesses, and those behind one who was promised more time, before a reload.
    fn check_who_was_spared(&self) {
        let snapshot = self.admission.snapshot(self.now);
        for class in Class::QUEUED.into_iter().filter(|class| self.is_plain(*class)) {
            let oldest_first = self.waiting.iter().filter(|waiter| waiter.class == class);
            let spared = oldest_first.take_while(|waiter| self.waits_in_vain(waiter, &snapshot)).count();
            assert!(spared as u64 <= self.witnesses(), "{spared} of class {class} wait in vain");
        }
    }

    /// Who may be next and fits, each with the length of the run of dispatches past a class that has waited too long, after it;
    /// and whether it may be that nobody is.
    fn next(&self, snapshot: &Snapshot) -> (Vec<(Ticket, u32)>, bool) {
        let aged_below = |class: Class| {
            let below = self.waiting.iter().filter(|waiter| {
                waiter.class.index() > class.index() && self.ready(waiter.class).next().is_some()
            });
            let oldest = below.min_by_key(|waiter| (waiter.arrived, waiter.class.index()))?;
            let aging = self.settings.queue.aging?;
            (self.now.saturating_since(oldest.arrived) >= aging).then_some(oldest.class)
        };
        let heads = |class: Class, overtaken: u32| {
            let heads = self.heads(class, snapshot);
            let instead =
                heads.iter().flat_map(|head| self.who_has_more_time(head, snapshot)).collect::<Vec<_>>();
            let heads = heads.into_iter().chain(instead);
            let (fit, unfit): (Vec<_>, Vec<_>) = heads.partition(|head| self.has_slots(&head.request));
            let fit = fit.into_iter().map(|head| (head.ticket, overtaken)).collect::<Vec<_>>();
            (fit, !unfit.is_empty())
        };
        let mut classes = Class::QUEUED.into_iter();
        let Some(highest) = classes.find(|class| self.ready(*class).next().is_some()) else {
            return (Vec::new(), true);
        };
        let aged = aged_below(highest);
        let overtaken = if aged.is_some() { (self.overtaken + 1).min(7) } else { 0 };
        if self.overtaken == 7
            && let Some(aged) = aged
        {
            let (mut fit, unfit) = heads(aged, 0);
            // Only critical passes who has its turn.
            if !unfit || highest != Class::Critical {
                return (fit, unfit);
            }
            let (critical, unfit) = heads(highest, overtaken);
            fit.extend(critical);
            return (fit, unfit);
        }
        heads(highest, overtaken)
    }

    /// Who of this class may be next. Waiters are kept in order of arrival.
    fn heads(&self, class: Class, snapshot: &Snapshot) -> Vec<&Waiter> {
        let mut ready = self.ready(class);
        let newest_first = self.newest_first(class, snapshot);
        let spared = ready.clone().any(|waiter| waiter.spared);
        if self.is_plain(class) && !spared || !newest_first && !self.settings.fairness {
            return if newest_first { ready.next_back() } else { ready.next() }.into_iter().collect();
        }
        let goes_before = |other: &Waiter, waiter: &Waiter| {
            let alike = other.request.route == waiter.request.route
                && (!self.settings.fairness || other.request.tenant == waiter.request.tenant);
            // It may be one of those whose cohort is behind.
            let settled = self.settings.fairness || other.request.cohort.is_none();
            alike && settled && other.is_newer_than(waiter) == newest_first && other.ticket != waiter.ticket
        };
        let all = ready.clone();
        let may_be_next = |waiter: &&Waiter| {
            let before = all.clone().filter(|other| goes_before(other, waiter));
            before.clone().all(|other| other.spared) && before.count() as u64 <= self.witnesses()
        };
        ready.filter(may_be_next).collect()
    }

    /// Where waiters are not all alike, the oldest of the dearest is spared too, not only the oldest of all.
    fn mark_who_may_be_spared(&mut self) {
        for class in Class::QUEUED.into_iter().filter(|class| !self.is_plain(*class)).collect::<Vec<_>>() {
            let of_class = self.waiting.iter_mut().filter(|waiter| waiter.class == class);
            let of_class = of_class.collect::<Vec<_>>();
            if of_class.len() > 16 {
                of_class.into_iter().for_each(|waiter| waiter.spared = true);
            }
        }
    }

    /// How many were spared so far, at most: one, and another one every 100 ms.
    fn witnesses(&self) -> u64 {
        1 + self.now.as_nanos() / 100_000_000
    }

    /// Who may be served in place of this one, under overload, because there is more time for it.
    fn who_has_more_time(&self, head: &Waiter, snapshot: &Snapshot) -> Vec<&Waiter> {
        let adaptive = self.settings.queue.discipline == Discipline::Adaptive;
        let Some(deadline) = head.request.deadline else { return Vec::new() };
        if !adaptive || !self.settings.predict || !self.newest_first(head.class, snapshot) {
            return Vec::new();
        }
        let may_go_first = |other: &&Waiter| {
            head.is_newer_than(other)
                && other.request.deadline.is_none_or(|other| other > deadline)
                && other.request.route == head.request.route
                && (!self.settings.fairness || other.request.tenant == head.request.tenant)
                && other.request.cost <= head.request.cost
        };
        self.ready(head.class).filter(may_go_first).collect()
    }

    fn newest_first(&self, class: Class, snapshot: &Snapshot) -> bool {
        match self.settings.queue.discipline {
            Discipline::Fifo | Discipline::Codel => false,
            Discipline::Lifo => true,
            Discipline::Adaptive => snapshot.class(class).overloaded,
        }
    }

    /// Whether one whose turn it is is refused instead.
    fn comes_too_late(&self, request: &Request, snapshot: &Snapshot) -> bool {
        self.prediction_counts(request, 1) && self.is_doomed(request, 0, snapshot)
    }

    fn check_totals(&self) {
        self.admission.check_invariants();
        let snapshot = self.admission.snapshot(self.now);
        let total = snapshot.counters.total();
        let occupancy = self.admission.occupancy();
        assert_eq!(
            (occupancy.limit, occupancy.in_flight, occupancy.queued, occupancy.queue_depth),
            (snapshot.limit, snapshot.in_flight, snapshot.queued, snapshot.queue_depth)
        );
        assert_eq!(
            (occupancy.bypass_limit, occupancy.bypass_in_flight),
            (snapshot.bypass_limit, snapshot.bypass_in_flight)
        );
        assert_eq!(
            (snapshot.in_flight, snapshot.bypass_in_flight),
            (self.in_flight(false), self.in_flight(true))
        );
        assert_eq!((snapshot.doomed_started, snapshot.needless_sheds), (0, 0));
        assert_eq!(snapshot.queued as usize, self.waiting.len());
        let held = self.waiting.iter().map(|waiter| u64::from(waiter.request.held_bytes));
        assert_eq!(snapshot.held_bytes, held.sum::<u64>());
        assert_eq!((total.offered, total.admitted), (self.offered, self.admitted));
        assert_eq!(
            (total.shed_total(), total.abandoned, total.ended()),
            (self.shed, self.abandoned, self.ended)
        );
        let oldest = self.waiting.iter().map(|waiter| self.now.saturating_since(waiter.arrived)).max();
        assert_eq!(snapshot.oldest_wait, oldest);
    }

    /// Everybody goes home: nothing may be left.
    fn finish(mut self) {
        while !self.permits.is_empty() {
            self.apply(Action::Complete(0, Outcome::Completed));
        }
        assert!(self.waiting.is_empty());
        assert_eq!(self.offered, self.admitted + self.shed + self.abandoned);
        assert_eq!(self.admitted, self.ended);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn random_histories_agree_with_the_model(
        settings in settings(),
        actions in prop::collection::vec(action(), 0..300),
    ) {
        let mut model = Model::new(settings);
        for action in actions {
            model.apply(action);
        }
        model.finish();
    }

    /// The same history gives the same answers, to the nanosecond of the jitter.
    #[test]
    fn the_core_is_deterministic(settings in settings(), arrivals in prop::collection::vec((class(), 0_u64..9_000_000), 0..60)) {
        let run = || {
            let mut admission = Admission::new(settings.clone());
            let mut now = Instant::ORIGIN;
            let mut transcript = String::new();
            for (class, gap) in &arrivals {
                now = now + Duration::from_nanos(*gap);
                transcript += &format!("{:?}", admission.on_arrival(now, Request::new(*class)));
                loop {
                    let event = admission.poll(now);
                    transcript += &format!("{event:?}");
                    if matches!(event, Event::Idle | Event::WakeAt(_)) {
                        break;
                    }
                }
            }
            transcript
        };
        prop_assert_eq!(run(), run());
    }
}
