//! What goes wrong on either side, and what the client is told.

use std::time::{Duration, Instant};

use crate::support::{Gate, Proxy, Response, Setup, Upstream};

fn answer_of(upstream: &Upstream) -> Response {
    Setup::to(upstream, 1).start().get("/")
}

#[test]
fn an_application_that_closes_without_an_answer() {
    let upstream = Upstream::start(|exchange| {
        exchange.close();
        Ok(())
    });
    assert_eq!(answer_of(&upstream).status, 502);
}

#[test]
fn an_application_that_resets() {
    let upstream = Upstream::start(|exchange| {
        exchange.reset();
        Ok(())
    });
    assert_eq!(answer_of(&upstream).status, 502);
}

#[test]
fn an_application_that_answers_garbage() {
    for garbage in [
        "SSH-2.0-OpenSSH_9.2\r\n\r\n",
        "\0\0\0\0\r\n\r\n",
        "HTTP/1.1 abc OK\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/2.0 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nBad Name: 1\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    ] {
        let upstream = Upstream::raw(garbage, true);
        let proxy = Setup::to(&upstream, 1).start();
        let response = proxy.get("/");
        assert_eq!(response.status, 502, "{garbage:?}");
        proxy.wait_load(0, 0);
    }
}

#[test]
fn a_head_cut_short() {
    let upstream = Upstream::raw("HTTP/1.1 200 OK\r\nContent-Le", true);
    assert_eq!(answer_of(&upstream).status, 502);
}

/// Whoever looks for the cause of such a 502 finds it in the answer, as with refused requests.
#[test]
fn an_answer_that_is_refused_is_told_why() {
    let cookies = "Set-Cookie: a=b\r\n".repeat(101);
    for (answer, why) in [
        ("HTTP/1.1 200 OK\r\nContent-Le", "closed within the head"),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
            "more than one Content-Length",
        ),
        (&format!("HTTP/1.1 200 OK\r\n{cookies}Content-Length: 0\r\n\r\n"), "too many header fields"),
    ] {
        let answer = answer_of(&Upstream::raw(answer, true));
        assert_eq!((answer.status, answer.reason().as_str()), (502, "upstream_invalid"));
        let said = answer.header("proxy-status").unwrap_or_default();
        assert!(said.ends_with(&format!("; details=\"{why}\"")), "{said}");
    }
}

#[test]
fn a_body_cut_short_is_never_passed_off_as_whole() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n",
    ] {
        let upstream = Upstream::raw(answer, true);
        let proxy = Setup::to(&upstream, 1).start();
        match proxy.send_get("/").try_read() {
            Err(error) => {
                assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "the client was left waiting");
            }
            Ok(response) => assert_eq!(response.status, 502, "{answer:?}"),
        }
        proxy.wait_load(0, 0);
    }
}

/// Only the close tells where such a body ends, so it must not look like one: a reset is no end (RFC 9112, 8).
#[test]
fn a_body_until_the_close_is_not_whole_when_the_upstream_resets() {
    let read = Gate::new();
    let upstream = {
        let read = read.clone();
        Upstream::start(move |exchange| {
            exchange.send("HTTP/1.1 200 OK\r\n\r\nhello")?;
            read.pass()?;
            exchange.reset();
            Ok(())
        })
    };
    let proxy = Setup::to(&upstream, 1).start();
    for version in ["HTTP/1.1", "HTTP/1.0"] {
        let mut client = proxy.connect();
        client.send(format!("GET / {version}\r\nHost: x\r\n\r\n"));
        client.read_until(b"hello").unwrap();
        read.let_through(1);
        let (rest, error) = client.read_to_end();
        assert!(!rest.ends_with(b"0\r\n\r\n"), "{version}: passed off as whole");
        // An HTTP/1.0 client has nothing but the close to go by.
        let reset = error.is_some_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset);
        assert_eq!(reset, version == "HTTP/1.0", "{version}");
        proxy.wait_load(0, 0);
    }
    proxy.wait_metric("upstream_requests_total", &["result=\"transport\""], 2.0);
}

#[test]
fn an_http10_client_is_told_of_a_body_cut_short() {
    let upstream = Upstream::raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", true);
    let proxy = Setup::to(&upstream, 1).start();
    let mut client = proxy.connect();
    client.send("GET / HTTP/1.0\r\n\r\n");
    let (_, error) = client.read_to_end();
    assert_eq!(error.map(|error| error.kind()), Some(std::io::ErrorKind::ConnectionReset));
}

#[test]
fn extra_bytes_after_a_response_are_nobodys_response() {
    let upstream = Upstream::raw(
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
        false,
    );
    let proxy = Setup::to(&upstream, 1).start();
    let mut client = proxy.connect();
    for _ in 0..5 {
        assert_eq!(client.get("/").text(), "ok");
    }
}

