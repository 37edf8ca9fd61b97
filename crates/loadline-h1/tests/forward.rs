//! What goes out on the other side, byte for byte.

use loadline_h1::{
    ForwardRequest, ForwardResponse, Limits, OutFraming, RequestHead, RequestKind, ResponseHead, Status,
    Version,
};

fn request(bytes: &str, opts: &ForwardRequest<'_>) -> String {
    let mut head = RequestHead::default();
    assert_eq!(head.parse(bytes.as_bytes(), &Limits::default()), Ok(Status::Complete), "{bytes}");
    let mut out = Vec::new();
    head.write_forward(bytes.as_bytes(), &mut out, opts);
    String::from_utf8(out).expect("the tests write UTF-8")
}

/// Lines after the request line and Host, of a `GET` with these lines.
fn fields(lines: &str) -> String {
    let out = request(&format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n"), &ForwardRequest::default());
    out.strip_prefix("GET / HTTP/1.1\r\nhost: a\r\n")
        .expect("Host comes first")
        .strip_suffix("\r\n")
        .expect("ends")
        .into()
}

fn response(bytes: &str, kind: RequestKind, opts: &ForwardResponse<'_>) -> String {
    let mut head = ResponseHead::default();
    assert_eq!(head.parse(bytes.as_bytes(), kind, &Limits::default()), Ok(Status::Complete), "{bytes}");
    let mut out = Vec::new();
    head.write_forward(bytes.as_bytes(), &mut out, opts);
    String::from_utf8(out).expect("the tests write UTF-8")
}

const KEEP: ForwardResponse<'static> = ForwardResponse {
    client_version: Version::Http11,
    framing: OutFraming::Length(3),
    keep_alive: true,
    extra: b"",
    head_request: false,
    drop: &[],
};

