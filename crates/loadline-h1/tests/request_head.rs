//! Every rule about request heads, with what it takes and what it refuses.

use loadline_h1::{Framing, Limits, Refusal, RefusalKind as Kind, RequestHead, Status, Version};

fn parse(bytes: &[u8]) -> Result<RequestHead, Refusal> {
    let mut head = RequestHead::default();
    match head.parse(bytes, &Limits::default())? {
        Status::Complete => Ok(head),
        Status::Partial => panic!("incomplete: {:?}", String::from_utf8_lossy(bytes)),
    }
}

/// A request with these lines after `Host: a`.
fn with(lines: &str) -> Vec<u8> {
    format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n").into_bytes()
}

#[track_caller]
fn accepted(bytes: &[u8]) -> RequestHead {
    match parse(bytes) {
        Ok(head) => head,
        Err(refusal) => panic!("refused ({refusal}): {:?}", String::from_utf8_lossy(bytes)),
    }
}

#[track_caller]
fn refused(bytes: &[u8], status: u16, kind: Kind) {
    match parse(bytes) {
        Ok(_) => panic!("accepted: {:?}", String::from_utf8_lossy(bytes)),
        Err(refusal) => {
            assert_eq!(refusal, Refusal { status, kind }, "{refusal}: {:?}", String::from_utf8_lossy(bytes));
        }
    }
}

#[test]
fn a_request_in_parts() {
    let buf = b"GET /a/b?c=d?e HTTP/1.1\r\nHost: example.com:80\r\nAccept:  x \t\r\nEmpty:\r\n\r\nbody";
    let head = accepted(buf);
    assert_eq!(head.method.of(buf), b"GET");
    assert_eq!(head.target.of(buf), b"/a/b?c=d?e");
    assert_eq!(head.path.of(buf), b"/a/b");
    assert_eq!(head.query.of(buf), b"c=d?e");
    assert_eq!(head.host.of(buf), b"example.com:80");
    assert_eq!(head.version, Version::Http11);
    assert_eq!(head.framing, Framing::None);
    assert!(head.keep_alive && !head.expect_continue && head.upgrade.is_none());
    assert_eq!(&buf[head.len..], b"body");
    assert_eq!(head.field(buf, "ACCEPT"), Some(&b"x"[..]));
    assert_eq!(head.field(buf, "empty"), Some(&b""[..]));
    assert_eq!(head.field(buf, "none"), None);
    let names: Vec<_> = head.iter(buf).map(|(name, _)| name).collect();
    assert_eq!(names, [&b"Host"[..], b"Accept", b"Empty"]);
}

#[test]
fn a_head_is_reused() {
    let mut head = RequestHead::default();
    let first =
        b"OPTIONS * HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: close, upgrade\r\nUpgrade: x\r\n\r\n";
    assert_eq!(head.parse(first, &Limits::default()), Ok(Status::Complete));
    let second = b"GET / HTTP/1.0\r\n\r\n";
    assert_eq!(head.parse(second, &Limits::default()), Ok(Status::Complete));
    assert!(head.fields.is_empty() && head.host.is_empty() && head.upgrade.is_none() && !head.keep_alive);
    let mut out = Vec::new();
    head.write_forward(second, &mut out, &Default::default());
    assert_eq!(out, b"GET / HTTP/1.1\r\nhost: \r\n\r\n");
}

