//! Signals that tighten the door: a runtime that is late, an application that says it is full, the machine.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::support::{PATIENCE, Proxy, Setup, Upstream, eventually};

const RULES: &str = concat!(
    r#"[{ path = "/critical/*", class = "critical" }, "#,
    r#"{ path = "/high/*", class = "high" }, { path = "/low/*", class = "low" }]"#
);

fn status(proxy: &Proxy) -> Value {
    serde_json::from_slice(&proxy.admin("/api/v1/status").body).unwrap()
}

fn wait_level(proxy: &Proxy, level: &str) {
    eventually(&format!("overload is {level}"), || status(proxy)["overload"]["level"] == level);
}

/// Statuses of a request of each class, and the reasons of the rejected ones.
fn by_class(proxy: &Proxy) -> [(u16, String); 4] {
    ["/critical/x", "/high/x", "/normal", "/low/x"].map(|target| {
        let answer = proxy.get(target);
        (answer.status, if answer.status == 503 { answer.reason() } else { String::new() })
    })
}

/// An application that reports the load that it is asked to.
fn reporting() -> Upstream {
    Upstream::start(|exchange| {
        let load = exchange.target().rsplit('=').next().unwrap_or_default().to_owned();
        let report = format!("Endpoint-Load-Metrics: TEXT application_utilization={load}\r\n");
        exchange.respond_with(200, if load.starts_with('/') { "" } else { &report }, b"hello")
    })
}

#[test]
fn a_full_application_is_spared_class_by_class() {
    let upstream = reporting();
    let proxy = Setup::to(&upstream, 10)
        .set("priority.rules", RULES)
        .set("overload.upstream.moderate", "0.80")
        .set("overload.upstream.severe", "0.95")
        .start();
    let shed = || (503, "overload".to_owned());
    let served = || (200, String::new());
    assert_eq!(by_class(&proxy), [served(), served(), served(), served()]);
    let answer = proxy.get("/critical/x?load=0.90");
    assert_eq!(
        answer.header("endpoint-load-metrics"),
        None,
        "the application's load is not the client's business"
    );
    wait_level(&proxy, "moderate");
    assert_eq!(by_class(&proxy), [served(), served(), shed(), shed()]);
    proxy.get("/critical/x?load=0.99");
    wait_level(&proxy, "severe");
    assert_eq!(by_class(&proxy), [served(), shed(), shed(), shed()]);
    let explained: Value = serde_json::from_slice(&proxy.admin("/api/v1/explain?path=/high/x").body).unwrap();
    assert_eq!(explained["rule"], "overload_signal", "{explained}");
    assert!(explained["text"].to_string().contains("because of overload: upstream is 0.99"), "{explained}");
    assert_eq!(proxy.metric_sum("loadline_overload_level", &["signal=\"upstream\""]), 2.0);
    assert!(proxy.stderr().iter().any(|line| line.contains("OVERLOAD")), "{:?}", proxy.stderr());
    // Health checks are asked of the application in any case, and tell that it is well again.
    proxy.get("/healthcheck?load=0.10");
    wait_level(&proxy, "none");
    assert_eq!(by_class(&proxy), [served(), served(), served(), served()]);
}

#[test]
fn a_report_that_nobody_asked_for_is_passed_on() {
    let upstream = reporting();
    let proxy = Setup::to(&upstream, 1).start();
    let answer = proxy.get("/?load=5");
    assert_eq!(answer.header("endpoint-load-metrics"), Some("TEXT application_utilization=5"));
    assert_eq!(proxy.get("/").status, 200);
    assert_eq!(status(&proxy)["overload"]["level"], "none");
}

#[test]
fn a_blocked_runtime_is_noticed_and_recovers() {
    let upstream = Upstream::hello();
    let proxy = Setup::to(&upstream, 10)
        .set("priority.rules", RULES)
        .set("overload.lag.moderate", "100ms")
        .set("overload.lag.severe", "200ms")
        .start();
    // A process that is stopped for a while finds its timers late, as one whose threads are blocked does. Until the effect
    // was seen once: a busy machine may let it pass before this test gets to look.
    let begin = Instant::now();
    while proxy.get("/normal").status == 200 {
        assert!(begin.elapsed() < PATIENCE, "never noticed; {}", status(&proxy));
        proxy.signal(Signal::STOP);
        std::thread::sleep(Duration::from_millis(600));
        proxy.signal(Signal::CONT);
        let stopped = Instant::now();
        while proxy.get("/normal").status == 200 && stopped.elapsed() < Duration::from_millis(500) {}
    }
    assert_eq!(proxy.get("/critical/x").status, 200);
    proxy.wait_metric("http_requests_shed_total", &["priority=\"critical\""], 0.0);
    assert!(
        proxy.metric_sum("http_requests_shed_total", &["priority=\"normal\"", "reason=\"overload\""]) > 0.0
    );
    eventually("told on stderr", || {
        proxy.stderr().iter().any(|line| line.contains("OVERLOAD") && line.contains("lag is "))
    });
    wait_level(&proxy, "none");
    eventually("served again", || proxy.get("/normal").status == 200);
}

#[test]
fn without_thresholds_a_late_runtime_is_shown_and_rejects_nobody() {
    let upstream = Upstream::hello();
    let proxy = Setup::to(&upstream, 10).start();
    proxy.signal(Signal::STOP);
    std::thread::sleep(Duration::from_millis(300));
    proxy.signal(Signal::CONT);
    let page = || proxy.admin("/metrics").text();
    // A worker is measured from its own first moment on, which on a busy machine comes after the first answer here.
    eventually("the lag is shown", || {
        page().contains("loadline_runtime_lag_seconds{worker=\"0\",statistic=\"median\"} ")
    });
    let page = page();
    assert!(page.contains("loadline_overload_level{signal=\"cpu_pressure\"} 0"), "{page}");
    for _ in 0..20 {
        assert_eq!(proxy.get("/").status, 200);
    }
}

#[test]
fn what_the_machine_does_not_say_is_told_once() {
    let upstream = Upstream::hello();
    let proxy = Setup::to(&upstream, 10)
        .set("overload.cpu_pressure.severe", "1.0")
        .set("overload.cgroup_memory.moderate", "1.0")
        .start();
    for signal in ["cpu_pressure", "cgroup_memory"] {
        let told = || {
            proxy.stderr().iter().filter(|line| line.contains(&format!("overload.{signal} has no"))).count()
        };
        eventually(&format!("{signal} is read, or told to be missing"), || {
            let reading = status(&proxy)["overload"]["signals"][signal]["reading"].clone();
            reading.is_f64() != (told() == 1)
        });
    }
    assert_eq!(proxy.get("/").status, 200);
}
