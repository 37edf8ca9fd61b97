//! Metrics and events beside the ledger.

use std::{
    num::NonZeroU32,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Empty};
use loadline_tower::{Gate, Metrics, Observer as _, ShedEvents, server::LoadlineLayer};
use prometheus_client::{encoding::text::encode, registry::Registry};
use tokio::time::sleep;
use tower::{Layer as _, ServiceExt as _, service_fn};
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

fn page(registry: &Registry) -> String {
    let mut page = String::new();
    encode(&mut page, registry).unwrap();
    page
}

fn value(page: &str, sample: &str) -> f64 {
    let line = page.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {sample} in\n{page}")).parse().unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_proxys_names_and_the_gates_numbers() {
    let gate = Gate::builder(NonZeroU32::MIN).no_queue().build();
    let mut registry = Registry::default();
    let metrics = Metrics::register(&mut registry, gate.clone());
    let service = LoadlineLayer::new(gate).observer(metrics).layer(service_fn(|_: Request<()>| async {
        sleep(Duration::from_secs(1)).await;
        Ok::<_, std::convert::Infallible>(Response::new(Empty::<Bytes>::new()))
    }));
    for _ in 0..10 {
        let working = tokio::spawn(service.clone().oneshot(Request::new(())));
        tokio::task::yield_now().await;
        let mut late = Request::new(());
        late.headers_mut().insert("x-request-timeout-ms", "never".parse().unwrap());
        drop(service.clone().oneshot(late).await.unwrap());
        drop(working.await.unwrap().unwrap().into_body().collect().await.unwrap());
    }
    let page = page(&registry);
    for (sample, expected) in [
        ("http_requests_shed_total{priority=\"normal\",reason=\"concurrency\"}", 10.0),
        ("http_requests_shed_total{priority=\"critical\",reason=\"draining\"}", 0.0),
        ("loadline_requests_offered_total{priority=\"normal\"}", 20.0),
        ("loadline_requests_admitted_total{priority=\"normal\"}", 10.0),
        ("loadline_outcomes_total{priority=\"normal\",outcome=\"completed\"}", 10.0),
        ("loadline_headers_invalid_total{header=\"x-request-timeout-ms\"}", 10.0),
        ("http_requests_active", 0.0),
        ("loadline_concurrency_limit", 1.0),
        ("http_queue_latency_seconds_count", 10.0),
        ("http_shed_rate", 0.5),
        ("loadline_demand_ratio", 2.0),
    ] {
        assert!((value(&page, sample) - expected).abs() < 1e-6, "{sample}: {}", value(&page, sample));
    }
    assert_eq!(
        page.matches("http_requests_shed_total{").count(),
        5 * 14,
        "every pair is there from the start"
    );
}

#[tokio::test]
async fn every_name_is_one_of_the_proxys() {
    let gate = Gate::builder(NonZeroU32::MIN).build();
    let mut registry = Registry::default();
    let metrics = Metrics::register(&mut registry, gate);
    metrics.on_invalid_header("grpc-timeout");
    let list = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/metrics.md");
    let list = std::fs::read_to_string(list).unwrap();

    let page = page(&registry);
    let types = page.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let families: Vec<_> = types.map(|line| line.split_once(' ').unwrap()).collect();
    assert!(families.len() > 10, "{families:?}");
    for (name, kind) in families {
        // The list has the names of the samples.
        let suffix = if kind == "counter" { "_total" } else { "" };
        assert!(list.contains(&format!("| `{name}{suffix}` | {kind} |")), "{name}: {kind}");
    }
}

/// Keeps the fields of events as text.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "loadline"
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        assert_eq!(*event.metadata().level(), Level::WARN);
        let mut text = Text(String::new());
        event.record(&mut text);
        self.0.lock().unwrap().push(text.0);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0 += &format!("{}={value:?} ", field.name());
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_per_rejection_but_not_more_than_some_per_second() {
    let log = Log::default();
    let _default = tracing::subscriber::set_default(log.clone());
    let gate = Gate::builder(NonZeroU32::MIN).no_queue().build();
    let events = Arc::new(ShedEvents::at_most(NonZeroU32::new(2).unwrap()));
    let service =
        LoadlineLayer::new(gate.clone()).observer(events).layer(service_fn(|_: Request<()>| async {
            Ok::<_, std::convert::Infallible>(Response::new(Empty::<Bytes>::new()))
        }));
    let held = gate.try_admit(gate.inherited());
    for _ in 0..5 {
        drop(service.clone().oneshot(Request::new(())).await.unwrap());
    }
    tokio::time::advance(Duration::from_secs(1)).await;
    drop(service.oneshot(Request::new(())).await.unwrap());
    drop(held);
    let lines = log.0.lock().unwrap().clone();
    assert_eq!(lines.len(), 3);
    assert!(lines[0].contains("reason=\"concurrency\" class=\"normal\" waited_ms=0"), "{}", lines[0]);
    assert!(lines[0].contains("unwritten=0") && lines[2].contains("unwritten=3"), "{lines:?}");
}
