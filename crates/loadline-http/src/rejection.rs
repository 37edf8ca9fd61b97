//! The response to a request that loadline turns away, or that failed before an upstream answered.
//!
//! Why: a rejection must say why and when to come back, in a form each kind of client reads, and it must cost next to
//! nothing, since it is sent most when there is least to spare. So one function composes the response, from pieces
//! that exist already, and appends it to a buffer that the caller reuses: no formatting machinery, no allocation once
//! the buffers have grown.
//!
//! What is said: `Retry-After` (RFC 9110 section 10.2.3), `Proxy-Status` (RFC 9209), a small problem document
//! (RFC 9457), or for gRPC a response of trailers only. Bodies in `html` look like HAProxy's, for clients and tests
//! that were written against Spillway.
//!
//! Out of scope: choosing between formats by `Accept`, and the value of `Retry-After`; both are decided earlier.

mod body;
mod describe;
mod hint;

use std::cell::RefCell;
use std::time::Duration;

use loadline_core::{Class, Remedy};

use crate::server_timing;

pub use describe::{Description, Failure, StatusCodes, describe};

/// gRPC's `UNAVAILABLE`: the call was not processed and may be retried.
const GRPC_UNAVAILABLE: &[u8] = b"14";
/// gRPC's `DEADLINE_EXCEEDED`.
const GRPC_DEADLINE_EXCEEDED: &[u8] = b"4";
/// gRPC's `INTERNAL`, its mapping of HTTP 400 and its like.
const GRPC_INTERNAL: &[u8] = b"13";

/// What the body of a rejection is written in. gRPC requests never get a body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BodyFormat {
    /// `application/problem+json`.
    #[default]
    ProblemJson,
    /// HAProxy's tiny pages.
    Html,
    /// One line.
    Text,
}

/// One response, as the caller knows it. Nothing in it is copied or kept.
#[derive(Clone, Copy, Debug)]
pub struct RejectionView<'a> {
    /// Status code, 400 to 599.
    pub status: u16,
    /// One short sentence for humans, from [`Description`].
    pub error: &'a str,
    /// A [`Reason`](loadline_core::Reason)'s or [`Failure`]'s name: `queue_full`, `bad_request`, …
    pub reason: &'a str,
    /// The request's class, if it got as far as being classified.
    pub class: Option<Class>,
    /// Whole seconds until a retry makes sense; `None` sends no `Retry-After`.
    pub retry_after: Option<u32>,
    /// What a retry should say of itself in `x-retry-attempt`: 2 after the first. `None` sends no such header.
    pub attempt: Option<u32>,
    /// What would have let it in, besides coming back later.
    pub remedy: Option<Remedy>,
    /// The error type of RFC 9209 section 2.3, from [`Description`]; empty sends no `Proxy-Status`.
    pub proxy_error: &'a str,
    /// What `Proxy-Status` adds in `details`, such as `queue_full depth=100`. If empty, the reason.
    pub details: &'a str,
    /// How long the request waited, for `Server-Timing`; `None` sends none.
    pub queued: Option<Duration>,
    /// Whether the connection closes after this response.
    pub close: bool,
    /// Whether this answers `HEAD`: same head, no body.
    pub head_request: bool,
    /// Whether the request was gRPC (`content-type: application/grpc…`).
    pub grpc: bool,
    /// Whether the client spoke HTTP/1.0: an open connection must then be promised.
    pub http10: bool,
    /// Format of the body.
    pub format: BodyFormat,
}

/// A response taken apart, for callers that do not speak HTTP/1 on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts {
    /// Status code: 200 for gRPC.
    pub status: u16,
    /// Field names in lower case, and values. Nothing specific to a connection is among them.
    pub headers: Vec<(&'static str, Vec<u8>)>,
    /// The body; empty for gRPC and `HEAD`.
    pub body: Vec<u8>,
}

impl Default for RejectionView<'_> {
    /// A full queue, told as briefly as possible.
    fn default() -> Self {
        let description = describe(loadline_core::Reason::QueueFull, &StatusCodes::default());
        Self {
            status: description.status,
            error: description.error,
            reason: description.reason,
            class: None,
            retry_after: None,
            attempt: None,
            remedy: None,
            proxy_error: description.proxy_error,
            details: "",
            queued: None,
            close: false,
            head_request: false,
            grpc: false,
            http10: false,
            format: BodyFormat::ProblemJson,
        }
    }
}

/// Appends the whole HTTP/1.1 response to `out`.
pub fn write_h1(view: &RejectionView<'_>, out: &mut Vec<u8>) {
    compose(view, &mut H1 { out, view });
}

/// The same response as values, for HTTP/2 and for the tower layers.
pub fn parts(view: &RejectionView<'_>) -> Parts {
    let mut parts = Parts { status: 0, headers: Vec::with_capacity(6), body: Vec::new() };
    compose(view, &mut parts);
    parts
}

