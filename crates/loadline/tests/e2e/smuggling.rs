//! Framing that two parties could read differently is refused, and the connection with it.
//!
//! Every case carries a second request that would surface at the application if the proxy and the naive upstream
//! disagreed about where the first one ends.

use crate::support::{Setup, Upstream, parallel};

/// The passenger that must never arrive.
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n";

#[test]
fn every_ambiguous_message_is_refused_and_the_connection_closed() {
    let upstream = Upstream::hello();
    let proxy = Setup::to(&upstream, 16).start();
    let cases = cases();
    let failures: Vec<_> = parallel(8, |part| {
        let mut failures = Vec::new();
        for (name, bytes) in cases.iter().skip(part).step_by(8) {
            let mut client = proxy.connect();
            // The proxy may close before it has read all of it.
            let _ = client.try_send([bytes.as_slice(), SMUGGLED.as_bytes()].concat());
            match client.try_read() {
                Ok(response) if (400..600).contains(&response.status) => {}
                Ok(response) => failures.push(format!("{name}: answered {}", response.status)),
                Err(error) => failures.push(format!("{name}: no answer: {error}")),
            }
            match client.read_to_close() {
                Ok(rest) if rest.is_empty() => {}
                Ok(rest) => failures.push(format!("{name}: then {:?}", String::from_utf8_lossy(&rest))),
                Err(error) => failures.push(format!("{name}: not closed: {error}")),
            }
        }
        failures
    })
    .concat();
    assert!(failures.is_empty(), "{} of {}:\n{}", failures.len(), cases.len(), failures.join("\n"));
    // A body that turns out malformed after its head was admitted may have started the request it belongs to.
    for request in upstream.requests() {
        assert_eq!(request.target(), "/benign", "{}", request.text());
        assert!(!request.finished, "a malformed request was passed on as whole: {}", request.text());
    }
    assert_eq!(proxy.get("/after").status, 200);
    proxy.wait_load(0, 0);
}

#[test]
fn what_may_be_accepted_is_never_two_requests() {
    let upstream = Upstream::hello();
    let proxy = Setup::to(&upstream, 16).start();
    for bytes in [
        "POST /benign HTTP/1.1\r\nHost: x\r\nContent-Length: 5, 5\r\n\r\nhello",
        "POST /benign HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
        "POST /benign HTTP/1.1\r\nHost: x\r\nContent-Length: 00005\r\n\r\nhello",
        "POST /benign HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: CHUNKED\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "POST /benign HTTP/1.1\r\nHost: x\r\nTransfer-Encoding:\tchunked \r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "POST /benign HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0005\r\nhello\r\n0\r\n\r\n",
        "GET http://other/benign HTTP/1.1\r\nHost: x\r\n\r\n",
        "\r\nGET /benign HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /benign HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAA\r\n\r\n",
    ] {
        let before = upstream.seen();
        let mut client = proxy.connect();
        client.send(bytes);
        let response = client.read();
        if response.status == 200 {
            assert_eq!(client.get("/next").status, 200, "in step after {bytes:?}");
            let targets: Vec<_> =
                upstream.requests()[before..].iter().map(|request| request.target()).collect();
            assert!(
                targets.len() == 2 && targets[0].ends_with("/benign") && targets[1] == "/next",
                "{targets:?}"
            );
        } else {
            assert_eq!(response.status, 400, "{bytes:?}");
            client.expect_close();
            assert_eq!(upstream.seen(), before, "{bytes:?}");
        }
    }
}

#[test]
fn connect_and_trace_are_not_for_applications() {
    let upstream = Upstream::hello();
    let proxy = Setup::to(&upstream, 16).start();
    for request in [
        "CONNECT x:80 HTTP/1.1\r\nHost: x:80\r\n\r\n",
        "CONNECT x HTTP/1.1\r\nHost: x\r\n\r\n",
        "TRACE / HTTP/1.1\r\nHost: x\r\n\r\n",
    ] {
        let response = proxy.connect().send(request).read();
        assert!(matches!(response.status, 400 | 405 | 501), "{request:?}: {response:?}");
    }
    assert_eq!(upstream.seen(), 0);
}

fn cases() -> Vec<(String, Vec<u8>)> {
    let mut cases = Vec::new();
    for fields in FRAMING_FIELDS {
        let body = "5\r\nhello\r\n0\r\n\r\n";
        let head = format!("POST /benign HTTP/1.1\r\nHost: x\r\n{fields}\r\n\r\n");
        cases.push((format!("framing {fields:?}"), [head.as_bytes(), body.as_bytes()].concat()));
    }
    for body in CHUNKED_BODIES {
        let head = "POST /benign HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
        cases.push((format!("chunks {body:?}"), [head.as_bytes(), body.as_bytes()].concat()));
    }
    let extension = format!("5;{}\r\nhello\r\n0\r\n\r\n", "e".repeat(20_000));
    let head = "POST /benign HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    cases.push(("an over-long chunk extension".into(), [head, &extension].concat().into_bytes()));
    for request in HEADS {
        cases.push((format!("head {:?}", String::from_utf8_lossy(request)), request.to_vec()));
    }
    cases
}

