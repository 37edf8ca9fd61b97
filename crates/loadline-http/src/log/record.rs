//! What a log line can say about one exchange: plain data, filled by whoever ran the exchange.

use std::net::SocketAddr;
use std::time::Duration;

/// Everything a format can ask for. Fields a caller does not know keep the value of [`Record::default`], which
/// prints as `-`, `-1` or nothing, as HAProxy does for what never happened.
///
/// Instants are nanoseconds since the Unix epoch, on the wall clock.
#[derive(Clone, Copy)]
pub struct Record<'a> {
    /// When this line is written. `ts` in JSON and logfmt, and `date()`.
    pub now_ns: i64,
    /// When the connection was accepted: `%t`, `%T`, `%Tl`, `%Ts`, `%ms`.
    pub accepted_at_ns: i64,
    /// When the first byte of the request arrived: `%tr`, `%trg`, `%trl`.
    pub started_at_ns: i64,
    /// Duration of each phase.
    pub timers: Timers,

    /// Listener's name, `http` in Spillway's terms. Printed as the backend too when `backend` is empty.
    pub frontend: &'a str,
    /// `app`, `healthcheck`, or empty if the request reached no backend.
    pub backend: &'a str,
    /// Upstream's name, `main` in Spillway's terms. `None` if the request was never sent: `<NOSRV>`.
    pub server: Option<&'a str>,
    /// Whether the client connection is TLS: `%ft` appends `~`, `ssl_fc` is 1.
    pub tls: bool,
    /// Protocol and cipher of that TLS connection: `%sslv`, `%sslc`.
    pub tls_version: Option<&'a str>,
    /// See `tls_version`.
    pub tls_cipher: Option<&'a str>,

    /// The client's end of its connection.
    pub client: Option<SocketAddr>,
    /// Our end of the client's connection.
    pub local: Option<SocketAddr>,
    /// Our end of the upstream's connection.
    pub source: Option<SocketAddr>,
    /// The upstream's end of its connection.
    pub upstream: Option<SocketAddr>,

    /// Method as received. Empty, like `target` and `version`, if the request line could not be parsed.
    pub method: &'a [u8],
    /// Request target as received: `/path?query`, or an absolute URI. HTTP/2: the `:path`.
    pub target: &'a [u8],
    /// `HTTP/1.1`, `HTTP/2.0`, …
    pub version: &'a [u8],
    /// The upstream's protocol version, for `capture.res.ver`. Empty if there was no response from it.
    pub response_version: &'a [u8],
    /// Request headers by name, for formats whose [`Needs`](super::Needs) say so.
    pub request_headers: Option<&'a dyn HeaderLookup>,
    /// Response headers by name, likewise.
    pub response_headers: Option<&'a dyn HeaderLookup>,

    /// Status sent to the client; `None` (`-1`) if none was.
    pub status: Option<u16>,
    /// Bytes received from the client, head included.
    pub bytes_in: u64,
    /// Bytes sent to the client, head included.
    pub bytes_out: u64,
    /// Place in the queue: 0 if the request never queued, else 1 for the first in line.
    pub queue_position: u64,
    /// Connections, retries and sequence numbers.
    pub counters: Counters,
    /// The first two characters of HAProxy's termination state: who ended the exchange, and in which phase.
    pub termination: [u8; 2],

    /// Host name of this machine.
    pub hostname: &'a str,
    /// Process id.
    pub pid: u32,
    /// Request id, if one was received or made. Clients may have chosen it.
    pub request_id: &'a str,
    /// W3C trace id, if any. Clients may have chosen it.
    pub trace_id: &'a str,

    /// `admitted`, `queued`, `shed` or `bypass`; empty if no decision was made.
    pub decision: &'a str,
    /// Why the request was shed or failed; `None` if it was not.
    pub reason: Option<&'a str>,
    /// Seconds after which the client was told to come back; `None` if it was not.
    pub retry_after: Option<u32>,
    /// Priority class.
    pub class: &'a str,
    /// Configured route's name.
    pub route: &'a str,
    /// Concurrency limit at the decision.
    pub limit: u64,
    /// Requests in flight at the decision.
    pub in_flight: u64,
    /// Milliseconds left of the deadline at the decision; negative if it had passed, `None` without a deadline.
    pub deadline_left_ms: Option<i64>,
    /// Which attempt of the client this is: 1 for the first.
    pub attempt: u32,
    /// A random number per record, for `rand()` and `uuid()`.
    pub entropy: u64,
}

/// Durations of the phases of an exchange, in order. `None` means the phase was never reached and prints as −1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timers {
    /// `%Th`: TLS and PROXY handshakes of the connection; zero from its second request on.
    pub handshake: Duration,
    /// `%Ti`: idle time before the first byte of this request.
    pub idle: Duration,
    /// `%TR`: first byte of the request to the end of its head.
    pub request: Option<Duration>,
    /// `%Tw`: waiting for a slot. Zero if it did not queue.
    pub queue: Option<Duration>,
    /// `%Tc`: getting an upstream connection. Zero if one was reused.
    pub connect: Option<Duration>,
    /// `%Tr`: upstream connected to the end of its response head.
    pub response: Option<Duration>,
    /// `%Td`: the response body.
    pub transfer: Option<Duration>,
    /// `%Ta`: first byte of the request to the last byte of the response.
    pub total: Duration,
}

