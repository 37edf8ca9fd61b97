//! Invariants of the codec over arbitrary bytes. Each function panics when one does not hold.

use loadline_h1::{
    BodyDecoder, ForwardRequest, ForwardResponse, Framing, Limits, OutFraming, Refusal, RefusalKind,
    RequestHead, RequestKind, ResponseHead, Status, Version, encode_chunk_header, encode_last_chunk,
};

use super::mutate::Random;
use super::stream::{End, read_requests};

/// Fields that never go out, on either side.
const NEVER_FORWARDED: [&str; 3] = ["keep-alive", "proxy-connection", "http2-settings"];

/// A request head: prefixes agree with the whole, the result agrees with a naive reading, any split of a stream of
/// requests gives the same messages.
pub fn request_head(data: &[u8]) {
    let limits = Limits::default();
    let mut head = RequestHead::default();
    let whole = head.parse(data, &limits);
    check_prefixes(data, whole, head.len, |prefix| RequestHead::default().parse(prefix, &limits));
    if whole == Ok(Status::Complete) {
        let bytes = &data[..head.len];
        check_lines(bytes, head.fields.len());
        let (lengths, codings) =
            (count(&head, bytes, "content-length"), count(&head, bytes, "transfer-encoding"));
        match head.framing {
            Framing::None => assert_eq!((lengths, codings), (0, 0)),
            Framing::Length(_) => assert_eq!((lengths, codings), (1, 0)),
            Framing::Chunked => assert_eq!((lengths, codings), (0, 1)),
            Framing::Close => panic!("a request cannot end with the connection"),
        }
        if head.version == Version::Http11 {
            assert_eq!(count(&head, bytes, "host"), 1);
            assert!(!head.host.is_empty());
        }
        assert!(head.target.of(bytes).iter().all(|b| (0x21..0x7f).contains(b)));
    }

    let (messages, end) = read_requests(data, || usize::MAX);
    let mut random = Random(data.len() as u64);
    for most in [1, 3, 17] {
        let (again, end_again) = read_requests(data, || 1 + random.below(most));
        assert_eq!(messages, again);
        match (end, end_again) {
            // Which rule is found broken first may depend on how much was there to see.
            (End::Refused(_), End::Refused(_)) => {}
            (end, end_again) => assert_eq!(end, end_again),
        }
    }
}

/// A response head: as [`request_head`].
pub fn response_head(data: &[u8]) {
    let limits = Limits::default();
    for kind in [RequestKind::Other, RequestKind::Head, RequestKind::Upgrade] {
        let mut head = ResponseHead::default();
        let whole = head.parse(data, kind, &limits);
        check_prefixes(data, whole, head.len, |prefix| ResponseHead::default().parse(prefix, kind, &limits));
        if whole != Ok(Status::Complete) {
            continue;
        }
        check_lines(&data[..head.len], head.fields.len());
        assert!(!(head.keep_alive && head.framing == Framing::Close));
        assert_eq!(head.upgrade, head.status == 101);
        if kind == RequestKind::Head || head.is_interim() || matches!(head.status, 101 | 204 | 304) {
            assert_eq!(head.framing, Framing::None);
        }
        check_forwarded_response(data, &head, kind);
    }
}

/// A chunked body: any split gives the same data, trailers, end and refusal; encoding it again and decoding that
/// gives the same data and trailers.
pub fn chunked_body(data: &[u8]) {
    let whole = decode(data, || usize::MAX);
    let mut random = Random(data.len() as u64);
    for most in [1, 2, 5, 64] {
        assert_eq!(whole, decode(data, || 1 + random.below(most)));
    }
    assert!(whole.consumed <= data.len());
    if whole.refusal.is_some() || !whole.done {
        return;
    }
    let mut encoded = Vec::new();
    for chunk in whole.body.chunks(7) {
        encode_chunk_header(&mut encoded, chunk.len());
        encoded.extend_from_slice(chunk);
        encoded.extend_from_slice(b"\r\n");
    }
    encode_last_chunk(&mut encoded, &whole.trailers);
    let again = decode(&encoded, || usize::MAX);
    assert_eq!((&again.body, &again.trailers, again.done), (&whole.body, &whole.trailers, true));
    assert_eq!(again.consumed, encoded.len());
}