/// Instead of an honest `Content-Length` or `Transfer-Encoding`.
const FRAMING_FIELDS: &[&str] = &[
    "Content-Length: 15\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding: chunked\r\nContent-Length: 15",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
    "Transfer-Encoding: chunked, chunked",
    "Transfer-Encoding: chunked, identity",
    "Transfer-Encoding: chunked,",
    "Transfer-Encoding: gzip, chunked",
    "Transfer-Encoding: identity",
    "Transfer-Encoding: xchunked",
    "Transfer-Encoding: chunked;q=1",
    "Transfer-Encoding: \"chunked\"",
    "Transfer-Encoding: \x0bchunked",
    "Transfer-Encoding:",
    "Transfer-Encoding : chunked",
    "Transfer-Encoding:\r\n chunked",
    "Transfer-Encoding\t: chunked",
    "X: 1\nTransfer-Encoding: chunked",
    "X: 1\rTransfer-Encoding: chunked",
    "Content-Length: +15",
    "Content-Length: -1",
    "Content-Length: 0x0f",
    "Content-Length: 15, 16",
    "Content-Length: 15\r\nContent-Length: 16",
    "Content-Length: 1 5",
    "Content-Length: 15;",
    "Content-Length: 1.5e1",
    "Content-Length:",
    "Content-Length : 15",
    "Content-Length: 18446744073709551631",
    "Content-Length: 99999999999999999999999",
];

const CHUNKED_BODIES: &[&str] = &[
    "5\nhello\n0\n\n",
    "5\r\nhello\n0\r\n\r\n",
    "5;\nhello\r\n0\r\n\r\n",
    "5;a=\n\r\nhello\r\n0\r\n\r\n",
    "5\rhello\r\n0\r\n\r\n",
    "0x5\r\nhello\r\n0\r\n\r\n",
    "+5\r\nhello\r\n0\r\n\r\n",
    "-5\r\nhello\r\n0\r\n\r\n",
    " 5\r\nhello\r\n0\r\n\r\n",
    "5 5\r\nhello\r\n0\r\n\r\n",
    "\r\n5\r\nhello\r\n0\r\n\r\n",
    "5\r\nhelloX\r\n0\r\n\r\n",
    "5\r\nhello0\r\n\r\n",
    "g\r\nhello\r\n0\r\n\r\n",
    "10000000000000005\r\nhello\r\n0\r\n\r\n",
    "5\r\nhello\r\n0\r\nContent-Length: 5\r\n\r\n",
    "5\r\nhello\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n",
    "5\r\nhello\r\n0\r\nBad Trailer: 1\r\n\r\n",
    "5\r\nhello\r\n0\r\nX: 1\n\r\n\r\n",
];

const HEADS: &[&[u8]] = &[
    b"GET /benign\r\n\r\n",
    b"GET /benign HTTP/1.1\nHost: x\n\n",
    b"GET /benign HTTP/1.1\r\nHost: x\n\r\n",
    b"GET  /benign HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /benign  HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET\t/benign\tHTTP/1.1\r\nHost: x\r\n\r\n",
    b" GET /benign HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /be nign HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /be\x01nign HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /benign HTTP/1.1 \r\nHost: x\r\n\r\n",
    b"GET /benign http/1.1\r\nHost: x\r\n\r\n",
    b"GET /benign HTTP/2.0\r\nHost: x\r\n\r\n",
    b"GET /benign HTTP/1.15\r\nHost: x\r\n\r\n",
    b"GET /benign HTTP/1.1\r\n Host: x\r\n\r\n",
    b"GET /benign HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n",
    b"GET /benign HTTP/1.1\r\nHost: x\r\nX: a\r\n b\r\n\r\n",
    b"GET /benign HTTP/1.1\r\nHost: x\r\nX: a\0b\r\n\r\n",
    b"GET /benign HTTP/1.1\r\nHost: x\r\nX: a\x0bb\r\n\r\n",
    b"GET /benign HTTP/1.1\r\nHost: x\r\nX: a\rb\r\n\r\n",
    b"GET /benign HTTP/1.1\r\nHost: x\r\nX\0: a\r\n\r\n",
    b"GET /benign HTTP/1.1\r\nHost: x\r\n: a\r\n\r\n",
    b"GET /benign HTTP/1.1\r\nHost: x\r\nnocolon\r\n\r\n",
    b"GET /benign HTTP/1.1\r\n\r\n",
    b"GET /benign HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n",
    b"GET /benign HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
    b"GET /benign HTTP/1.1\r\nHost: a b\r\n\r\n",
    b"GET /benign HTTP/1.1\r\nHost: x/y\r\n\r\n",
    b"GET /benign HTTP/1.1\r\nHost: user@x\r\n\r\n",
    b"GET /benign HTTP/1.1\r\nHost: x, y\r\n\r\n",
    b"GET /benign HTTP/1.1\r\nHost : x\r\n\r\n",
    b"POST /benign HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
];
