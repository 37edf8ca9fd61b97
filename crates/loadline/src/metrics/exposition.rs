//! `/metrics`: every family, its help and its samples. Those of endpoints are in [`endpoints`]; how they are written down, in
//! [`super::text`].

use std::sync::atomic::Ordering;

use loadline_core::{Class, LimiterSnapshot, Reason, RouteId};

use super::text::{Format, Page};
use super::{Gone, METHODS, Repeat, UpstreamResult, Waste, WorkerMetrics, endpoints};
use crate::live::Live;
use crate::process::{self, Process};
use crate::routes::Routes;
use crate::shared::Shared;

/// All metrics of the process.
pub(crate) fn render(shared: &Shared, format: Format) -> String {
    let (process, live) = (&shared.process, shared.live());
    let mut total = WorkerMetrics::default();
    for worker in 0..shared.metrics.len() {
        total.add(&shared.metrics_of(worker));
    }
    let mut page = Page::new(format);
    requests(&mut page, &total, &live.routes);
    admission(&mut page, shared, &live, process, &total);
    endpoints::write(&mut page, &live.upstream);
    shadow(&mut page, &live);
    connections(&mut page, shared, &live);
    own(&mut page, process, &live);
    page.end()
}

fn requests(page: &mut Page, total: &WorkerMetrics, routes: &Routes) {
    page.counter("http_requests_total", "Responses sent, rejections included, by method, route and status.");
    for ((method, place), responses) in &total.responses {
        let method = METHODS[*method as usize];
        for (status, count) in &responses.by_status {
            page.sample(
                &[("method", method), ("path", place.name(routes)), ("status", &status.to_string())],
                count,
            );
        }
    }
    page.histogram(
        "http_request_duration_seconds",
        "From the first byte of a request to the last byte of its response, waiting included.",
    );
    for ((method, place), responses) in &total.responses {
        let labels = [("method", METHODS[*method as usize]), ("path", place.name(routes))];
        page.buckets(&labels, &responses.durations);
    }
    page.counter("upstream_requests_total", "Exchanges with the upstream, by how they ended.");
    for result in UpstreamResult::ASKED {
        page.sample(&[("result", result.as_str())], total.upstream[result as usize].count());
    }
    page.sample(&[("result", UpstreamResult::BreakerOpen.as_str())], total.breaker_open);
    page.histogram(
        "upstream_request_duration_seconds",
        "From the request's first byte to the upstream to the last byte of its response.",
    );
    for result in UpstreamResult::ASKED {
        page.buckets(&[("result", result.as_str())], &total.upstream[result as usize]);
    }
    page.counter(
        "loadline_requests_refused_total",
        "Requests that broke a rule of HTTP or a size or time limit.",
    );
    for (status, count) in &total.refused {
        page.sample(&[("status", &status.to_string())], count);
    }
    page.counter("loadline_upstream_retries_total", "Requests sent once more, by why.");
    for repeat in Repeat::ALL {
        page.sample(&[("reason", repeat.as_str())], total.repeats[repeat as usize]);
    }
    page.counter("loadline_client_disconnects_total", "Clients that left before they had their answer.");
    for stage in Gone::ALL {
        page.sample(&[("stage", stage.as_str())], total.disconnects[stage as usize]);
    }
}

