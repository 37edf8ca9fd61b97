//! Picking an endpoint for a request, and telling it how that went.

use std::sync::Arc;
use std::time::Duration;

use loadline_core::{BreakerCall, BreakerResult, Instant};

use super::Upstream;
use super::choose::{Candidate, choose, random};
use super::endpoint::{Endpoint, InService};
use super::set::{Member, Set};
use crate::config::settings::Policy;

/// An endpoint for one exchange: a place among its requests in service, and the breaker's leave. Dropping it gives both back
/// and says nothing about the endpoint.
pub(crate) struct Pick {
    service: InService,
    /// Present until the breaker was told how it went; absent where nobody judges.
    call: Option<(Arc<Upstream>, BreakerCall)>,
}

/// Why no endpoint can be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// No name has an address (yet).
    Unresolved,
    /// Each of them has as many requests in service as it may.
    Busy,
    /// Each of them failed too often. How long it is worth waiting.
    Open(Duration),
    /// There is none, for several reasons.
    NoEndpoint,
}

/// Who asks for an endpoint.
#[derive(Clone, Copy)]
pub(crate) struct Wish<'a> {
    /// Endpoints that had their chance.
    pub(crate) tried: &'a [Arc<Endpoint>],
    /// Whether the request can be sent again if the endpoint turns out not to be well: others are kept away from those that
    /// have to prove themselves.
    pub(crate) repeatable: bool,
    /// A health check: it is to be told how things are.
    pub(crate) bypass: bool,
}

impl Upstream {
    /// An endpoint for a request.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) fn pick(self: &Arc<Self>, wish: Wish<'_>) -> Result<Pick, Refusal> {
        let set = self.set.load();
        let rules = &set.rules;
        let most = if wish.bypass { usize::MAX } else { rules.most() };
        if let ([only], false, true) = (set.members.as_slice(), set.guarded, wish.tried.is_empty()) {
            return only
                .endpoint
                .enter(most)
                .map(|service| Pick { service, call: None })
                .ok_or(Refusal::Busy);
        }
        if set.members.is_empty() {
            return Err(Refusal::Unresolved);
        }
        let now = self.now();
        let turn = self.turn.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let tiers = || set.tiers.iter();
        for (look, tier) in Look::of(&set, wish).flat_map(|look| tiers().map(move |tier| (look, tier))) {
            let members = &set.members[tier.range.clone()];
            // Whoever else looks may be faster, but not for ever.
            for _ in 0..=members.len() {
                let candidate = |index: usize| look.candidate(&set, wish, &members[index], now);
                let Some(chosen) = choose(rules.policy, &tier.draws, turn, &mut random, candidate) else {
                    break;
                };
                let endpoint = &members[chosen].endpoint;
                let Some(service) = endpoint.enter(most) else { continue };
                if !set.judged || look.is_blind() || wish.bypass {
                    return Ok(Pick { service, call: None });
                }
                if let Some(call) = endpoint.begin(now) {
                    return Ok(Pick { service, call: Some((Arc::clone(self), call)) });
                }
            }
        }
        Err(refusal(&set, wish, now))
    }

    /// Whether there is an endpoint for a request at this moment, busy or not.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) fn check(&self) -> Result<(), Refusal> {
        let set = self.set.load();
        if !set.guarded || set.members.is_empty() {
            return Ok(());
        }
        let (now, wish) = (self.now(), Wish { tried: &[], repeatable: true, bypass: false });
        let fits = |look: &Look| set.endpoints().any(|endpoint| look.allows(endpoint, now));
        if Look::of(&set, wish).any(|look| fits(&look)) { Ok(()) } else { Err(refusal(&set, wish, now)) }
    }

    /// How many endpoints could do what those `tried` could not, by what is known of them.
    pub(crate) fn count_others(&self, tried: &[Arc<Endpoint>]) -> u32 {
        let set = self.set.load();
        let now = self.now();
        let other =
            |endpoint: &&Arc<Endpoint>| !is_tried(tried, endpoint) && Look::Probes.allows(endpoint, now);
        u32::try_from(set.endpoints().filter(other).count()).unwrap_or(u32::MAX)
    }

    /// Whether there is one that such a request would be sent to, be it the last resort.
    pub(crate) fn is_another(&self, wish: Wish<'_>) -> bool {
        let set = self.set.load();
        let now = self.now();
        let usable = |endpoint: &Arc<Endpoint>| Look::of(&set, wish).any(|look| look.allows(endpoint, now));
        set.endpoints().any(|endpoint| !is_tried(wish.tried, endpoint) && usable(endpoint))
    }
}