/// A rewritten request: parses, means the same, has the framing asked for and nothing that concerns the client's
/// connection alone.
pub fn rewrite(data: &[u8]) {
    let limits = Limits::default();
    let mut head = RequestHead::default();
    if head.parse(data, &limits) != Ok(Status::Complete) {
        return;
    }
    for framing in [OutFraming::None, OutFraming::Length(5), OutFraming::Chunked] {
        let mut out = b"before".to_vec();
        let opts = ForwardRequest {
            framing,
            host_fallback: b"fallback:80",
            extra: b"x-extra: 1\r\n",
            expect_continue: head.expect_continue,
            drop: &[],
        };
        head.write_forward(data, &mut out, &opts);
        let out = out.strip_prefix(b"before").expect("appended");
        // Rewriting may lengthen a head (`Host` from the target, `content-length`), so past the limit is not a bug.
        let roomy = Limits { head_bytes: 2 * limits.head_bytes, fields: 256, ..limits.clone() };
        let mut again = RequestHead::default();
        assert_eq!(again.parse(out, &roomy), Ok(Status::Complete), "{:?}", String::from_utf8_lossy(out));
        assert_eq!(again.len, out.len());
        assert_eq!(again.version, Version::Http11);
        assert!(again.keep_alive);
        assert_eq!(again.method.of(out), head.method.of(data));
        assert_eq!(again.query.of(out), head.query.of(data));
        if again.path.of(out) != b"*" {
            assert_eq!(again.path.of(out), head.path.of(data));
        }
        let host = if head.host.is_empty() { b"fallback:80" } else { head.host.of(data) };
        assert_eq!(again.host.of(out), host);
        assert_eq!(again.framing, received_as(framing));
        check_forwarded_fields(again.iter(out), framing);
        if framing == OutFraming::None {
            let protocol = |head: &RequestHead, buf: &[u8]| head.upgrade.map(|value| value.of(buf).to_vec());
            assert_eq!(protocol(&again, out), protocol(&head, data));
        }
        check_end_to_end_fields(head.iter(data), again.iter(out));
    }
}

fn check_forwarded_response(data: &[u8], head: &ResponseHead, kind: RequestKind) {
    for (client_version, keep_alive) in
        [(Version::Http11, true), (Version::Http11, false), (Version::Http10, true), (Version::Http10, false)]
    {
        let framing = match head.framing {
            Framing::None => OutFraming::None,
            Framing::Length(length) => OutFraming::Length(length),
            Framing::Chunked if client_version == Version::Http11 => OutFraming::Chunked,
            Framing::Chunked | Framing::Close => OutFraming::Close,
        };
        let mut out = Vec::new();
        let opts = ForwardResponse {
            client_version,
            framing,
            keep_alive,
            extra: b"",
            drop: &[],
            head_request: kind == RequestKind::Head,
        };
        head.write_forward(data, &mut out, &opts);
        let limits = Limits { head_bytes: 64 * 1024, fields: 256, ..Limits::default() };
        let mut again = ResponseHead::default();
        assert_eq!(
            again.parse(&out, kind, &limits),
            Ok(Status::Complete),
            "{:?}",
            String::from_utf8_lossy(&out)
        );
        assert_eq!(again.len, out.len());
        assert_eq!(again.status, head.status);
        assert_eq!(again.reason.of(&out), head.reason.of(data));
        assert_eq!(again.framing, received_as(framing));
        check_forwarded_fields(again.iter(&out), framing);
        check_end_to_end_fields(head.iter(data), again.iter(&out));
    }
}

/// What a parser must make of a message written with `framing`.
fn received_as(framing: OutFraming) -> Framing {
    match framing {
        OutFraming::None => Framing::None,
        OutFraming::Length(length) => Framing::Length(length),
        OutFraming::Chunked => Framing::Chunked,
        OutFraming::Close => Framing::Close,
    }
}

fn check_forwarded_fields<'b>(fields: impl Iterator<Item = (&'b [u8], &'b [u8])>, framing: OutFraming) {
    for (name, value) in fields {
        assert!(!name.iter().any(u8::is_ascii_uppercase), "names are in lower case");
        let name = std::str::from_utf8(name).expect("names are ASCII");
        match name {
            "transfer-encoding" => assert_eq!(framing, OutFraming::Chunked),
            "te" => assert_eq!(value, b"trailers"),
            "connection" => assert!(
                [
                    &b"upgrade"[..],
                    b"te",
                    b"upgrade, te",
                    b"close",
                    b"keep-alive",
                    b"close, upgrade",
                    b"keep-alive, upgrade"
                ]
                .contains(&value)
            ),
            _ => assert!(!NEVER_FORWARDED.contains(&name), "{name} was forwarded"),
        }
    }
}