fn admission(page: &mut Page, shared: &Shared, live: &Live, process: &Process, total: &WorkerMetrics) {
    let gate = shared.snapshot();
    page.counter("http_requests_shed_total", "Rejected requests, by class and reason.");
    for class in Class::ALL {
        let counters = gate.counters.of(class);
        for reason in Reason::ALL {
            let labels = [("priority", class.as_str()), ("reason", reason.as_str())];
            page.sample(&labels, counters.shed[reason.index()]);
        }
    }
    page.gauge("http_requests_active", "Requests that hold a slot.");
    page.sample(&[], gate.in_flight);
    page.gauge("http_inflight_requests", "Requests that hold a slot, health checks included.");
    page.sample(&[], gate.in_flight + gate.bypass_in_flight);
    page.gauge("http_shed_rate", "Share of requests rejected in the last 10 seconds, 0 to 1.");
    page.sample(&[], process.shed_rate());
    page.histogram(
        "http_queue_latency_seconds",
        "Time that requests waited for a slot; rejections at the door and health checks excluded.",
    );
    page.buckets(&[], &total.queue);

    for (name, help, value) in [
        ("loadline_requests_offered_total", "Requests that asked for a slot.", Count::Offered),
        ("loadline_requests_admitted_total", "Requests that got a slot.", Count::Admitted),
        (
            "loadline_requests_abandoned_total",
            "Requests whose client left while they waited.",
            Count::Abandoned,
        ),
    ] {
        page.counter(name, help);
        for class in Class::ALL {
            let counters = gate.counters.of(class);
            let count = match value {
                Count::Offered => counters.offered,
                Count::Admitted => counters.admitted,
                Count::Abandoned => counters.abandoned,
            };
            page.sample(&[("priority", class.as_str())], count);
        }
    }
    page.counter("loadline_outcomes_total", "Admitted requests, by how their slot was given back.");
    for class in Class::ALL {
        let counters = gate.counters.of(class);
        for (outcome, count) in [
            ("completed", counters.completed),
            ("failed", counters.failed),
            ("timed_out", counters.timed_out),
            ("aborted", counters.aborted),
        ] {
            page.sample(&[("priority", class.as_str()), ("outcome", outcome)], count);
        }
    }
    page.gauge("loadline_concurrency_limit", "Requests that may hold a slot at once.");
    page.sample(&[], gate.limit);
    page.gauge("loadline_effective_limit", "Slots there are now: fewer than the limit while warming up, others while an adaptive limit tries another one.");
    page.sample(&[], gate.effective_limit);
    limiter(page, &gate.limiter);
    page.gauge("loadline_predicted_wait_seconds", "How long a request that comes now would wait for a slot.");
    for class in Class::QUEUED {
        page.sample(&[("priority", class.as_str())], gate.class(class).predicted_wait.as_secs_f64());
    }
    page.counter(
        "loadline_client_retries_total",
        "Requests that came again after they had been refused or had failed, by what was decided.",
    );
    for (decision, count) in shared.client_retries.by_decision() {
        page.sample(&[("decision", decision)], count);
    }
    page.gauge("loadline_retries_active", "Slots held by requests that came again.");
    page.sample(&[], gate.retries_in_flight);
    page.counter(
        "loadline_wasted_seconds_total",
        "Slot time spent on answers that nobody took: the client had left, or the answer was late.",
    );
    for waste in Waste::ALL {
        page.sample(&[("cause", waste.as_str())], total.wasted[waste as usize]);
    }
    page.gauge("loadline_route_active", "Requests in service, by route; health checks excluded.");
    let in_flight = |id: RouteId| gate.in_flight_by_route.get(id.index()).copied().unwrap_or_default();
    let routes = [(RouteId::OTHER, "other")].into_iter().chain(live.routes.iter());
    for (id, name) in routes {
        page.sample(&[("path", name)], in_flight(id));
    }
    page.gauge(
        "loadline_tenants_active",
        "Tenants that wait for a slot; 0 unless they share by fairness.key.",
    );
    for class in Class::QUEUED {
        page.sample(&[("priority", class.as_str())], gate.class(class).tenants);
    }
    page.gauge("loadline_queue_held_bytes", "Bytes of request bodies that waiting requests hold.");
    page.sample(&[], gate.held_bytes);
    page.gauge("loadline_bypass_active", "Health checks in service.");
    page.sample(&[], gate.bypass_in_flight);
    page.gauge("loadline_queue_depth", "Requests that wait for a slot.");
    page.sample(&[], gate.queued);
    page.gauge("loadline_queue_capacity", "Requests that may wait for a slot.");
    page.sample(&[], gate.queue_depth);
    page.gauge("loadline_queue_timeout_seconds", "Longest wait for a slot; 0 when there is no bound.");
    page.sample(&[], live.settings.queue.timeout.unwrap_or_default().as_secs_f64());
    page.gauge("loadline_queue_oldest_seconds", "How long the oldest waiting request has waited.");
    page.sample(&[], gate.oldest_wait.unwrap_or_default().as_secs_f64());
    page.gauge("loadline_utilization_ratio", "Slots in use, as a share of the limit.");
    page.sample(&[], gate.utilization);
    page.gauge(
        "loadline_demand_ratio",
        "Work asked for in the last 10 seconds, retries excluded, as a share of what the limit can do.",
    );
    page.sample(&[], process.rates().demand);
    page.histogram(
        "loadline_deadline_remaining_seconds",
        "Time left until the deadline of requests that got a slot.",
    );
    page.buckets(&[], &total.budgets);
    page.counter(
        "loadline_headers_invalid_total",
        "Deadline headers that were ignored: malformed, or no time that can be meant.",
    );
    let mut invalid_headers = total.invalid_headers.clone();
    for (_, name, _) in live.deadlines.headers() {
        invalid_headers.entry(name.to_owned()).or_default();
    }
    for (name, count) in &invalid_headers {
        page.sample(&[("header", name)], count);
    }
    page.counter(
        "loadline_doomed_started_total",
        "Requests started although they could not be answered by their deadline. Must stay 0.",
    );
    page.sample(&[], gate.doomed_started);
    page.counter(
        "loadline_needless_sheds_total",
        "Requests rejected for want of a slot while one was free and nobody else waited. Must stay 0.",
    );
    page.sample(&[], gate.needless_sheds);
    page.counter(
        "loadline_probes_started_total",
        "Requests started against the prediction, so that it can be corrected.",
    );
    page.sample(&[], gate.probes_started);
    overload(page, shared);
    page.gauge(
        "loadline_abandoned_exchanges",
        "Exchanges that run to their end without a client, and hold a slot.",
    );
    page.sample(&[], shared.abandoned.load(Ordering::Relaxed));
}

