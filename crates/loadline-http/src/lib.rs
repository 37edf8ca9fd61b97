//! HTTP vocabulary of loadline as pure functions: classes, deadlines, rejections, log formats, syslog framing.
//!
//! What a request's head says about its class and its time, what the proxy says to a client it turns away, and what it
//! says about every exchange afterwards, is decided here and nowhere else. The proxy, the tower layers and the tests call the same functions.
//!
//! *Architecture invariant:* nothing here opens a socket or a file, reads the clock or spawns anything. Bytes are
//! appended to a buffer that the caller owns; who sends them, and when, is the caller's business. The two exceptions
//! read the machine's settings once: the local time zone, and `env()` while a log format is parsed.
//!
//! # Features
//! `logs` (default): log formats and syslog framing. `local-time` (default): dates without a zone are the machine's local
//! time; without the feature they are UTC.

pub mod classify;
#[cfg(feature = "logs")]
mod date;
pub mod deadline;
#[cfg_attr(not(any(feature = "logs", test)), expect(dead_code, reason = "most of it is for logs"))]
mod escape;
pub mod load_report;
#[cfg(feature = "logs")]
pub mod log;
pub mod rejection;
pub mod server_timing;
#[cfg(feature = "logs")]
pub mod syslog;
pub mod trace_context;
mod utc;
#[cfg(feature = "local-time")]
mod zone;

/// The readme's code compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