/// Where a response goes, piece by piece and in this order.
trait Sink {
    fn status(&mut self, status: u16);
    fn header(&mut self, name: &'static str, value: &[u8]);
    /// Ends the head. `body` is what a GET would get; its length is announced even if it is not sent.
    fn end(&mut self, body: &[u8], send: bool);
}

#[derive(Default)]
struct Scratch {
    value: Vec<u8>,
    body: Vec<u8>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// The single description of a rejection.
fn compose(view: &RejectionView<'_>, sink: &mut impl Sink) {
    SCRATCH.with_borrow_mut(|Scratch { value, body }| {
        body.clear();
        if view.grpc {
            sink.status(200);
            sink.header("content-type", b"application/grpc");
            sink.header("grpc-status", grpc_status(view));
            set(value, |v| push_grpc_message(v, view.error));
            sink.header("grpc-message", value);
        } else {
            sink.status(view.status);
            sink.header("content-type", body::content_type(view.format));
            sink.header("cache-control", body::cache_control(view.format));
            body::push(view, body);
        }
        if let Some(seconds) = view.retry_after {
            sink.header("retry-after", itoa::Buffer::new().format(seconds).as_bytes());
        }
        if let Some(attempt) = view.attempt {
            sink.header("x-retry-attempt", itoa::Buffer::new().format(attempt).as_bytes());
        }
        if !view.proxy_error.is_empty() {
            set(value, |v| push_proxy_status(v, view));
            sink.header("proxy-status", value);
        }
        if let Some(queued) = view.queued {
            set(value, |v| server_timing::write(&[("queue", queued)], v));
            sink.header(server_timing::NAME, value);
        }
        sink.end(body, !view.head_request);
    });
}

struct H1<'o, 'v> {
    out: &'o mut Vec<u8>,
    view: &'v RejectionView<'v>,
}

impl Sink for H1<'_, '_> {
    fn status(&mut self, status: u16) {
        self.out.extend_from_slice(b"HTTP/1.1 ");
        self.out.extend_from_slice(itoa::Buffer::new().format(status).as_bytes());
        self.out.push(b' ');
        self.out.extend_from_slice(describe::phrase(status).as_bytes());
        self.out.extend_from_slice(b"\r\n");
    }

    fn header(&mut self, name: &'static str, value: &[u8]) {
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b": ");
        self.out.extend_from_slice(value);
        self.out.extend_from_slice(b"\r\n");
    }

    fn end(&mut self, body: &[u8], send: bool) {
        self.header("content-length", itoa::Buffer::new().format(body.len()).as_bytes());
        if self.view.close {
            self.header("connection", b"close");
        } else if self.view.http10 {
            self.header("connection", b"keep-alive");
        }
        self.out.extend_from_slice(b"\r\n");
        if send {
            self.out.extend_from_slice(body);
        }
    }
}

impl Sink for Parts {
    fn status(&mut self, status: u16) {
        self.status = status;
    }

    fn header(&mut self, name: &'static str, value: &[u8]) {
        self.headers.push((name, value.to_vec()));
    }

    fn end(&mut self, body: &[u8], send: bool) {
        // A HTTP/2 response of trailers only has no body whose length could be told.
        if !self.headers.iter().any(|(name, _)| *name == "grpc-status") {
            self.header("content-length", itoa::Buffer::new().format(body.len()).as_bytes());
        }
        if send {
            self.body.extend_from_slice(body);
        }
    }
}

fn set(buffer: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    buffer.clear();
    write(buffer);
}

/// `loadline; error=…; details="…"` (RFC 9209 section 2).
fn push_proxy_status(out: &mut Vec<u8>, view: &RejectionView<'_>) {
    out.extend_from_slice(b"loadline; error=");
    out.extend_from_slice(view.proxy_error.as_bytes());
    if view.proxy_error == describe::REQUEST_ERROR {
        out.extend_from_slice(b"; status-code=");
        out.extend_from_slice(itoa::Buffer::new().format(view.status).as_bytes());
    }
    out.extend_from_slice(b"; details=\"");
    let details = if view.details.is_empty() { view.reason } else { view.details };
    for &byte in details.as_bytes() {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b' '..=b'~' => out.push(byte),
            // A structured string holds printable ASCII only (RFC 9651 section 3.3.3).
            _ => out.push(b'?'),
        }
    }
    out.push(b'"');
}

/// Percent-encodes what gRPC's `Status-Message` must not hold bare: all but space to `~`, and `%`.
fn push_grpc_message(out: &mut Vec<u8>, message: &str) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in message.as_bytes() {
        if matches!(byte, b' '..=b'~') && byte != b'%' {
            out.push(byte);
        } else {
            out.extend_from_slice(&[b'%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 0xF)]]);
        }
    }
}

fn grpc_status(view: &RejectionView<'_>) -> &'static [u8] {
    if describe::is_about_time(view.reason) {
        return GRPC_DEADLINE_EXCEEDED;
    }
    match view.status {
        408 | 419 | 429 => GRPC_UNAVAILABLE,
        400..=499 => GRPC_INTERNAL,
        _ => GRPC_UNAVAILABLE,
    }
}
