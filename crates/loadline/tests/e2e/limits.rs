//! A limit of N means N at the application, whatever the number of clients and workers.

use std::time::{Duration, Instant};

use crate::support::{Gate, H2, Setup, Upstream, parallel};

#[test]
fn eight_parallel_requests_at_three() {
    for workers in [1, 4] {
        let gate = Gate::new();
        let upstream = Upstream::gated(&gate);
        let proxy = Setup::to(&upstream, 3).set("workers", workers).start();
        let mut clients: Vec<_> = (0..8).map(|index| proxy.send_get(&format!("/{index}"))).collect();
        proxy.wait_load(3, 5);
        upstream.wait_in_service(3);
        gate.open();
        for client in &mut clients {
            assert_eq!(client.read().status, 200);
        }
        assert_eq!(upstream.peak(), 3, "workers = {workers}");
        assert_eq!(upstream.seen(), 8);
        proxy.wait_load(0, 0);
    }
}

#[test]
fn four_at_limit_one_with_a_queue_timeout_of_700_ms() {
    for workers in [1, 4] {
        let upstream = Upstream::delayed(Duration::from_millis(400));
        let proxy = Setup::to(&upstream, 1).env("QUEUE_TIMEOUT", "700").set("workers", workers).start();
        let mut outcomes = parallel(4, |_| {
            let begin = Instant::now();
            (proxy.get("/").status, begin.elapsed())
        });
        outcomes.sort();
        let statuses: Vec<_> = outcomes.iter().map(|(status, _)| *status).collect();
        assert_eq!(statuses, [200, 200, 503, 503], "workers = {workers}: {outcomes:?}");
        for (_, took) in &outcomes[2..] {
            assert!(*took >= Duration::from_millis(690), "too early: {outcomes:?}");
            assert!(*took < Duration::from_millis(1200), "too late: {outcomes:?}");
        }
        assert_eq!(upstream.seen(), 2);
        assert_eq!(upstream.peak(), 1);
    }
}

#[test]
fn a_steady_stream_keeps_the_limit_filled_and_never_exceeds_it() {
    let upstream = Upstream::delayed(Duration::from_millis(2));
    let proxy = Setup::to(&upstream, 4).set("workers", 2).start();
    parallel(16, |_| {
        let mut client = proxy.connect();
        for _ in 0..50 {
            assert_eq!(client.get("/").status, 200);
        }
    });
    assert_eq!(upstream.peak(), 4);
    assert_eq!(upstream.seen(), 16 * 50);
    proxy.wait_load(0, 0);
}

#[test]
fn http2_streams_and_http1_connections_share_the_limit() {
    let gate = Gate::new();
    let upstream = Upstream::gated(&gate);
    let proxy = Setup::to(&upstream, 2).set("workers", 2).start();
    let h2 = H2::connect(proxy.addr());
    let streams: Vec<_> = (0..3).map(|_| h2.start("GET", "/", &[], b"")).collect();
    let mut clients: Vec<_> = (0..3).map(|_| proxy.send_get("/")).collect();
    proxy.wait_load(2, 4);
    upstream.wait_in_service(2);
    gate.open();
    for stream in streams {
        assert_eq!(h2.finish(stream).status, 200);
    }
    for client in &mut clients {
        assert_eq!(client.read().status, 200);
    }
    assert_eq!(upstream.peak(), 2);
}

/// The second half comes when the gate lets it pass.
fn in_two_halves(gate: &Gate) -> Upstream {
    let gate = gate.clone();
    Upstream::start(move |exchange| {
        exchange.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst")?;
        gate.pass()?;
        exchange.finish("+last")
    })
}

#[test]
fn the_slot_is_held_until_the_last_byte_of_the_body() {
    let gate = Gate::new();
    let upstream = in_two_halves(&gate);
    let proxy = Setup::to(&upstream, 1).start();
    let mut first = proxy.send_get("/first");
    assert_eq!(first.read_head().unwrap().status, 200);
    let mut second = proxy.send_get("/second");
    proxy.wait_load(1, 1);
    assert_eq!(upstream.seen(), 1);
    gate.open();
    assert_eq!(first.read_exact(10).unwrap(), b"first+last");
    assert_eq!(second.read().text(), "first+last");
    assert_eq!(upstream.peak(), 1);
}

#[test]
fn the_slot_is_freed_at_the_headers_when_asked_for() {
    let gate = Gate::new();
    let upstream = in_two_halves(&gate);
    let proxy = Setup::to(&upstream, 1).set("limit.release", "headers").start();
    let mut first = proxy.send_get("/first");
    let mut second = proxy.send_get("/second");
    assert_eq!(first.read_head().unwrap().status, 200);
    assert_eq!(second.read_head().unwrap().status, 200);
    gate.open();
    assert_eq!(first.read_exact(10).unwrap(), b"first+last");
    assert_eq!(second.read_exact(10).unwrap(), b"first+last");
}
