//! Strict HTTP/1.1 message framing without I/O, for both roles of a proxy.
//!
//! **Why it exists.** A proxy must agree with every other parser on the path about where a message ends; where two
//! disagree, one client's bytes become another client's request (request smuggling, RFC 9112 section 11.2). So this
//! codec accepts one spelling of everything that decides framing and refuses the rest. The second reason is cost:
//! a head is parsed into offsets and rewritten once into a reused buffer, with no header map and, after warm-up, no
//! allocation.
//!
//! **When it acts.** The owner of a connection reads bytes into a buffer and calls
//! [`RequestHead::parse`] or [`ResponseHead::parse`] until they say [`Status::Complete`], feeds what follows to a
//! [`BodyDecoder`], and writes the other side's message with `write_forward`, [`encode_chunk_header`] and
//! [`encode_last_chunk`]. `parse` is a pure function of the bytes and the limits: calling it again after more bytes
//! arrived starts over, which costs little because heads are small and bounded by [`Limits::head_bytes`].
//!
//! **Out of scope.** Sockets, clocks, timeouts, connection reuse, what to answer. No HTTP/2. Nothing here adds
//! `Via`, `Server`, `Date` or `X-Forwarded-*`.
//!
//! Tokens (method, version, field lines) are found by `httparse`; every decision about framing is made here.
//! Sections cited as "RFC 9112" are of HTTP/1.1, "RFC 9110" of HTTP Semantics.
//!
//! ```
//! use loadline_h1::{ForwardRequest, Limits, OutFraming, RequestHead, Status};
//!
//! let buf = b"GET /a?b=1 HTTP/1.1\r\nHost: app\r\nConnection: close\r\nAccept: */*\r\n\r\n";
//! let mut head = RequestHead::default();
//! assert_eq!(head.parse(buf, &Limits::default())?, Status::Complete);
//! assert_eq!(head.path.of(buf), b"/a");
//! assert!(!head.keep_alive);
//!
//! let mut out = Vec::new();
//! head.write_forward(buf, &mut out, &ForwardRequest { framing: OutFraming::None, ..Default::default() });
//! assert_eq!(out, b"GET /a?b=1 HTTP/1.1\r\nhost: app\r\naccept: */*\r\n\r\n");
//! # Ok::<(), loadline_h1::Refusal>(())
//! ```

mod body;
mod chunk;
mod diagnose;
mod forward;
mod framing;
mod limits;
mod names;
mod refusal;
mod request;
mod response;
mod span;
mod survey;
mod target;
mod text;
mod trailers;

pub use body::{BodyDecoder, Decoded};
pub use chunk::{encode_chunk_header, encode_last_chunk};
pub use forward::{ForwardRequest, ForwardResponse, OutFraming};
pub use framing::{Framing, Version};
pub use limits::{Limits, MAX_FIELDS};
pub use names::NameSet;
pub use refusal::{Refusal, RefusalKind};
pub use request::RequestHead;
pub use response::{RequestKind, ResponseHead};
pub use span::{Field, Span};

/// Whether the bytes so far hold a whole head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Everything so far is acceptable; read more and parse again from the start of the head.
    Partial,
    /// The head is whole; its `len` says where the body begins.
    Complete,
}

/// The readme's code compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
