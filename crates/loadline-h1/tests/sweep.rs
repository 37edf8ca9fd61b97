//! Every byte value at every kind of place: put in, and put in the place of what is there. Only the bytes listed for a
//! place may be accepted there.

use loadline_h1::{BodyDecoder, Limits, RequestHead, Status};

/// What became of a stream that holds one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// Read to its end, and nothing was left over.
    Whole,
    /// Read to its end before the end of the stream, or not to its end.
    Other,
    Refused,
}

fn verdict(stream: &[u8]) -> Verdict {
    let limits = Limits::default();
    let mut head = RequestHead::default();
    match head.parse(stream, &limits) {
        Ok(Status::Complete) => {}
        Ok(Status::Partial) => return Verdict::Other,
        Err(_) => return Verdict::Refused,
    }
    let mut decoder = BodyDecoder::new(head.framing, &limits);
    let mut rest = &stream[head.len..];
    while !decoder.is_done() && !rest.is_empty() {
        match decoder.decode(rest) {
            Ok(decoded) => rest = &rest[decoded.consumed..],
            Err(_) => return Verdict::Refused,
        }
    }
    if decoder.is_done() && rest.is_empty() { Verdict::Whole } else { Verdict::Other }
}

/// Puts every byte at the place marked `@` and asserts that the stream is read whole just where `may` says so.
#[track_caller]
fn sweep(template: &str, may: impl Fn(u8) -> bool) {
    let (before, after) = template.split_once('@').expect("a marked place");
    for byte in 0..=255u8 {
        let stream = [before.as_bytes(), &[byte], after.as_bytes()].concat();
        assert_eq!(verdict(&stream) == Verdict::Whole, may(byte), "{byte:#04x} in {template:?}");
    }
}

fn tchar(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b)
}

fn field_byte(b: u8) -> bool {
    b == b'\t' || (b >= b' ' && b != 0x7f)
}

fn host_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"-._~!$&'()*+;=".contains(&b)
}

#[test]
fn request_line() {
    let rest = "Host: a\r\n\r\n";
    sweep(&format!("@ / HTTP/1.1\r\n{rest}"), tchar);
    sweep(&format!("GE@T / HTTP/1.1\r\n{rest}"), tchar);
    sweep(&format!("GET@/ HTTP/1.1\r\n{rest}"), |b| b == b' ');
    sweep(&format!("GET /a@b HTTP/1.1\r\n{rest}"), |b| (0x21..0x7f).contains(&b) && b != b'#');
    sweep(&format!("GET /a?b@ HTTP/1.1\r\n{rest}"), |b| (0x21..0x7f).contains(&b) && b != b'#');
    sweep(&format!("GET @ HTTP/1.1\r\n{rest}"), |b| b == b'/');
    sweep(&format!("OPTIONS @ HTTP/1.1\r\n{rest}"), |b| b == b'/' || b == b'*');
    sweep(&format!("GET http:/@b/ HTTP/1.1\r\n{rest}"), |b| b == b'/');
    sweep(&format!("GET http://b@c/ HTTP/1.1\r\n{rest}"), |b| host_byte(b) || b == b'/' || b == b'?');
    sweep(&format!("GET /@HTTP/1.1\r\n{rest}"), |b| b == b' ');
    sweep(&format!("GET / HTTP/@.1\r\n{rest}"), |b| b == b'1');
    sweep(&format!("GET / HTTP/1@1\r\n{rest}"), |b| b == b'.');
    sweep(&format!("GET / HTTP/1.@\r\n{rest}"), |b| b == b'0' || b == b'1');
    sweep(&format!("GET / HTTP/1.1@\r\n{rest}"), |_| false);
    sweep(&format!("GET / HTTP/1.1@\n{rest}"), |b| b == b'\r');
    sweep(&format!("GET / HTTP/1.1\r@{rest}"), |b| b == b'\n');
    sweep(&format!("@GET / HTTP/1.1\r\n{rest}"), tchar);
}

#[test]
fn field_lines() {
    let get = "GET / HTTP/1.1\r\nHost: a\r\n";
    sweep(&format!("{get}X@Y: z\r\n\r\n"), |b| tchar(b) || b == b':');
    sweep(&format!("{get}@: z\r\n\r\n"), tchar);
    sweep(&format!("{get}@X: z\r\n\r\n"), tchar);
    sweep(&format!("{get}X@: z\r\n\r\n"), |b| tchar(b) || b == b':');
    sweep(&format!("{get}X@z\r\n\r\n"), |b| b == b':');
    sweep(&format!("{get}X:@z\r\n\r\n"), field_byte);
    sweep(&format!("{get}X: y@z\r\n\r\n"), field_byte);
    sweep(&format!("{get}X: z@\r\n\r\n"), field_byte);
    sweep(&format!("{get}X: z@\n\r\n"), |b| b == b'\r');
    sweep(&format!("{get}X: z\r@\r\n"), |b| b == b'\n');
    sweep(&format!("{get}X: z\r\n@\n"), |b| b == b'\r');
    sweep(&format!("{get}X: z\r\n\r@"), |b| b == b'\n');
    sweep(&format!("{get}X: y\r\n@z\r\n\r\n"), |_| false);
}