#[test]
fn start_lines() {
    let line = |line: &str| format!("{line}\r\nHost: a\r\n\r\n").into_bytes();
    accepted(&line("!#$%&'*+-.^_`|~09azAZ / HTTP/1.1"));
    accepted(&line("\r\nGET / HTTP/1.1"));
    accepted(&line("\r\n\r\nGET / HTTP/1.1"));
    for (text, status, kind) in [
        ("\r\n\r\n\r\nGET / HTTP/1.1", 400, Kind::EmptyLines),
        ("\nGET / HTTP/1.1", 400, Kind::BareLf),
        ("\rGET / HTTP/1.1", 400, Kind::BareCr),
        (" GET / HTTP/1.1", 400, Kind::Method),
        ("G(T / HTTP/1.1", 400, Kind::Method),
        ("GET", 400, Kind::Method),
        ("GET\t/ HTTP/1.1", 400, Kind::Method),
        ("CONNECT a:443 HTTP/1.1", 501, Kind::MethodUnsupported),
        ("CONNECT / HTTP/1.1", 501, Kind::MethodUnsupported),
        ("TRACE / HTTP/1.1", 501, Kind::MethodUnsupported),
        ("trace / HTTP/1.1", 501, Kind::MethodUnsupported),
        ("GET  / HTTP/1.1", 400, Kind::Target),
        ("GET /\tHTTP/1.1", 400, Kind::Target),
        ("GET /  HTTP/1.1", 400, Kind::Version),
        ("GET / HTTP/1.1 ", 400, Kind::Version),
        ("GET / HTTP/1.11", 400, Kind::Version),
        ("GET / http/1.1", 400, Kind::Version),
        ("GET / HTTP/x.1", 400, Kind::Version),
        ("GET / HTTP/1.1\rX", 400, Kind::BareCr),
        ("GET /", 505, Kind::VersionUnsupported),
        ("GET / HTTP/0.9", 505, Kind::VersionUnsupported),
        ("GET / HTTP/1.2", 505, Kind::VersionUnsupported),
        ("GET / HTTP/2.0", 505, Kind::VersionUnsupported),
        ("PRI * HTTP/2.0", 505, Kind::VersionUnsupported),
        ("GET / HTTP/3", 505, Kind::VersionUnsupported),
    ] {
        refused(&line(text), status, kind);
    }
}

#[test]
fn targets() {
    let request =
        |method: &str, target: &str| format!("{method} {target} HTTP/1.1\r\nHost: a\r\n\r\n").into_bytes();
    for (method, target, path, query, host) in [
        ("GET", "/", "/", "", "a"),
        ("GET", "/?", "/", "", "a"),
        ("GET", "/??", "/", "?", "a"),
        ("GET", "//b/c", "//b/c", "", "a"),
        ("GET", "/a|b{c}\"d\\e^f`g<h>", "/a|b{c}\"d\\e^f`g<h>", "", "a"),
        ("OPTIONS", "*", "*", "", "a"),
        ("OPTIONS", "/x", "/x", "", "a"),
        ("GET", "http://b", "/", "", "b"),
        ("GET", "http://b:80/c?d", "/c", "d", "b:80"),
        ("GET", "HTTP://b?d", "/", "d", "b"),
        ("GET", "https://[::1]:443/", "/", "", "[::1]:443"),
        ("OPTIONS", "http://b", "/", "", "b"),
    ] {
        let buf = request(method, target);
        let head = accepted(&buf);
        let found = [head.target, head.path, head.query, head.host].map(|span| span.of(&buf));
        assert_eq!(found, [target, path, query, host].map(str::as_bytes), "{target}");
    }
    for (method, target, kind) in [
        ("GET", "*", Kind::TargetForm),
        ("GET", "a", Kind::TargetForm),
        ("GET", "a:80", Kind::TargetForm),
        ("GET", "?a", Kind::TargetForm),
        ("GET", "ftp://a/", Kind::TargetForm),
        ("GET", "http:/a", Kind::TargetForm),
        ("OPTIONS", "**", Kind::TargetForm),
        ("GET", "http://", Kind::HostInvalid),
        ("GET", "http:///a", Kind::HostInvalid),
        ("GET", "http://u@a/", Kind::HostInvalid),
        ("GET", "http://u:p@a/", Kind::HostInvalid),
        ("GET", "http://a:b/", Kind::HostInvalid),
        ("GET", "/#", Kind::Target),
        ("GET", "/a?b#c", Kind::Target),
        ("GET", "http://a#b", Kind::HostInvalid),
        ("GET", "/\u{e9}", Kind::Target),
        ("GET", "/a?\u{e9}", Kind::Target),
    ] {
        refused(&request(method, target), 400, kind);
    }
}

