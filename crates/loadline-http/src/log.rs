//! The access log's language: one line per exchange, written when the exchange is over.
//!
//! Why: operators already have parsers for HAProxy's log formats, and Spillway passes its `LOG_FORMAT` straight to
//! HAProxy 2.6. So a format is either a keyword (`spillway`, `httplog`, `clf`, `json`, `logfmt`) or a HAProxy format
//! string, parsed once at start; a mistake in it is an error at start, never a broken line later.
//!
//! Source: HAProxy 2.6 configuration manual, sections 2.2 (quoting) and 8.2.3 to 8.6. Where the manual is silent, the
//! output of HAProxy 2.6.12 decides; `tests/log_format.rs` holds recorded lines.
//!
//! Deliberate differences: `$VAR` is not expanded; results of sample expressions are encoded like URIs when a client
//! chose them, so that no request can forge a line; `req.hdr`, `res.hdr`, `path` and `query` work in every position.
//!
//! Out of scope: where lines go and what precedes them ([`crate::syslog`]), and captured headers or cookies
//! (`%hr`, `%hs`, `%CC`, `%CS`), which a proxy without capture rules prints as empty.

mod alias;
mod format;
mod record;
mod sample;
mod structured;

pub use format::{LogFormat, LogFormatError, Needs};
pub use record::{Counters, HeaderLookup, Record, Timers};