/// The token parser reads 8, 16 or 32 bytes at a time where it can: the same places within something long.
#[test]
fn long_runs() {
    let get = "GET / HTTP/1.1\r\nHost: a\r\n";
    let after = "z".repeat(70);
    for before in (0..70).step_by(7).map(|length| "y".repeat(length)) {
        sweep(&format!("{get}X: y{before}@{after}\r\n\r\n"), field_byte);
        sweep(&format!("{get}X{before}@{after}: y\r\n\r\n"), |b| tchar(b) || b == b':');
        sweep(&format!("GET /{before}@{after} HTTP/1.1\r\nHost: a\r\n\r\n"), |b| {
            (0x21..0x7f).contains(&b) && b != b'#'
        });
    }
}

#[test]
fn host() {
    sweep("GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", host_byte);
    sweep("GET / HTTP/1.1\r\nHost:@a\r\n\r\n", |b| host_byte(b) || b == b' ' || b == b'\t');
    sweep("GET / HTTP/1.1\r\nHost: @\r\n\r\n", host_byte);
    sweep("GET / HTTP/1.1\r\nHost: a:8@\r\n\r\n", |b| b.is_ascii_digit() || b == b' ' || b == b'\t');
    sweep("GET / HTTP/1.1\r\nHost: a@8\r\n\r\n", |b| host_byte(b) || b == b':');
    sweep("GET / HTTP/1.1\r\nHost: [::@]\r\n\r\n", |b| b.is_ascii_hexdigit());
}

#[test]
fn lengths_and_codings() {
    let post = "POST / HTTP/1.1\r\nHost: a\r\n";
    let blank = |b: u8| b == b' ' || b == b'\t';
    sweep(&format!("{post}Content-Length: @\r\n\r\nx"), |b| b == b'1');
    sweep(&format!("{post}Content-Length: @1\r\n\r\nx"), |b| b == b'0' || blank(b));
    sweep(&format!("{post}Content-Length: 1@\r\n\r\nx"), blank);
    // Any other byte makes another name or another request; no body is read then.
    sweep(&format!("{post}Content@Length: 1\r\n\r\nx"), |b| b == b'-');
    sweep(&format!("{post}Transfer@Encoding: chunked\r\n\r\n0\r\n\r\n"), |b| b == b'-');
    sweep(&format!("{post}Transfer-Encoding: @chunked\r\n\r\n0\r\n\r\n"), blank);
    sweep(&format!("{post}Transfer-Encoding: chunked@\r\n\r\n0\r\n\r\n"), blank);
    sweep(&format!("{post}Transfer-Encoding: chun@ed\r\n\r\n0\r\n\r\n"), |b| b == b'k' || b == b'K');
    sweep(&format!("{post}Transfer-Encoding@: chunked\r\n\r\n0\r\n\r\n"), |_| false);
    sweep(&format!("{post}@Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), |_| false);
}

#[test]
fn chunked_bodies() {
    let post = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    sweep(&format!("{post}@\r\na\r\n0\r\n\r\n"), |b| b == b'1');
    sweep(&format!("{post}@1\r\na\r\n0\r\n\r\n"), |b| b == b'0');
    sweep(&format!("{post}1@\r\na\r\n0\r\n\r\n"), |b| b == b';');
    sweep(&format!("{post}1;@\r\na\r\n0\r\n\r\n"), field_byte);
    sweep(&format!("{post}1;a=\"@\"\r\na\r\n0\r\n\r\n"), field_byte);
    sweep(&format!("{post}1@\na\r\n0\r\n\r\n"), |b| b == b'\r');
    sweep(&format!("{post}1\r@a\r\n0\r\n\r\n"), |b| b == b'\n');
    sweep(&format!("{post}1;a@\na\r\n0\r\n\r\n"), |b| b == b'\r');
    sweep(&format!("{post}1\r\n@\r\n0\r\n\r\n"), |_| true);
    sweep(&format!("{post}1\r\na@\r\n0\r\n\r\n"), |_| false);
    sweep(&format!("{post}1\r\na@\n0\r\n\r\n"), |b| b == b'\r');
    sweep(&format!("{post}1\r\na\r@0\r\n\r\n"), |b| b == b'\n');
    sweep(&format!("{post}0@\r\n\r\n"), |b| b == b'0' || b == b';');
    sweep(&format!("{post}0\r\n@\n"), |b| b == b'\r');
    sweep(&format!("{post}0\r\n\r@"), |b| b == b'\n');
}

#[test]
fn trailers() {
    let post = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n";
    sweep(&format!("{post}X@Y: z\r\n\r\n"), |b| tchar(b) || b == b':');
    sweep(&format!("{post}@: z\r\n\r\n"), tchar);
    sweep(&format!("{post}X:@z\r\n\r\n"), field_byte);
    sweep(&format!("{post}X: y@z\r\n\r\n"), field_byte);
    sweep(&format!("{post}X: z@\n\r\n"), |b| b == b'\r');
    sweep(&format!("{post}X: z\r@\r\n"), |b| b == b'\n');
    sweep(&format!("{post}X: z\r\n@\n"), |b| b == b'\r');
    sweep(&format!("{post}X: z\r\n\r@"), |b| b == b'\n');
}