#[test]
fn hosts() {
    let request = |lines: &str| format!("GET / HTTP/1.1\r\n{lines}\r\n").into_bytes();
    accepted(&request("host:a\r\n"));
    accepted(&request("HOST: [::1]:80\r\n"));
    refused(&request(""), 400, Kind::HostMissing);
    refused(&request("Host: a\r\nhost: a\r\n"), 400, Kind::HostRepeated);
    for value in
        ["", " ", "a b", "a,b", "a/", "/", "u@a", "a:b", "a:99999", "a%20", "http://a", "\u{e9}", "a\tb"]
    {
        refused(&request(&format!("Host: {value}\r\n")), 400, Kind::HostInvalid);
    }
    // HTTP/1.0 may do without, but not with a bad one.
    assert!(accepted(b"GET / HTTP/1.0\r\n\r\n").host.is_empty());
    refused(b"GET / HTTP/1.0\r\nHost: a, b\r\n\r\n", 400, Kind::HostInvalid);
    refused(b"GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", 400, Kind::HostRepeated);
    // The target wins, but does not replace a Host that has to be there.
    refused(b"GET http://b/ HTTP/1.1\r\n\r\n", 400, Kind::HostMissing);
    refused(b"GET http://b/ HTTP/1.1\r\nHost: a b\r\n\r\n", 400, Kind::HostInvalid);
}

#[test]
fn field_lines() {
    for lines in
        ["X_Y: 1\r\n", "X:\r\n", "X: \t \r\n", "X: a\tb\r\n", "!#$%&'*+-.^_`|~: 1\r\n", "X: \u{e9}\r\n"]
    {
        accepted(&with(lines));
    }
    for (lines, kind) in [
        ("X: a\n", Kind::BareLf),
        ("X: a\r\nY: b\n", Kind::BareLf),
        ("\n", Kind::BareLf),
        ("X: a\r\r\n", Kind::BareCr),
        ("X: a\rY: b\r\n", Kind::BareCr),
        ("X:\r \r\n", Kind::BareCr),
        ("\rX", Kind::BareCr),
        (" X: a\r\n", Kind::Folded),
        ("\tX: a\r\n", Kind::Folded),
        ("X: a\r\n b\r\n", Kind::Folded),
        ("X: a\r\n\tb\r\n", Kind::Folded),
        (": a\r\n", Kind::FieldNameEmpty),
        ("X : a\r\n", Kind::SpaceBeforeColon),
        ("X\t: a\r\n", Kind::SpaceBeforeColon),
        ("X\r\n", Kind::FieldName),
        ("X(: a\r\n", Kind::FieldName),
        ("\u{e9}: a\r\n", Kind::FieldName),
        ("X: \0\r\n", Kind::FieldValue),
        ("X: a\u{1}b\r\n", Kind::FieldValue),
        ("X: \u{7f}\r\n", Kind::FieldValue),
    ] {
        refused(&with(lines), 400, kind);
    }
    refused(b"GET / HTTP/1.1\nHost: a\r\n\r\n", 400, Kind::BareLf);
    refused(b"GET / HTTP/1.1\r\nHost: a\r\n\n", 400, Kind::BareLf);
    refused(b"GET / HTTP/1.0\n\n", 400, Kind::BareLf);
    refused(b"GET / HTTP/1.0\r\n\n", 400, Kind::BareLf);
}

