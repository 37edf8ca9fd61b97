//! Dry run and shadow: settings that decide about every request and are not obeyed.
//!
//! **Why it exists.** A limit is found by watching what it would do. In a *dry run* the configured settings are watched while
//! nobody is rejected or made to wait; with a *shadow*, other settings are watched beside those in force.
//!
//! Both are one mechanism: a [`core::Shadow`] hears of each request as it asks for a slot, and of how long it was in service.
//! With `shadow = "next.toml"` it runs that file's settings beside the gate. With `dry_run = true` it runs the configured ones,
//! and the gate is open: it admits everybody at once, so that nothing of what is decided here is felt.
//!
//! **When it acts.** Where a request would ask for its slot ([`follow`]), where it gets one, and where its slot comes back.
//! One more lock per request while it is on, nothing while it is off.
//!
//! **Out of scope.** What is refused for the proxy's own sake also in a dry run: connections beyond `max_connections`, broken
//! or oversized messages, timeouts.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use loadline_core::{
    self as core, ClassCounters, Explanation, Occupancy, OverloadLevel, Reason, Request, ShadowKey, Snapshot,
};
use loadline_tower::{Gate, Permit};
use tokio::time::Instant;

use crate::access_log::AccessLog;
use crate::asked::Asked;
use crate::buffers::Scratch;
use crate::client::Peer;
use crate::config::settings::Settings;
use crate::exchange::Exchange;
use crate::live::Live;

/// The limit of an open gate: more than connections can be open.
pub(crate) const OPEN: NonZeroU32 = NonZeroU32::new(1 << 30).expect("it is not zero");

/// Settings that are watched.
#[derive(Clone)]
pub(crate) struct ShadowRun {
    shared: Arc<Watched>,
    /// By which a request's class and deadline are read; `None`: by those in force, which is a dry run.
    asks: Option<Arc<Live>>,
}

struct Watched {
    core: Mutex<core::Shadow>,
    /// Whose clock is used.
    gate: Gate,
    since: Instant,
    /// What the gate had counted when this began.
    before: ClassCounters,
}

/// What a shadow has seen, beside what really happened since it began.
pub(crate) struct Comparison {
    pub(crate) shadow: Snapshot,
    pub(crate) since: Instant,
    /// The real offered, admitted and rejected.
    pub(crate) real: [u64; 3],
}

/// Whether a request would have been rejected by now: 0, or its reason's index and one.
#[derive(Default)]
pub(crate) struct Fate(AtomicU8);

impl Fate {
    pub(crate) fn shed(&self) -> Option<Reason> {
        Reason::ALL.get(usize::from(self.0.load(Ordering::Relaxed)).checked_sub(1)?).copied()
    }

    fn set(&self, reason: Reason) {
        let code = u8::try_from(reason.index() + 1).expect("there are few reasons");
        self.0.store(code, Ordering::Relaxed);
    }
}

impl ShadowRun {
    /// What `live` and the settings `beside` it ask for: a dry run, a shadow, or nothing. An earlier run of the same kind goes on
    /// under its new settings, and keeps what it has counted.
    pub(crate) fn of(
        live: &Live,
        beside: Option<Settings>,
        earlier: Option<&Self>,
        gate: &Gate,
    ) -> Option<Self> {
        // Its routes have numbers of their own, which mean the same as long as it knows them.
        let known = earlier.and_then(|earlier| earlier.asks.as_ref()).map(|asks| &asks.routes);
        let asks = beside.filter(|_| !live.settings.dry_run).map(|settings| {
            let (upstream, log) = (Arc::clone(&live.upstream), Arc::new(AccessLog::off()));
            Arc::new(Live::new(settings, live.configured.seed, upstream, log, known))
        });
        if asks.is_none() && !live.settings.dry_run {
            return None;
        }
        let settings = asks.as_ref().map_or(&live.configured, |asks| &asks.configured).clone();
        let shared = match earlier.filter(|earlier| earlier.asks.is_some() == asks.is_some()) {
            Some(earlier) => {
                earlier.shared.core().reconfigure(gate.now(), settings);
                Arc::clone(&earlier.shared)
            }
            None => Arc::new(Watched {
                core: Mutex::new(core::Shadow::new(settings)),
                gate: gate.clone(),
                since: Instant::now(),
                before: gate.snapshot().counters.total(),
            }),
        };
        Some(Self { shared, asks })
    }

