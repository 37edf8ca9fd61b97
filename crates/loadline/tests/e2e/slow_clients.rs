//! Slow clients hold no slot: not while they send, and not for long while they do not read.

use std::time::Duration;

use crate::support::{Client, Gate, H2, Setup, Upstream, eventually, parallel};

const SLOTS: usize = 8;

/// Receive buffer of a client that does not read: small, so that the kernel takes little of the answer for it.
const NARROW: usize = 4096;

/// `/big` answers 4 MB, everything else a few bytes.
fn application() -> Upstream {
    Upstream::start(|exchange| {
        if exchange.target() == "/big" {
            exchange.respond(200, &vec![b'b'; 4_000_000])
        } else {
            exchange.respond(200, b"hello")
        }
    })
}

#[test]
fn thirty_two_trickled_uploads_beside_eight_slots() {
    let upstream = application();
    let proxy = Setup::to(&upstream, SLOTS).set("workers", 2).start();
    let mut trickles: Vec<_> = (0..32).map(|_| proxy.connect()).collect();
    for client in &mut trickles {
        client.send("POST /trickle HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nfirst bytes");
    }
    proxy.wait_status("all connected", |status| status.connections.client >= 32);
    for round in 0..3 {
        for client in &mut trickles {
            client.send("t");
        }
        let statuses = parallel(SLOTS, |_| proxy.get("/legitimate").status);
        assert_eq!(statuses, [200; SLOTS], "round {round}");
    }
    assert_eq!(proxy.status().in_flight, 0, "a trickled upload holds a slot");
    assert_eq!(upstream.seen(), 3 * SLOTS, "an incomplete upload was passed on");
    // One of them comes to its end after all, and is served.
    let last = &mut trickles[0];
    assert_eq!(last.send("t".repeat(1000 - 11 - 3)).read().status, 200);
}

#[test]
fn thirty_two_trickled_chunked_uploads_beside_eight_slots() {
    let upstream = application();
    let proxy = Setup::to(&upstream, SLOTS).start();
    let mut trickles: Vec<_> = (0..32).map(|_| proxy.connect()).collect();
    for client in &mut trickles {
        client.send("POST /trickle HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n");
    }
    proxy.wait_status("all connected", |status| status.connections.client >= 32);
    assert_eq!(parallel(SLOTS, |_| proxy.get("/legitimate").status), [200; SLOTS]);
    assert_eq!(proxy.status().in_flight, 0);
}

#[test]
fn thirty_two_stalled_http2_uploads_beside_eight_slots() {
    let upstream = application();
    let proxy = Setup::to(&upstream, SLOTS).start();
    let h2 = H2::connect(proxy.addr());
    let _stalled: Vec<_> = (0..32).map(|_| h2.start_stalled("/stalled", b"begin")).collect();
    for _ in 0..3 {
        assert_eq!(h2.get("/legitimate").status, 200, "on the same connection");
        assert_eq!(parallel(SLOTS, |_| proxy.get("/legitimate").status), [200; SLOTS]);
    }
    assert_eq!(proxy.status().in_flight, 0, "a stalled upload holds a slot");
}

#[test]
fn uploads_too_large_to_buffer_keep_a_minimum_rate() {
    let upstream = application();
    let proxy =
        Setup::to(&upstream, SLOTS).set("buffer.request", "16KiB").set("buffer.grace", "200ms").start();
    let mut stalled: Vec<_> = (0..SLOTS).map(|_| proxy.connect()).collect();
    for client in &mut stalled {
        client.send("POST /stalled HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n");
        client.send(vec![b'u'; 40_000]);
    }
    proxy.wait_load(SLOTS as u64, 0);
    // The peak is no measure here: the application learns a moment later that a dropped upload was cut.
    assert_eq!(parallel(SLOTS, |_| proxy.get("/legitimate").status), [200; SLOTS]);
    // As many were dropped as others waited for, and perhaps more.
    let dropped = stalled.iter_mut().filter_map(|client| {
        client.patience(Duration::from_millis(100));
        client.read_to_close().ok()
    });
    assert!(dropped.count() >= 1, "who stalls while others wait for its slot is dropped");
    drop(stalled);
    proxy.wait_load(0, 0);
}

#[test]
fn an_answer_that_fits_the_buffer_frees_its_slot_unread() {
    let upstream = application();
    let proxy = Setup::to(&upstream, SLOTS).set("buffer.response", "8MiB").start();
    let mut readers: Vec<_> = (0..2 * SLOTS).map(|_| Client::connect_narrow(proxy.addr(), NARROW)).collect();
    for client in &mut readers {
        client.send_get("/big");
    }
    eventually("all answers left the application", || {
        let requests = upstream.requests();
        requests.len() == 2 * SLOTS && requests.iter().all(|request| request.finished)
    });
    proxy.wait_load(0, 0);
    assert_eq!(readers[0].read().body.len(), 4_000_000, "the answer is still there for who reads late");
}

