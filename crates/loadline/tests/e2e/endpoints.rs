//! Several endpoints behind one queue: no request fails that another endpoint could have served.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use crate::support::{Client, Gate, RefusedPort, Setup, Stop, Upstream, eventually, parallel, scratch};

const POST: &str = "POST /post HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody";

/// How a loadline says that it turned a request away.
const TURNED_AWAY: &str =
    "Proxy-Status: loadline; error=connection_limit_reached; details=\"queue_full\"\r\n";

/// Two upstreams of which the first is the first in the proxy's order too, which is that of addresses.
fn in_order(first: Upstream, other: impl Fn() -> Upstream) -> (Upstream, Upstream) {
    let mut rejected = Vec::new();
    loop {
        let second = other();
        if second.addr() > first.addr() {
            return (first, second);
        }
        // Kept, or its port would be given again.
        rejected.push(second);
    }
}

#[test]
fn all_of_them_get_requests() {
    for policy in ["least-latency", "least-inflight", "round-robin", "random"] {
        let upstreams: Vec<_> = (0..4).map(|_| Upstream::hello()).collect();
        let proxy =
            Setup::to_all(&upstreams.iter().collect::<Vec<_>>(), 8).set("balance.policy", policy).start();
        parallel(4, |_| {
            let mut client = proxy.connect();
            (0..100).for_each(|_| assert_eq!(client.get("/").status, 200));
        });
        let seen: Vec<_> = upstreams.iter().map(Upstream::seen).collect();
        assert_eq!(seen.iter().sum::<usize>(), 400);
        // By latency, one that was slow at first is left alone for a while.
        let least = if policy == "least-latency" { 1 } else { 20 };
        assert!(seen.iter().all(|seen| *seen >= least), "{policy}: {seen:?}");
        for upstream in &upstreams {
            let endpoint = format!("endpoint=\"{}\"", upstream.addr());
            let ok = proxy.metric_sum("loadline_endpoint_requests_total", &[&endpoint, "result=\"ok\""]);
            assert_eq!(ok as usize, upstream.seen());
            assert_eq!(proxy.metric_sum("loadline_endpoint_up", &[&endpoint]), 1.0);
        }
        let status: serde_json::Value = serde_json::from_slice(&proxy.admin("/api/v1/status").body).unwrap();
        assert_eq!(status["endpoints"].as_array().map(Vec::len), Some(4), "{status}");
        assert!(status["endpoints"].as_array().unwrap().iter().all(|endpoint| endpoint["state"] == "up"));
    }
}

#[test]
fn one_that_refuses_costs_no_request_of_any_method() {
    let (port, upstream) = (RefusedPort::new(), Upstream::hello());
    let both = format!("{},{}", port.addr(), upstream.addr());
    let proxy = Setup::new(&both, "4").start();
    for _ in 0..30 {
        assert_eq!(proxy.get("/").status, 200);
        assert_eq!(proxy.connect().send(POST).read().status, 200);
    }
    let down = format!("endpoint=\"{}\"", port.addr());
    assert_eq!(proxy.metric_sum("loadline_endpoint_up", &[&down]), 0.0, "ejected");
    assert!(proxy.metric_sum("loadline_upstream_retries_total", &["reason=\"unreachable\""]) >= 1.0);
    assert_eq!(proxy.metric_sum("loadline_endpoint_ejections_total", &[&down]), 1.0);
    assert_eq!(proxy.metric_sum("circuit_breaker_state", &[]), 0.0, "an ejection is no open breaker");
    eventually("stderr says so", || {
        proxy.stderr().iter().any(|line| line.contains("ejected") && line.contains("1 of 2 in rotation"))
    });
}

