//! Every rule about bodies and trailers, with what it takes and what it refuses.

use loadline_h1::{
    BodyDecoder, Framing, Limits, Refusal, RefusalKind as Kind, encode_chunk_header, encode_last_chunk,
};

/// Data, trailers and how many bytes were used, of a chunked body that comes in one piece.
fn decode_with(input: &[u8], limits: &Limits) -> Result<(Vec<u8>, Vec<u8>, usize), Refusal> {
    let mut decoder = BodyDecoder::new(Framing::Chunked, limits);
    let (mut data, mut at) = (Vec::new(), 0);
    while !decoder.is_done() {
        let decoded = decoder.decode(&input[at..])?;
        assert!(decoded.consumed > 0, "cut short: {:?}", String::from_utf8_lossy(input));
        data.extend_from_slice(&input[at..][decoded.data]);
        at += decoded.consumed;
    }
    Ok((data, decoder.trailers().to_vec(), at))
}

fn decode(input: &[u8]) -> Result<(Vec<u8>, Vec<u8>, usize), Refusal> {
    decode_with(input, &Limits::default())
}

#[track_caller]
fn refused(input: &[u8], status: u16, kind: Kind) {
    match decode(input) {
        Ok(_) => panic!("accepted: {:?}", String::from_utf8_lossy(input)),
        Err(refusal) => assert_eq!(refusal, Refusal { status, kind }, "{:?}", String::from_utf8_lossy(input)),
    }
}

#[test]
fn no_body() {
    for framing in [Framing::None, Framing::Length(0)] {
        let mut decoder = BodyDecoder::new(framing, &Limits::default());
        assert!(decoder.is_done());
        let decoded = decoder.decode(b"next").expect("nothing to refuse");
        assert_eq!((decoded.consumed, decoded.data, decoded.done), (0, 0..0, true));
        assert_eq!(decoder.on_eof(), Ok(()));
        assert_eq!(decoder.remaining(), Some(0));
    }
}

#[test]
fn a_length_is_met_exactly() {
    let mut decoder = BodyDecoder::new(Framing::Length(5), &Limits::default());
    let decoded = decoder.decode(b"abc").expect("data");
    assert_eq!((decoded.consumed, decoded.data, decoded.done), (3, 0..3, false));
    assert_eq!(decoder.remaining(), Some(2));
    let decoded = decoder.decode(b"").expect("nothing");
    assert_eq!((decoded.consumed, decoded.done), (0, false));
    let decoded = decoder.decode(b"deGET").expect("data");
    assert_eq!((decoded.consumed, decoded.data, decoded.done), (2, 0..2, true));
    assert_eq!(decoder.on_eof(), Ok(()));
}

#[test]
fn the_end_of_the_connection() {
    let mut close = BodyDecoder::for_response(Framing::Close, &Limits::default());
    let decoded = close.decode(b"abc").expect("data");
    assert_eq!((decoded.consumed, decoded.data, decoded.done), (3, 0..3, false));
    assert_eq!(close.remaining(), None);
    assert_eq!(close.on_eof(), Ok(()));
    assert!(close.is_done());

    for (framing, input) in
        [(Framing::Length(2), &b"a"[..]), (Framing::Chunked, b"1\r\na\r\n0\r\n"), (Framing::Chunked, b"")]
    {
        for response in [false, true] {
            let limits = Limits::default();
            let new = if response { BodyDecoder::for_response } else { BodyDecoder::new };
            let mut decoder = new(framing, &limits);
            let mut rest = input;
            while !rest.is_empty() {
                rest = &rest[decoder.decode(rest).expect("well-formed so far").consumed..];
            }
            let refusal = Refusal { status: if response { 502 } else { 400 }, kind: Kind::Truncated };
            assert_eq!(decoder.on_eof(), Err(refusal));
            assert_eq!(decoder.decode(b"0\r\n\r\n"), Err(refusal), "a refusal lasts");
            assert_eq!(decoder.on_eof(), Err(refusal));
        }
    }
}

