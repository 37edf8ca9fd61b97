//! Properties over generated messages, arbitrary bytes and mutants of known messages. The checks themselves are in
//! `support/checks.rs`, where the fuzz targets find them, too.

#[expect(unreachable_pub, reason = "the fuzz crate includes these files as public modules")]
mod support {
    pub mod checks;
    pub mod mutate;
    pub mod stream;
}

use proptest::collection::vec;
use proptest::prelude::*;

use loadline_h1::{BodyDecoder, Framing, Limits, encode_chunk_header, encode_last_chunk};
use support::mutate::{Random, mutate};
use support::stream::{End, read_requests};
use support::{checks, stream};

/// Seeds of mutation: a message of each shape.
const REQUESTS: [&[u8]; 6] = [
    b"GET /a?b=c HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a:80\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello",
    b"\r\nPOST http://b/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTE: trailers\r\n\r\n1\r\nx\r\n0\r\n\r\n",
    b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade, X-Hop\r\nUpgrade: websocket\r\nX-Hop:1\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: [::1]\r\nKeep-Alive: 5\r\nProxy-Connection: x\r\nCookie: a=b\r\n\r\n",
    b"GET / HTTP/1.0\r\nConnection: keep-alive\r\nX: \t y \t\r\n\r\n",
];

const RESPONSES: [&[u8]; 6] = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close, X-Hop\r\nX-Hop: a\r\n\r\nhi",
    b"HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n",
    b"HTTP/1.0 404 N\xc3\xb6\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    b"HTTP/1.1 304\r\nContent-Length: 10\r\nETag: \"x\"\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
];

const BODIES: [&[u8]; 4] = [
    b"5\r\nhello\r\n6;a=\"b\"\r\n world\r\n0\r\n\r\n",
    b"0\r\n\r\n",
    b"a\r\n0123456789\r\n000;x\r\nX-Sum: 1\r\nX-More:\r\n\r\nrest",
    b"0\r\nGrpc-Status: 0\r\n\r\n",
];

const MUTANTS: u64 = 3_000;

#[test]
fn mutants_of_requests() {
    for_each_mutant(&REQUESTS, |mutant| {
        checks::request_head(mutant);
        checks::rewrite(mutant);
    });
}

#[test]
fn mutants_of_responses() {
    for_each_mutant(&RESPONSES, checks::response_head);
}

#[test]
fn mutants_of_chunked_bodies() {
    for_each_mutant(&BODIES, checks::chunked_body);
}

fn for_each_mutant(seeds: &[&[u8]], check: impl Fn(&[u8])) {
    seeds.iter().for_each(|seed| check(seed));
    for seed in 0..MUTANTS {
        let mut random = Random(seed);
        let original = seeds[random.below(seeds.len())];
        let mutant = mutate(original, &mut random);
        eprintln!("seed {seed}: {:?}", String::from_utf8_lossy(&mutant));
        check(&mutant);
    }
}

fn token() -> impl Strategy<Value = String> {
    "[A-Za-z0-9!#$%&'*+.^_`|~-]{1,20}"
}

/// Fields that have no meaning to the codec.
fn fields() -> impl Strategy<Value = Vec<(String, String)>> {
    vec((token().prop_map(|name| format!("X-{name}")), "[ -~\t]{0,40}"), 0..20)
}

fn chunks() -> impl Strategy<Value = Vec<Vec<u8>>> {
    vec(vec(any::<u8>(), 1..200), 0..8)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_never_panic(data in vec(any::<u8>(), 0..300)) {
        checks::request_head(&data);
        checks::response_head(&data);
        checks::chunked_body(&data);
        checks::rewrite(&data);
    }

    #[test]
    fn generated_requests_are_read_as_written(
        method in "[A-Z]{1,10}".prop_filter("refused by rule", |m| m != "CONNECT" && m != "TRACE"),
        path in "/[!-\"$->@-~]{0,40}",
        query in proptest::option::of("[!-\"$-~]{0,40}"),
        fields in fields(),
        chunks in chunks(),
        chunked: bool,
        cut in 1usize..40,
    ) {
        let target = match &query {
            Some(query) => format!("{path}?{query}"),
            None => path.clone(),
        };
        let body = chunks.concat();
        let mut bytes = format!("{method} {target} HTTP/1.1\r\nHost: a\r\n").into_bytes();
        for (name, value) in &fields {
            bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        if chunked {
            bytes.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
            for chunk in &chunks {
                encode_chunk_header(&mut bytes, chunk.len());
                bytes.extend_from_slice(chunk);
                bytes.extend_from_slice(b"\r\n");
            }
            encode_last_chunk(&mut bytes, b"x-sum: 1\r\n");
        } else {
            bytes.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
            bytes.extend_from_slice(&body);
        }
        checks::rewrite(&bytes);
        let one = stream::Message {
            method: method.into_bytes(),
            target: target.into_bytes(),
            path: path.into_bytes(),
            query: query.unwrap_or_default().into_bytes(),
            body,
            trailers: if chunked { b"x-sum: 1\r\n".to_vec() } else { Vec::new() },
        };
        let stream = bytes.repeat(3);
        prop_assert_eq!(read_requests(&stream, || cut), (vec![one; 3], End::Input));
    }

    #[test]
    fn bodies_with_a_length_are_cut_anywhere(body in vec(any::<u8>(), 0..300), cut in 1usize..40) {
        let mut decoder = BodyDecoder::new(Framing::Length(body.len() as u64), &Limits::default());
        let stream = [body.as_slice(), b"next"].concat();
        let (mut read, mut at) = (Vec::new(), 0);
        while !decoder.is_done() {
            prop_assert_eq!(decoder.remaining(), Some((body.len() - at) as u64));
            let input = &stream[at..(at + cut).min(stream.len())];
            let decoded = decoder.decode(input).expect("no framing inside");
            read.extend_from_slice(&input[decoded.data]);
            at += decoded.consumed;
        }
        prop_assert_eq!(read, body);
        prop_assert_eq!(&stream[at..], b"next");
    }
}