#[test]
fn framing() {
    for (lines, framing) in [
        ("", Framing::None),
        ("Content-Length: 0\r\n", Framing::Length(0)),
        ("content-length:007\r\n", Framing::Length(7)),
        ("Content-Length: 9223372036854775807\r\n", Framing::Length(i64::MAX as u64)),
        ("Transfer-Encoding: chunked\r\n", Framing::Chunked),
        ("TRANSFER-ENCODING:CHUNKED\r\n", Framing::Chunked),
        ("Content_Length: 9\r\n", Framing::None),
    ] {
        assert_eq!(accepted(&with(lines)).framing, framing, "{lines}");
    }
    for value in [
        "",
        "+1",
        "-1",
        "1 2",
        "1,1",
        "1, 1",
        "0x1",
        "1.0",
        "1e3",
        "a",
        "9223372036854775808",
        "18446744073709551616",
        "99999999999999999999999",
        "\u{661}",
        "1;",
        "\"1\"",
    ] {
        refused(&with(&format!("Content-Length: {value}\r\n")), 400, Kind::LengthInvalid);
    }
    for (value, status, kind) in [
        ("", 400, Kind::CodingMalformed),
        (",", 400, Kind::CodingMalformed),
        ("chunked,", 400, Kind::CodingMalformed),
        (",chunked", 400, Kind::CodingMalformed),
        ("chunked;a=b", 400, Kind::CodingMalformed),
        ("\"chunked\"", 400, Kind::CodingMalformed),
        ("chun ked", 400, Kind::CodingMalformed),
        ("chunked\tx", 400, Kind::CodingMalformed),
        ("chunked, chunked", 400, Kind::CodingRepeated),
        ("identity", 501, Kind::CodingUnknown),
        ("xchunked", 501, Kind::CodingUnknown),
        ("gzip", 501, Kind::CodingUnknown),
        ("gzip, chunked", 501, Kind::CodingUnknown),
        ("chunked, gzip", 501, Kind::CodingUnknown),
    ] {
        refused(&with(&format!("Transfer-Encoding: {value}\r\n")), status, kind);
    }
    let (length, coding) = ("Content-Length: 1\r\n", "Transfer-Encoding: chunked\r\n");
    for (lines, kind) in [
        (format!("{length}{length}"), Kind::LengthRepeated),
        (format!("{coding}{coding}"), Kind::CodingRepeated),
        (format!("{length}{coding}"), Kind::LengthAndCoding),
        (format!("{coding}{length}"), Kind::LengthAndCoding),
        ("Content-Length: x\r\nTransfer-Encoding: y\r\n".to_string(), Kind::LengthAndCoding),
    ] {
        refused(&with(&lines), 400, kind);
    }
    refused(b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400, Kind::CodingInHttp10);
}

#[test]
fn persistence() {
    for (version, lines, expected) in [
        ("1.1", "", true),
        ("1.1", "Connection: close\r\n", false),
        ("1.1", "Connection: x, CLOSE\r\n", false),
        ("1.1", "Connection: keep-alive\r\nConnection: close\r\n", false),
        ("1.1", "Connection: closed\r\n", true),
        ("1.1", "Connection: \"close\"\r\n", true),
        ("1.0", "", false),
        ("1.0", "Connection: Keep-Alive\r\n", true),
        ("1.0", "Connection: keep-alive, close\r\n", false),
        ("1.0", "Keep-Alive: 5\r\n", false),
    ] {
        let bytes = format!("GET / HTTP/{version}\r\nHost: a\r\n{lines}\r\n");
        assert_eq!(accepted(bytes.as_bytes()).keep_alive, expected, "{version} {lines}");
    }
    let many = "Connection: ".to_string() + &"a, ".repeat(31) + "a\r\n";
    accepted(&with(&many));
    refused(&with(&(many + "Connection: a\r\n")), 400, Kind::ConnectionOptions);
}

#[test]
fn expectations() {
    let body = "Content-Length: 1\r\n";
    for (version, lines, expected) in [
        ("1.1", format!("Expect: 100-Continue\r\n{body}"), true),
        ("1.1", "Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n".into(), true),
        ("1.1", "Expect: 100-continue\r\n".into(), false),
        ("1.1", "Expect: 100-continue\r\nContent-Length: 0\r\n".into(), false),
        ("1.0", format!("Expect: 100-continue\r\n{body}"), false),
    ] {
        let bytes = format!("GET / HTTP/{version}\r\nHost: a\r\n{lines}\r\n");
        assert_eq!(accepted(bytes.as_bytes()).expect_continue, expected, "{version} {lines}");
    }
    for lines in [
        "Expect: x\r\n",
        "Expect:\r\n",
        "Expect: 100-continue, x\r\n",
        "Expect: 100-continue\r\nExpect: x\r\n",
    ] {
        refused(&with(lines), 417, Kind::Expectation);
    }
}

