//! What passes through unchanged: a user who puts the proxy before an application sees no difference.

use crate::support::{Gate, Setup, Upstream, find};

#[test]
fn host_and_target_unchanged_and_nothing_added() {
    let upstream = Upstream::hello();
    let proxy = Setup::to(&upstream, 1).start();
    let mut client = proxy.connect();
    let response = client
        .send("GET /a//b/../c%2Fd?q=1&r=%20 HTTP/1.1\r\nHost: Shop.Example:81\r\nX-Mixed-Case:  Some Value \r\naccept: */*\r\n\r\n")
        .read();
    assert_eq!(response.status, 200);
    let request = upstream.requests().pop().unwrap();
    assert_eq!(request.line(), "GET /a//b/../c%2Fd?q=1&r=%20 HTTP/1.1");
    assert_eq!(request.header("host").unwrap(), "Shop.Example:81");
    assert_eq!(request.header("x-mixed-case").unwrap(), "Some Value");
    assert_eq!(request.names(), ["host", "x-mixed-case", "accept"], "{}", request.text());
}

#[test]
fn the_response_gets_nothing_added() {
    let upstream =
        Upstream::raw("HTTP/1.1 299 Fine Indeed\r\nX-Answer: 1\r\nContent-Length: 2\r\n\r\nok", false);
    let proxy = Setup::to(&upstream, 1).start();
    let response = proxy.get("/");
    assert_eq!(response.status, 299);
    let mut names: Vec<_> = response.headers.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
    names.sort();
    assert_eq!(names, ["content-length", "x-answer"]);
    assert_eq!(response.header("x-answer"), Some("1"));
}

/// What a client made up stays left of what the hops saw, and no hop's word is lost.
#[test]
fn the_clients_address_is_appended_when_asked_for() {
    let upstream = Upstream::hello();
    let proxy = Setup::to(&upstream, 1).set("http.forwarded", true).start();
    for (lines, forwarded) in [
        ("", "127.0.0.1"),
        ("X-Forwarded-For: 192.0.2.1, 192.0.2.2\r\n", "192.0.2.1, 192.0.2.2, 127.0.0.1"),
        (
            "X-Forwarded-For: made-up\r\nA: b\r\nx-forwarded-for: 192.0.2.9\r\n",
            "made-up, 192.0.2.9, 127.0.0.1",
        ),
        ("X-Forwarded-For:\r\n", "127.0.0.1"),
    ] {
        let request = format!("GET / HTTP/1.1\r\nHost: x\r\n{lines}\r\n");
        assert_eq!(proxy.connect().send(request).read().status, 200);
        let request = upstream.requests().pop().unwrap();
        assert_eq!(request.header("x-forwarded-for").as_deref(), Some(forwarded));
        assert_eq!(request.names().iter().filter(|name| *name == "x-forwarded-for").count(), 1);
    }
}

#[test]
fn repeated_fields_stay_in_order() {
    let upstream = Upstream::raw(
        "HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nX: 1\r\nSet-Cookie: b=2\r\nContent-Length: 0\r\n\r\n",
        false,
    );
    let proxy = Setup::to(&upstream, 1).start();
    let response =
        proxy.connect().send("GET / HTTP/1.1\r\nHost: x\r\nX-A: 1\r\nX-B: 2\r\nX-A: 3\r\n\r\n").read();
    let cookies: Vec<_> = response
        .headers
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie"))
        .map(|(_, value)| value.as_str())
        .collect();
    assert_eq!(cookies, ["a=1", "b=2"]);
    assert_eq!(upstream.only_request().names(), ["host", "x-a", "x-b", "x-a"]);
}

#[test]
fn keep_alive_on_both_sides() {
    let upstream = Upstream::hello();
    let proxy = Setup::to(&upstream, 4).start();
    let mut client = proxy.connect();
    for index in 0..20 {
        assert_eq!(client.get(&format!("/{index}")).status, 200);
    }
    assert_eq!(upstream.seen(), 20);
    assert_eq!(upstream.connections(), 1);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let upstream = Upstream::start(|exchange| {
        let target = exchange.target().to_owned();
        exchange.respond(200, target.as_bytes())
    });
    let proxy = Setup::to(&upstream, 4).start();
    let mut client = proxy.connect();
    let batch: String = (0..10).map(|index| format!("GET /{index} HTTP/1.1\r\nHost: x\r\n\r\n")).collect();
    client.send(batch);
    for index in 0..10 {
        assert_eq!(client.read().text(), format!("/{index}"));
    }
}

#[test]
fn a_request_in_single_bytes_is_one_request() {
    let upstream = Upstream::hello();
    let proxy = Setup::to(&upstream, 1).start();
    let mut client = proxy.connect();
    for byte in b"POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc" {
        client.send([*byte]);
    }
    assert_eq!(client.read().status, 200);
    assert_eq!(upstream.only_request().body, b"abc");
}

#[test]
fn connection_close_is_honoured() {
    let upstream = Upstream::hello();
    // One worker, one pool of upstream connections.
    let proxy = Setup::to(&upstream, 1).set("workers", 1).start();
    let mut client = proxy.connect();
    let response = client.send("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").read();
    assert_eq!(response.text(), "hello");
    client.expect_close();
    // What the client asked for ends its own connection, not the one to the application.
    assert_eq!(upstream.only_request().header("connection"), None);
    assert_eq!(proxy.get("/").status, 200);
    assert_eq!(upstream.connections(), 1);
}