    pub(crate) fn is_dry_run(&self) -> bool {
        self.asks.is_none()
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let now = self.shared.gate.now();
        self.shared.core().snapshot(now)
    }

    pub(crate) fn occupancy(&self) -> Occupancy {
        self.shared.core().occupancy()
    }

    pub(crate) fn compare(&self) -> Comparison {
        let (real, before) = (self.shared.gate.snapshot().counters.total(), &self.shared.before);
        Comparison {
            shadow: self.snapshot(),
            since: self.shared.since,
            real: [
                real.offered - before.offered,
                real.admitted - before.admitted,
                real.shed_total() - before.shed_total(),
            ],
        }
    }

    pub(crate) fn explain(&self, request: &Request) -> Explanation {
        let now = self.shared.gate.now();
        self.shared.core().explain(now, request)
    }

    pub(crate) fn restart_warmup(&self) {
        let now = self.shared.gate.now();
        self.shared.core().restart_warmup(now);
    }

    pub(crate) fn set_draining(&self, draining: bool) {
        let now = self.shared.gate.now();
        self.shared.core().set_draining(now, draining);
    }

    pub(crate) fn set_overload(&self, level: OverloadLevel) {
        let now = self.shared.gate.now();
        self.shared.core().set_overload(now, level);
    }
}

impl Watched {
    fn core(&self) -> MutexGuard<'_, core::Shadow> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that a shadow follows. Dropped before the request was in service, it counts as really rejected.
pub(crate) struct Followed {
    shared: Arc<Watched>,
    key: Option<ShadowKey>,
    fate: Option<Arc<Fate>>,
}

/// Tells the shadow, if there is one, of a request that asks for a slot at `now`. In a dry run `exchange` learns of its fate.
pub(crate) fn follow(
    live: &Live,
    scratch: &Scratch,
    peer: &Peer,
    exchange: &mut Exchange,
    asked: &Asked,
    now: core::Instant,
) -> Option<Followed> {
    let run = live.shadow.as_ref()?;
    let other = run
        .asks
        .as_ref()
        .map(|asks| Asked::read(scratch, asks, peer.client.ip(), asks.trusts(peer), exchange.began));
    let asked = other.as_ref().unwrap_or(asked);
    let fate = run.is_dry_run().then(Arc::<Fate>::default);
    exchange.dry_run.clone_from(&fate);
    let mut core = run.shared.core();
    if asked.too_old {
        core.record_shed(now, asked.class, Reason::QueueAge);
        if let Some(fate) = fate {
            fate.set(Reason::QueueAge);
        }
        return None;
    }
    let key = core.on_arrival(now, asked.request(now, scratch.held.len()));
    if let (Some(fate), Some(reason)) = (&fate, core.shed(&key)) {
        fate.set(reason);
    }
    drop(core);
    Some(Followed { shared: Arc::clone(&run.shared), key: Some(key), fate })
}

impl Followed {
    /// The request is in service, for as long as it holds this permit.
    pub(crate) fn starts(mut self, permit: &mut Permit) {
        let Some(key) = self.key.take() else { return };
        self.shared.core().on_start(permit.admitted_at(), &key);
        let (shared, fate) = (Arc::clone(&self.shared), self.fate.take());
        permit.on_end(move |outcome| {
            let now = shared.gate.now();
            let shed = shared.core().on_complete(now, key, outcome);
            if let (Some(fate), Some(reason)) = (fate, shed) {
                fate.set(reason);
            }
        });
    }

    /// The client left before the request was in service.
    pub(crate) fn left(mut self) {
        if let Some(key) = self.key.take() {
            let now = self.shared.gate.now();
            self.shared.core().on_cancel(now, key);
        }
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            let now = self.shared.gate.now();
            self.shared.core().on_shed(now, key);
        }
    }
}
