//! Rewriting a head for the other side (RFC 9110 section 7.6).
//!
//! Field names go out in lower case, values byte for byte. What concerns one connection only is left out: Connection
//! and what it names, Keep-Alive, Proxy-Connection, TE, Transfer-Encoding, Upgrade, Expect, HTTP2-Settings. Some of it
//! is written anew where the next hop needs it. Framing is never copied but written from what the caller will send.
//! Nothing else is added.

use crate::framing::Version;
use crate::request::RequestHead;
use crate::response::ResponseHead;
use crate::span::{Field, Role};
use crate::text;

/// How the forwarded message's body will be sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OutFraming {
    /// No framing field: a request without body, or a response that has none by rule (1xx, 204, 304, to `HEAD`).
    #[default]
    None,
    /// `content-length` with this number.
    Length(u64),
    /// `transfer-encoding: chunked`. Not for an HTTP/1.0 client.
    Chunked,
    /// Until the connection ends: no framing field, and the client is told that we close. Responses only.
    Close,
}

/// What to write besides the head itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct ForwardRequest<'a> {
    /// How the body will be sent.
    pub framing: OutFraming,
    /// Whole lines to append, each `name: value\r\n`.
    pub extra: &'a [u8],
    /// Host for a request that has none, which only HTTP/1.0 allows.
    pub host_fallback: &'a [u8],
    /// Whether to pass on `expect: 100-continue`.
    pub expect_continue: bool,
    /// Lower-case names of further fields to leave out.
    pub drop: &'a [&'a str],
}

/// What to write besides the head itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct ForwardResponse<'a> {
    /// The version of the client's request.
    pub client_version: Version,
    /// How the body will be sent.
    pub framing: OutFraming,
    /// Whether the client's connection will carry another request.
    pub keep_alive: bool,
    /// Whole lines to append, each `name: value\r\n`.
    pub extra: &'a [u8],
    /// The request was `HEAD`: the upstream's `content-length` is kept though no body follows.
    pub head_request: bool,
    /// Lower-case names of further fields to leave out.
    pub drop: &'a [&'a str],
}

/// Room for what a rewritten head may have beyond the received one: start line, framing, connection.
const ADDED: usize = 160;

impl RequestHead {
    /// Appends the request line and fields for the upstream, up to and with the empty line. `buf` as in
    /// [`Span::of`](crate::Span::of).
    ///
    /// Always `METHOD origin-form HTTP/1.1` (or `OPTIONS *`), with Host first.
    pub fn write_forward(&self, buf: &[u8], out: &mut Vec<u8>, opts: &ForwardRequest<'_>) {
        out.reserve(self.len + opts.extra.len() + opts.host_fallback.len() + ADDED);
        out.extend_from_slice(self.method.of(buf));
        out.push(b' ');
        if self.asterisk {
            out.push(b'*');
        } else {
            let origin = self.origin.of(buf);
            if !origin.starts_with(b"/") {
                out.push(b'/');
            }
            out.extend_from_slice(origin);
        }
        out.extend_from_slice(b" HTTP/1.1\r\nhost: ");
        out.extend_from_slice(if self.host.is_empty() { opts.host_fallback } else { self.host.of(buf) });
        out.extend_from_slice(b"\r\n");
        write_fields(&self.fields, buf, out, |field| {
            field.role == Role::EndToEnd && (opts.drop.is_empty() || !is_dropped(field, buf, opts.drop))
        });
        write_framing(opts.framing, out);
        if opts.expect_continue {
            out.extend_from_slice(b"expect: 100-continue\r\n");
        }
        if let Some(protocol) = self.upgrade {
            write_line(out, b"upgrade", protocol.of(buf));
        }
        if self.te_trailers {
            out.extend_from_slice(b"te: trailers\r\n");
        }
        out.extend_from_slice(match (self.upgrade.is_some(), self.te_trailers) {
            (false, false) => b"",
            (false, true) => b"connection: te\r\n",
            (true, false) => b"connection: upgrade\r\n",
            (true, true) => b"connection: upgrade, te\r\n",
        });
        out.extend_from_slice(opts.extra);
        out.extend_from_slice(b"\r\n");
    }
}

