//! HTTP/2 in clear text with prior knowledge, to an HTTP/1.1 application.

use std::time::{Duration, Instant};

use crate::support::{Client, Gate, H2, Setup, Upstream, parallel};

#[test]
fn get_and_post() {
    let upstream = Upstream::start(|exchange| {
        let body = exchange.read_body()?;
        exchange.respond_with(
            200,
            "X-Answer: 1\r\nConnection: keep-alive\r\nKeep-Alive: timeout=5\r\n",
            &body,
        )
    });
    let proxy = Setup::to(&upstream, 1).start();
    let h2 = H2::connect(proxy.addr());
    let reply = h2.get("/a?b=c");
    assert_eq!(reply.status, 200);
    assert_eq!(reply.headers["x-answer"], "1");
    assert!(!reply.headers.contains_key("connection") && !reply.headers.contains_key("keep-alive"));
    let reply = h2.request("POST", "/post", &[("x-req", "2")], b"a body");
    assert_eq!((reply.status, reply.body.as_slice()), (200, b"a body".as_slice()));
    let requests = upstream.requests();
    assert_eq!(requests[0].line(), "GET /a?b=c HTTP/1.1");
    assert_eq!(requests[0].header("host").as_deref(), Some("test.example"));
    assert_eq!(requests[1].line(), "POST /post HTTP/1.1");
    assert_eq!(requests[1].header("x-req").as_deref(), Some("2"));
    assert_eq!(requests[1].body, b"a body");
    assert!(
        requests.iter().all(|request| !request.text().contains("\r\n:")),
        "a pseudo-header was passed on"
    );
}

#[test]
fn answers_get_nothing_added() {
    let upstream = Upstream::raw("HTTP/1.1 200 OK\r\nX-Answer: 1\r\nContent-Length: 2\r\n\r\nok", true);
    let proxy = Setup::to(&upstream, 1).start();
    let reply = H2::connect(proxy.addr()).get("/");
    let mut names: Vec<_> = reply.headers.keys().map(|name| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["content-length", "x-answer"]);
}

#[test]
fn too_large_a_head_is_refused_as_everybodys() {
    let upstream = Upstream::hello();
    let proxy = Setup::to(&upstream, 1).set("log.access", "spillway").start();
    let h2 = H2::connect(proxy.addr());
    let large = "x".repeat(33 * 1024);
    let reply = h2.request("GET", "/", &[("x-large", large.as_str())], b"");
    assert_eq!(reply.status, 431);
    let told: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!(told["reason"], "header_too_large");
    assert_eq!(proxy.wait_stdout(1), ["http 431 0 -1/-1"]);
    proxy.wait_metric("loadline_requests_refused_total", &["status=\"431\""], 1.0);
    assert_eq!(h2.get("/").status, 200, "other streams go on");
    assert_eq!(upstream.seen(), 1);
}

#[test]
fn head_has_no_body() {
    let upstream = Upstream::hello();
    let proxy = Setup::to(&upstream, 1).start();
    let h2 = H2::connect(proxy.addr());
    let reply = h2.request("HEAD", "/", &[], b"");
    assert_eq!((reply.status, reply.body.len()), (200, 0));
    assert_eq!(reply.headers["content-length"], "5");
    assert_eq!(h2.get("/").body, b"hello");
}

#[test]
fn response_trailers() {
    let upstream = Upstream::raw(
        "HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n\
         3\r\nabc\r\n0\r\nX-Sum: 42\r\n\r\n",
        false,
    );
    let proxy = Setup::to(&upstream, 1).start();
    let reply = H2::connect(proxy.addr()).get("/");
    assert_eq!(reply.body, b"abc");
    assert_eq!(reply.trailers.expect("trailers")["x-sum"], "42");
    assert!(!reply.headers.contains_key("transfer-encoding"));
}

#[test]
fn large_bodies_both_ways() {
    let upstream = Upstream::start(|exchange| {
        exchange.read_body()?;
        exchange.respond(200, &vec![b'd'; 2_000_000])
    });
    let proxy = Setup::to(&upstream, 1).start();
    let reply = H2::connect(proxy.addr()).request("POST", "/", &[], &vec![b'u'; 2_000_000]);
    assert_eq!(reply.body.len(), 2_000_000);
    assert_eq!(upstream.only_request().body_length, 2_000_000);
}

#[test]
fn each_stream_counts_against_the_limit() {
    let gate = Gate::new();
    let upstream = Upstream::gated(&gate);
    let proxy = Setup::to(&upstream, 3).set("workers", 2).start();
    let h2 = H2::connect(proxy.addr());
    let streams: Vec<_> = (0..20).map(|_| h2.start("GET", "/", &[], b"")).collect();
    proxy.wait_load(3, 17);
    upstream.wait_in_service(3);
    gate.open();
    for stream in streams {
        assert_eq!(h2.finish(stream).status, 200);
    }
    assert_eq!((upstream.peak(), upstream.seen()), (3, 20));
}

