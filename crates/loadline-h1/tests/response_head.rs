//! Every rule about response heads, with what it takes and what it refuses. A refusal is always 502.

use loadline_h1::{
    Framing, Limits, Refusal, RefusalKind as Kind, RequestKind, ResponseHead, Status, Version,
};

fn parse(bytes: &[u8], kind: RequestKind) -> Result<ResponseHead, Refusal> {
    let mut head = ResponseHead::default();
    match head.parse(bytes, kind, &Limits::default())? {
        Status::Complete => Ok(head),
        Status::Partial => panic!("incomplete: {:?}", String::from_utf8_lossy(bytes)),
    }
}

#[track_caller]
fn accepted(bytes: &str, kind: RequestKind) -> ResponseHead {
    parse(bytes.as_bytes(), kind).unwrap_or_else(|refusal| panic!("refused ({refusal}): {bytes:?}"))
}

#[track_caller]
fn refused(bytes: &[u8], kind: Kind) {
    match parse(bytes, RequestKind::Other) {
        Ok(_) => panic!("accepted: {:?}", String::from_utf8_lossy(bytes)),
        Err(refusal) => {
            assert_eq!(refusal, Refusal { status: 502, kind }, "{:?}", String::from_utf8_lossy(bytes));
        }
    }
}

#[test]
fn a_response_in_parts() {
    let buf = b"HTTP/1.0 404 Not  Found \r\nServer: x\r\nContent-Length: 3\r\n\r\nabc";
    let head = parse(buf, RequestKind::Other).expect("well-formed");
    assert_eq!((head.status, head.version, head.framing), (404, Version::Http10, Framing::Length(3)));
    assert_eq!(head.reason.of(buf), b"Not  Found ");
    assert_eq!(head.field(buf, "server"), Some(&b"x"[..]));
    assert_eq!(head.iter(buf).count(), 2);
    assert!(!head.keep_alive && !head.upgrade && !head.is_interim());
    assert_eq!(&buf[head.len..], b"abc");
}

#[test]
fn reason_phrases() {
    for (line, reason) in [
        (&b"HTTP/1.1 200"[..], &b""[..]),
        (b"HTTP/1.1 200 ", b""),
        (b"HTTP/1.1 200 OK", b"OK"),
        (b"HTTP/1.1 200 \xff\t!", b"\xff\t!"),
    ] {
        for fields in [&b""[..], b"A: b\r\n"] {
            let buf = [line, b"\r\n", fields, b"\r\n"].concat();
            let head = parse(&buf, RequestKind::Other).expect("well-formed");
            assert_eq!(head.reason.of(&buf), reason);
        }
    }
}

#[test]
fn status_lines() {
    for (line, kind) in [
        ("\r\nHTTP/1.1 200 OK", Kind::StatusLine),
        ("HTTP/1.1  200 OK", Kind::StatusLine),
        ("HTTP/1.1 20 OK", Kind::StatusLine),
        ("HTTP/1.1 2000 OK", Kind::StatusLine),
        ("HTTP/1.1 099 OK", Kind::StatusLine),
        ("HTTP/1.1 2x0 OK", Kind::StatusLine),
        ("HTTP/1.1 200\tOK", Kind::StatusLine),
        ("HTTP/1.1 200 O\0K", Kind::StatusLine),
        ("HTTP/1.1 200 O\rK", Kind::StatusLine),
        ("HTTP/1.12 200 OK", Kind::StatusLine),
        ("HTTP/2.0 200 OK", Kind::VersionUnsupported),
        ("HTTP/1.2 200 OK", Kind::VersionUnsupported),
        ("http/1.1 200 OK", Kind::Version),
        ("ICY 200 OK", Kind::Version),
    ] {
        refused(format!("{line}\r\nA: b\r\n\r\n").as_bytes(), kind);
    }
    refused(b"HTTP/1.1 200 OK\n\r\n", Kind::BareLf);
    refused(b"HTTP/1.1 200 OK\nA: b\r\n\r\n", Kind::BareLf);
    refused(b"HTTP/1.1 200\nA: b\r\n\r\n", Kind::BareLf);
}

#[test]
fn field_lines() {
    for (lines, kind) in [
        ("A: b\n", Kind::BareLf),
        ("A: b\rC\r\n", Kind::BareCr),
        (" A: b\r\n", Kind::Folded),
        ("A: b\r\n c\r\n", Kind::Folded),
        ("A : b\r\n", Kind::SpaceBeforeColon),
        (": b\r\n", Kind::FieldNameEmpty),
        ("A\r\n", Kind::FieldName),
        ("A: \0\r\n", Kind::FieldValue),
    ] {
        refused(format!("HTTP/1.1 200 OK\r\n{lines}\r\n").as_bytes(), kind);
    }
}

