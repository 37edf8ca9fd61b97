//! Parses and rewrites a typical exchange N times, so that instructions per message can be counted:
//!
//! ```sh
//! cargo build --profile dist -p loadline-h1 --example parse_loop
//! valgrind --tool=callgrind target/dist/examples/parse_loop small-get 20000
//! ```
//!
//! Subtract a run with 0 messages, divide by N. Cases: `small-get`, `browser-get`, `response`, `chunked`.

use std::hint::black_box;

use loadline_h1::{
    BodyDecoder, ForwardRequest, ForwardResponse, Framing, Limits, OutFraming, RequestHead, RequestKind,
    ResponseHead,
};

/// What load generators and service-to-service clients send.
const SMALL_GET: &[u8] = b"GET /api/v1/items/42?full=1 HTTP/1.1\r\nHost: 127.0.0.1:8000\r\n\
    User-Agent: curl/8.5.0\r\nAccept: */*\r\nConnection: keep-alive\r\n\r\n";

/// What a browser sends.
const BROWSER_GET: &[u8] = b"GET /static/app.js?v=8d7f3c HTTP/1.1\r\nHost: www.example.com\r\n\
    Connection: keep-alive\r\nsec-ch-ua: \"Chromium\";v=\"124\", \"Not-A.Brand\";v=\"99\"\r\nsec-ch-ua-mobile: ?0\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 Safari/537.36\r\n\
    sec-ch-ua-platform: \"Linux\"\r\nAccept: */*\r\nSec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: no-cors\r\n\
    Sec-Fetch-Dest: script\r\nReferer: https://www.example.com/\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n\
    Accept-Language: en-GB,en;q=0.9\r\nCookie: session=3f1b2c9e7a5d4c1f; theme=dark\r\n\r\n";

const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\n\
    Content-Type: application/json\r\nContent-Length: 128\r\nConnection: keep-alive\r\nCache-Control: no-store\r\n\r\n";

const CHUNKED: &[u8] = b"400\r\n";

fn main() {
    let mut arguments = std::env::args().skip(1);
    let case = arguments.next().unwrap_or_else(|| "small-get".into());
    let messages: usize = arguments.next().and_then(|n| n.parse().ok()).unwrap_or(20_000);
    let limits = Limits::default();
    let mut out = Vec::with_capacity(4096);
    match case.as_str() {
        "small-get" => requests(SMALL_GET, messages, &limits, &mut out),
        "browser-get" => requests(BROWSER_GET, messages, &limits, &mut out),
        "response" => responses(messages, &limits, &mut out),
        "chunked" => chunks(messages, &limits),
        other => eprintln!("unknown case {other}: small-get, browser-get, response or chunked"),
    }
}

fn requests(bytes: &[u8], messages: usize, limits: &Limits, out: &mut Vec<u8>) {
    let mut head = RequestHead::default();
    for _ in 0..messages {
        head.parse(black_box(bytes), limits).expect("a well-formed request");
        out.clear();
        head.write_forward(bytes, out, &ForwardRequest::default());
        black_box(&out);
    }
}

fn responses(messages: usize, limits: &Limits, out: &mut Vec<u8>) {
    let mut head = ResponseHead::default();
    for _ in 0..messages {
        head.parse(black_box(RESPONSE), RequestKind::Other, limits).expect("a well-formed response");
        let Framing::Length(length) = head.framing else { unreachable!("the response has a length") };
        let opts =
            ForwardResponse { framing: OutFraming::Length(length), keep_alive: true, ..Default::default() };
        out.clear();
        head.write_forward(RESPONSE, out, &opts);
        black_box(&out);
    }
}

/// One message here is one chunk of 1 KiB.
fn chunks(messages: usize, limits: &Limits) {
    let mut chunk = CHUNKED.to_vec();
    chunk.resize(CHUNKED.len() + 1024, b'x');
    chunk.extend_from_slice(b"\r\n");
    let mut body = BodyDecoder::new(Framing::Chunked, limits);
    for _ in 0..messages {
        let mut input = black_box(chunk.as_slice());
        while !input.is_empty() {
            let decoded = body.decode(input).expect("a well-formed chunk");
            input = &input[decoded.consumed..];
        }
    }
}