/// Every forwarded field that is not ours was received, in the same order, with the same value.
fn check_end_to_end_fields<'a, 'b>(
    received: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    forwarded: impl Iterator<Item = (&'b [u8], &'b [u8])>,
) {
    const OURS: [&[u8]; 8] = [
        b"host",
        b"content-length",
        b"transfer-encoding",
        b"connection",
        b"te",
        b"upgrade",
        b"expect",
        b"x-extra",
    ];
    let mut received = received;
    for (name, value) in forwarded.filter(|(name, _)| !OURS.contains(name)) {
        assert!(
            received.any(|(n, v)| n.eq_ignore_ascii_case(name) && v == value),
            "a field was made up or moved"
        );
    }
}

fn check_prefixes(
    data: &[u8],
    whole: Result<Status, Refusal>,
    len: usize,
    mut parse: impl FnMut(&[u8]) -> Result<Status, Refusal>,
) {
    // All prefixes of what is short, some of what is long.
    let step = 1 + data.len() / 512;
    for end in (0..data.len()).step_by(step) {
        match (parse(&data[..end]), whole) {
            (Ok(Status::Partial), Ok(Status::Complete)) => assert!(end < len),
            (Ok(Status::Partial), _) => {}
            (Ok(Status::Complete), whole) => {
                assert_eq!(whole, Ok(Status::Complete));
                assert!(end >= len);
            }
            (Err(_), whole) => assert!(whole.is_err(), "a prefix was refused, the whole was not"),
        }
    }
}

/// What a naive reading of an accepted head finds: whole lines, no stray line ends, names without white space.
fn check_lines(head: &[u8], fields: usize) {
    let text = head.strip_suffix(b"\r\n\r\n").expect("ends with an empty line");
    let text = text.strip_prefix(b"\r\n").unwrap_or(text);
    let text = text.strip_prefix(b"\r\n").unwrap_or(text);
    let text: String = text.iter().map(|&b| b as char).collect();
    let mut lines = text.split("\r\n");
    assert!(lines.next().is_some_and(|line| !line.contains(['\r', '\n', '\0'])));
    let mut seen = 0;
    for line in lines {
        assert!(
            !line.contains(|c: char| c != '\t' && (c < ' ' || c == '\x7f')),
            "control byte accepted: {line:?}"
        );
        let (name, _) = line.split_once(':').expect("a colon in every line");
        assert!(!name.is_empty() && !name.contains([' ', '\t']), "{line:?}");
        seen += 1;
    }
    assert_eq!(seen, fields);
}

fn count(head: &RequestHead, buf: &[u8], name: &str) -> usize {
    head.iter(buf).filter(|(n, _)| n.eq_ignore_ascii_case(name.as_bytes())).count()
}

#[derive(Debug, PartialEq, Eq)]
struct Body {
    body: Vec<u8>,
    trailers: Vec<u8>,
    consumed: usize,
    done: bool,
    refusal: Option<RefusalKind>,
}

fn decode(data: &[u8], mut piece: impl FnMut() -> usize) -> Body {
    let mut decoder = BodyDecoder::new(Framing::Chunked, &Limits::default());
    let mut out = Body { body: Vec::new(), trailers: Vec::new(), consumed: 0, done: false, refusal: None };
    while !decoder.is_done() && out.consumed < data.len() {
        let rest = &data[out.consumed..];
        let input = &rest[..piece().clamp(1, rest.len())];
        match decoder.decode(input) {
            Ok(decoded) => {
                assert!(decoded.consumed > 0 && decoded.data.end <= decoded.consumed);
                assert_eq!(decoded.done, decoder.is_done());
                out.body.extend_from_slice(&input[decoded.data]);
                out.consumed += decoded.consumed;
            }
            Err(refusal) => {
                assert_eq!(decoder.decode(b"0\r\n\r\n"), Err(refusal), "a refusal lasts");
                out.refusal = Some(refusal.kind);
                out.consumed = 0;
                return out;
            }
        }
    }
    out.trailers = decoder.trailers().to_vec();
    out.done = decoder.is_done();
    out
}
