//! Traces: passed on as they came, named in the log and at the histograms' buckets; and how long an answer took.

use serde_json::Value;

use crate::support::{Client, Gate, Proxy, Setup, Upstream, eventually};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

fn traceparent(flags: &str) -> String {
    format!("00-{TRACE}-00f067aa0ba902b7-{flags}")
}

/// Sends a GET with these lines in its head and reads the answer.
#[track_caller]
fn get_with(proxy: &Proxy, lines: &str) {
    let response = proxy.connect().send(format!("GET / HTTP/1.1\r\nHost: x\r\n{lines}\r\n")).read();
    assert_eq!(response.status, 200);
}

/// The page in OpenMetrics.
fn open_metrics(proxy: &Proxy) -> String {
    Client::connect(proxy.admin_addr())
        .send(
            "GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: application/openmetrics-text;version=1.0.0\r\n\r\n",
        )
        .read()
        .text()
}

#[test]
fn what_a_client_says_of_its_trace_is_passed_on_unchanged() {
    let upstream = Upstream::hello();
    let proxy = Setup::to(&upstream, 1).start();
    let valid = traceparent("01");
    for (parent, state) in [
        (valid.as_str(), "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7"),
        // Invalid: none of our business.
        ("00-SHORT-1-01", "what=ever"),
        (&valid.to_uppercase(), ""),
    ] {
        get_with(&proxy, &format!("TraceParent: {parent}\r\nTracestate: {state}\r\n"));
        let seen = upstream.requests().pop().unwrap();
        assert_eq!(seen.header("traceparent").as_deref(), Some(parent));
        assert_eq!(seen.header("tracestate").as_deref(), Some(state));
    }
    get_with(&proxy, "");
    assert_eq!(upstream.requests().pop().unwrap().header("traceparent"), None, "none is made up");
}

#[test]
fn a_valid_trace_is_in_the_log() {
    let upstream = Upstream::hello();
    let proxy = Setup::to(&upstream, 1).set("log.access", "json").start();
    let (valid, unsampled) = (traceparent("01"), traceparent("00"));
    let mut lines = 0;
    for (head, expected) in [
        (format!("Traceparent: {valid}\r\n"), Some(TRACE)),
        (format!("Traceparent: {unsampled}\r\n"), Some(TRACE)),
        (format!("Traceparent: {valid}x\r\n"), None),
        (format!("Traceparent: {valid}\r\nTraceparent: {valid}\r\n"), None),
        (String::new(), None),
    ] {
        get_with(&proxy, &head);
        lines += 1;
        let line: Value = serde_json::from_str(&proxy.wait_stdout(lines)[lines - 1]).unwrap();
        assert_eq!(line["trace_id"].as_str(), expected, "{head:?}: {line}");
    }
}

#[test]
fn a_recorded_trace_stands_at_its_bucket_in_openmetrics_only() {
    let upstream = Upstream::hello();
    let proxy = Setup::to(&upstream, 1).start();
    get_with(&proxy, &format!("traceparent: {}\r\n", traceparent("00")));
    proxy.wait_metric("http_requests_total", &[], 1.0);
    assert!(!open_metrics(&proxy).contains("trace_id"), "a trace that nobody records leads nowhere");
    get_with(&proxy, &format!("traceparent: {}\r\n", traceparent("01")));
    proxy.wait_metric("http_requests_total", &[], 2.0);
    let page = open_metrics(&proxy);
    for family in ["http_request_duration_seconds", "http_queue_latency_seconds"] {
        let mark = format!(" # {{trace_id=\"{TRACE}\"}} ");
        let found: Vec<_> = page
            .lines()
            .filter(|line| line.starts_with(&format!("{family}_bucket{{")) && line.contains(&mark))
            .collect();
        assert_eq!(found.len(), 1, "one bucket of {family} in\n{page}");
        let (series, exemplar) = found[0].split_once(&mark).unwrap();
        let bound: f64 = series
            .split("le=\"")
            .nth(1)
            .unwrap()
            .split('"')
            .next()
            .unwrap()
            .replace("+Inf", "inf")
            .parse()
            .unwrap();
        let (value, at) = exemplar.split_once(' ').unwrap();
        assert!(value.parse::<f64>().unwrap() <= bound, "{}", found[0]);
        assert!(at.parse::<f64>().unwrap() > 1e9, "{}", found[0]);
    }
    assert!(!proxy.admin("/metrics").text().contains("trace_id"), "the classic format knows no exemplars");
}

#[test]
fn server_timing_tells_who_asks_for_it_how_long_an_answer_took() {
    let gate = Gate::new();
    let upstream = Upstream::gated(&gate);
    let setup = Setup::to(&upstream, 1).set("queue.depth", 0);
    let silent = setup.clone().start();
    let proxy = setup.set("response.server_timing", true).start();
    let mut passed = proxy.send_get("/");
    upstream.wait_in_service(1);
    let rejected = proxy.get("/");
    assert_eq!(rejected.status, 503);
    assert_eq!(rejected.header("server-timing"), Some("queue;dur=0.0"));
    gate.open();
    let passed = passed.read();
    let told = passed.header("server-timing").unwrap();
    let app = told.strip_prefix("queue;dur=0.0, app;dur=").unwrap_or_else(|| panic!("{told}"));
    assert!(app.parse::<f64>().unwrap() >= 0.0, "{told}");
    assert_eq!(silent.get("/").header("server-timing"), None, "off unless asked for");
    eventually("all requests are over", || upstream.in_service() == 0);
}