#[test]
fn request_lines() {
    let none = ForwardRequest::default();
    for (line, out) in [
        ("GET /a?b=c", "GET /a?b=c HTTP/1.1\r\nhost: a\r\n\r\n"),
        ("GET /a?", "GET /a? HTTP/1.1\r\nhost: a\r\n\r\n"),
        ("get //a", "get //a HTTP/1.1\r\nhost: a\r\n\r\n"),
        ("OPTIONS *", "OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n"),
        ("GET http://b:81/c?d", "GET /c?d HTTP/1.1\r\nhost: b:81\r\n\r\n"),
        ("GET http://b", "GET / HTTP/1.1\r\nhost: b\r\n\r\n"),
        ("GET http://b?c", "GET /?c HTTP/1.1\r\nhost: b\r\n\r\n"),
        ("OPTIONS http://b", "OPTIONS * HTTP/1.1\r\nhost: b\r\n\r\n"),
        ("OPTIONS http://b?c", "OPTIONS /?c HTTP/1.1\r\nhost: b\r\n\r\n"),
        ("OPTIONS http://b/", "OPTIONS / HTTP/1.1\r\nhost: b\r\n\r\n"),
    ] {
        assert_eq!(request(&format!("\r\n{line} HTTP/1.1\r\nHost: a\r\n\r\n"), &none), out);
    }
    let fallback = ForwardRequest { host_fallback: b"app:8080", ..none };
    assert_eq!(request("GET / HTTP/1.0\r\n\r\n", &fallback), "GET / HTTP/1.1\r\nhost: app:8080\r\n\r\n");
    assert_eq!(request("GET / HTTP/1.0\r\nHost: a\r\n\r\n", &fallback), "GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_eq!(request("GET http://b/ HTTP/1.0\r\n\r\n", &fallback), "GET / HTTP/1.1\r\nhost: b\r\n\r\n");
}

#[test]
fn an_http10_client_gets_no_trailers_and_no_upgrade() {
    let lines = "Host: a\r\nTE: trailers\r\nConnection: te, upgrade\r\nUpgrade: websocket\r\n";
    let out = request(&format!("GET / HTTP/1.0\r\n{lines}\r\n"), &ForwardRequest::default());
    assert_eq!(out, "GET / HTTP/1.1\r\nhost: a\r\n\r\n");
}

#[test]
fn end_to_end_fields_keep_order_and_value() {
    for (lines, out) in [
        (
            "Accept: */*\r\nX-LONG-Header-Name: Value: With, Case\r\n",
            "accept: */*\r\nx-long-header-name: Value: With, Case\r\n",
        ),
        ("A:b\r\nA:  c \t\r\nB:\r\nC: \r\n", "a: b\r\na: c\r\nb: \r\nc: \r\n"),
        ("Trailer: X-Sum\r\nProxy-Authorization: x\r\n", "trailer: X-Sum\r\nproxy-authorization: x\r\n"),
        ("X_Y: \u{e9}\tz\r\n", "x_y: \u{e9}\tz\r\n"),
        (
            "Hosts: 1\r\nTea: 2\r\nExpects: 3\r\nContent-Lengths: 4\r\n",
            "hosts: 1\r\ntea: 2\r\nexpects: 3\r\ncontent-lengths: 4\r\n",
        ),
    ] {
        assert_eq!(fields(lines), out);
    }
}

#[test]
fn hop_by_hop_fields_stay_behind() {
    for (lines, out) in [
        ("Connection: keep-alive\r\nKeep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\n", ""),
        ("Connection: close, X-Hop\r\nx-hop: 1\r\nX-Hop: 2\r\nX-Hops: 3\r\n", "x-hops: 3\r\n"),
        ("X-Hop: 1\r\nConnection: x-HOP\r\n", ""),
        ("Connection: upgrade, http2-settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n", ""),
        ("Upgrade: websocket\r\n", ""),
        ("TE: gzip\r\n", ""),
        ("TE: trailers\r\n", "te: trailers\r\nconnection: te\r\n"),
        ("TE: gzip;q=0.5, Trailers\r\nConnection: te\r\n", "te: trailers\r\nconnection: te\r\n"),
        ("Connection: Upgrade\r\nUpgrade: websocket\r\n", "upgrade: websocket\r\nconnection: upgrade\r\n"),
        (
            "Connection: Upgrade, te\r\nUpgrade: a\r\nTE: trailers\r\n",
            "upgrade: a\r\nte: trailers\r\nconnection: upgrade, te\r\n",
        ),
        ("Expect: 100-continue\r\n", ""),
    ] {
        assert_eq!(fields(lines), out, "{lines}");
    }
}

#[test]
fn connection_cannot_take_away_what_is_meant_for_all() {
    for name in [
        "authorization",
        "cookie",
        "content-type",
        "content-encoding",
        "forwarded",
        "x-forwarded-for",
        "x-real-ip",
        "range",
        "if-none-match",
        "cache-control",
        "sec-websocket-key",
        "x-respond-by",
        "grpc-timeout",
    ] {
        assert_eq!(fields(&format!("Connection: {name}\r\n{name}: 1\r\n")), format!("{name}: 1\r\n"));
    }
    assert_eq!(fields("Connection: host\r\n"), "");
}

#[test]
fn framing_is_written_anew() {
    let with = |framing| {
        let opts = ForwardRequest {
            framing,
            expect_continue: true,
            extra: b"x-extra: 1\r\n",
            drop: &["x-drop", "b"],
            ..Default::default()
        };
        let lines = "Content-Length: 0005\r\nExpect: 100-continue\r\nX-Drop: 1\r\nB: 2\r\nC: 3\r\n";
        let out = request(&format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n"), &opts);
        out.strip_prefix("POST / HTTP/1.1\r\nhost: a\r\nc: 3\r\n").expect("before").to_string()
    };
    let end = "expect: 100-continue\r\nx-extra: 1\r\n\r\n";
    assert_eq!(with(OutFraming::None), end);
    assert_eq!(with(OutFraming::Length(5)), format!("content-length: 5\r\n{end}"));
    assert_eq!(with(OutFraming::Length(u64::MAX)), format!("content-length: 18446744073709551615\r\n{end}"));
    assert_eq!(with(OutFraming::Chunked), format!("transfer-encoding: chunked\r\n{end}"));
}

#[test]
fn an_upgrade_can_be_declined() {
    let bytes = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    let mut head = RequestHead::default();
    assert_eq!(head.parse(bytes, &Limits::default()), Ok(Status::Complete));
    head.upgrade = None;
    let mut out = Vec::new();
    head.write_forward(bytes, &mut out, &ForwardRequest::default());
    assert_eq!(out, b"GET / HTTP/1.1\r\nhost: a\r\n\r\n");
}

#[test]
fn responses() {
    let bytes = "HTTP/1.0 404 Not Found\r\nServer: x\r\nContent-Length: 9\r\nConnection: close, X-Hop, Set-Cookie\r\n\
                 X-Hop: 1\r\nKeep-Alive: 5\r\nSet-Cookie: A=b\r\nSet-Cookie: c=d\r\nUpgrade: h2\r\n\r\n";
    let kept = "server: x\r\nset-cookie: A=b\r\nset-cookie: c=d\r\n";
    let with = |opts: &ForwardResponse<'_>| {
        let out = response(bytes, RequestKind::Other, opts);
        out.strip_prefix("HTTP/1.1 404 Not Found\r\n")
            .expect("status line")
            .strip_prefix(kept)
            .expect("fields")
            .to_string()
    };
    assert_eq!(with(&KEEP), "content-length: 3\r\n\r\n");
    assert_eq!(
        with(&ForwardResponse { keep_alive: false, ..KEEP }),
        "content-length: 3\r\nconnection: close\r\n\r\n"
    );
    let http10 = ForwardResponse { client_version: Version::Http10, ..KEEP };
    assert_eq!(with(&http10), "content-length: 3\r\nconnection: keep-alive\r\n\r\n");
    assert_eq!(
        with(&ForwardResponse { keep_alive: false, ..http10 }),
        "content-length: 3\r\nconnection: close\r\n\r\n"
    );
    let close = ForwardResponse { framing: OutFraming::Close, ..KEEP };
    assert_eq!(with(&close), "connection: close\r\n\r\n");
    assert_eq!(
        with(&ForwardResponse { client_version: Version::Http10, ..close }),
        "connection: close\r\n\r\n"
    );
    let chunked = ForwardResponse { framing: OutFraming::Chunked, extra: b"x: y\r\n", ..KEEP };
    assert_eq!(with(&chunked), "transfer-encoding: chunked\r\nx: y\r\n\r\n");
    let dropped = ForwardResponse { drop: &["set-cookie", "x"], ..KEEP };
    let out = response(bytes, RequestKind::Other, &dropped);
    assert_eq!(out, "HTTP/1.1 404 Not Found\r\nserver: x\r\ncontent-length: 3\r\n\r\n");
}

#[test]
fn responses_without_body() {
    let none = ForwardResponse { framing: OutFraming::None, ..KEEP };
    let head = ForwardResponse { head_request: true, ..none };
    for (bytes, kind, opts, out) in [
        ("200 OK\r\nContent-Length: 9\r\n", RequestKind::Head, &head, "200 OK\r\ncontent-length: 9\r\n"),
        ("200 OK\r\nTransfer-Encoding: chunked\r\n", RequestKind::Head, &head, "200 OK\r\n"),
        (
            "304 X\r\nContent-Length: 9\r\nETag: y\r\n",
            RequestKind::Other,
            &none,
            "304 X\r\ncontent-length: 9\r\netag: y\r\n",
        ),
        ("204 X\r\nContent-Length: 9\r\n", RequestKind::Other, &none, "204 X\r\n"),
        ("204 X\r\nContent-Length: 0\r\n", RequestKind::Head, &head, "204 X\r\n"),
        ("204 X\r\n", RequestKind::Other, &KEEP, "204 X\r\n"),
        (
            "103 Early Hints\r\nLink: </a>\r\nConnection: close\r\n",
            RequestKind::Other,
            &none,
            "103 Early Hints\r\nlink: </a>\r\n",
        ),
        ("100\r\n", RequestKind::Other, &ForwardResponse { keep_alive: false, ..none }, "100 \r\n"),
        (
            "101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n",
            RequestKind::Upgrade,
            &ForwardResponse { keep_alive: false, ..none },
            "101 Switching Protocols\r\nsec-websocket-accept: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n",
        ),
        (
            "426 X\r\nConnection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 3\r\n",
            RequestKind::Other,
            &KEEP,
            "426 X\r\ncontent-length: 3\r\nupgrade: websocket\r\nconnection: upgrade\r\n",
        ),
    ] {
        let written = response(&format!("HTTP/1.1 {bytes}\r\n"), kind, opts);
        assert_eq!(written, format!("HTTP/1.1 {out}\r\n"), "{bytes}");
    }
}
