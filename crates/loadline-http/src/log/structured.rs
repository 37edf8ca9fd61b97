//! The `json` and `logfmt` formats: the same fields, under the same names, in the same order.
//!
//! The first five after `msg` are Spillway's. `path` carries no query: queries hold tokens and personal data. A field
//! that has no value for an exchange is left out. Times are whole milliseconds, −1 for a phase never reached.

use std::net::SocketAddr;
use std::time::Duration;

use super::record::Record;
use crate::date;
use crate::escape::{push_json_string, push_logfmt_value};

pub(crate) fn json(record: &Record<'_>, out: &mut Vec<u8>) {
    out.push(b'{');
    fields(record, &mut Json { out, first: true });
    out.push(b'}');
}

pub(crate) fn logfmt(record: &Record<'_>, out: &mut Vec<u8>) {
    fields(record, &mut Logfmt { out, first: true });
}

/// How one field is written.
trait Writer {
    fn text(&mut self, name: &str, value: &[u8]);
    fn number(&mut self, name: &str, value: i64);

    /// Left out if empty.
    fn optional(&mut self, name: &str, value: &[u8]) {
        if !value.is_empty() {
            self.text(name, value);
        }
    }

    fn count(&mut self, name: &str, value: u64) {
        self.number(name, i64::try_from(value).unwrap_or(i64::MAX));
    }

    fn millis(&mut self, name: &str, value: Option<Duration>) {
        self.number(name, value.map_or(-1, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX)));
    }
}

fn fields(record: &Record<'_>, to: &mut impl Writer) {
    let mut scratch = Vec::with_capacity(48);
    date::push_iso_utc_millis(&mut scratch, record.now_ns);
    to.text("ts", &scratch);
    to.text("level", level(record));
    to.text("msg", b"request");
    to.optional("backend", record.backend_or_frontend().as_bytes());
    to.number("status", record.status.map_or(-1, i64::from));
    to.count("depth", record.queue_position);
    to.millis("queue_ms", record.timers.queue);
    to.millis("response_ms", record.timers.response);
    to.optional("decision", record.decision.as_bytes());
    to.optional("reason", record.reason.unwrap_or_default().as_bytes());
    if let Some(seconds) = record.retry_after {
        to.count("retry_after", seconds.into());
    }
    to.optional("priority", record.class.as_bytes());
    to.optional("method", record.method);
    to.optional("path", path(record));
    to.optional("route", record.route.as_bytes());
    to.optional("request_id", record.request_id.as_bytes());
    to.optional("trace_id", record.trace_id.as_bytes());
    socket(to, "client", record.client, &mut scratch);
    socket(to, "upstream", record.upstream, &mut scratch);
    to.count("bytes_in", record.bytes_in);
    to.count("bytes_out", record.bytes_out);
    to.optional("proto", record.version);
    to.count("inflight", record.in_flight);
    to.count("limit", record.limit);
    if let Some(left) = record.deadline_left_ms {
        to.number("deadline_left_ms", left);
    }
    to.count("attempt", u64::from(record.attempt));
}

/// Without the query; `*` and an authority as they are.
fn path<'a>(record: &Record<'a>) -> &'a [u8] {
    let path = record.origin_path();
    if path.is_empty() { record.target_path() } else { path }
}

/// A shed request is loadline doing its work, hence `warn`; any other 5xx is an error.
fn level(record: &Record<'_>) -> &'static [u8] {
    match record.status {
        _ if record.decision == "shed" => b"warn",
        Some(500..) => b"error",
        _ => b"info",
    }
}

fn socket(to: &mut impl Writer, name: &str, address: Option<SocketAddr>, scratch: &mut Vec<u8>) {
    use std::io::Write as _;
    if let Some(address) = address {
        scratch.clear();
        write!(scratch, "{address}").expect("writing to a Vec cannot fail");
        to.text(name, scratch);
    }
}

struct Json<'o> {
    out: &'o mut Vec<u8>,
    first: bool,
}

impl Json<'_> {
    fn name(&mut self, name: &str) {
        if !std::mem::take(&mut self.first) {
            self.out.push(b',');
        }
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }
}

impl Writer for Json<'_> {
    fn text(&mut self, name: &str, value: &[u8]) {
        self.name(name);
        push_json_string(self.out, value);
    }

    fn number(&mut self, name: &str, value: i64) {
        self.name(name);
        self.out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
    }
}

struct Logfmt<'o> {
    out: &'o mut Vec<u8>,
    first: bool,
}

impl Logfmt<'_> {
    fn name(&mut self, name: &str) {
        if !std::mem::take(&mut self.first) {
            self.out.push(b' ');
        }
        self.out.extend_from_slice(name.as_bytes());
        self.out.push(b'=');
    }
}

impl Writer for Logfmt<'_> {
    fn text(&mut self, name: &str, value: &[u8]) {
        self.name(name);
        push_logfmt_value(self.out, value);
    }

    fn number(&mut self, name: &str, value: i64) {
        self.name(name);
        self.out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
    }
}