#[test]
fn server_timeout() {
    let gate = Gate::new();
    let upstream = Upstream::gated(&gate);
    let proxy = Setup::to(&upstream, 1).env("SERVER_TIMEOUT", "300").start();
    let begin = Instant::now();
    let response = proxy.get("/");
    assert_eq!(response.status, 504);
    assert!(begin.elapsed() >= Duration::from_millis(290), "too early: {:?}", begin.elapsed());
    assert!(begin.elapsed() < Duration::from_secs(2), "too late: {:?}", begin.elapsed());
    gate.open();
    proxy.wait_load(0, 0);
    assert_eq!(proxy.get("/").status, 200);
}

#[test]
fn malformed_requests() {
    let upstream = Upstream::hello();
    let proxy = Setup::to(&upstream, 1).start();
    for request in [
        "GARBAGE\r\n\r\n",
        "GET / HTTP/1.1\r\nHost x\r\n\r\n",
        "GET / HTTP/1.1\r\nBad Name: 1\r\nHost: x\r\n\r\n",
        "GET nothing HTTP/1.1\r\nHost: x\r\n\r\n",
        "G@T / HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01\x00\x01\r\n\r\n",
    ] {
        assert_eq!(refused(&proxy, request), 400, "{request:?}");
    }
    assert_eq!(upstream.seen(), 0);
    assert_eq!(proxy.get("/").status, 200);
}

#[test]
fn too_large_a_head() {
    let upstream = Upstream::hello();
    let proxy = Setup::to(&upstream, 1).start();
    let many = "X-Field: 1\r\n".repeat(101);
    assert_eq!(refused(&proxy, &format!("GET / HTTP/1.1\r\nHost: x\r\n{many}\r\n")), 431);
    let long = "v".repeat(33 * 1024);
    assert_eq!(refused(&proxy, &format!("GET / HTTP/1.1\r\nHost: x\r\nX-Long: {long}\r\n\r\n")), 431);
    assert_eq!(refused(&proxy, &format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(9000))), 414);
    assert_eq!(upstream.seen(), 0);
    let allowed = "X-Field: 1\r\n".repeat(90) + "X-Long: " + &"v".repeat(20 * 1024) + "\r\n";
    let response = proxy.connect().send(format!("GET / HTTP/1.1\r\nHost: x\r\n{allowed}\r\n")).read();
    assert_eq!(response.status, 200, "a head within the limits passes");
}

#[test]
fn the_limits_of_a_head_are_settings() {
    let upstream = Upstream::hello();
    let proxy = Setup::to(&upstream, 1)
        .set("http.max_header_bytes", "2KiB")
        .set("http.max_header_count", 5)
        .set("http.max_target_bytes", 100)
        .start();
    let many = "X-Field: 1\r\n".repeat(6);
    assert_eq!(refused(&proxy, &format!("GET / HTTP/1.1\r\nHost: x\r\n{many}\r\n")), 431);
    let long = "v".repeat(2100);
    assert_eq!(refused(&proxy, &format!("GET / HTTP/1.1\r\nHost: x\r\nX-Long: {long}\r\n\r\n")), 431);
    assert_eq!(refused(&proxy, &format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(200))), 414);
    assert_eq!(upstream.seen(), 0);
}

/// What can be set is what holds.
#[test]
fn the_largest_number_of_fields_that_can_be_set() {
    let upstream = Upstream::hello();
    let proxy = Setup::to(&upstream, 1).set("http.max_header_count", 256).start();
    let request = |count: usize| format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n", "A: b\r\n".repeat(count - 1));
    assert_eq!(proxy.connect().send(request(256)).read().status, 200);
    assert_eq!(refused(&proxy, &request(257)), 431);
}

#[test]
fn a_head_that_never_ends_is_timed_out() {
    let upstream = Upstream::hello();
    let proxy = Setup::to(&upstream, 1).set("timeouts.header", "300ms").start();
    let mut client = proxy.connect();
    client.send("GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ");
    let answer = client.read_to_close().expect("the connection is closed");
    assert!(
        answer.is_empty() || answer.starts_with(b"HTTP/1.1 408 "),
        "{:?}",
        String::from_utf8_lossy(&answer)
    );
    assert_eq!(upstream.seen(), 0);
}

#[test]
fn a_body_that_never_comes_is_timed_out_and_holds_no_slot() {
    let upstream = Upstream::hello();
    let proxy = Setup::to(&upstream, 1).set("timeouts.body", "300ms").start();
    let mut client = proxy.connect();
    client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf");
    assert_eq!(proxy.get("/").status, 200);
    let answer = client.read_to_close().expect("the connection is closed");
    assert!(
        answer.is_empty() || answer.starts_with(b"HTTP/1.1 408 "),
        "{:?}",
        String::from_utf8_lossy(&answer)
    );
    assert_eq!(upstream.seen(), 1);
}

#[test]
fn an_idle_connection_is_closed_silently() {
    let upstream = Upstream::hello();
    let proxy = Setup::to(&upstream, 1).set("timeouts.idle", "300ms").start();
    let mut client = proxy.connect();
    assert_eq!(client.get("/").status, 200);
    client.expect_close();
}

/// The status of a refusal, after which the connection must be closed.
#[track_caller]
fn refused(proxy: &Proxy, request: &str) -> u16 {
    let mut client = proxy.connect();
    client.send(request);
    let status = client.read().status;
    client.expect_close();
    status
}
