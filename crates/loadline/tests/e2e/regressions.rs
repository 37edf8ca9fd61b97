//! Mistakes that were made once: each test names one.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::{Client, Gate, H2, Setup, Upstream, eventually, parallel, scratch};

#[test]
fn only_a_request_that_is_whole_in_memory_is_sent_again() {
    // The rest of a large upload, sent again alone on a new connection, would be a request of its client's making.
    let upstream = Upstream::start(|exchange| {
        if exchange.method() == "PUT" {
            exchange.read_body()?;
            exchange.close();
            return Ok(());
        }
        exchange.respond(200, b"hello")
    });
    let proxy = Setup::to(&upstream, 1).set("buffer.request", "16KiB").start();
    let mut client = proxy.connect();
    assert_eq!(client.get("/").status, 200, "a connection to the application is kept");
    let hidden = "GET /hidden HTTP/1.1\r\nHost: x\r\n\r\n";
    let length = 100_000 + hidden.len();
    client.send(format!("PUT /large HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n"));
    client.send(vec![b'u'; 100_000]);
    eventually("all but the end has arrived", || upstream.received()[0].len() > 100_000);
    client.send(hidden);
    assert_eq!(client.read().status, 502);
    let targets: Vec<_> = upstream.requests().iter().map(|request| request.target()).collect();
    assert_eq!(targets, ["/", "/large"]);
    assert_eq!(upstream.connections(), 1, "something was sent again");
}

#[test]
fn a_soft_drain_answers_new_connections() {
    let upstream = Upstream::hello();
    let proxy = Setup::to(&upstream, 1).start();
    assert_eq!(proxy.admin_post("/-/drain").status, 200);
    let mut late = proxy.connect();
    proxy.wait_status("it is connected", |status| status.connections.client == 1);
    // Its request comes a moment later than the connection, as over any network.
    let response = late.get("/");
    assert_eq!(response.header("connection"), Some("close"), "{response:?}");
    late.expect_close();
    assert_eq!(proxy.admin_post("/-/undrain").status, 200);
    let mut client = proxy.connect();
    assert_eq!(client.get("/").status, 200);
    assert_eq!(client.get("/").status, 200, "kept again");
}

/// A client that keeps its connection would be rejected by the same instance again and again.
#[test]
fn a_rejection_while_draining_ends_the_connection() {
    let gate = Gate::new();
    let upstream = Upstream::gated(&gate);
    let proxy = Setup::to(&upstream, 1).start();
    let mut served = proxy.send_get("/");
    proxy.wait_load(1, 0);
    let mut rejected = proxy.connect();
    proxy.wait_status("it is connected", |status| status.connections.client == 2);
    assert_eq!(proxy.admin_post("/-/drain").status, 200);
    let response = rejected.get("/");
    assert_eq!((response.status, response.reason().as_str()), (503, "draining"));
    assert_eq!(response.header("connection"), Some("close"), "{response:?}");
    rejected.expect_close();
    gate.open();
    assert_eq!(served.read().status, 200);
}

#[test]
fn http2_does_not_lift_the_maximum_of_connections() {
    let gate = Gate::new();
    let upstream = Upstream::gated_at_held(&gate);
    let proxy = Setup::to(&upstream, 8).set("max_connections", 2).set("workers", 1).start();
    let _held: Vec<_> = (0..2).map(|_| proxy.send_get("/held")).collect();
    proxy.wait_load(2, 0);
    let h2 = H2::connect(proxy.addr());
    assert_eq!(h2.get("/").status, 503);
    assert_eq!(h2.get("/healthcheck").status, 200, "the reserve is for health checks");
    gate.open();
}

