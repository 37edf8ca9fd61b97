//! Hop-by-hop fields end at the proxy, in both directions (RFC 9110 section 7.6.1).

use crate::support::{Setup, Upstream};

#[test]
fn of_requests() {
    let upstream = Upstream::hello();
    let proxy = Setup::to(&upstream, 1).start();
    let response = proxy
        .connect()
        .send(
            "GET / HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, X-Hop, x-LOWER\r\nKeep-Alive: timeout=5\r\n\
             X-Hop: secret\r\nX-Lower: secret\r\nProxy-Connection: keep-alive\r\nTE: trailers\r\n\
             X-End: kept\r\n\r\n",
        )
        .read();
    assert_eq!(response.status, 200);
    let request = upstream.only_request();
    for name in ["x-hop", "x-lower", "keep-alive", "proxy-connection"] {
        assert_eq!(request.header(name), None, "{name} in {}", request.text());
    }
    assert!(!request.header("connection").unwrap_or_default().to_lowercase().contains("x-hop"));
    assert_eq!(request.header("x-end").as_deref(), Some("kept"));
}

#[test]
fn a_nomination_cannot_take_away_what_the_proxy_needs() {
    let upstream = Upstream::hello();
    let proxy = Setup::to(&upstream, 1).start();
    let response = proxy
        .connect()
        .send(
            "POST / HTTP/1.1\r\nHost: x\r\nConnection: host, content-length, content-type\r\n\
             Content-Type: a/b\r\nContent-Length: 5\r\n\r\nhello",
        )
        .read();
    // Refusing such a request is right too; what must not happen is a body without its length.
    if response.status == 200 {
        let request = upstream.only_request();
        assert_eq!(request.header("host").as_deref(), Some("x"), "{}", request.text());
        assert_eq!(request.body, b"hello");
    } else {
        assert_eq!(response.status, 400);
        assert_eq!(upstream.seen(), 0);
    }
}

#[test]
fn of_responses() {
    let upstream = Upstream::raw(
        "HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Hop\r\nKeep-Alive: timeout=5\r\nX-Hop: secret\r\n\
         Proxy-Connection: keep-alive\r\nX-End: kept\r\nContent-Length: 2\r\n\r\nok",
        false,
    );
    let proxy = Setup::to(&upstream, 1).start();
    let mut client = proxy.connect();
    let response = client.get("/");
    for name in ["x-hop", "keep-alive", "proxy-connection"] {
        assert_eq!(response.header(name), None, "{name} in {response:?}");
    }
    assert_eq!(response.header("x-end"), Some("kept"));
    assert_eq!(client.get("/").text(), "ok");
}

#[test]
fn a_closing_upstream_does_not_close_the_client() {
    let upstream = Upstream::raw("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", true);
    let proxy = Setup::to(&upstream, 1).start();
    let mut client = proxy.connect();
    for _ in 0..5 {
        let response = client.get("/");
        assert_eq!((response.text().as_str(), response.header("connection")), ("ok", None));
    }
    assert_eq!(upstream.connections(), 5);
}