#[test]
fn http10_is_answered_with_close() {
    let upstream = Upstream::hello();
    let proxy = Setup::to(&upstream, 1).start();
    let mut client = proxy.connect();
    let answer = client.send("GET / HTTP/1.0\r\nHost: x\r\n\r\n").read();
    assert_eq!((answer.text().as_str(), answer.header("connection")), ("hello", Some("close")));
    client.expect_close();
    let mut client = proxy.connect();
    assert_eq!(client.send("GET / HTTP/1.0\r\n\r\n").read().status, 200, "HTTP/1.0 needs no Host");
    client.expect_close();
}

#[test]
fn http10_clients_get_no_chunks() {
    let upstream = Upstream::raw(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n",
        false,
    );
    let proxy = Setup::to(&upstream, 1).start();
    let mut client = proxy.connect();
    let response = client.send("GET / HTTP/1.0\r\nHost: x\r\n\r\n").read();
    assert_eq!(response.header("transfer-encoding"), None);
    assert_eq!(response.text(), "hello world");
}

#[test]
fn an_http10_upstream_is_understood() {
    let upstream = Upstream::raw("HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", true);
    let proxy = Setup::to(&upstream, 1).start();
    let mut client = proxy.connect();
    for _ in 0..3 {
        assert_eq!(client.get("/").text(), "hello");
    }
}

#[test]
fn head_has_a_length_and_no_body() {
    let upstream = Upstream::hello();
    let proxy = Setup::to(&upstream, 1).start();
    let mut client = proxy.connect();
    client.send("HEAD / HTTP/1.1\r\nHost: x\r\n\r\n");
    let response = client.try_read_for("HEAD").unwrap();
    assert_eq!((response.status, response.header("content-length")), (200, Some("5")));
    assert_eq!(client.get("/").text(), "hello", "the next response begins where it should");
}

#[test]
fn statuses_without_a_body() {
    let upstream = Upstream::start(|exchange| match exchange.target() {
        "/204" => exchange.finish("HTTP/1.1 204 No Content\r\n\r\n"),
        "/304" => exchange.finish("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nETag: \"x\"\r\n\r\n"),
        _ => exchange.respond(200, b"hello"),
    });
    let proxy = Setup::to(&upstream, 1).start();
    let mut client = proxy.connect();
    assert_eq!(client.get("/204").status, 204);
    assert_eq!(client.get("/304").status, 304);
    assert_eq!(client.get("/").text(), "hello");
    assert_eq!(upstream.connections(), 1);
}

#[test]
fn options_asterisk_and_other_methods() {
    let upstream = Upstream::hello();
    let proxy = Setup::to(&upstream, 1).start();
    let mut client = proxy.connect();
    for line in ["OPTIONS *", "OPTIONS /", "PUT /", "DELETE /", "PATCH /", "PROPFIND /", "M-SEARCH /"] {
        assert_eq!(client.send(format!("{line} HTTP/1.1\r\nHost: x\r\n\r\n")).read().status, 200, "{line}");
        assert_eq!(upstream.requests().pop().unwrap().line(), format!("{line} HTTP/1.1"));
    }
}

#[test]
fn errors_of_the_application_are_untouched() {
    let upstream = Upstream::start(|exchange| {
        let status = exchange.target()[1..].parse().unwrap();
        exchange.respond_with(status, "Retry-After: 77\r\nContent-Type: text/weird\r\n", b"mine")
    });
    let proxy = Setup::to(&upstream, 1).start();
    for status in [400, 404, 429, 500, 502, 503, 504, 599] {
        let response = proxy.get(&format!("/{status}"));
        assert_eq!((response.status, response.text().as_str()), (status, "mine"));
        assert_eq!(response.header("retry-after"), Some("77"));
        assert_eq!(response.header("content-type"), Some("text/weird"));
        assert_eq!(response.header("proxy-status"), None);
    }
    let counters = proxy.status().counters;
    assert_eq!((counters.shed, counters.admitted), (0, 8));
}

#[test]
fn early_hints_pass_and_an_http10_client_is_spared() {
    let answer = "HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let upstream = Upstream::raw(answer, false);
    let proxy = Setup::to(&upstream, 1).start();
    let response = proxy.get("/");
    assert_eq!(response.text(), "ok");
    assert_eq!(response.interim.len(), 1);
    assert_eq!(response.interim[0].0, 103);
    let response = proxy.connect().send("GET / HTTP/1.0\r\nHost: x\r\n\r\n").read();
    assert_eq!((response.text().as_str(), response.interim.len()), ("ok", 0));
}

#[test]
fn expect_100_continue() {
    let gate = Gate::new();
    let upstream = Upstream::gated(&gate);
    gate.open();
    let proxy = Setup::to(&upstream, 1).start();
    let mut client = proxy.connect();
    client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    let interim = client.read_head().expect("an interim response before the body is sent");
    assert_eq!(interim.status, 100);
    assert_eq!(client.send("hello").read().status, 200);
    assert_eq!(upstream.only_request().body, b"hello");
    assert_eq!(client.get("/after").status, 200);
}

#[test]
fn what_the_application_receives_is_well_formed() {
    let upstream = Upstream::hello();
    let proxy = Setup::to(&upstream, 1).start();
    proxy.get("/one");
    let received = upstream.received().remove(0);
    assert_eq!(find(&received, b"\r\n\r\n"), Some(received.len() - 4), "one head and nothing else");
    assert!(received.starts_with(b"GET /one HTTP/1.1\r\nhost: test.example\r\n"), "{received:?}");
}
