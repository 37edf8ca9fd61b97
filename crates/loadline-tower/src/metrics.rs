//! Metrics for `prometheus-client`, under the names that the proxy gives the same figures.
//!
//! So one dashboard and one set of alert rules serve both. Totals and states are read from the gate when somebody scrapes; the
//! request's path pays for one histogram. The last ten seconds of `http_shed_rate` and `loadline_demand_ratio` are those since
//! the latest scrape that is at least so long ago, or since the first.
//!
//! Not here, because a layer cannot know it: `http_requests_total` and what else is by method and status, connections, the
//! process.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use loadline_core::{Class, ClassCounters, Reason, Rejection, Snapshot};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{
        counter::{ConstCounter, Counter},
        family::Family,
        gauge::ConstGauge,
        histogram::Histogram,
    },
    registry::Registry,
};
use tokio::time::Instant;

use crate::{Gate, Observer};

/// Bounds of `http_queue_latency_seconds`, in seconds: the ones existing dashboards expect.
const QUEUE_BOUNDS: [f64; 9] = [0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Rates are taken over at least this long: short enough to follow an overload, long enough to be steady.
const WINDOW: Duration = Duration::from_secs(10);

/// Demand is capped here: an autoscaler that is told more would overshoot on a flood that is not demand.
const MOST_DEMAND: f64 = 10.0;

/// Observes the requests of a layer, and shows them and its gate; see the module.
///
/// ```
/// use loadline_tower::{Gate, Metrics, server::LoadlineLayer};
/// use prometheus_client::{encoding::text::encode, registry::Registry};
///
/// # let gate = Gate::builder(std::num::NonZeroU32::MIN).build();
/// let mut registry = Registry::default();
/// let metrics = Metrics::register(&mut registry, gate.clone());
/// let layer = LoadlineLayer::new(gate).observer(metrics);
/// # let _: axum::Router = axum::Router::new().layer(layer);
///
/// let mut page = String::new();
/// encode(&mut page, &registry)?;
/// assert!(page.contains("http_requests_shed_total{priority=\"low\",reason=\"queue_full\"} 0"));
/// # Ok::<(), std::fmt::Error>(())
/// ```
///
/// For two gates, register each in a sub-registry with a label of its own.
#[derive(Debug)]
pub struct Metrics {
    queue: Histogram,
    invalid: Family<[(&'static str, String); 1], Counter>,
}

impl Metrics {
    /// Adds this gate's metrics to the registry. What it returns belongs into the layers around that gate.
    pub fn register(registry: &mut Registry, gate: Gate) -> Arc<Self> {
        let metrics = Arc::new(Self { queue: Histogram::new(QUEUE_BOUNDS), invalid: Family::default() });
        registry.register(
            "http_queue_latency_seconds",
            "Time that requests waited for a slot, health checks excluded",
            metrics.queue.clone(),
        );
        registry.register(
            "loadline_headers_invalid",
            "Deadline headers that were ignored: malformed, or no time that can be meant",
            metrics.invalid.clone(),
        );
        let samples = Mutex::new(VecDeque::from([Sample::of(&gate.snapshot())]));
        registry.register_collector(Box::new(GateCollector { gate, samples }));
        metrics
    }
}

impl Observer for Metrics {
    fn on_admitted(&self, class: Class, waited: Duration) {
        if class != Class::Bypass {
            self.queue.observe(waited.as_secs_f64());
        }
    }

    fn on_shed(&self, rejection: &Rejection) {
        // At the door nobody waited.
        if rejection.depth > 0 {
            self.queue.observe(rejection.waited.as_secs_f64());
        }
    }

    fn on_invalid_header(&self, name: &str) {
        self.invalid.get_or_create(&[("header", name.to_owned())]).inc();
    }
}

/// What a scrape reads from the gate.
#[derive(Debug)]
struct GateCollector {
    gate: Gate,
    /// Oldest first; never empty.
    samples: Mutex<VecDeque<Sample>>,
}

impl Collector for GateCollector {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let now = self.gate.snapshot();
        let rates = self.rates(&now);
        let mut page = Page { encoder, now: &now };
        page.shed()?;
        page.by_class("loadline_requests_offered", "Requests that asked for a slot", |c| c.offered)?;
        page.by_class("loadline_requests_admitted", "Requests that got a slot", |c| c.admitted)?;
        page.by_class(
            "loadline_requests_abandoned",
            "Requests whose client left while they waited",
            |counters| counters.abandoned,
        )?;
        page.outcomes()?;
        page.counter(
            "loadline_doomed_started",
            "Requests started although they could not be answered by their deadline. Must stay 0",
            now.doomed_started,
        )?;
        page.counter(
            "loadline_needless_sheds",
            "Requests rejected for want of a slot while one was free and nobody else waited. Must stay 0",
            now.needless_sheds,
        )?;
        page.counter(
            "loadline_probes_started",
            "Requests started against the prediction, so that it can be corrected",
            now.probes_started,
        )?;
        let all = f64::from(now.in_flight + now.bypass_in_flight);
        let oldest = now.oldest_wait.unwrap_or_default().as_secs_f64();
        for (name, help, value) in [
            ("http_requests_active", "Requests that hold a slot", now.in_flight.into()),
            ("http_inflight_requests", "Requests that hold a slot, health checks included", all),
            ("http_shed_rate", "Share of requests rejected in the last 10 seconds, 0 to 1", rates.shed),
            ("loadline_concurrency_limit", "Requests that may hold a slot at once", now.limit.into()),
            ("loadline_bypass_active", "Health checks in service", now.bypass_in_flight.into()),
            ("loadline_queue_depth", "Requests that wait for a slot", now.queued.into()),
            ("loadline_queue_capacity", "Requests that may wait for a slot", now.queue_depth.into()),
            ("loadline_queue_oldest_seconds", "How long the oldest waiting request has waited", oldest),
            ("loadline_utilization_ratio", "Slots in use, as a share of the limit", now.utilization),
            (
                "loadline_demand_ratio",
                "Work asked for in the last 10 seconds, as a share of what the limit can do",
                rates.demand,
            ),
        ] {
            page.gauge(name, help, value)?;
        }
        Ok(())
    }
}

impl GateCollector {
    fn rates(&self, now: &Snapshot) -> Rates {
        let latest = Sample::of(now);
        let mut samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        while samples.get(1).is_some_and(|next| latest.at - next.at >= WINDOW) {
            samples.pop_front();
        }
        let since = samples[0];
        samples.push_back(latest);
        latest.rates_since(&since, now)
    }
}

/// The ledger at one moment, all classes but bypass.
#[derive(Clone, Copy, Debug)]
struct Sample {
    at: Instant,
    offered: u64,
    admitted: u64,
    shed: u64,
}

struct Rates {
    shed: f64,
    demand: f64,
}

impl Sample {
    fn of(snapshot: &Snapshot) -> Self {
        let mut sample = Self { at: Instant::now(), offered: 0, admitted: 0, shed: 0 };
        for counters in Class::QUEUED.map(|class| snapshot.counters.of(class)) {
            sample.offered += counters.offered;
            sample.admitted += counters.admitted;
            sample.shed += counters.shed_total();
        }
        sample
    }

    /// Demand is (admitted + shed per second) × mean service time ÷ limit. With a limit of 3 and a mean of 50 ms, 90 requests
    /// per second are a demand of 90 × 0.05 ÷ 3 = 1.5.
    fn rates_since(&self, since: &Self, now: &Snapshot) -> Rates {
        let seconds = (self.at - since.at).as_secs_f64();
        let (offered, shed) = (self.offered - since.offered, self.shed - since.shed);
        let asked = (self.admitted - since.admitted + shed) as f64;
        let service = now.mean_service.unwrap_or_default().as_secs_f64();
        let demand =
            if seconds > 0.0 { asked / seconds * service / f64::from(now.limit.max(1)) } else { 0.0 };
        Rates {
            shed: if offered > 0 { (shed as f64 / offered as f64).min(1.0) } else { 0.0 },
            demand: demand.min(MOST_DEMAND),
        }
    }
}

/// One family after another.
struct Page<'e, 's> {
    encoder: DescriptorEncoder<'e>,
    now: &'s Snapshot,
}

impl Page<'_, '_> {
    fn shed(&mut self) -> fmt::Result {
        let kind = ConstCounter::new(0_u64).metric_type();
        let mut family = self.encoder.encode_descriptor(
            "http_requests_shed",
            "Rejected requests, by class and reason",
            None,
            kind,
        )?;
        for class in Class::ALL {
            for reason in Reason::ALL {
                let labels = [("priority", class.as_str()), ("reason", reason.as_str())];
                let count = ConstCounter::new(self.now.counters.of(class).shed(reason));
                count.encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }

    fn outcomes(&mut self) -> fmt::Result {
        let kind = ConstCounter::new(0_u64).metric_type();
        let mut family = self.encoder.encode_descriptor(
            "loadline_outcomes",
            "Admitted requests, by how their slot was given back",
            None,
            kind,
        )?;
        for class in Class::ALL {
            let counters = self.now.counters.of(class);
            for (outcome, count) in [
                ("completed", counters.completed),
                ("failed", counters.failed),
                ("timed_out", counters.timed_out),
                ("aborted", counters.aborted),
            ] {
                let labels = [("priority", class.as_str()), ("outcome", outcome)];
                ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }

    fn by_class(&mut self, name: &str, help: &str, count: fn(&ClassCounters) -> u64) -> fmt::Result {
        let kind = ConstCounter::new(0_u64).metric_type();
        let mut family = self.encoder.encode_descriptor(name, help, None, kind)?;
        for class in Class::ALL {
            let counter = ConstCounter::new(count(self.now.counters.of(class)));
            counter.encode(family.encode_family(&[("priority", class.as_str())])?)?;
        }
        Ok(())
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let counter = ConstCounter::new(value);
        counter.encode(self.encoder.encode_descriptor(name, help, None, counter.metric_type())?)
    }

    fn gauge(&mut self, name: &str, help: &str, value: f64) -> fmt::Result {
        let gauge = ConstGauge::new(value);
        gauge.encode(self.encoder.encode_descriptor(name, help, None, gauge.metric_type())?)
    }
}