#[test]
fn one_slowed_one_killed_one_restarted_under_load() {
    let slow = Arc::new(AtomicBool::new(false));
    let slowed = Arc::clone(&slow);
    let a = Upstream::hello();
    let b = Upstream::start(move |exchange| {
        thread::sleep(Duration::from_millis(if slowed.load(SeqCst) { 20 } else { 2 }));
        exchange.respond(200, b"hello")
    });
    let mut c = Upstream::delayed(Duration::from_millis(2));
    let mut d = Upstream::delayed(Duration::from_millis(2));
    let proxy = Setup::to_all(&[&a, &b, &c, &d], 8).set("workers", 2).start();
    let stop = AtomicBool::new(false);
    let d_addr = d.addr();
    let (failures, again) = thread::scope(|scope| {
        let _stopped = Stop(&stop);
        let load = scope.spawn(|| parallel(8, |client| drive(proxy.addr(), client, &stop)).concat());
        eventually("all have requests", || [&a, &b, &c, &d].iter().all(|upstream| upstream.seen() > 20));
        slow.store(true, SeqCst);
        c.kill();
        let (before, was) = (a.seen(), b.seen());
        eventually("the others carry on", || a.seen() > before + 200);
        assert!(b.seen() - was < a.seen() - before, "the slow one gets fewer");
        d.kill();
        let before = a.seen();
        eventually("those that are left carry on", || a.seen() > before + 100);
        let again = Upstream::start_at(d_addr, |exchange| exchange.respond(200, b"hello"));
        slow.store(false, SeqCst);
        let before = a.seen();
        eventually("they carry on", || a.seen() > before + 100);
        stop.store(true, SeqCst);
        (load.join().unwrap(), again)
    });
    assert!(failures.is_empty(), "{} failed: {:?}", failures.len(), failures.first());
    let mut posts = HashMap::<String, usize>::new();
    for request in [&a, &b, &c, &d, &again].iter().flat_map(|upstream| upstream.requests()) {
        if request.line().starts_with("POST ") {
            *posts.entry(request.target()).or_default() += 1;
        }
    }
    assert!(posts.len() > 50 && posts.values().all(|count| *count == 1), "a POST was executed twice");
    proxy.wait_load(0, 0);
}

/// GETs, and every fifth request a POST; returns what failed and should not have. A POST that was under way where its endpoint
/// was killed is lost, and nobody may repeat it.
fn drive(addr: SocketAddr, client: usize, stop: &AtomicBool) -> Vec<String> {
    let mut failures = Vec::new();
    let mut connection = Client::connect(addr);
    let mut number = 0;
    while !stop.load(SeqCst) {
        number += 1;
        let post = number % 5 == 0;
        let request = if post {
            format!("POST /post/{client}-{number} HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody")
        } else {
            "GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_owned()
        };
        let answer = connection.try_send(request).and_then(|()| connection.try_read());
        match answer {
            Ok(response) if response.status == 200 => {}
            Ok(response) if post && response.status == 502 => {}
            other => failures.push(format!("{other:?}")),
        }
    }
    failures
}

/// An endpoint that answers 500, until it is told not to.
fn failing() -> (Upstream, Arc<AtomicBool>) {
    let fails = Arc::new(AtomicBool::new(true));
    let told = Arc::clone(&fails);
    let endpoint = Upstream::start(move |exchange| {
        exchange.respond(if told.load(SeqCst) { 500 } else { 200 }, b"hello")
    });
    (endpoint, fails)
}

#[test]
fn one_that_fails_is_ejected_and_comes_back() {
    let (bad, fails) = failing();
    let good = Upstream::hello();
    let proxy = Setup::to_all(&[&bad, &good], 4)
        .set("breaker.open", "300ms")
        .set("balance.policy", "round-robin")
        .set("balance.slow_start", "0")
        .start();
    let bad_one = format!("endpoint=\"{}\"", bad.addr());
    let failed = (0..10).filter(|_| proxy.get("/").status == 500).count();
    assert_eq!(failed, 5, "five in a row, and no more");
    fails.store(false, SeqCst);
    let before = bad.seen();
    eventually("it gets requests again", || {
        assert_eq!(proxy.get("/").status, 200);
        bad.seen() > before + 3
    });
    assert_eq!(proxy.metric_sum("loadline_endpoint_up", &[&bad_one]), 1.0);
}

/// A service of POSTs alone, as gRPC is: none of them can be repeated, so none is a good probe.
#[test]
fn an_ejected_one_comes_back_where_no_request_can_be_repeated() {
    let (bad, fails) = failing();
    let good = Upstream::hello();
    let proxy = Setup::to_all(&[&bad, &good], 4)
        .set("breaker.open", "100ms")
        .set("balance.policy", "round-robin")
        .set("balance.slow_start", "0")
        .start();
    let mut client = proxy.connect();
    assert_eq!((0..20).filter(|_| client.send(POST).read().status == 500).count(), 5);
    fails.store(false, SeqCst);
    let before = bad.seen();
    eventually("it gets requests again", || {
        assert_eq!(client.send(POST).read().status, 200);
        bad.seen() > before + 3
    });
}