#[test]
fn chunks() {
    for (input, data) in [
        (&b"0\r\n\r\n"[..], &b""[..]),
        (b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
        (b"1\r\na\r\n01\r\nb\r\n0000000000000001\r\nc\r\n000\r\n\r\n", b"abc"),
        (b"a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n", b"01234567890123456789"),
        (b"2\r\n\r\n\r\n0\r\n\r\n", b"\r\n"),
        (b"1;\r\na\r\n0\r\n\r\n", b"a"),
        (b"1;a=b;c=\"d;e f\"\t\r\na\r\n0;\xff\r\n\r\n", b"a"),
    ] {
        let stream = [input, b"GET"].concat();
        assert_eq!(
            decode(&stream),
            Ok((data.to_vec(), Vec::new(), input.len())),
            "{:?}",
            String::from_utf8_lossy(input)
        );
    }
    for (input, kind) in [
        (&b"\r\n"[..], Kind::ChunkSize),
        (b"\n", Kind::ChunkSize),
        (b";a\r\n", Kind::ChunkSize),
        (b" 1\r\n", Kind::ChunkSize),
        (b"1 \r\n", Kind::ChunkSize),
        (b"1\t\r\n", Kind::ChunkSize),
        (b"1 ;a\r\n", Kind::ChunkSize),
        (b"+1\r\n", Kind::ChunkSize),
        (b"-1\r\n", Kind::ChunkSize),
        (b"0x1\r\n", Kind::ChunkSize),
        (b"1_0\r\n", Kind::ChunkSize),
        (b"g\r\n", Kind::ChunkSize),
        (b"1,\r\n", Kind::ChunkSize),
        (b"10000000000000000", Kind::ChunkSizeOverflow),
        (b"00000000000000001", Kind::ChunkSizeOverflow),
        (b"fffffffffffffffff", Kind::ChunkSizeOverflow),
        (b"1\n", Kind::BareLf),
        (b"1\ra", Kind::BareCr),
        (b"1\r\r\n", Kind::BareCr),
        (b"1;a\n", Kind::BareLf),
        (b"1;a\rb", Kind::BareCr),
        (b"1;\"\r\r\n", Kind::BareCr),
        (b"1;\0", Kind::ChunkExtension),
        (b"1;\x7f", Kind::ChunkExtension),
        (b"1\r\nab", Kind::ChunkEnd),
        (b"1\r\na\n", Kind::ChunkEnd),
        (b"1\r\na\rb", Kind::ChunkEnd),
        (b"1\r\na0\r\n\r\n", Kind::ChunkEnd),
        (b"0\r\n\rX", Kind::BareCr),
        (b"0\r\n\n", Kind::BareLf),
    ] {
        refused(input, 400, kind);
    }
    // The largest size is taken for what it says.
    let mut decoder = BodyDecoder::new(Framing::Chunked, &Limits::default());
    let decoded = decoder.decode(b"ffffffffffffffff\r\nabc").expect("16 digits");
    assert_eq!((decoded.consumed, decoded.data), (21, 18..21));
}

#[test]
fn extensions_are_counted_over_the_whole_body() {
    let limits = Limits { chunk_ext_bytes: 10, ..Limits::default() };
    assert!(decode_with(b"1;2345\r\na\r\n1;2345\r\nb\r\n0\r\n\r\n", &limits).is_ok());
    let refusal = Refusal { status: 400, kind: Kind::ChunkExtensionsTooLarge };
    assert_eq!(decode_with(b"1;2345\r\na\r\n1;2345\r\nb\r\n0;\r\n\r\n", &limits), Err(refusal));
    assert_eq!(decode_with(b"1;1234567890", &limits), Err(refusal));
}

#[test]
fn trailers() {
    for (section, encoded) in [
        ("X-Sum: 1\r\n", "x-sum: 1\r\n"),
        ("X-Sum:1\r\nX-Empty:\r\nGRPC-Status: \t0 \r\n", "x-sum: 1\r\nx-empty: \r\ngrpc-status: 0\r\n"),
        ("ETag: \u{e9}\r\n", "etag: \u{e9}\r\n"),
    ] {
        let input = format!("0\r\n{section}\r\n");
        assert_eq!(decode(input.as_bytes()), Ok((Vec::new(), encoded.as_bytes().to_vec(), input.len())));
    }
    for (section, kind) in [
        ("X: y\n", Kind::BareLf),
        ("X: y\r\n\n", Kind::BareLf),
        ("X: y\rz\r\n", Kind::BareCr),
        ("X: y\r\r\n", Kind::BareCr),
        (" X: y\r\n", Kind::Folded),
        ("X: y\r\n z\r\n", Kind::Folded),
        ("X : y\r\n", Kind::SpaceBeforeColon),
        (": y\r\n", Kind::FieldNameEmpty),
        ("X\r\n", Kind::FieldName),
        ("X: \0\r\n", Kind::FieldValue),
    ] {
        refused(format!("0\r\n{section}\r\n").as_bytes(), 400, kind);
    }
    for name in [
        "Transfer-Encoding",
        "content-length",
        "HOST",
        "Connection",
        "Keep-Alive",
        "TE",
        "Trailer",
        "Upgrade",
        "Expect",
        "Authorization",
        "Cookie",
        "Set-Cookie",
        "Content-Type",
        "Content-Encoding",
        "Content-Range",
        "Range",
        "If-Match",
        "Cache-Control",
        "Max-Forwards",
        "Proxy-Authorization",
        "WWW-Authenticate",
        "Location",
        "Retry-After",
    ] {
        refused(format!("0\r\nX: y\r\n{name}: 1\r\n\r\n").as_bytes(), 400, Kind::TrailerForbidden);
    }
}

#[test]
fn trailers_are_bounded() {
    let limits = Limits { trailer_bytes: 20, fields: 2, ..Limits::default() };
    assert!(
        decode_with(b"0\r\nX: 6789012345678\r\n\r\n", &limits)
            .is_ok_and(|(_, trailers, _)| trailers.len() == 18)
    );
    let large = Err(Refusal { status: 431, kind: Kind::TrailersTooLarge });
    assert_eq!(decode_with(b"0\r\nX: 67890123456789\r\n\r\n", &limits), large);
    assert_eq!(decode_with(b"0\r\nX: 678901234567890123456789", &limits), large);
    let many = Err(Refusal { status: 431, kind: Kind::TooManyFields });
    assert_eq!(decode_with(b"0\r\nX:\r\nX:\r\nX:\r\n\r\n", &limits), many);
}

#[test]
fn encoding() {
    for (len, text) in [
        (1, "1\r\n"),
        (15, "f\r\n"),
        (16, "10\r\n"),
        (0xabc, "abc\r\n"),
        (usize::MAX, "ffffffffffffffff\r\n"),
    ] {
        let mut out = Vec::new();
        encode_chunk_header(&mut out, len);
        assert_eq!(out, text.as_bytes());
    }
    let mut out = Vec::new();
    encode_last_chunk(&mut out, b"");
    encode_last_chunk(&mut out, b"a: b\r\n");
    assert_eq!(out, b"0\r\n\r\n0\r\na: b\r\n\r\n");
}