#[test]
fn sixteen_downloads_that_nobody_reads_beside_eight_slots() {
    let upstream = application();
    let proxy = Setup::to(&upstream, SLOTS).set("buffer.grace", "200ms").start();
    let mut readers: Vec<_> = (0..2 * SLOTS).map(|_| Client::connect_narrow(proxy.addr(), NARROW)).collect();
    for client in &mut readers {
        client.send_get("/big");
    }
    eventually("the first of them are in service", || upstream.seen() >= SLOTS);
    assert_eq!(parallel(SLOTS, |_| proxy.get("/legitimate").status), [200; SLOTS]);
}

#[test]
fn the_total_of_all_buffers_is_a_bound_and_not_an_end() {
    // With room for hardly one of them the others stream, and are served.
    let upstream = application();
    let proxy = Setup::to(&upstream, SLOTS)
        .set("buffer.request", "16KiB")
        .set("buffer.response", "32KiB")
        .set("buffer.total", "48KiB")
        .start();
    let bodies = parallel(4, |_| {
        let mut client = proxy.connect();
        client.send("POST /big HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n");
        client.send(vec![b'u'; 200_000]);
        client.read().body.len()
    });
    assert_eq!(bodies, [4_000_000; 4]);
    assert!(upstream.requests().iter().all(|request| request.body_length == 200_000));
}

/// A vector doubles, and a read fills what is spare: what is charged must be what is taken.
#[test]
fn the_process_takes_no_more_than_twice_the_total() {
    /// One response may be read ahead by a sixteenth of it while others wait.
    const TOTAL: u64 = 72 << 20;
    /// Buffers that are not charged, for each.
    const OF_EACH: u64 = 80 << 10;
    let upstream = application();
    let proxy = Setup::to(&upstream, SLOTS).set("buffer.total", "72MiB").start();
    let before = proxy.peak_resident();
    let mut readers: Vec<_> = (0..48).map(|_| Client::connect_narrow(proxy.addr(), NARROW)).collect();
    for reader in &mut readers {
        reader.send_get("/big");
    }
    eventually("the total is taken", || {
        proxy.metric_sum("loadline_buffer_used_bytes", &[]) > 0.9 * TOTAL as f64
    });
    let grown = proxy.peak_resident() - before;
    assert!(grown < 2 * TOTAL + 48 * OF_EACH, "{grown} bytes");
    drop(readers);
    proxy.wait_metric("loadline_buffer_used_bytes", &[], 0.0);
}

/// A client that sends its next request with the first keeps the buffers of its connection, and must not keep what they grew to.
#[test]
fn what_one_answer_took_is_not_kept_for_the_next_request() {
    const TOTAL: u64 = 16 << 20;
    const CLIENTS: u64 = 32;
    let gate = Gate::new();
    let held = gate.clone();
    let upstream = Upstream::start(move |exchange| {
        if exchange.target() == "/big" {
            return exchange.respond(200, &vec![b'b'; 4_000_000]);
        }
        held.pass()?;
        exchange.respond(200, b"late")
    });
    let proxy = Setup::to(&upstream, CLIENTS as usize)
        .set("buffer.response", "8MiB")
        .set("buffer.total", "16MiB")
        .start();
    let before = proxy.peak_resident();
    let mut clients = Vec::new();
    for waiting in 0..CLIENTS {
        let mut client = Client::connect_narrow(proxy.addr(), NARROW);
        client.send("GET /big HTTP/1.1\r\nHost: x\r\n\r\nGET /held HTTP/1.1\r\nHost: x\r\n\r\n");
        eventually("the answer is read ahead", || {
            proxy.metric_sum("loadline_buffer_used_bytes", &[]) > 1_000_000.0
        });
        assert_eq!(client.read().body.len(), 4_000_000);
        eventually("the next request is in service", || proxy.status().in_flight == waiting + 1);
        clients.push(client);
    }
    let grown = proxy.peak_resident() - before;
    assert!(grown < 2 * TOTAL + CLIENTS * (80 << 10), "{grown} bytes");
    gate.open();
    assert!(clients.iter_mut().all(|client| client.read().text() == "late"));
}

#[test]
fn a_reader_slower_than_the_application_loses_nothing() {
    let upstream = application();
    let proxy = Setup::to(&upstream, 1).start();
    let mut client = Client::connect_narrow(proxy.addr(), NARROW);
    client.send_get("/big");
    assert_eq!(client.read_head().unwrap().status, 200);
    let mut received = 0;
    while received < 4_000_000 {
        let part = client.read_exact(50_000).expect("a steady reader is not dropped");
        assert!(part.iter().all(|byte| *byte == b'b'));
        received += part.len();
    }
    assert_eq!(client.get("/after").text(), "hello");
}