/// The limit as its law sees it. A fixed one has no elasticity.
fn limiter(page: &mut Page, limiter: &LimiterSnapshot) {
    page.gauge("loadline_concurrency_limit_min", "The limit goes no lower.");
    page.sample(&[], limiter.min);
    page.gauge("loadline_concurrency_limit_max", "The limit goes no higher.");
    page.sample(&[], limiter.max);
    page.counter("loadline_limit_changes_total", "Changes of the limit that the limiter stands by.");
    page.sample(&[("direction", "up")], limiter.raised);
    page.sample(&[("direction", "down")], limiter.lowered);
    page.gauge(
        "loadline_limiter_elasticity",
        "By what power of the limit throughput grew when last tried: 1 in proportion, 0 not at all.",
    );
    page.sample(&[], limiter.elasticity.unwrap_or(f64::NAN));
    page.gauge("loadline_limiter_elasticity_error", "Standard error of the elasticity.");
    page.sample(&[], limiter.standard_error.unwrap_or(f64::NAN));
    page.gauge(
        "loadline_limiter_bound_ratio",
        "Share of the time in which the limit was in the way, lately.",
    );
    page.sample(&[], limiter.bound.unwrap_or(f64::NAN));
}

/// What the settings that are not obeyed would have done.
fn shadow(page: &mut Page, live: &Live) {
    page.gauge("loadline_dry_run", "1 while everybody is forwarded at once, whatever is decided.");
    page.sample(&[], u8::from(live.settings.dry_run));
    let Some(run) = &live.shadow else { return };
    let shadow = run.snapshot();
    let rejected = |page: &mut Page| {
        for class in Class::ALL {
            for reason in Reason::ALL {
                let labels = [("priority", class.as_str()), ("reason", reason.as_str())];
                page.sample(&labels, shadow.counters.of(class).shed(reason));
            }
        }
    };
    if run.is_dry_run() {
        page.counter(
            "loadline_dry_run_shed_total",
            "Requests that would have been rejected and were forwarded.",
        );
        rejected(page);
    }
    page.counter("loadline_shadow_shed_total", "Requests that the shadow's settings would have rejected.");
    rejected(page);
    page.counter("loadline_shadow_offered_total", "Requests that the shadow has seen.");
    for class in Class::ALL {
        page.sample(&[("priority", class.as_str())], shadow.counters.of(class).offered);
    }
    page.counter("loadline_shadow_admitted_total", "Requests that the shadow's settings would have let in.");
    for class in Class::ALL {
        page.sample(&[("priority", class.as_str())], shadow.counters.of(class).admitted);
    }
    page.gauge("loadline_shadow_concurrency_limit", "The shadow's limit.");
    page.sample(&[], shadow.limit);
    page.gauge("loadline_shadow_active", "Requests that would hold a slot by the shadow's settings.");
    page.sample(&[], shadow.in_flight);
    page.gauge("loadline_shadow_queue_depth", "Requests that would wait by the shadow's settings.");
    page.sample(&[], shadow.queued);
}