#[test]
fn what_one_cannot_do_is_tried_at_an_ejected_one_when_there_is_no_other() {
    let fails = Arc::new(AtomicBool::new(true));
    let failing = Arc::clone(&fails);
    let was_bad = Upstream::start(move |exchange| {
        exchange.respond(if failing.load(SeqCst) { 500 } else { 200 }, b"hello")
    });
    let dying = Arc::new(AtomicBool::new(false));
    let dies = Arc::clone(&dying);
    let good = Upstream::start(move |exchange| {
        if dies.load(SeqCst) {
            exchange.reset();
            return Ok(());
        }
        exchange.respond(200, b"hello")
    });
    let proxy = Setup::to_all(&[&was_bad, &good], 4)
        .set("breaker.open", "1h")
        .set("balance.policy", "round-robin")
        .start();
    assert_eq!((0..20).filter(|_| proxy.get("/").status == 500).count(), 5, "it is ejected");
    fails.store(false, SeqCst);
    dying.store(true, SeqCst);
    let before = was_bad.seen();
    (0..10).for_each(|_| assert_eq!(proxy.get("/").status, 200));
    assert_eq!(was_bad.seen(), before + 10);
}

#[test]
fn no_more_are_ejected_than_the_share_allows() {
    let upstreams: Vec<_> =
        (0..4).map(|_| Upstream::start(|exchange| exchange.respond(500, b"no"))).collect();
    let proxy = Setup::to_all(&upstreams.iter().collect::<Vec<_>>(), 4).set("breaker.open", "1m").start();
    for _ in 0..100 {
        assert_eq!(proxy.get("/").text(), "no", "an ejection refuses nothing");
    }
    assert_eq!(proxy.metric_sum("loadline_endpoint_up", &[]), 2.0);
    assert_eq!(proxy.metric_sum("loadline_endpoint_ejections_total", &[]), 2.0);
}

#[test]
fn with_the_breaker_all_of_them_can_be_out() {
    let upstreams: Vec<_> =
        (0..2).map(|_| Upstream::start(|exchange| exchange.respond(500, b"no"))).collect();
    let proxy = Setup::to_all(&upstreams.iter().collect::<Vec<_>>(), 4)
        .set("breaker.enabled", "true")
        .set("breaker.open", "20s")
        .start();
    let failed = (0..20).filter(|_| proxy.get("/").status == 500).count();
    assert_eq!(failed, 10, "five of each");
    let refused = proxy.get("/");
    assert_eq!(refused.reason(), "breaker_open");
    let seconds: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((10..=22).contains(&seconds), "{seconds}");
}

#[test]
fn what_one_turns_away_another_serves_in_the_time_that_is_left() {
    let busy = Upstream::start(|exchange| {
        // It takes its time to say so: the other has less.
        thread::sleep(Duration::from_millis(20));
        exchange.respond_with(503, TURNED_AWAY, b"")
    });
    let (busy, free) = in_order(busy, Upstream::hello);
    let proxy = Setup::to_all(&[&busy, &free], 4).set("balance.policy", "round-robin").start();
    let request = "GET / HTTP/1.1\r\nHost: x\r\nX-Request-Timeout-Ms: 5000\r\n\r\n";
    let mut client = proxy.connect();
    for _ in 0..10 {
        assert_eq!(client.send(request).read().status, 200);
    }
    let left = |upstream: &Upstream| {
        let first = upstream.requests()[0].header("x-request-timeout-ms").expect("the deadline goes with it");
        first.parse::<u64>().unwrap()
    };
    assert!(left(&free) + 20 <= left(&busy) && left(&busy) <= 5000, "{} after {}", left(&free), left(&busy));
    assert_eq!(busy.connections(), 1, "its connection is kept: turning away is no failure");
    let elsewhere = busy.seen() as f64;
    proxy.wait_metric("loadline_upstream_retries_total", &["reason=\"turned_away\""], elsewhere);
    assert_eq!(proxy.metric_sum("loadline_endpoint_up", &[]), 2.0);
}