#[test]
fn framing() {
    use Framing::{Chunked, Close, Length, None};
    let (length, coding) = ("Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n");
    for (status, lines, kind, framing, keep_alive) in [
        (200, length, RequestKind::Other, Length(5), true),
        (200, coding, RequestKind::Other, Chunked, true),
        (200, "", RequestKind::Other, Close, false),
        (200, "Content-Length: 0\r\n", RequestKind::Other, Length(0), true),
        (200, length, RequestKind::Head, None, true),
        (200, coding, RequestKind::Head, None, true),
        (200, "", RequestKind::Head, None, true),
        (200, length, RequestKind::Upgrade, Length(5), true),
        (304, length, RequestKind::Other, None, true),
        (304, coding, RequestKind::Other, None, true),
        (204, "", RequestKind::Other, None, true),
        (204, "Content-Length: 0\r\n", RequestKind::Other, None, true),
        (204, length, RequestKind::Other, None, false),
        (204, coding, RequestKind::Other, None, false),
        (100, "", RequestKind::Other, None, true),
        (103, "Link: x\r\n", RequestKind::Other, None, true),
        (999, length, RequestKind::Other, Length(5), true),
    ] {
        let head = accepted(&format!("HTTP/1.1 {status} X\r\n{lines}\r\n"), kind);
        assert_eq!((head.framing, head.keep_alive), (framing, keep_alive), "{status} {lines} {kind:?}");
    }
    for (version, status, lines, kind) in [
        ("1.1", 200, format!("{length}{coding}"), Kind::LengthAndCoding),
        ("1.1", 200, format!("{length}{length}"), Kind::LengthRepeated),
        ("1.1", 200, format!("{coding}{coding}"), Kind::CodingRepeated),
        ("1.1", 200, "Content-Length: 5, 5\r\n".into(), Kind::LengthInvalid),
        ("1.1", 200, "Content-Length: -1\r\n".into(), Kind::LengthInvalid),
        ("1.1", 200, "Transfer-Encoding: gzip, chunked\r\n".into(), Kind::CodingUnknown),
        ("1.1", 200, "Transfer-Encoding: chunked;a\r\n".into(), Kind::CodingMalformed),
        ("1.1", 304, format!("{length}{coding}"), Kind::LengthAndCoding),
        ("1.1", 103, length.into(), Kind::InterimBody),
        ("1.1", 100, coding.into(), Kind::InterimBody),
        ("1.0", 200, coding.into(), Kind::CodingInHttp10),
    ] {
        refused(format!("HTTP/{version} {status} X\r\n{lines}\r\n").as_bytes(), kind);
    }
}

#[test]
fn persistence() {
    for (version, lines, expected) in [
        ("1.1", "", true),
        ("1.1", "Connection: Close\r\n", false),
        ("1.0", "", false),
        ("1.0", "Connection: keep-alive\r\n", true),
    ] {
        let text = format!("HTTP/{version} 200 OK\r\nContent-Length: 0\r\n{lines}\r\n");
        assert_eq!(accepted(&text, RequestKind::Other).keep_alive, expected, "{version} {lines}");
    }
}

#[test]
fn switching_protocols() {
    let switch = "HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    let head = accepted(switch, RequestKind::Upgrade);
    assert!(head.upgrade && !head.keep_alive && !head.is_interim());
    refused(switch.as_bytes(), Kind::SwitchNotAsked);
    let nameless = parse(b"HTTP/1.1 101 X\r\nConnection: upgrade\r\n\r\n", RequestKind::Upgrade);
    assert_eq!(nameless.map_err(|r| r.kind).err(), Some(Kind::SwitchNotAsked));
}

#[test]
fn limits() {
    let limits = Limits { head_bytes: 100, fields: 2, ..Limits::default() };
    let parse = |bytes: &str| {
        let verdict = ResponseHead::default().parse(bytes.as_bytes(), RequestKind::Other, &limits);
        verdict.map_err(|r| (r.status, r.kind))
    };
    let long = format!("HTTP/1.1 200 OK\r\nA: {}\r\n\r\n", "x".repeat(100));
    assert_eq!(parse(&long[..99]), Ok(Status::Partial));
    assert_eq!(parse(&long[..100]), Err((502, Kind::HeadTooLarge)));
    assert_eq!(parse(&long), Err((502, Kind::HeadTooLarge)));
    assert_eq!(parse("HTTP/1.1 200 OK\r\nA:\r\nA:\r\nA:\r\n\r\n"), Err((502, Kind::TooManyFields)));
    assert_eq!(parse(""), Ok(Status::Partial));
}