/// Numbers about the proxy at the end of the exchange.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// `%ac`: client connections of the process.
    pub active_connections: u64,
    /// `%fc`: client connections of the listener.
    pub frontend_connections: u64,
    /// `%bc`: requests handled by the backend, queued ones included.
    pub backend_connections: u64,
    /// `%sc`: requests in flight at the upstream server.
    pub server_connections: u64,
    /// `%rc`: connection attempts after the first.
    pub retries: u32,
    /// Whether a retry went to another server: `%rc` starts with `+`.
    pub redispatched: bool,
    /// `%lc`: lines logged so far.
    pub log_counter: u64,
    /// `%rt`: requests seen so far.
    pub request_counter: u64,
}

/// A message's headers, looked up by name without a map.
pub trait HeaderLookup {
    /// The last value of the header `name`, given in lower case; names compare without regard to case.
    fn last(&self, name: &str) -> Option<&[u8]>;
}

impl Default for Record<'_> {
    fn default() -> Self {
        Self {
            now_ns: 0,
            accepted_at_ns: 0,
            started_at_ns: 0,
            timers: Timers::default(),
            frontend: "",
            backend: "",
            server: None,
            tls: false,
            tls_version: None,
            tls_cipher: None,
            client: None,
            local: None,
            source: None,
            upstream: None,
            method: b"",
            target: b"",
            version: b"",
            response_version: b"",
            request_headers: None,
            response_headers: None,
            status: None,
            bytes_in: 0,
            bytes_out: 0,
            queue_position: 0,
            counters: Counters::default(),
            termination: *b"--",
            hostname: "",
            pid: 0,
            request_id: "",
            trace_id: "",
            decision: "",
            reason: None,
            retry_after: None,
            class: "",
            route: "",
            limit: 0,
            in_flight: 0,
            deadline_left_ms: None,
            attempt: 1,
            entropy: 0,
        }
    }
}

impl<'a> Record<'a> {
    /// The backend's name, or the listener's for a request that reached none.
    pub(crate) fn backend_or_frontend(&self) -> &'a str {
        if self.backend.is_empty() { self.frontend } else { self.backend }
    }

    /// Whether a request line was understood; otherwise `<BADREQ>` stands for all its parts.
    pub(crate) fn has_request_line(&self) -> bool {
        !self.method.is_empty()
    }

    /// The target without its query.
    pub(crate) fn target_path(&self) -> &'a [u8] {
        &self.target[..self.query_start()]
    }

    /// The query with its `?`, or nothing.
    pub(crate) fn target_query(&self) -> &'a [u8] {
        &self.target[self.query_start()..]
    }

    /// The target from its path on: an absolute URI loses scheme and authority. Empty for `*` and for an authority
    /// alone, which have no path.
    pub(crate) fn origin_form(&self) -> &'a [u8] {
        let target = self.target;
        if target.starts_with(b"/") {
            return target;
        }
        let Some(scheme) = target.windows(3).position(|w| w == b"://") else { return b"" };
        let after = &target[scheme + 3..];
        after.iter().position(|&b| b == b'/').map_or(b"", |start| &after[start..])
    }

    /// [`origin_form`](Self::origin_form) without the query.
    pub(crate) fn origin_path(&self) -> &'a [u8] {
        let origin = self.origin_form();
        &origin[..origin.iter().position(|&b| b == b'?').unwrap_or(origin.len())]
    }

    fn query_start(&self) -> usize {
        self.target.iter().position(|&b| b == b'?').unwrap_or(self.target.len())
    }
}

impl Timers {
    /// `%Tq`: everything before the end of the request's head.
    pub(crate) fn until_request(&self) -> Option<Duration> {
        self.request.map(|request| self.handshake.saturating_add(self.idle).saturating_add(request))
    }

    /// `%Tt`: from the accepted connection, or the end of the previous exchange, to the end of this one.
    pub(crate) fn session(&self) -> Duration {
        self.handshake.saturating_add(self.idle).saturating_add(self.total)
    }

    /// `%Tu`: what the user waited, idle time left out.
    pub(crate) fn user(&self) -> Duration {
        self.handshake.saturating_add(self.total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origin_form_of_each_kind_of_target() {
        let of = |target: &'static str| {
            let record = Record { target: target.as_bytes(), ..Record::default() };
            String::from_utf8(record.origin_form().to_vec()).unwrap()
        };
        assert_eq!(of("/a?b"), "/a?b");
        assert_eq!(of("http://host/a?b"), "/a?b");
        assert_eq!(of("http://host"), "");
        assert_eq!(of("/redirect?to=http://host/a"), "/redirect?to=http://host/a");
        assert_eq!(of("*"), "");
        assert_eq!(of("host:443"), "");
    }
}
