//! The upstream: its endpoints, which of them is next, and the connections kept to them.
//!
//! There is one for the whole process. What the request path reads of it is one snapshot ([`Set`]), replaced as a whole when
//! discovery finds other endpoints or a reload brings other settings; an endpoint that stays keeps its connections and what was
//! learned of it.
//!
//! Two things take an endpoint out: its health checks (`health.rs`), and its failures. The latter are judged by a breaker from
//! the core. With `breaker.enabled` an open breaker is final: when all are open, requests are refused. Without it, and with several
//! endpoints, it is an ejection: it only moves requests to others, never refuses one, and at most `balance.max_ejected` of the
//! endpoints can be out.

mod choose;
mod connect;
mod discover;
mod dns;
mod endpoint;
mod health;
mod io;
mod names;
mod outage;
mod pick;
mod place;
mod pool;
mod retries;
mod rules;
mod service;
mod set;
mod survey;
mod watch;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use loadline_core as core;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

pub(crate) use self::connect::{ConnectError, connect};
use self::discover::Lookups;
pub(crate) use self::endpoint::{Endpoint, Sight, Standing};
use self::outage::Outage;
pub(crate) use self::pick::{Pick, Refusal, Wish};
use self::place::Found;
pub(crate) use self::pool::{Connection, Room};
use self::retries::{MOST_ENDPOINTS, Retries};
use self::rules::Rules;
use self::set::{Member, Set};
pub(crate) use self::survey::survey;
pub(crate) use self::watch::Watch;
use crate::config::settings::Settings;

/// How long a request waits for the first answer to a name that is being looked up.
const FIRST_ANSWER: Duration = Duration::from_millis(100);

/// Most endpoints: beyond it a name is mistaken or hostile. Those behind it are told of (`watch.rs`, `survey.rs`).
const MOST: usize = 256;

/// See the module.
pub(crate) struct Upstream {
    set: ArcSwap<Set>,
    /// The origin of the core's time.
    origin: Instant,
    workers: usize,
    seed: u64,
    turn: AtomicUsize,
    retries: Retries,
    pub(crate) outage: Outage,
    resolve_now: Notify,
    resolved: Notify,
    /// Told when an endpoint came, went, failed or returned.
    pub(crate) changed: Notify,
    ever_reached: AtomicBool,
    left_out: AtomicUsize,
    lookups: Lookups,
}

impl Upstream {
    /// As `settings` say, with the endpoints that need no lookup. `seed` varies the breakers' jitter.
    pub(crate) fn new(settings: &Settings, seed: u64) -> Arc<Self> {
        let upstream = Arc::new(Self {
            set: ArcSwap::from_pointee(Set::new(Vec::new(), Rules::of(settings))),
            origin: Instant::now(),
            workers: settings.workers.get(),
            seed,
            turn: AtomicUsize::new(0),
            retries: Retries::default(),
            outage: Outage::default(),
            resolve_now: Notify::new(),
            resolved: Notify::new(),
            changed: Notify::new(),
            ever_reached: false.into(),
            left_out: AtomicUsize::new(0),
            lookups: Lookups::default(),
        });
        upstream.set_endpoints(settings.upstream.targets().iter().filter_map(discover::literal).collect());
        upstream
    }

    /// Puts other settings in force, but for the targets.
    pub(crate) fn reconfigure(&self, settings: &Settings) {
        let rules = Rules::of(settings);
        let members = self.set.load().members.clone();
        for member in &members {
            member.endpoint.reconfigure(rules.breaker_settings);
        }
        self.set.store(Arc::new(Set::new(members, rules)));
        self.changed.notify_one();
    }

    /// Keeps the endpoints those of the settings, and checks them, until the task is aborted.
    pub(crate) async fn keep(self: Arc<Self>, settings: Settings) {
        let host = settings.upstream.targets().first().map(ToString::to_string).unwrap_or_default();
        let mut tasks = JoinSet::new();
        tasks.spawn(discover::keep_resolved(Arc::clone(&self), settings.upstream, settings.dns));
        tasks.spawn(health::keep_checked(self, settings.balance.health, host));
        while tasks.join_next().await.is_some() {}
    }

    pub(crate) fn endpoints(&self) -> Vec<Arc<Endpoint>> {
        self.set.load().endpoints().cloned().collect()
    }

    fn is_empty(&self) -> bool {
        self.set.load().members.is_empty()
    }

    /// Replaces the endpoints by those `found`. Only discovery calls it, one call at a time.
    fn set_endpoints(&self, mut found: Vec<Found>) {
        let set = self.set.load_full();
        // One that is named twice has the better of its ranks.
        found.sort_by(|a, b| (&a.place, a.rank).cmp(&(&b.place, b.rank)));
        found.dedup_by(|a, b| a.place == b.place);
        found.sort_by_key(|found| found.rank);
        self.left_out.store(found.len().saturating_sub(MOST), Ordering::Relaxed);
        found.truncate(MOST);
        let joined = (!set.members.is_empty()).then(|| self.now());
        let member = |found: Found| {
            let (rank, share) = (found.rank, found.share);
            let known = set.endpoints().find(|endpoint| endpoint.place == found.place);
            let endpoint = if let Some(known) = known {
                known.spare.store(Arc::new(found.spare));
                Arc::clone(known)
            } else {
                let seed = self.seed ^ choose::random();
                Endpoint::new(found, self.workers, set.rules.breaker_settings, seed, joined)
            };
            Member { endpoint, rank, share }
        };
        let next = Set::new(found.into_iter().map(member).collect(), set.rules.clone());
        let stays = |endpoint: &Arc<Endpoint>| next.endpoints().any(|other| Arc::ptr_eq(endpoint, other));
        let gone: Vec<_> = set.endpoints().filter(|endpoint| !stays(endpoint)).map(Arc::clone).collect();
        let same = gone.is_empty() && next.members.len() == set.members.len();
        self.set.store(Arc::new(next));
        // What is in service there runs to its end; what idles has no end to come to.
        gone.iter().for_each(|endpoint| endpoint.pool.retire());
        if !same {
            self.changed.notify_one();
        }
    }