impl ResponseHead {
    /// Appends the status line and fields for the client, up to and with the empty line. `buf` as in
    /// [`Span::of`](crate::Span::of).
    ///
    /// The status line says HTTP/1.1 also to HTTP/1.0 clients, since that is the version of the sender (RFC 9110
    /// section 2.5). Interim responses must not be sent to them, though (RFC 9110 section 15.2).
    pub fn write_forward(&self, buf: &[u8], out: &mut Vec<u8>, opts: &ForwardResponse<'_>) {
        debug_assert!(
            opts.framing != OutFraming::Chunked || opts.client_version == Version::Http11,
            "HTTP/1.0 does not know chunks"
        );
        out.reserve(self.len + opts.extra.len() + ADDED);
        out.extend_from_slice(b"HTTP/1.1 ");
        // `HTTP/1.x ` is nine bytes, the status three; the space behind it may be missing where the phrase is.
        out.extend_from_slice(&buf[9..12]);
        out.push(b' ');
        out.extend_from_slice(self.reason.of(buf));
        out.extend_from_slice(b"\r\n");
        let bodiless = self.status < 200 || self.status == 204;
        let keeps_length =
            opts.framing == OutFraming::None && !bodiless && (opts.head_request || self.status == 304);
        write_fields(&self.fields, buf, out, |field| {
            (field.role == Role::EndToEnd && (opts.drop.is_empty() || !is_dropped(field, buf, opts.drop)))
                || (keeps_length && field.role == Role::ContentLength)
        });
        if !bodiless {
            write_framing(opts.framing, out);
        }
        self.write_connection(buf, out, opts);
        out.extend_from_slice(opts.extra);
        out.extend_from_slice(b"\r\n");
    }

    fn write_connection(&self, buf: &[u8], out: &mut Vec<u8>, opts: &ForwardResponse<'_>) {
        if self.is_interim() {
            return;
        }
        // 426 must name the protocol that is required (RFC 9110 section 15.5.22).
        let mut switches = false;
        if matches!(self.status, 101 | 426) {
            for field in self.fields.iter().filter(|field| field.role == Role::Upgrade) {
                write_line(out, b"upgrade", field.value.of(buf));
                switches = true;
            }
        }
        let persists = self.upgrade || (opts.keep_alive && opts.framing != OutFraming::Close);
        out.extend_from_slice(match (persists, opts.client_version, switches) {
            (true, Version::Http11, false) => b"",
            (true, Version::Http10, false) => b"connection: keep-alive\r\n",
            (true, Version::Http10, true) => b"connection: keep-alive, upgrade\r\n",
            (true, Version::Http11, true) => b"connection: upgrade\r\n",
            // An HTTP/1.0 client expects it, and yet: by its version our answer would say the opposite (RFC 9112, section 9.3).
            (false, _, false) => b"connection: close\r\n",
            (false, _, true) => b"connection: close, upgrade\r\n",
        });
    }
}

fn is_dropped(field: &Field, buf: &[u8], drop: &[&str]) -> bool {
    drop.iter().any(|name| field.name.of(buf).eq_ignore_ascii_case(name.as_bytes()))
}

fn write_framing(framing: OutFraming, out: &mut Vec<u8>) {
    match framing {
        OutFraming::None | OutFraming::Close => {}
        OutFraming::Length(length) => {
            out.extend_from_slice(b"content-length: ");
            text::push_decimal(out, length);
            out.extend_from_slice(b"\r\n");
        }
        OutFraming::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
    }
}

fn write_line(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Appends the fields that `keep` keeps, names in lower case. A line already written `name: value` is copied whole.
#[inline]
fn write_fields(fields: &[Field], buf: &[u8], out: &mut Vec<u8>, keep: impl Fn(&Field) -> bool) {
    for field in fields.iter().filter(|field| keep(field)) {
        let at = out.len();
        let (start, end) = (field.name.start(), field.value.end());
        if buf[field.name.end()..field.value.start()] == *b": " && buf[end] == b'\r' {
            out.extend_from_slice(&buf[start..end + 2]);
        } else {
            write_line(out, field.name.of(buf), field.value.of(buf));
        }
        text::lower_start(&mut out[at..], field.name.len());
    }
}
