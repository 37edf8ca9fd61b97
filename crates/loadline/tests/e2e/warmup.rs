//! Warm-up: the limit rises after a start, and again when the upstream is back.

use std::time::Instant;

use crate::support::{Gate, PATIENCE, Proxy, Setup, Upstream, eventually};

fn effective(proxy: &Proxy) -> f64 {
    proxy.metric_sum("loadline_effective_limit", &[])
}

#[test]
fn the_limit_rises_to_all_of_it() {
    let gate = Gate::new();
    let upstream = Upstream::gated(&gate);
    let begin = Instant::now();
    let proxy = Setup::to(&upstream, 10).set("warmup.from", "0.1").set("warmup.over", "2s").start();
    let mut clients: Vec<_> = (0..10).map(|_| proxy.send_get("/")).collect();
    proxy.wait_status("all have asked", |status| status.in_flight + status.queued == 10);
    // Some wait although there are ten slots; or this machine is too slow to see it.
    assert!(proxy.status().queued > 0 || begin.elapsed().as_secs() >= 2);
    assert_eq!(proxy.status().limit, 10);
    // Nothing ends: the slots that come are the warm-up's.
    proxy.wait_load(10, 0);
    eventually("it is warm", || effective(&proxy) == 10.0);
    gate.open();
    for client in &mut clients {
        assert_eq!(client.read().status, 200);
    }
}

#[test]
fn without_it_the_limit_is_there_at_once() {
    let upstream = Upstream::hello();
    let proxy = Setup::to(&upstream, 3).start();
    assert_eq!(effective(&proxy), 3.0);
    let banner = proxy.stderr().concat();
    assert!(!banner.contains("warmup"), "{banner}");
}

#[test]
fn an_upstream_that_comes_back_is_warmed_up_again() {
    let mut first = Upstream::hello();
    let addr = first.addr();
    // Long enough that it is still going on when it is looked at, short enough to see its end.
    let proxy = Setup::to(&first, 100).set("warmup.from", "0.01").set("warmup.over", "2s").start();
    eventually("warm after the start", || effective(&proxy) == 100.0);
    assert_eq!(proxy.get("/").status, 200);
    first.kill();
    eventually("it is gone", || proxy.get("/").status >= 500);
    let begin = Instant::now();
    // For longer than a hiccup nothing but refusals.
    while begin.elapsed().as_millis() < 1_300 {
        assert!(begin.elapsed() < PATIENCE);
        assert!(proxy.get("/").status >= 500);
    }
    assert_eq!(effective(&proxy), 100.0, "an outage alone changes nothing");
    let returns = Instant::now();
    let _second = Upstream::start_at(addr, |exchange| exchange.respond(200, b"hello"));
    eventually("it is back", || proxy.get("/").status == 200);
    assert!(effective(&proxy) < 100.0 || returns.elapsed().as_secs() >= 2, "cold again");
    eventually("warm again", || effective(&proxy) == 100.0);
}