#[test]
fn a_post_that_was_turned_away_is_told_so() {
    let upstreams: Vec<_> = (0..2)
        .map(|_| Upstream::start(|exchange| exchange.respond_with(503, TURNED_AWAY, b"full")))
        .collect();
    let proxy = Setup::to_all(&upstreams.iter().collect::<Vec<_>>(), 4).start();
    assert_eq!(proxy.connect().send(POST).read().text(), "full");
    assert_eq!(upstreams[0].seen() + upstreams[1].seen(), 1);
    // And when all turn a request away, its client has the last one's word.
    assert_eq!(proxy.get("/").text(), "full");
    assert_eq!(upstreams[0].seen() + upstreams[1].seen(), 3);
}

#[test]
fn repetitions_stay_within_their_budget_however_fast_the_failures_are() {
    let turns_away = || Upstream::start(|exchange| exchange.respond_with(503, TURNED_AWAY, b"full"));
    let (one, two) = (turns_away(), turns_away());
    let proxy = Setup::to_all(&[&one, &two], 4)
        .set("balance.retry_budget", "0.1")
        .set("balance.retry_min", "0")
        .start();
    let mut client = proxy.connect();
    (0..300).for_each(|_| assert_eq!(client.get("/").text(), "full"));
    let sent = one.seen() + two.seen();
    assert!((310..=330).contains(&sent), "a tenth more, and not {sent}");
    assert!(proxy.metric_sum("loadline_retry_budget_exhausted_total", &[]) >= 270.0);
}

#[test]
fn all_that_was_in_service_where_an_endpoint_died_is_served_elsewhere() {
    let gate = Gate::new();
    let (mut dies, lives) = (Upstream::gated_at_held(&gate), Upstream::gated_at_held(&gate));
    let proxy = Setup::to_all(&[&dies, &lives], 200).set("balance.policy", "round-robin").start();
    let mut clients: Vec<_> = (0..40).map(|_| proxy.send_get("/held")).collect();
    eventually("both work", || dies.in_service() + lives.in_service() == 40);
    assert!(dies.in_service() > 10);
    dies.kill();
    gate.open();
    for client in &mut clients {
        assert_eq!(client.read().status, 200);
    }
}

#[test]
fn a_new_connection_that_dies_before_a_byte_costs_no_get_and_repeats_no_post() {
    let dying = Upstream::start(|exchange| {
        exchange.read_body()?;
        exchange.reset();
        Ok(())
    });
    let good = Upstream::hello();
    let proxy = Setup::to_all(&[&dying, &good], 4).set("balance.max_ejected", "off").start();
    for _ in 0..20 {
        assert_eq!(proxy.get("/").status, 200);
    }
    assert!(dying.seen() > 0);
    let (mut lost, before) = (0, dying.seen() + good.seen());
    for _ in 0..20 {
        match proxy.connect().send(POST).read().status {
            200 => {}
            502 => lost += 1,
            other => panic!("{other}"),
        }
    }
    assert!(lost > 0);
    assert_eq!(dying.seen() + good.seen() - before, 20, "each was sent once");
}

#[test]
fn an_endpoint_has_no_more_in_service_than_it_may() {
    let gate = Gate::new();
    let mut one = Upstream::gated(&gate);
    let two = Upstream::gated(&gate);
    let proxy = Setup::to_all(&[&one, &two], 100)
        .set("balance.max_per_endpoint", "2")
        .set("breaker.enabled", "true")
        .set("queue.timeout", "20s")
        .start();
    assert_eq!(proxy.status().limit, 4, "what both may have together");
    let mut clients: Vec<_> = (0..10).map(|_| proxy.send_get("/")).collect();
    proxy.wait_load(4, 6);
    one.wait_in_service(2);
    two.wait_in_service(2);
    gate.let_through(10);
    clients.iter_mut().for_each(|client| assert_eq!(client.read().status, 200));
    assert_eq!((one.peak(), two.peak()), (2, 2));
    assert!(one.connections() <= 2 && two.connections() <= 2);
    one.kill();
    // While the other is full, whoever comes is sent to the one that is gone, until it has failed often enough.
    eventually("the limit follows the endpoint that is out", || {
        let mut clients: Vec<_> = (0..4).map(|_| proxy.send_get("/")).collect();
        two.wait_in_service(2);
        gate.let_through(4);
        clients.iter_mut().for_each(|client| assert_eq!(client.read().status, 200));
        proxy.status().limit == 2
    });
    assert_eq!(two.peak(), 2);
}