#[test]
fn a_response_head_that_trickles_in_is_late_all_the_same() {
    let upstream = Upstream::start(|exchange| {
        for byte in
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Filler: abcdefghijklmnopqrstuvwxyz\r\n\r\n".bytes()
        {
            exchange.send([byte])?;
            thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    });
    let proxy = Setup::to(&upstream, 1).set("timeouts.upstream", "500ms").start();
    let begin = Instant::now();
    assert_eq!(proxy.get("/").status, 504);
    assert!(begin.elapsed() < Duration::from_secs(3), "took {:?}", begin.elapsed());
}

#[test]
fn a_rejection_after_a_reload_speaks_the_new_settings() {
    // One that waited under the old settings must not leave its answer behind for those that come under the new ones.
    let gate = Gate::new();
    let upstream = Upstream::gated(&gate);
    let path = scratch("regressions-reload.toml");
    let config = |status: u16| {
        format!(
            "upstream = \"http://{}\"\nworkers = 1\n[limit]\nconcurrency = 1\n[queue]\ntimeout = \"1s\"\n\
             [response]\nstatus = {status}\nretry_after = 7\n",
            upstream.addr()
        )
    };
    fs::write(&path, config(503)).unwrap();
    let proxy = Setup::bare().file(path.to_str().unwrap()).start();
    let _busy = proxy.send_get("/busy");
    proxy.wait_load(1, 0);
    let mut waiting = proxy.send_get("/waiting");
    proxy.wait_load(1, 1);
    fs::write(&path, config(429)).unwrap();
    proxy.signal(Signal::HUP);
    eventually("reloaded", || proxy.stderr().iter().any(|line| line.contains("configuration reloaded")));
    // A connection under the new settings, so that the worker has taken notice of them.
    let mut fresh = proxy.connect();
    fresh.send_get("/fresh");
    proxy.wait_load(1, 2);
    assert_eq!(waiting.read().status, 503, "it came under the old settings");
    assert_eq!(fresh.read().status, 429);
    let _ = fs::remove_file(&path);
    gate.open();
}

#[test]
fn the_application_never_sees_more_connections_than_slots() {
    let upstream = Upstream::delayed(Duration::from_millis(2));
    let proxy = Setup::to(&upstream, 3).set("workers", 4).set("bypass.concurrency", 1).start();
    let most = std::sync::atomic::AtomicUsize::new(0);
    let left = std::sync::atomic::AtomicUsize::new(12);
    thread::scope(|scope| {
        scope.spawn(|| {
            while left.load(std::sync::atomic::Ordering::Relaxed) > 0 {
                most.fetch_max(upstream.open_connections(), std::sync::atomic::Ordering::Relaxed);
                thread::yield_now();
            }
        });
        parallel(12, |_| {
            for _ in 0..20 {
                let mut client = proxy.connect();
                assert_eq!(client.get("/").status, 200);
                assert_eq!(client.get("/").status, 200);
            }
            left.fetch_sub(1, std::sync::atomic::Ordering::Relaxed);
        });
    });
    let most = most.into_inner();
    assert!(most <= 4, "{most} connections were open at once");
    assert!(upstream.connections() <= 4, "{} connections were opened", upstream.connections());
}

#[test]
fn an_interim_response_that_is_half_sent_is_not_followed_by_an_answer() {
    let upstream = Upstream::start(|exchange| {
        let filler = "f".repeat(20_000);
        for _ in 0..500 {
            exchange.send(format!("HTTP/1.1 103 Early Hints\r\nX-Filler: {filler}\r\n\r\n"))?;
        }
        exchange.peer_closes();
        Ok(())
    });
    let proxy = Setup::to(&upstream, 1)
        .set("timeouts.upstream", "500ms")
        .set("timeouts.client", "20s")
        .set("buffer.min_rate", "0B")
        .set("buffer.response", "16MiB")
        .start();
    let mut client = Client::connect_narrow(proxy.addr(), 4096);
    client.send("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    proxy.wait_status("it is given up", |status| status.abandoned_exchanges == 1);
    let everything = client.read_to_close().unwrap();
    let text = String::from_utf8_lossy(&everything);
    for (at, _) in text.match_indices("HTTP/1.1 ") {
        assert!(at == 0 || text[..at].ends_with("\r\n\r\n"), "...{}", &text[at.saturating_sub(40)..at + 40]);
    }
}

#[test]
fn the_name_of_the_reason_can_be_left_out() {
    let upstream = Upstream::hello();
    let proxy = Setup::to(&upstream, 1).set("max_connections", 1).set("response.proxy_status", false).start();
    let _first = proxy.connect();
    proxy.wait_status("it is connected", |status| status.connections.client == 1);
    let response = proxy.get("/");
    assert_eq!((response.status, response.header("proxy-status")), (503, None));
}

#[test]
fn whoever_waits_costs_no_processor_time() {
    let gate = Gate::new();
    let held = gate.clone();
    let upstream = Upstream::start(move |exchange| {
        match exchange.target() {
            "/never" => held.pass()?,
            "/big" => {
                exchange.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")?;
                loop {
                    exchange.send([b'b'; 10_000])?;
                }
            }
            "/stops" => {
                exchange.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbegin\r\n")?;
                held.pass()?;
            }
            "/tunnel" => {
                exchange.send("HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")?;
                held.pass()?;
            }
            _ => {}
        }
        exchange.respond(200, b"hello")
    });
    let proxy = Setup::to(&upstream, 8)
        .set("buffer.min_rate", "0B")
        .set("buffer.request", "16KiB")
        .set("buffer.total", "16MiB")
        .set("queue.discipline", "fifo")
        .set("queue.timeout", "60s")
        .start();
    // Eight slots are taken in as many ways ...
    let mut clients: Vec<_> = ["/never", "/never", "/stops"].map(|target| proxy.send_get(target)).into();
    for _ in 0..2 {
        let mut reader = Client::connect_narrow(proxy.addr(), 4096);
        clients.push({
            reader.send_get("/big");
            reader
        });
    }
    let mut tunnel = proxy.connect();
    tunnel.send("GET /tunnel HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n");
    let mut stalled = proxy.connect();
    stalled
        .send("POST /stalled HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
        .send(vec![b'u'; 50_000]);
    let mut unread = proxy.connect();
    unread
        .send("POST /never HTTP/1.1\r\nHost: x\r\nContent-Length: 50000000\r\n\r\n")
        .send(vec![b'u'; 200_000]);
    drop(proxy.send_get("/never"));
    proxy.wait_status("the slots are taken", |status| status.in_flight == 8);
    // ... others wait for one, or idle, or are slow.
    let mut others: Vec<_> = (0..4).map(|_| proxy.send_get("/waiting")).collect();
    others.push(proxy.connect());
    for begin in ["GET", "GET / HTTP/1.1\r\n", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n1"] {
        let mut slow = proxy.connect();
        slow.send(begin);
        others.push(slow);
    }
    let mut pipelining = proxy.connect();
    for _ in 0..3_000 {
        pipelining.send_get("/waiting-with-many-behind-it");
    }
    others.push(pipelining);
    let h2 = H2::connect(proxy.addr());
    let _streams: Vec<_> = (0..3).map(|_| h2.start_stalled("/stalled", b"begin")).collect();
    let _queued = h2.start("GET", "/waiting", &[], b"");
    proxy.wait_status("all is still", |status| status.queued >= 6);
    let observed = Duration::from_secs(1);
    let before = proxy.processor_time();
    thread::sleep(observed);
    let used = proxy.processor_time() - before;
    assert!(used < observed / 5, "{used:?} of processor time in {observed:?}, and nothing to do");
    gate.open();
}

#[test]
fn a_client_that_pauses_harms_nobody_as_long_as_nobody_waits() {
    let upstream = Upstream::start(|exchange| {
        exchange.read_body()?;
        exchange.respond(200, &vec![b'b'; 20_000_000])
    });
    let proxy = Setup::to(&upstream, 1).set("buffer.grace", "200ms").set("buffer.request", "16KiB").start();
    let mut client = Client::connect_narrow(proxy.addr(), 4096);
    client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n").send(vec![b'u'; 50_000]);
    upstream.wait_in_service(1);
    thread::sleep(Duration::from_secs(1));
    client.send(vec![b'u'; 50_000]);
    assert_eq!(client.read_head().expect("an answer").status, 200);
    thread::sleep(Duration::from_secs(1));
    assert_eq!(client.read_exact(20_000_000).expect("all of the answer").len(), 20_000_000);
}

#[test]
fn a_content_type_does_not_buy_a_slot_before_the_body() {
    // gRPC streams and is let through at once; but gRPC is HTTP/2, and over HTTP/1.1 its name is only a pretext.
    let upstream = Upstream::hello();
    let proxy = Setup::to(&upstream, 2).start();
    let mut trickles: Vec<_> = (0..8).map(|_| proxy.connect()).collect();
    for client in &mut trickles {
        client.send(
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/grpc\r\nContent-Length: 99\r\n\r\nx",
        );
    }
    proxy.wait_status("all connected", |status| status.connections.client >= 8);
    assert_eq!(parallel(2, |_| proxy.get("/legitimate").status), [200; 2]);
    assert_eq!(proxy.status().in_flight, 0);
}

#[test]
fn a_steady_reader_is_not_taken_for_one_that_stands_still() {
    // The kernel may hold megabytes for it, and says nothing until a third of them is gone.
    let upstream = Upstream::start(|exchange| {
        exchange.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")?;
        loop {
            exchange.send([b'b'; 10_000])?;
        }
    });
    let proxy = Setup::to(&upstream, 1)
        .set("buffer.total", "1MiB")
        .set("buffer.grace", "1s")
        .set("queue.discipline", "fifo")
        .set("queue.timeout", "60s")
        .start();
    let mut reader = proxy.send_get("/");
    upstream.wait_in_service(1);
    let _waiting = proxy.send_get("/");
    proxy.wait_load(1, 1);
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(3) {
        reader.read_exact(50_000).expect("far above the minimum rate");
        thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(proxy.status().queued, 1, "the reader was dropped");
}