fn overload(page: &mut Page, shared: &Shared) {
    page.gauge(
        "loadline_overload_level",
        "What each overload signal says: 0 nothing, 1 moderate, 2 severe; 0 while it is off.",
    );
    for (signal, level) in shared.overload.levels() {
        page.sample(&[("signal", signal.as_str())], level as u8);
    }
    page.gauge(
        "loadline_runtime_lag_seconds",
        "How late each worker's thread ran in the last half second: the median of its time, and the longest.",
    );
    for (worker, median, longest) in shared.overload.lag() {
        let worker = worker.to_string();
        page.sample(&[("worker", &worker), ("statistic", "median")], median);
        page.sample(&[("worker", &worker), ("statistic", "longest")], longest);
    }
}

enum Count {
    Offered,
    Admitted,
    Abandoned,
}

fn connections(page: &mut Page, shared: &Shared, live: &Live) {
    page.gauge("loadline_connections", "Open connections, by side.");
    page.sample(&[("side", "client")], shared.connections.load(Ordering::Relaxed));
    page.sample(&[("side", "upstream")], live.upstream.connections());
    page.gauge("loadline_max_connections", "Client connections that may be open.");
    page.sample(&[], live.settings.max_connections);
    page.gauge("loadline_tunnels", "Upgraded connections.");
    page.sample(&[], shared.tunnels.load(Ordering::Relaxed));
    page.gauge("loadline_buffer_used_bytes", "Memory held for slow peers.");
    page.sample(&[], shared.budget.used());
    page.gauge("loadline_buffer_limit_bytes", "Memory that may be held for slow peers.");
    page.sample(&[], shared.budget.total());
    page.gauge("loadline_draining", "1 while the proxy drains.");
    page.sample(&[], u8::from(shared.is_draining()));
}

fn own(page: &mut Page, process: &Process, live: &Live) {
    page.counter("loadline_log_lines_total", "Request log lines, by what became of them.");
    page.sample(&[("result", "written")], live.log.written());
    page.sample(&[("result", "dropped")], live.log.dropped());
    page.counter("loadline_spans_total", "Spans of traces, by what became of them.");
    for (result, count) in live.spans.counts() {
        page.sample(&[("result", result)], count);
    }
    page.counter("loadline_config_reloads_total", "Attempts to reload the configuration, by result.");
    page.sample(&[("result", "ok")], process.reloads_ok());
    page.sample(&[("result", "failed")], process.reloads_failed());
    page.gauge("loadline_config_last_reload_successful", "1 unless the last reload failed.");
    page.sample(&[], u8::from(process.last_reload_ok()));
    page.gauge("loadline_build_info", "Always 1; the version is a label.");
    page.sample(&[("version", env!("CARGO_PKG_VERSION"))], 1);
    let usage = process::usage();
    page.counter("process_cpu_seconds_total", "CPU time used by the process.");
    page.sample(&[], usage.cpu_seconds);
    page.gauge("process_resident_memory_bytes", "Memory in use.");
    page.sample(&[], usage.resident_bytes);
    page.gauge("process_virtual_memory_bytes", "Address space in use.");
    page.sample(&[], usage.virtual_bytes);
    page.gauge(
        "process_virtual_memory_max_bytes",
        "Address space that may be used; -1 when there is no bound.",
    );
    match usage.max_virtual_bytes {
        Some(bytes) => page.sample(&[], bytes),
        None => page.sample(&[], -1),
    }
    page.gauge("process_threads", "Threads of the process.");
    page.sample(&[], usage.threads);
    page.gauge("process_open_fds", "Open file descriptors.");
    page.sample(&[], usage.open_descriptors);
    page.gauge("process_max_fds", "File descriptors that may be open.");
    page.sample(&[], usage.max_descriptors);
    page.gauge("process_start_time_seconds", "When the process started, in seconds since the Unix epoch.");
    page.sample(&[], process.started_unix_seconds());
}
