//! loadline itself: the core that the proxy and the middleware run, called as they call it.
//!
//! There is no admission logic here, only bookkeeping: which ticket and which permit belongs to which request. Knobs have the
//! names that they have in loadline's configuration.

use std::num::NonZeroU32;

use loadline_core::{
    Admission, AimdSettings, AutoSettings, Decision, Discipline, Duration, Event, Gradient2Settings, Instant,
    LimitRange, LimiterSettings, Outcome, Permit, Request, RouteId, Settings, TenantId, Ticket,
    VegasSettings,
};
use serde::Deserialize;

use super::{Action, Gauge, Offer, OnAbort, Policy, Refusal, Verdict};
use crate::units::Span;

/// What loadline would be configured with.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct LoadlineSpec {
    settings: Settings,
    on_abort: OnAbort,
    server_timeout: Option<Span>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Knobs {
    limit: LimitKnobs,
    queue: QueueKnobs,
    priority: PriorityKnobs,
    deadline: DeadlineKnobs,
    fairness: FairnessKnobs,
    timeouts: TimeoutKnobs,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct LimitKnobs {
    /// The limit; for a law that adapts it, the ceiling.
    concurrency: Option<Concurrency>,
    /// fixed, aimd, vegas, gradient2 or auto.
    limiter: Option<String>,
    /// Where a law begins.
    start: Option<NonZeroU32>,
    /// How low it may go.
    min: Option<NonZeroU32>,
    on_abort: Option<OnAbort>,
}

/// As on the command line: a number, or `auto`.
#[derive(Deserialize)]
#[serde(untagged)]
enum Concurrency {
    Number(NonZeroU32),
    Word(String),
}

impl LimitKnobs {
    /// The limit or the ceiling, and the law.
    fn resolve(&self, hint: u32) -> Result<(NonZeroU32, LimiterSettings), String> {
        let (number, word) = match &self.concurrency {
            Some(Concurrency::Number(number)) => (Some(*number), None),
            Some(Concurrency::Word(word)) => (None, Some(word.as_str())),
            None => (None, None),
        };
        let usual = LimitRange::default();
        let range =
            LimitRange { start: self.start.unwrap_or(usual.start), min: self.min.unwrap_or(usual.min) };
        let limiter = match self.limiter.as_deref().or(word).unwrap_or("fixed") {
            "fixed" => LimiterSettings::Fixed,
            "aimd" => LimiterSettings::Aimd(AimdSettings { range, ..AimdSettings::default() }),
            "vegas" => LimiterSettings::Vegas(VegasSettings { range, ..VegasSettings::default() }),
            "gradient2" => {
                LimiterSettings::Gradient2(Gradient2Settings { range, ..Gradient2Settings::default() })
            }
            "auto" => LimiterSettings::Auto(AutoSettings { range }),
            other => {
                return Err(format!("limit.limiter: `{other}` is not fixed, aimd, vegas, gradient2 or auto"));
            }
        };
        let unwritten = match limiter {
            LimiterSettings::Fixed => NonZeroU32::new(hint).unwrap_or(NonZeroU32::MIN),
            _ => NO_CEILING,
        };
        Ok((number.unwrap_or(unwritten), limiter))
    }
}

/// Ceiling of a law to which nobody has given one: far above what one instance ever holds.
const NO_CEILING: NonZeroU32 = NonZeroU32::new(10_000).expect("it is not zero");

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct QueueKnobs {
    depth: Option<u32>,
    timeout: Option<Span>,
    discipline: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct PriorityKnobs {
    reserve: Option<u32>,
    aging: Option<Span>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct DeadlineKnobs {
    predict: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct FairnessKnobs {
    /// Whether tenants are treated alike. On by default: it has no effect where clients have none.
    tenants: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct TimeoutKnobs {
    upstream: Option<Span>,
}

/// As `timeouts.upstream` of the proxy.
const SERVER_TIMEOUT: Span = Span(30_000_000_000);

impl LoadlineSpec {
    pub(super) fn parse(knobs: toml::Table, hint: u32) -> Result<Self, String> {
        let knobs: Knobs = knobs.try_into().map_err(|error: toml::de::Error| error.to_string())?;
        let (limit, limiter) = knobs.limit.resolve(hint)?;
        let mut settings = Settings::new(limit);
        settings.limiter = limiter;
        settings.reserve = knobs.priority.reserve.unwrap_or_else(|| Settings::usual_reserve(limit));
        settings.predict = knobs.deadline.predict.unwrap_or(settings.predict);
        settings.fairness = knobs.fairness.tenants.unwrap_or(true);
        let queue = &mut settings.queue;
        queue.depth = knobs.queue.depth.unwrap_or(queue.depth);
        queue.aging = knobs.priority.aging.map(duration).or(queue.aging);
        if let Some(timeout) = knobs.queue.timeout {
            queue.timeout = Some(duration(timeout)).filter(|timeout| !timeout.is_zero());
        }
        if let Some(word) = knobs.queue.discipline {
            let found = Discipline::ALL.into_iter().find(|discipline| discipline.as_str() == word);
            queue.discipline = found
                .ok_or_else(|| format!("queue.discipline: `{word}` is not adaptive, fifo, lifo or codel"))?;
        }
        Ok(Self {
            settings,
            on_abort: knobs.limit.on_abort.unwrap_or(OnAbort::Finish),
            server_timeout: Some(knobs.timeouts.upstream.unwrap_or(SERVER_TIMEOUT)),
        })
    }

    pub(super) const fn adapts(&self) -> bool {
        !matches!(self.settings.limiter, LimiterSettings::Fixed)
    }

    pub(super) fn with_fixed_limit(&self, limit: u32) -> Self {
        let mut spec = self.clone();
        let limit = NonZeroU32::new(limit).unwrap_or(NonZeroU32::MIN);
        spec.settings.limit = limit;
        spec.settings.limiter = LimiterSettings::Fixed;
        spec.settings.reserve = Settings::usual_reserve(limit);
        spec
    }

    pub(super) fn build(&self, seed: u64) -> Loadline {
        let mut settings = self.settings.clone();
        settings.seed = seed;
        Loadline {
            spec: self.clone(),
            admission: Admission::new(settings),
            waiters: Vec::new(),
            tickets: Vec::new(),
            permits: Vec::new(),
        }
    }
}

/// The core and whom it speaks of; see the module.
#[derive(Debug)]
pub(super) struct Loadline {
    spec: LoadlineSpec,
    admission: Admission,
    /// Who waits, by [`Ticket::index`].
    waiters: Vec<usize>,
    /// By request.
    tickets: Vec<Option<Ticket>>,
    /// By request.
    permits: Vec<Option<Permit>>,
}

impl Policy for Loadline {
    fn arrive(&mut self, now: u64, offer: &Offer) -> Verdict {
        let mut request =
            Request::new(offer.class).with_retry(offer.retry).with_route(RouteId::new(offer.route));
        if let Some(deadline) = offer.deadline {
            request = request.with_deadline(Instant::from_nanos(deadline));
        }
        if let Some(tenant) = offer.tenant {
            request = request.with_tenant(TenantId::new(tenant));
        }
        match self.admission.on_arrival(Instant::from_nanos(now), request) {
            Decision::Admit(permit) => {
                *place(&mut self.permits, offer.id) = Some(permit);
                Verdict::Start
            }
            Decision::Queue(ticket) => {
                *place(&mut self.waiters, ticket.index()) = offer.id;
                *place(&mut self.tickets, offer.id) = Some(ticket);
                Verdict::Wait
            }
            Decision::Shed(rejection) => Verdict::Refuse(refusal(&rejection)),
        }
    }

    fn end(&mut self, now: u64, id: usize, outcome: Outcome) {
        let permit = self.permits[id].take().expect("a request ends once");
        self.admission.on_complete(Instant::from_nanos(now), permit, outcome);
    }

    fn leave(&mut self, now: u64, id: usize) -> bool {
        let ticket = self.tickets[id].take().expect("it waits");
        self.admission.on_cancel(Instant::from_nanos(now), ticket)
    }

    fn poll(&mut self, now: u64) -> Action {
        match self.admission.poll(Instant::from_nanos(now)) {
            Event::Dispatch(ticket, permit) => {
                let id = self.waiters[ticket.index()];
                self.tickets[id] = None;
                *place(&mut self.permits, id) = Some(permit);
                Action::Start(id)
            }
            Event::Expire(ticket, rejection) => {
                let id = self.waiters[ticket.index()];
                self.tickets[id] = None;
                Action::Refuse(id, refusal(&rejection))
            }
            Event::WakeAt(at) => Action::WakeAt(at.as_nanos()),
            Event::Idle => Action::Idle,
        }
    }

    fn on_abort(&self) -> OnAbort {
        self.spec.on_abort
    }

    fn server_timeout(&self) -> Option<u64> {
        self.spec.server_timeout.map(|timeout| timeout.0)
    }

    fn gauge(&self, now: u64) -> Gauge {
        let snapshot = self.admission.snapshot(Instant::from_nanos(now));
        Gauge {
            limit: f64::from(snapshot.effective_limit),
            in_flight: snapshot.in_flight,
            queued: snapshot.queued,
        }
    }
}

fn refusal(rejection: &loadline_core::Rejection) -> Refusal {
    let retry_after = u64::try_from(rejection.retry_after.as_nanos()).unwrap_or(u64::MAX);
    Refusal { reason: rejection.reason.as_str(), retry_after: Some(retry_after) }
}

const fn duration(span: Span) -> Duration {
    Duration::from_nanos(span.0)
}

/// The place with this index, made if there is none yet.
fn place<T: Default>(list: &mut Vec<T>, index: usize) -> &mut T {
    if list.len() <= index {
        list.resize_with(index + 1, T::default);
    }
    &mut list[index]
}