    /// Addresses that get no requests because there are too many.
    pub(crate) fn left_out(&self) -> usize {
        self.left_out.load(Ordering::Relaxed)
    }

    /// The core's time.
    fn now(&self) -> core::Instant {
        self.at(Instant::now())
    }

    fn at(&self, moment: Instant) -> core::Instant {
        core::Instant::ORIGIN + moment.saturating_duration_since(self.origin)
    }

    /// How far in the future a moment of the core's time is.
    pub(crate) fn until(&self, moment: core::Instant) -> Duration {
        moment.saturating_since(self.now())
    }

    /// Whether one more endpoint may be taken out for its failures.
    fn may_trip(&self) -> bool {
        let set = self.set.load();
        let out = set.endpoints().filter(|endpoint| endpoint.is_tripped()).count();
        set.rules.breaker || out < set.rules.may_eject(set.members.len())
    }

    /// Nobody is checked any more.
    fn all_up(&self) {
        let now = self.now();
        self.endpoints().iter().for_each(|endpoint| endpoint.set_down(now, None));
    }

    /// Whether a connection has ever been made: until then there is nothing to send traffic to.
    pub(crate) fn ever_reached(&self) -> bool {
        self.ever_reached.load(Ordering::Relaxed)
    }

    pub(crate) fn note_reached(&self) {
        if !self.ever_reached() {
            self.ever_reached.store(true, Ordering::Relaxed);
        }
    }

    /// Asks for names to be looked up soon.
    pub(crate) fn look_again(&self) {
        self.resolve_now.notify_one();
    }

    /// Waits a moment for the first answer to a lookup that is under way.
    pub(crate) async fn first_answer(&self) {
        let answer = self.resolved.notified();
        self.resolve_now.notify_one();
        if self.is_empty() {
            let _ = timeout(FIRST_ANSWER, answer).await;
        }
    }

    /// Whether a fresh connection can be made right now; used by the readiness check until the first success.
    pub(crate) async fn probe(&self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        if self.is_empty() {
            self.first_answer().await;
        }
        for endpoint in self.endpoints() {
            if connect(&endpoint, deadline, endpoint.pool.room(), None).await.is_ok() {
                self.note_reached();
                return true;
            }
        }
        false
    }

    /// Whether a request may be repeated on another endpoint: whether there is one, and the budget allows it.
    pub(crate) fn may_repeat(&self, tried: &[Arc<Endpoint>]) -> bool {
        let set = self.set.load();
        let (Some(share), least) = (set.rules.retry_budget, set.rules.retry_min) else { return false };
        if tried.len() >= MOST_ENDPOINTS || !self.is_another(Wish { tried, repeatable: true, bypass: false })
        {
            return false;
        }
        let sent = set.endpoints().map(|endpoint| endpoint.exchanges()).sum();
        self.retries.allow(share, least, self.now(), sent)
    }

    /// Repetitions that the budget did not allow, since the start.
    pub(crate) fn retries_refused(&self) -> u64 {
        self.retries.refused()
    }

    /// Connections that one endpoint may have open, of so many that the process may.
    pub(crate) fn connections_allowed(&self, process: usize) -> usize {
        process.min(self.set.load().rules.most())
    }

    /// Requests that one endpoint can have in service, health checks of clients not counted.
    fn most_in_service(&self) -> usize {
        let set = self.set.load();
        set.rules.most().min(set.rules.slots)
    }

    /// Requests that the endpoints may have in service together; `None`: nothing bounds them but the limit.
    pub(crate) fn capacity(&self) -> Option<u32> {
        let set = self.set.load();
        let (cap, now) = (set.rules.cap?.get(), self.now());
        let usable = |endpoint: &&Arc<Endpoint>| {
            !endpoint.is_down() && (!set.judged || endpoint.standing(now) == Standing::Up)
        };
        let usable = set.endpoints().filter(usable).count().max(1);
        Some(cap.saturating_mul(u32::try_from(usable).unwrap_or(u32::MAX)))
    }

    /// Open connections to all endpoints.
    pub(crate) fn connections(&self) -> usize {
        self.set.load().endpoints().map(|endpoint| endpoint.pool.open()).sum()
    }

    /// What the endpoints look like, by rank and place.
    pub(crate) fn sights(&self) -> Vec<Sight> {
        let (set, now) = (self.set.load(), self.now());
        let sight = |endpoint: &Arc<Endpoint>| {
            let mut sight = endpoint.sight(now);
            // What was thought of it while there were others, or breakers, keeps nobody away any more.
            if !set.judged && !matches!(sight.standing, Standing::Down(_)) {
                (sight.standing, sight.unproven) = (Standing::Up, false);
            }
            sight
        };
        set.endpoints().map(sight).collect()
    }

    /// Whether breakers are switched on, which is more than ejection.
    pub(crate) fn has_breakers(&self) -> bool {
        self.set.load().rules.breaker
    }

    /// A worker's housekeeping: closes idle connections that are dead, too old or too many.
    pub(crate) fn prune(&self, worker: usize, max_idle: Duration, allowed: usize) {
        let allowed = self.connections_allowed(allowed);
        for endpoint in self.set.load().endpoints() {
            endpoint.pool.prune(worker, max_idle, allowed);
        }
    }
}