#[test]
fn upgrades() {
    let named = "Connection: keep-alive, Upgrade\r\n";
    let upgrade = |version: &str, lines: &str| {
        let bytes = format!("GET / HTTP/{version}\r\nHost: a\r\n{lines}\r\n").into_bytes();
        accepted(&bytes).upgrade.map(|value| value.of(&bytes).to_vec())
    };
    let websocket = format!("{named}Upgrade: websocket\r\n");
    assert_eq!(upgrade("1.1", &websocket).as_deref(), Some(&b"websocket"[..]));
    assert!(upgrade("1.1", &format!("{websocket}Content-Length: 0\r\n")).is_some());
    assert!(upgrade("1.1", &format!("{named}Upgrade: a/1, b\r\n")).is_some());
    for (version, lines) in [
        ("1.0", websocket.clone()),
        ("1.1", "Upgrade: websocket\r\n".into()),
        ("1.1", named.into()),
        ("1.1", format!("{websocket}Content-Length: 1\r\n")),
        ("1.1", format!("{websocket}Transfer-Encoding: chunked\r\n")),
        ("1.1", format!("{websocket}Upgrade: b\r\n")),
        ("1.1", format!("{named}Upgrade: h2c\r\n")),
        ("1.1", format!("{named}Upgrade: websocket, H2C\r\n")),
        ("1.1", format!("{named}Upgrade: h2c/1\r\n")),
        ("1.1", format!("{named}Upgrade:\r\n")),
        ("1.1", format!("{named}Upgrade: a b\r\n")),
    ] {
        assert_eq!(upgrade(version, &lines), None, "{version} {lines}");
    }
}

#[test]
fn grpc_is_recognised() {
    for (value, expected) in [
        ("application/grpc", true),
        ("Application/GRPC+proto", true),
        ("application/grpc; a=b", true),
        ("application/grpc-web", false),
        ("application/json", false),
    ] {
        let bytes = with(&format!("content-type: {value}\r\n"));
        assert_eq!(accepted(&bytes).is_grpc(&bytes), expected, "{value}");
    }
}

#[test]
fn limits() {
    let limits = Limits { head_bytes: 200, target_bytes: 50, fields: 4, ..Limits::default() };
    let parse = |bytes: &[u8]| RequestHead::default().parse(bytes, &limits).map_err(|r| (r.status, r.kind));
    let target = |length: usize| format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(length - 1));
    let head = |length: usize| {
        let bytes = "GET / HTTP/1.1\r\nHost: a\r\nX: \r\n\r\n".len();
        format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(length - bytes))
    };
    assert_eq!(parse(target(50).as_bytes()), Ok(Status::Complete));
    assert_eq!(parse(target(51).as_bytes()), Err((414, Kind::TargetTooLong)));
    // Refused before its end is seen.
    assert_eq!(parse(&target(60).as_bytes()[..4 + 50]), Ok(Status::Partial));
    assert_eq!(parse(&target(60).as_bytes()[..4 + 51]), Err((414, Kind::TargetTooLong)));
    assert_eq!(parse("X".repeat(199).as_bytes()), Ok(Status::Partial));
    assert_eq!(parse("X".repeat(200).as_bytes()), Err((414, Kind::TargetTooLong)));

    assert_eq!(parse(head(200).as_bytes()), Ok(Status::Complete));
    assert_eq!(parse(head(201).as_bytes()), Err((431, Kind::HeadTooLarge)));
    assert_eq!(parse(&head(300).as_bytes()[..199]), Ok(Status::Partial));
    assert_eq!(parse(&head(300).as_bytes()[..200]), Err((431, Kind::HeadTooLarge)));
    let body_behind = head(200) + &"b".repeat(500);
    assert_eq!(parse(body_behind.as_bytes()), Ok(Status::Complete));

    let fields = |count: usize| format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(count - 1));
    assert_eq!(parse(fields(4).as_bytes()), Ok(Status::Complete));
    assert_eq!(parse(fields(5).as_bytes()), Err((431, Kind::TooManyFields)));
    assert_eq!(parse(&fields(6).as_bytes()[..fields(5).len() - 2]), Err((431, Kind::TooManyFields)));
}

#[test]
fn garbage_is_refused_at_once() {
    // A TLS client hello, an HTTP/2 preface, random text: no need to wait for an empty line that never comes.
    for bytes in [&b"\x16\x03\x01\x02\x00"[..], b"PRI * HTTP/2.0", b"\x00", b"hello\r\n", b"GET / SPDY"] {
        assert!(RequestHead::default().parse(bytes, &Limits::default()).is_err(), "{bytes:?}");
    }
}