/// How choosy a look at the endpoints is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    /// Only those in good standing, and those for which no better request comes.
    Good,
    /// Also those that have to prove themselves.
    Probes,
    /// Also ejected ones: being left out must not make a request fail.
    Ejected,
    /// Any, also those whose health checks fail.
    Any,
}

impl Look {
    /// The looks that such a request is worth, the choosiest first.
    fn of(set: &Set, wish: Wish<'_>) -> impl Iterator<Item = Self> {
        let breaker = set.rules.breaker;
        [Self::Good, Self::Probes, Self::Ejected, Self::Any].into_iter().filter(move |look| match look {
            Self::Good => !wish.repeatable,
            Self::Probes => true,
            Self::Ejected => !breaker || wish.bypass,
            Self::Any => wish.bypass || set.rules.open,
        })
    }

    /// Whether it takes endpoints without the breaker's leave.
    fn is_blind(self) -> bool {
        matches!(self, Self::Ejected | Self::Any)
    }

    fn allows(self, endpoint: &Endpoint, now: Instant) -> bool {
        match self {
            Self::Good => !endpoint.is_down() && (!endpoint.is_tripped() || endpoint.is_overdue(now)),
            Self::Probes => !endpoint.is_down() && endpoint.check(now).is_ok(),
            Self::Ejected => !endpoint.is_down(),
            Self::Any => true,
        }
    }

    fn candidate(self, set: &Set, wish: Wish<'_>, member: &Member, now: Instant) -> Option<Candidate> {
        let endpoint = &member.endpoint;
        let free = wish.bypass || endpoint.in_flight() < set.rules.most();
        let usable = free && !is_tried(wish.tried, endpoint) && self.allows(endpoint, now);
        let latency = set.rules.policy == Policy::LeastLatency;
        usable.then(|| endpoint.candidate(now, member.share(), latency, set.rules.slow_start))
    }
}

fn is_tried(tried: &[Arc<Endpoint>], endpoint: &Arc<Endpoint>) -> bool {
    tried.iter().any(|tried| Arc::ptr_eq(tried, endpoint))
}

fn refusal(set: &Set, wish: Wish<'_>, now: Instant) -> Refusal {
    let others = || set.endpoints().filter(|endpoint| !is_tried(wish.tried, endpoint));
    let usable = |endpoint: &Arc<Endpoint>| Look::of(set, wish).any(|look| look.allows(endpoint, now));
    if others().any(usable) {
        return Refusal::Busy;
    }
    let rests: Option<Vec<_>> =
        others().map(|one| if one.is_down() { None } else { one.check(now).err() }).collect();
    match rests.and_then(|rests| rests.into_iter().min()) {
        Some(rest) => Refusal::Open(rest),
        None => Refusal::NoEndpoint,
    }
}

impl Pick {
    pub(crate) fn endpoint(&self) -> &Arc<Endpoint> {
        self.service.endpoint()
    }

    /// The endpoint answered with this status, to what it was sent at `sent`. `busy`: its own loadline turned the request
    /// away, which does not mean that it is broken.
    pub(crate) fn answered(
        &mut self,
        upstream: &Upstream,
        status: u16,
        sent: tokio::time::Instant,
        now: tokio::time::Instant,
        busy: bool,
    ) {
        let set = upstream.set.load();
        let good = busy || !set.rules.statuses.contains(&status);
        let took = || now.saturating_duration_since(sent);
        let now = upstream.at(now);
        self.endpoint().note_result(now, good);
        if good && !busy && set.measured {
            // How fast it fails or refuses says nothing of its work.
            self.endpoint().note_latency(now, took());
        }
        drop(set);
        if self.call.is_some() {
            self.tell(match (good, busy) {
                (false, _) => BreakerResult::Failure,
                // It lives: proof enough for a probe.
                (true, true) => BreakerResult::Success(Duration::ZERO),
                (true, false) => BreakerResult::Success(took()),
            });
        }
    }

    /// The endpoint failed: no connection, no answer in time, or none that is one.
    pub(crate) fn failed(&mut self, upstream: &Upstream) {
        self.endpoint().note_result(upstream.now(), false);
        self.tell(BreakerResult::Failure);
    }

    /// Its client has left: how it ends says nothing, and a probe's place is free.
    pub(crate) fn abandoned(&mut self) {
        self.tell(BreakerResult::Unknown);
    }

    fn tell(&mut self, result: BreakerResult) {
        let Some((upstream, call)) = self.call.take() else { return };
        let endpoint = self.service.endpoint();
        let changed = endpoint.end(upstream.now(), call, result, || upstream.may_trip());
        if changed.is_some() {
            upstream.changed.notify_one();
        }
    }
}

impl Drop for Pick {
    fn drop(&mut self) {
        self.tell(BreakerResult::Unknown);
    }
}
