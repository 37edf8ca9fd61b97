//! Ghosts: requests whose client left, or was told 504, while the application still works on them.

use std::sync::mpsc;
use std::time::Duration;

use rustix::process::Signal;

use crate::support::{Gate, H2, Setup, Upstream, eventually};

#[test]
fn finish_holds_the_slot_until_the_application_is_done() {
    let gate = Gate::new();
    let upstream = Upstream::gated(&gate);
    let proxy = Setup::to(&upstream, 2).set("limit.on_abort", "finish").start();
    let leaving: Vec<_> = (0..2).map(|_| proxy.send_get("/ghost")).collect();
    upstream.wait_in_service(2);
    drop(leaving);
    proxy.wait_status("both are ghosts", |status| status.abandoned_exchanges == 2);
    let mut waiting: Vec<_> = (0..2).map(|_| proxy.send_get("/waiting")).collect();
    proxy.wait_load(2, 2);
    upstream.wait_seen(2);
    gate.let_through(2);
    eventually("the freed slots serve the waiting", || upstream.seen() == 4);
    gate.open();
    for client in &mut waiting {
        assert_eq!(client.read().status, 200);
    }
    assert_eq!(upstream.peak(), 2, "ghosts included");
    // The application notes it after its last byte, which others may see first.
    eventually("both exchanges ran to their end", || {
        let requests = upstream.requests();
        let mut ghosts = requests.iter().filter(|request| request.target() == "/ghost");
        ghosts.all(|ghost| ghost.finished)
    });
    proxy.wait_status("two aborts are counted", |status| {
        status.in_flight == 0 && status.counters.aborted == 2
    });
}

#[test]
fn finish_is_the_default_and_reads_the_answer_to_its_end() {
    let gate = Gate::new();
    let held = gate.clone();
    let upstream = Upstream::start(move |exchange| {
        held.pass()?;
        exchange.respond(200, &vec![b'x'; 4_000_000])
    });
    let proxy = Setup::to(&upstream, 1).start();
    let leaving = proxy.send_get("/ghost");
    upstream.wait_in_service(1);
    leaving.reset();
    proxy.wait_status("it is a ghost", |status| status.abandoned_exchanges == 1);
    gate.open();
    eventually("the whole answer was taken", || upstream.requests()[0].finished);
    proxy.wait_load(0, 0);
}

#[test]
fn a_client_that_leaves_in_the_middle_of_the_answer() {
    let gate = Gate::new();
    let held = gate.clone();
    let upstream = Upstream::start(move |exchange| {
        exchange.send("HTTP/1.1 200 OK\r\nContent-Length: 2000000\r\n\r\nbegin")?;
        held.pass()?;
        exchange.finish(vec![b'x'; 2_000_000 - 5])
    });
    let proxy = Setup::to(&upstream, 1).start();
    let mut leaving = proxy.send_get("/ghost");
    assert_eq!(leaving.read_head().unwrap().status, 200);
    leaving.reset();
    proxy.wait_status("it is a ghost", |status| status.abandoned_exchanges == 1);
    let mut waiting = proxy.send_get("/waiting");
    proxy.wait_load(1, 1);
    upstream.wait_seen(1);
    gate.open();
    assert_eq!(waiting.read().body.len(), 2_000_000);
    assert!(upstream.requests()[0].finished);
    assert_eq!(upstream.peak(), 1);
}

/// Nobody would ever read its end: without this, each page that is left holds a slot for `limit.abandon_timeout`.
#[test]
fn a_stream_of_events_has_no_end_to_wait_for() {
    let (closed, told) = mpsc::channel();
    let upstream = Upstream::start(move |exchange| {
        exchange.send(
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n",
        )?;
        exchange.send("9\r\ndata: 1\n\n\r\n")?;
        closed.send(exchange.peer_closes()).unwrap();
        Ok(())
    });
    let proxy = Setup::to(&upstream, 1).start();
    let mut leaving = proxy.connect();
    leaving.send_get("/events").read_until(b"data: 1").unwrap();
    drop(leaving);
    assert!(told.recv().unwrap(), "the application learns of it");
    proxy.wait_load(0, 0);
    assert_eq!(proxy.status().counters.aborted, 1);
}

#[test]
fn cancel_closes_the_upstream_connection_and_frees_the_slot() {
    let (tell, told) = mpsc::channel();
    let upstream = Upstream::start(move |exchange| {
        if exchange.target() == "/ghost" {
            let _ = tell.send(exchange.peer_closes());
            exchange.close();
            return Ok(());
        }
        exchange.respond(200, b"hello")
    });
    let proxy = Setup::to(&upstream, 1).set("limit.on_abort", "cancel").start();
    let leaving = proxy.send_get("/ghost");
    upstream.wait_in_service(1);
    drop(leaving);
    assert!(told.recv_timeout(Duration::from_secs(10)).unwrap(), "the upstream connection stays open");
    proxy.wait_load(0, 0);
    assert_eq!(proxy.get("/next").status, 200);
}