#[test]
fn a_rejection_ends_its_stream_and_not_the_connection() {
    let gate = Gate::new();
    let upstream = Upstream::gated(&gate);
    let proxy = Setup::to(&upstream, 1).set("queue.depth", 0).start();
    let h2 = H2::connect(proxy.addr());
    let first = h2.start("GET", "/", &[], b"");
    proxy.wait_load(1, 0);
    let reply = h2.get("/");
    assert_eq!(reply.status, 503);
    assert!(reply.headers.contains_key("retry-after") && reply.headers.contains_key("proxy-status"));
    gate.open();
    assert_eq!(h2.finish(first).status, 200);
    proxy.wait_load(0, 0);
    assert_eq!(h2.get("/").status, 200);
}

#[test]
fn the_health_path_skips_the_queue_here_too() {
    let gate = Gate::new();
    let held = gate.clone();
    let upstream = Upstream::start(move |exchange| {
        if exchange.target() != "/healthcheck" {
            held.pass()?;
        }
        exchange.respond(200, b"OK\n")
    });
    let proxy = Setup::to(&upstream, 1).start();
    let h2 = H2::connect(proxy.addr());
    let busy = h2.start("GET", "/busy", &[], b"");
    proxy.wait_load(1, 0);
    assert_eq!(h2.get("/healthcheck").status, 200);
    gate.open();
    assert_eq!(h2.finish(busy).status, 200);
}

#[test]
fn errors_of_the_application() {
    let upstream = Upstream::start(|exchange| {
        exchange.close();
        Ok(())
    });
    let proxy = Setup::to(&upstream, 1).start();
    let h2 = H2::connect(proxy.addr());
    assert_eq!(h2.get("/").status, 502);
    assert_eq!(h2.get("/").status, 502, "the connection survives");
    proxy.wait_load(0, 0);
}

#[test]
fn a_body_cut_short_resets_the_stream() {
    let upstream = Upstream::raw("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello", true);
    let proxy = Setup::to(&upstream, 1).start();
    let h2 = H2::connect(proxy.addr());
    let stream = h2.start("GET", "/", &[], b"");
    match h2.try_finish(stream) {
        Err(_) => {}
        Ok(reply) => assert_eq!(reply.status, 502, "passed off as whole: {reply:?}"),
    }
    proxy.wait_load(0, 0);
}

#[test]
fn many_streams_on_many_connections() {
    let upstream = Upstream::hello();
    let proxy = Setup::to(&upstream, 4).set("workers", 2).start();
    parallel(4, |_| {
        let h2 = H2::connect(proxy.addr());
        let streams: Vec<_> = (0..50).map(|index| h2.start("GET", &format!("/{index}"), &[], b"")).collect();
        for stream in streams {
            assert_eq!(h2.finish(stream).status, 200);
        }
    });
    assert_eq!(upstream.seen(), 200);
    assert!(upstream.peak() <= 4);
    proxy.wait_load(0, 0);
}

#[test]
fn the_preface_alone_does_not_buy_more_time_than_half_a_head() {
    let upstream = Upstream::hello();
    let proxy = Setup::to(&upstream, 1).set("timeouts.header", "300ms").start();
    // Its SETTINGS are there: it may be silent for timeouts.idle.
    let silent = H2::connect(proxy.addr());
    let mut began = proxy.connect();
    let begin = Instant::now();
    began.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    assert_eq!(began.read().status, 408);
    began.expect_close();
    assert!(begin.elapsed() >= Duration::from_millis(290), "took {:?}", begin.elapsed());
    assert_eq!(silent.get("/").status, 200);
}

#[test]
fn an_idle_connection_is_closed() {
    let upstream = Upstream::hello();
    let proxy = Setup::to(&upstream, 1).set("timeouts.idle", "300ms").set("timeouts.header", "300ms").start();
    let mut client = proxy.connect();
    // The preface and empty SETTINGS (RFC 9113 section 3.4), and then nothing.
    client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
    client.read_to_close().expect("an idle connection is closed, whatever it speaks");
}

/// Kinds of frames (RFC 9113, 6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;

/// A frame (RFC 9113, 4.1).
fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    [&[0, 0, length, kind, flags, 0, 0, 0, stream], payload].concat()
}

/// The kind, flags and payload of the next frame.
fn read_frame(client: &mut Client) -> (u8, u8, Vec<u8>) {
    let head = client.read_exact(9).expect("the connection stays");
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    (head[3], head[4], client.read_exact(length as usize).unwrap())
}

#[test]
fn a_stream_whose_client_takes_nothing_is_reset_and_its_connection_stays() {
    let upstream = Upstream::start(|exchange| exchange.respond(200, &[b'b'; 12_000]));
    let proxy = Setup::to(&upstream, 1).set("timeouts.client", "300ms").start();
    let mut client = proxy.connect();
    // An initial window of 0; GET / from x, by the static table of HPACK.
    client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    client.send(frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]));
    client.send(frame(HEADERS, 5, 1, &[0x82, 0x86, 0x84, 0x41, 1, b'x']));
    let mut answered = false;
    let reset = loop {
        match read_frame(&mut client) {
            (RST_STREAM, _, reason) => break reason,
            (kind, ..) => {
                assert_ne!(kind, DATA);
                answered |= kind == HEADERS;
            }
        }
    };
    assert!(answered && reset == [0, 0, 0, 8], "CANCEL: {reset:?}");
    proxy.wait_load(0, 0);
    client.send(frame(PING, 0, 0, b"12345678"));
    assert_eq!(read_frame(&mut client), (PING, 1, b"12345678".to_vec()));
}
