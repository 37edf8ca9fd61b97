//! Where requests wait: bounded, in order, and only as long as somebody waits for the answer.

use crate::support::{Gate, Setup, Upstream};

#[test]
fn a_client_that_leaves_the_queue_never_reaches_the_application() {
    let gate = Gate::new();
    let upstream = Upstream::gated(&gate);
    let proxy = Setup::to(&upstream, 1).start();
    let mut first = proxy.send_get("/first");
    proxy.wait_load(1, 0);
    let gone = proxy.send_get("/gone");
    proxy.wait_load(1, 1);
    let reset = proxy.send_get("/reset");
    proxy.wait_load(1, 2);
    drop(gone);
    reset.reset();
    proxy.wait_status("both left the queue", |status| status.queued == 0 && status.counters.abandoned == 2);
    let mut last = proxy.send_get("/last");
    proxy.wait_load(1, 1);
    gate.open();
    assert_eq!(first.read().status, 200);
    assert_eq!(last.read().status, 200);
    let targets: Vec<_> = upstream.requests().iter().map(|request| request.target()).collect();
    assert_eq!(targets, ["/first", "/last"]);
}

#[test]
fn fifty_clients_that_leave_cost_the_application_nothing() {
    let gate = Gate::new();
    let upstream = Upstream::gated(&gate);
    let proxy = Setup::to(&upstream, 2).set("workers", 2).start();
    let mut served: Vec<_> = (0..2).map(|_| proxy.send_get("/served")).collect();
    proxy.wait_load(2, 0);
    let leaving: Vec<_> = (0..50).map(|_| proxy.send_get("/leaving")).collect();
    proxy.wait_load(2, 50);
    drop(leaving);
    proxy.wait_status("all left", |status| status.queued == 0 && status.counters.abandoned == 50);
    gate.open();
    for client in &mut served {
        assert_eq!(client.read().status, 200);
    }
    assert_eq!(upstream.seen(), 2);
}

#[test]
fn a_full_queue_rejects_at_once() {
    let gate = Gate::new();
    let upstream = Upstream::gated(&gate);
    let proxy = Setup::to(&upstream, 1).set("queue.depth", 2).set("queue.discipline", "fifo").start();
    let mut waiting = vec![proxy.send_get("/0")];
    proxy.wait_load(1, 0);
    waiting.push(proxy.send_get("/1"));
    waiting.push(proxy.send_get("/2"));
    proxy.wait_load(1, 2);
    let rejected = proxy.get("/3");
    assert_eq!(rejected.status, 503);
    assert_eq!(rejected.reason(), "queue_full");
    gate.open();
    for client in &mut waiting {
        assert_eq!(client.read().status, 200);
    }
    assert_eq!(upstream.seen(), 3);
}

#[test]
fn depth_zero_rejects_as_soon_as_no_slot_is_free() {
    let gate = Gate::new();
    let upstream = Upstream::gated(&gate);
    let proxy = Setup::to(&upstream, 1).set("queue.depth", 0).start();
    let mut first = proxy.send_get("/first");
    proxy.wait_load(1, 0);
    let rejected = proxy.get("/second");
    assert_eq!(rejected.status, 503);
    assert_eq!(rejected.reason(), "concurrency");
    gate.open();
    assert_eq!(first.read().status, 200);
    proxy.wait_load(0, 0);
    assert_eq!(proxy.get("/third").status, 200);
}

#[test]
fn fifo_serves_in_order_of_arrival() {
    assert_eq!(order_of_service("fifo"), ["/0", "/1", "/2", "/3"]);
}

#[test]
fn lifo_serves_the_newest_first() {
    assert_eq!(order_of_service("lifo"), ["/0", "/3", "/2", "/1"]);
}

fn order_of_service(discipline: &str) -> Vec<String> {
    let gate = Gate::new();
    let upstream = Upstream::gated(&gate);
    let proxy = Setup::to(&upstream, 1).set("queue.discipline", discipline).start();
    let mut clients = Vec::new();
    for index in 0..4 {
        clients.push(proxy.send_get(&format!("/{index}")));
        proxy.wait_load(1, index);
    }
    gate.open();
    for client in &mut clients {
        assert_eq!(client.read().status, 200);
    }
    upstream.requests().iter().map(|request| request.target()).collect()
}

#[test]
fn a_timeout_of_zero_means_for_ever_as_in_spillway() {
    let gate = Gate::new();
    let upstream = Upstream::gated(&gate);
    let proxy = Setup::to(&upstream, 1).env("QUEUE_TIMEOUT", "0").start();
    let mut first = proxy.send_get("/first");
    proxy.wait_load(1, 0);
    let mut second = proxy.send_get("/second");
    proxy.wait_load(1, 1);
    gate.open();
    assert_eq!(first.read().status, 200);
    assert_eq!(second.read().status, 200);
}

#[test]
fn an_expired_wait_says_so_and_keeps_the_connection() {
    let gate = Gate::new();
    let upstream = Upstream::gated(&gate);
    let proxy = Setup::to(&upstream, 1).set("queue.timeout", "50ms").start();
    let mut first = proxy.send_get("/first");
    proxy.wait_load(1, 0);
    let mut second = proxy.connect();
    let rejected = second.get("/second");
    assert_eq!(rejected.status, 503);
    assert_eq!(rejected.reason(), "queue_timeout");
    gate.open();
    assert_eq!(first.read().status, 200);
    proxy.wait_load(0, 0);
    assert_eq!(second.get("/third").status, 200);
    assert_eq!(upstream.seen(), 2);
}

#[test]
fn pipelined_requests_behind_a_queued_one_keep_their_order() {
    let gate = Gate::new();
    let upstream = Upstream::gated(&gate);
    let proxy = Setup::to(&upstream, 1).start();
    let mut first = proxy.send_get("/first");
    proxy.wait_load(1, 0);
    let mut second = proxy.connect();
    second.send("GET /a HTTP/1.1\r\nHost: x\r\n\r\nGET /b HTTP/1.1\r\nHost: x\r\n\r\n");
    proxy.wait_load(1, 1);
    gate.open();
    assert_eq!(first.read().status, 200);
    assert_eq!(second.read().status, 200);
    assert_eq!(second.read().status, 200);
    let targets: Vec<_> = upstream.requests().iter().map(|request| request.target()).collect();
    assert_eq!(targets, ["/first", "/a", "/b"]);
}

#[test]
fn what_waits_holds_a_bounded_number_of_bytes() {
    let gate = Gate::new();
    let upstream = Upstream::gated(&gate);
    let proxy = Setup::to(&upstream, 1).set("queue.max_bytes", 100).set("queue.discipline", "fifo").start();
    let post = || {
        let mut client = proxy.connect();
        client.send(format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 80\r\n\r\n{}", "x".repeat(80)));
        client
    };
    let mut clients = vec![proxy.send_get("/busy")];
    proxy.wait_load(1, 0);
    clients.push(post());
    proxy.wait_load(1, 1);
    assert_eq!(proxy.metric_sum("loadline_queue_held_bytes", &[]), 80.0);
    let refused = post().read();
    assert_eq!((refused.status, refused.reason().as_str()), (503, "queue_full"));
    clients.push(proxy.send_get("/light"));
    proxy.wait_load(1, 2);
    gate.open();
    for client in &mut clients {
        assert_eq!(client.read().status, 200);
    }
    assert_eq!(proxy.metric_sum("loadline_queue_held_bytes", &[]), 0.0);
}
