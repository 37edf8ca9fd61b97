//! Spans for a collector, with the decision in them. Only in builds with the feature `otlp`.

use serde_json::Value;

use crate::support::{Gate, Proxy, Setup, Upstream, eventually, scratch};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

fn collector() -> Upstream {
    Upstream::start(|exchange| exchange.respond(200, b"{\"partialSuccess\":{}}"))
}

fn setup(upstream: &Upstream, collector: &Upstream) -> Setup {
    Setup::to(upstream, 1)
        .set("trace.endpoint", format!("http://{}", collector.addr()))
        .set("trace.sample", 0)
}

/// Waits until the collector has this many spans and returns them.
#[track_caller]
fn wait_spans(collector: &Upstream, count: usize) -> Vec<Value> {
    let mut spans = Vec::new();
    eventually(&format!("{count} spans at the collector"), || {
        spans.clear();
        for request in collector.requests().iter().filter(|request| request.finished) {
            let body: Value = serde_json::from_slice(&request.body).expect("OTLP in JSON");
            spans.extend(body["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap().clone());
        }
        spans.len() >= count
    });
    spans
}

/// The value of an attribute, as text.
fn attribute(span: &Value, key: &str) -> Option<String> {
    let found = span["attributes"].as_array().unwrap().iter().find(|attribute| attribute["key"] == key)?;
    let (_, value) = found["value"].as_object().unwrap().iter().next().unwrap();
    Some(value.as_str().map_or_else(|| value.to_string(), str::to_owned))
}

#[track_caller]
fn send(proxy: &Proxy, flags: &str) -> u16 {
    let head = format!(
        "GET /a?secret HTTP/1.1\r\nHost: x\r\ntraceparent: 00-{TRACE}-{PARENT}-{flags}\r\ntracestate: a=b\r\n\r\n"
    );
    proxy.connect().send(head).read().status
}

#[test]
fn a_clients_trace_goes_on_with_a_span_that_tells_the_decision() {
    let (upstream, collector) = (Upstream::hello(), collector());
    let proxy = setup(&upstream, &collector).set("route", r#"[{ name = "all", path = "/a" }]"#).start();
    assert_eq!(send(&proxy, "01"), 200);
    let span = wait_spans(&collector, 1).remove(0);
    let request = collector.only_request();
    assert_eq!(request.line(), "POST /v1/traces HTTP/1.1");
    assert_eq!(request.header("content-type").as_deref(), Some("application/json"));
    assert_eq!((&span["traceId"], &span["parentSpanId"]), (&TRACE.into(), &PARENT.into()));
    assert_eq!((&span["name"], &span["kind"]), (&"GET all".into(), &2.into()));
    let id = span["spanId"].as_str().unwrap();
    let forwarded = upstream.only_request();
    assert_eq!(forwarded.header("traceparent"), Some(format!("00-{TRACE}-{id}-01")));
    assert_eq!(forwarded.header("tracestate").as_deref(), Some("a=b"));
    let nanos = |key: &str| span[key].as_str().unwrap().parse::<u128>().unwrap();
    assert!(nanos("startTimeUnixNano") <= nanos("endTimeUnixNano"), "{span}");
    for (key, value) in [
        ("http.request.method", "GET"),
        ("url.path", "/a"),
        ("http.response.status_code", "200"),
        ("loadline.class", "normal"),
        ("loadline.decision", "admitted"),
        ("loadline.route", "all"),
        ("loadline.limit", "1"),
    ] {
        assert_eq!(attribute(&span, key).as_deref(), Some(value), "{key} in {span}");
    }
    assert_eq!(attribute(&span, "loadline.reason"), None);
    for key in ["loadline.wait_ms", "loadline.service_ms"] {
        assert!(attribute(&span, key).unwrap().parse::<f64>().unwrap() >= 0.0, "{key} in {span}");
    }
    proxy.wait_metric("loadline_spans_total", &["result=\"exported\""], 1.0);
}

#[test]
fn a_rejection_is_a_span_with_its_reason() {
    let gate = Gate::new();
    let (upstream, collector) = (Upstream::gated(&gate), collector());
    let proxy = setup(&upstream, &collector).set("queue.depth", 0).start();
    let mut busy = proxy.send_get("/busy");
    proxy.wait_load(1, 0);
    assert_eq!(send(&proxy, "01"), 503);
    let span = wait_spans(&collector, 1).remove(0);
    assert_eq!(attribute(&span, "loadline.decision").as_deref(), Some("shed"));
    assert_eq!(attribute(&span, "loadline.reason").as_deref(), Some("concurrency"));
    assert_eq!(attribute(&span, "loadline.in_flight").as_deref(), Some("1"));
    assert_eq!(attribute(&span, "loadline.service_ms"), None, "it was never sent");
    assert_eq!(span["status"]["code"], 2);
    gate.open();
    assert_eq!(busy.read().status, 200);
}

#[test]
fn who_is_not_recorded_has_no_span_and_keeps_its_header() {
    let (upstream, collector) = (Upstream::hello(), collector());
    let mut proxy = setup(&upstream, &collector).start();
    assert_eq!(send(&proxy, "00"), 200);
    assert_eq!(upstream.only_request().header("traceparent"), Some(format!("00-{TRACE}-{PARENT}-00")));
    assert_eq!(proxy.get("/").status, 200);
    // What is not yet sent is sent at the end.
    assert_eq!(send(&proxy, "01"), 200);
    proxy.wait_metric("http_requests_total", &[], 3.0);
    proxy.signal(rustix::process::Signal::TERM);
    assert!(proxy.wait_exit().success());
    assert_eq!(wait_spans(&collector, 1).len(), 1);
}

#[test]
fn a_request_without_a_trace_may_begin_one() {
    let (upstream, collector) = (Upstream::hello(), collector());
    let proxy = setup(&upstream, &collector).set("trace.sample", 1).set("log.access", "json").start();
    let invalid = "GET / HTTP/1.1\r\nHost: x\r\ntraceparent: nonsense\r\ntracestate: a=b\r\n\r\n";
    assert_eq!(proxy.connect().send(invalid).read().status, 200);
    let span = wait_spans(&collector, 1).remove(0);
    assert_eq!(span["parentSpanId"], Value::Null);
    let (trace, id) = (span["traceId"].as_str().unwrap(), span["spanId"].as_str().unwrap());
    let forwarded = upstream.only_request();
    assert_eq!(forwarded.header("traceparent"), Some(format!("00-{trace}-{id}-01")));
    assert_eq!(forwarded.names().iter().filter(|name| *name == "traceparent").count(), 1);
    assert_eq!(forwarded.header("tracestate"), None, "it belongs to no trace");
    let line: Value = serde_json::from_str(&proxy.wait_stdout(1)[0]).unwrap();
    assert_eq!(line["trace_id"], trace);
}

#[test]
fn spans_begin_and_end_with_a_reload_and_totals_go_on() {
    let (upstream, collector) = (Upstream::hello(), collector());
    let file = scratch("spans.toml");
    let write = |trace: &str| std::fs::write(&file, format!("[trace]\nsample = 1\n{trace}")).unwrap();
    let to_collector = format!("endpoint = \"http://{}\"\n", collector.addr());
    write("");
    let proxy = Setup::to(&upstream, 1).file(file.to_str().unwrap()).start();
    assert_eq!(proxy.get("/").status, 200);
    for (trace, exported) in [(to_collector.as_str(), 1), ("", 1), (&to_collector, 2)] {
        write(trace);
        assert_eq!(proxy.admin_post("/-/reload").status, 200);
        assert_eq!(proxy.get("/").status, 200);
        proxy.wait_metric("loadline_spans_total", &["result=\"exported\""], f64::from(exported));
        assert_eq!(wait_spans(&collector, exported as usize).len(), exported as usize);
    }
    std::fs::remove_file(&file).unwrap();
}

#[test]
fn a_collector_that_does_not_answer_costs_nobody_anything_but_spans() {
    let gate = Gate::new();
    let (upstream, collector) = (Upstream::hello(), Upstream::gated(&gate));
    let proxy = setup(&upstream, &collector).start();
    assert_eq!(send(&proxy, "01"), 200);
    collector.wait_in_service(1);
    // The exporter waits for its answer; the queue takes 4096 spans meanwhile, and what finds it full is dropped.
    let mut client = proxy.connect();
    let head = format!("GET / HTTP/1.1\r\nHost: x\r\ntraceparent: 00-{TRACE}-{PARENT}-01\r\n\r\n");
    // At most 512 in 5 s leave the queue, each time that the exporter's patience ends.
    let dropped = || proxy.metric_sum("loadline_spans_total", &["result=\"dropped\""]) > 0.0;
    let is_full = (0..200).any(|_| {
        for _ in 0..500 {
            assert_eq!(client.send(&head).read().status, 200);
        }
        dropped()
    });
    assert!(is_full, "more than the queue holds was handed over");
    gate.open();
}