#[test]
fn a_server_timeout_answers_at_once_and_keeps_the_slot() {
    let gate = Gate::new();
    let upstream = Upstream::gated(&gate);
    let proxy =
        Setup::to(&upstream, 1).set("timeouts.upstream", "100ms").set("limit.abandon_timeout", "20s").start();
    let mut client = proxy.connect();
    assert_eq!(client.get("/late").status, 504);
    let status = proxy.status();
    assert_eq!((status.in_flight, status.abandoned_exchanges), (1, 1), "the application still works on it");
    // The client's connection is free for another request, which has to wait for the ghost.
    client.send_get("/next");
    proxy.wait_load(1, 1);
    assert_eq!(upstream.seen(), 1);
    gate.open();
    assert_eq!(client.read().status, 200);
    assert_eq!(upstream.peak(), 1);
    proxy.wait_load(0, 0);
    assert_eq!(proxy.status().counters.timed_out, 1);
}

#[test]
fn a_ghost_is_given_up_after_its_bound() {
    let (tell, told) = mpsc::channel();
    let upstream = Upstream::start(move |exchange| {
        if exchange.target() == "/never" {
            let _ = tell.send(exchange.peer_closes());
            exchange.close();
            return Ok(());
        }
        exchange.respond(200, b"hello")
    });
    let proxy = Setup::to(&upstream, 1)
        .set("timeouts.upstream", "100ms")
        .set("limit.abandon_timeout", "300ms")
        .start();
    assert_eq!(proxy.get("/never").status, 504);
    assert_eq!(proxy.status().in_flight, 1, "given up before its bound");
    assert!(told.recv_timeout(Duration::from_secs(10)).unwrap(), "never given up");
    proxy.wait_load(0, 0);
    assert_eq!(proxy.get("/next").status, 200);
}

#[test]
fn a_client_that_ends_only_its_sending_side_still_gets_its_answer() {
    let gate = Gate::new();
    let upstream = Upstream::gated(&gate);
    let proxy = Setup::to(&upstream, 1).start();
    let mut client = proxy.send_get("/");
    proxy.wait_load(1, 0);
    client.finish_sending();
    gate.open();
    // Whether a half-closed client has left is a choice; that the slot comes back is not.
    if let Ok(response) = client.try_read() {
        assert_eq!(response.status, 200);
    }
    proxy.wait_load(0, 0);
}

/// They waited before the proxy was there to read them, as they do in the kernel's queue of a busy machine.
#[test]
fn whoever_has_left_before_it_was_read_is_not_asked_of_the_application() {
    let upstream = Upstream::hello();
    let proxy = Setup::to(&upstream, 8).start();
    proxy.pause();
    for _ in 0..4 {
        drop(proxy.send_get("/left"));
    }
    let mut stayed = proxy.send_get("/stayed");
    proxy.signal(Signal::CONT);
    assert_eq!(stayed.read().status, 200);
    proxy.wait_metric("loadline_client_disconnects_total", &["stage=\"connect\""], 4.0);
    assert_eq!(upstream.only_request().target(), "/stayed");
    proxy.wait_status("all over", |status| status.counters.aborted == 4 && status.counters.completed == 1);
}

#[test]
fn a_reset_http2_stream_is_a_client_that_left() {
    let gate = Gate::new();
    let upstream = Upstream::gated(&gate);
    let proxy = Setup::to(&upstream, 1).start();
    let h2 = H2::connect(proxy.addr());
    let serving = h2.start("GET", "/ghost", &[], b"");
    upstream.wait_in_service(1);
    let queued = h2.start("GET", "/queued", &[], b"");
    proxy.wait_load(1, 1);
    h2.cancel(queued);
    proxy.wait_load(1, 0);
    h2.cancel(serving);
    proxy.wait_status("it is a ghost", |status| status.abandoned_exchanges == 1);
    let waiting = h2.start("GET", "/waiting", &[], b"");
    proxy.wait_load(1, 1);
    upstream.wait_seen(1);
    gate.open();
    assert_eq!(h2.finish(waiting).status, 200);
    let targets: Vec<_> = upstream.requests().iter().map(|request| request.target()).collect();
    assert_eq!(targets, ["/ghost", "/waiting"]);
    assert_eq!(upstream.peak(), 1);
}

#[test]
fn three_hundred_aborts_leave_exactly_the_limit() {
    let gate = Gate::new();
    let upstream = Upstream::gated_at_held(&gate);
    let proxy = Setup::to(&upstream, 4).set("workers", 2).start();
    for index in 0..300 {
        let client = proxy.send_get("/abort");
        if index % 2 == 0 {
            client.reset();
        }
    }
    proxy.wait_load(0, 0);
    let mut clients: Vec<_> = (0..6).map(|_| proxy.send_get("/held")).collect();
    proxy.wait_load(4, 2);
    upstream.wait_in_service(4);
    gate.open();
    for client in &mut clients {
        assert_eq!(client.read().status, 200);
    }
    assert_eq!(upstream.peak(), 4);
}