#[test]
fn a_limit_that_is_found_stays_below_what_the_endpoints_may_have() {
    let start = || Upstream::start(|exchange| exchange.respond(200, b"hello"));
    let (one, two) = (start(), start());
    let proxy = Setup::to_all(&[&one, &two], 100)
        .set("limit.concurrency", "auto")
        .set("limit.start", "100")
        .set("balance.max_per_endpoint", "2")
        .set("queue.timeout", "20s")
        .start();
    assert_eq!(proxy.status().limit, 4, "what both may have together");
    parallel(12, |_| {
        for _ in 0..40 {
            assert_eq!(proxy.get("/").status, 200);
        }
    });
    assert!(one.peak() <= 2 && two.peak() <= 2, "{} {}", one.peak(), two.peak());
}

#[test]
fn health_checks_take_out_and_bring_back() {
    let well = Arc::new(AtomicBool::new(true));
    let says = Arc::clone(&well);
    let upstream = Upstream::start(move |exchange| {
        let status = if exchange.target() == "/up" && !says.load(SeqCst) { 500 } else { 200 };
        exchange.respond(status, b"hello")
    });
    let proxy = Setup::to(&upstream, 4)
        .set("balance.health.path", "/up")
        .set("balance.health.interval", "20ms")
        .set("balance.health.timeout", "5s")
        .start();
    eventually("it is asked", || upstream.seen() > 2);
    assert_eq!(proxy.get("/").status, 200);
    well.store(false, SeqCst);
    proxy.wait_metric("loadline_endpoint_up", &[], 0.0);
    let refused = proxy.get("/");
    assert_eq!(refused.reason(), "no_endpoint");
    assert!(refused.header("retry-after").is_some());
    eventually("stderr says why", || {
        proxy.stderr().iter().any(|line| line.contains("is out: its health checks fail (status 500)"))
    });
    assert_eq!(proxy.get("/healthcheck").status, 200, "health checks of clients are told how things are");
    well.store(true, SeqCst);
    eventually("it is back", || proxy.get("/").status == 200);
}

#[test]
fn endpoints_change_with_a_reload_and_those_that_stay_keep_their_connections() {
    let (one, two) = (Upstream::hello(), Upstream::hello());
    let path = scratch("endpoints.toml");
    let write = |list: &str| {
        std::fs::write(&path, format!("upstream = [{list}]\n[limit]\nconcurrency = 4\n")).unwrap();
    };
    write(&format!("\"{}\"", one.addr()));
    let proxy = Setup::bare().file(path.to_str().unwrap()).set("workers", 1).start();
    assert_eq!(proxy.get("/").status, 200);
    write(&format!("\"{}\", \"{}\"", one.addr(), two.addr()));
    assert_eq!(proxy.admin_post("/-/reload").status, 200);
    eventually("the new one gets requests", || {
        assert_eq!(proxy.get("/").status, 200);
        two.seen() > 0
    });
    assert_eq!(one.connections(), 1, "the old one keeps its connection");
    write(&format!("\"{}\"", two.addr()));
    assert_eq!(proxy.admin_post("/-/reload").status, 200);
    eventually("the old one's connection is closed", || one.open_connections() == 0);
    let before = one.seen();
    (0..10).for_each(|_| assert_eq!(proxy.get("/").status, 200));
    assert_eq!(one.seen(), before);
}

#[test]
fn the_whole_time_of_a_request_can_be_bounded() {
    let gate = Gate::new();
    let held = gate.clone();
    let upstream = Upstream::start(move |exchange| {
        if exchange.target() == "/silent" {
            return held.pass();
        }
        exchange.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        // Never silent, never at its end.
        loop {
            exchange.send("1\r\nx\r\n")?;
            thread::sleep(Duration::from_millis(10));
        }
    });
    let proxy =
        Setup::to(&upstream, 4).set("timeouts.total", "300ms").set("limit.on_abort", "cancel").start();
    assert_eq!(proxy.get("/silent").reason(), "upstream_timeout");
    let mut client = proxy.send_get("/endless");
    assert_eq!(client.read_head().unwrap().status, 200);
    proxy.wait_load(0, 0);
    gate.open();
}
