//! The resolved settings: what the proxy runs with, after defaults, file, environment and flags were merged.
//!
//! Everything here is plain data in its final unit: durations are [`Duration`], sizes are bytes, choices are enums, and values
//! that follow from others (the queue's depth, an upstream's port) are filled in. Every field is named like its setting, so
//! `queue.timeout` in a file is [`Queue::timeout`] here. Ranges and documentation for users stand in one place, the table in
//! `table.rs`; a value that reaches this type has passed them.
//!
//! Out of scope: parsing (`value.rs`, `address.rs`), precedence (`layers.rs`), and anything that touches the network.

mod admission;
mod deadline;
mod network;
mod overload;
mod priority;
mod route;
mod secret;
mod trace;
mod upstream;

use std::fmt;
use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use loadline_http::syslog::{Facility, HeaderFormat, HeaderWord};

pub use admission::{Codel, Fairness, FairnessKey, Retry, Warmup};
pub use deadline::Deadline;
pub use network::Cidr;
pub use overload::{Levels, Overload, UpstreamLoad};
pub use priority::{Priority, Reserve, ShedAt};
pub use route::{Cost, Route, is_route_name};
pub use secret::Secret;
pub use trace::Trace;
pub use upstream::{Balance, Breaker, Dns, Health, Policy, Upstreams};

/// One kibibyte, in bytes.
pub const KIB: u64 = 1024;
/// One mebibyte, in bytes.
pub const MIB: u64 = 1024 * KIB;

/// Limit before the embedded demo app: as many as it has workers to serve.
pub const DEMO_CONCURRENCY: NonZeroU32 =
    NonZeroU32::new(loadline_demo::WORKERS as u32).expect("it has workers");

/// Longest wait before the demo app: short, so that an overload shows within a second.
pub const DEMO_QUEUE_TIMEOUT: Duration = Duration::from_millis(500);

/// The cores this process may use, as the system says (affinity and control groups included); 1 when it does not say.
pub fn available_cores() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

/// Everything that can be set, resolved and checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Addresses that accept clients; never empty. Port 0 asks the system for a free port. Default `0.0.0.0:8000`.
    pub listen: Vec<SocketAddr>,
    /// The application behind the proxy. Default: the embedded demo app, only when nothing at all was configured.
    pub upstream: Upstreams,
    /// Open client connections at one time, 1 to 1,000,000. Default 2000.
    pub max_connections: u32,
    /// Worker threads, one listener and upstream pool each. Default: the number of available cores.
    pub workers: NonZeroUsize,
    /// Whether everybody is forwarded at once, whatever is decided. Default false.
    pub dry_run: bool,
    /// A file with settings that are tried out beside these. Default none.
    pub shadow: Option<PathBuf>,
    /// Kinds of requests, in their order: the first that matches is a request's route. Default none.
    pub route: Vec<Route>,
    /// How many requests the upstream is asked for at once.
    pub limit: Limit,
    /// Where requests wait for a free slot.
    pub queue: Queue,
    /// Requests that skip limit and queue.
    pub bypass: Bypass,
    /// Which requests matter more.
    pub priority: Priority,
    /// How long clients wait.
    pub deadline: Deadline,
    /// Who shares with whom.
    pub fairness: Fairness,
    /// Who has tried before.
    pub retry: Retry,
    /// How the limit rises.
    pub warmup: Warmup,
    /// Which signals tighten the door.
    pub overload: Overload,
    /// How long each phase may take.
    pub timeouts: Timeouts,
    /// How names become addresses.
    pub dns: Dns,
    /// What is done about an endpoint that fails.
    pub breaker: Breaker,
    /// How requests are spread over endpoints.
    pub balance: Balance,
    /// How much of a message may be held so that a slow peer holds no slot.
    pub buffer: Buffer,
    /// What is accepted from clients and added for the upstream.
    pub http: Http,
    /// What a rejection looks like.
    pub response: Response,
    /// The operator's listener.
    pub admin: Admin,
    /// The request log.
    pub log: Log,
    /// Who gets spans.
    pub trace: Trace,
    /// Who is believed.
    pub trust: Trust,
}

/// One place that requests are sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Upstream {
    /// The demo app inside this process.
    Demo,
    /// A TCP address; the name is resolved, and resolved again, at run time.
    Tcp {
        /// Host name, IPv4 or IPv6 address (without brackets).
        host: String,
        /// TCP port, 1 to 65535.
        port: u16,
    },
    /// A stream socket in the file system; an absolute path.
    Unix(PathBuf),
    /// The hosts and ports that DNS names for a service (RFC 2782), such as `_http._tcp.app.example`.
    Srv(String),
}

impl fmt::Display for Upstream {
    /// The shortest form that parses back: `app:8080`, `[::1]:8080`, `unix:/run/app.sock`; `demo app` for the embedded one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Demo => f.write_str("demo app"),
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Srv(name) => write!(f, "srv:{name}"),
        }
    }
}

/// `[limit]`: how many requests are in service at the upstream at one time, over the whole process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Requests in service at once. Required; [`DEMO_CONCURRENCY`] before the demo app.
    pub concurrency: Concurrency,
    /// What finds the limit when [`Self::concurrency`] is [`Concurrency::Auto`]. Default [`Algorithm::Auto`].
    pub algorithm: Algorithm,
    /// The limit before anything is known, for an algorithm. Default 10.
    pub start: NonZeroU32,
    /// The lowest limit, for an algorithm. Default 1.
    pub min: NonZeroU32,
    /// The highest limit, for an algorithm. Default: `max_connections`.
    pub max: NonZeroU32,
    /// When a slot is free again. Default [`Release::Body`].
    pub release: Release,
    /// What happens to a request whose client left while it was in service. Default [`OnAbort::Finish`].
    pub on_abort: OnAbort,
    /// Longest time an abandoned exchange (client gone, or timed out) may keep its slot. Default: `timeouts.upstream`.
    pub abandon_timeout: Duration,
}

impl Limit {
    /// The most requests that are ever in service at once, reserve and bypass not counted.
    #[must_use]
    pub const fn ceiling(&self) -> NonZeroU32 {
        match self.concurrency {
            Concurrency::Fixed(limit) => limit,
            Concurrency::Auto => self.max,
        }
    }
}

/// The limit: given, or found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Concurrency {
    /// Exactly so many.
    Fixed(NonZeroU32),
    /// What [`Limit::algorithm`] finds.
    Auto,
}

/// What finds the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// What higher and lower limits do to the throughput.
    Auto,
    /// Additive increase, multiplicative decrease on timeouts.
    Aimd,
    /// The queue inside the application that a rise of latency suggests.
    Vegas,
    /// The ratio of the long-term mean latency to the present one.
    Gradient2,
}

/// When a request's slot is given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// When the last byte of the response body came from the upstream.
    Body,
    /// When the response headers came from the upstream.
    Headers,
}

/// What happens to the upstream exchange when its client leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnAbort {
    /// It runs to its end unseen and keeps its slot until then, at most [`Limit::abandon_timeout`].
    Finish,
    /// The upstream connection is closed and the slot freed at once; for apps that notice disconnects.
    Cancel,
}

/// `[queue]`: requests that wait for a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queue {
    /// Longest wait; `None` means for ever (written `0`). Default 5 s.
    pub timeout: Option<Duration>,
    /// Most requests waiting; 0 rejects at once when no slot is free. Default: `max_connections`.
    pub depth: u32,
    /// Who is next. Default [`Discipline::Adaptive`].
    pub discipline: Discipline,
    /// Most bytes of request bodies that are held for waiting requests, all together; `None` is any. Default none.
    pub max_bytes: Option<u64>,
    /// What [`Discipline::Codel`] goes by.
    pub codel: Codel,
}

/// The order in which waiting requests are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Discipline {
    /// Oldest first while healthy, newest first while overloaded.
    Adaptive,
    /// Oldest first, always.
    Fifo,
    /// Newest first, always.
    Lifo,
    /// Oldest first; drops at a rising rate while waits stay above [`Codel::target`] (RFC 8289).
    Codel,
}

/// `[bypass]`: health checks, which are forwarded without waiting and without taking a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bypass {
    /// Exact, case-sensitive paths, each beginning with `/`; the query is ignored. Default `/healthcheck`.
    pub path: Vec<String>,
    /// Bypass requests in service at once, 1 to 10,000. Default 16.
    pub concurrency: NonZeroU32,
}

/// `[timeouts]`: each is at least 1 ms, except `drain`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Until the connection to the upstream stands. Default 5 s.
    pub connect: Duration,
    /// Until a request's head is complete, from its first byte. Default 10 s.
    pub header: Duration,
    /// Until a request's body is complete while it is buffered before admission. Default 30 s.
    pub body: Duration,
    /// Until the upstream's response headers; afterwards the longest silence in its body. Default 30 s.
    pub upstream: Duration,
    /// Until the whole answer, from the moment of admission. Default none.
    pub total: Option<Duration>,
    /// Longest silence of a client that owes body bytes or does not read its response. Default 30 s.
    pub client: Duration,
    /// Longest time a client connection is kept between requests. Default 75 s.
    pub idle: Duration,
    /// Longest time in which requests in flight may finish at shutdown; 0 ends at once. Default 30 s.
    pub drain: Duration,
    /// Longest time an unused upstream connection is kept. Default 60 s.
    pub upstream_idle: Duration,
}

/// `[buffer]`: sizes in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Buffer {
    /// Request body read before admission; larger ones stream. Default 64 KiB.
    pub request: u64,
    /// Response read ahead of a slow client. Default 256 KiB.
    pub response: u64,
    /// All buffers of the process together; beyond it everything streams. Default 256 MiB.
    pub total: u64,
    /// Bytes per second below which a client that ties a slot is dropped when others wait for it; 0 switches the rule
    /// off. Default 1 KiB.
    pub min_rate: u64,
    /// How long a peer may stay below `min_rate` before the rule applies. Default 2 s.
    pub grace: Duration,
}

/// `[http]`: limits and extras of the protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http {
    /// Largest request head in bytes, request line included; beyond it 431. Default 32 KiB.
    pub max_header_bytes: u64,
    /// Most header fields of a request; beyond it 431. Default 100.
    pub max_header_count: u32,
    /// Longest request target in bytes; beyond it 414. Default 8 KiB.
    pub max_target_bytes: u64,
    /// Whether HTTP/2 with prior knowledge is accepted beside HTTP/1.1. Default true.
    pub http2: bool,
    /// Whether the client's address is appended to `X-Forwarded-For`. Default false.
    pub forwarded: bool,
}

/// `[response]`: rejections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// Status of a rejection: 503 or 429. Default 503.
    pub status: u16,
    /// Status of a passed deadline: 504 or 419. Default 504.
    pub deadline_status: u16,
    /// What `Retry-After` says. Default [`RetryAfter::Auto`].
    pub retry_after: RetryAfter,
    /// Form of the body. Default [`BodyFormat::ProblemJson`].
    pub format: BodyFormat,
    /// Whether `Proxy-Status` (RFC 9209) names the reason. Default true.
    pub proxy_status: bool,
    /// Whether `Server-Timing` says how long a request waited, and how long the upstream took. Default false.
    pub server_timing: bool,
}

/// Source of the `Retry-After` value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryAfter {
    /// Computed from the backlog, jittered.
    Auto,
    /// This many seconds, jittered; 1 to 86,400.
    Seconds(u32),
}

/// Form of a rejection's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyFormat {
    /// `application/problem+json` (RFC 9457).
    ProblemJson,
    /// The small HTML page that HAProxy sends.
    Html,
    /// One line of plain text.
    Text,
}

/// `[admin]`: metrics, status, drain and reload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// Address of the admin listener; `None` when it is `off`. Default `127.0.0.1:8001`.
    pub listen: Option<SocketAddr>,
    /// Bearer token that allows drain and reload from elsewhere than loopback. Default none.
    pub token: Option<Secret>,
}

/// `[log]`: the request log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// A text that [`loadline_http::log::LogFormat::parse`] takes; `None` when it is `off`.
    /// Default `off`; `spillway` as soon as an address is set.
    pub access: Option<String>,
    /// A text that [`loadline_http::syslog::LogTarget::parse`] takes. Default `stdout`.
    pub address: String,
    /// Header before each line. Default: `raw` for stdout, stderr and `fd@N`, `rfc5424` for syslog.
    pub syslog_format: HeaderFormat,
    /// Syslog facility. Default `local0`.
    pub facility: Facility,
    /// Program name in syslog headers. Default `loadline`.
    pub tag: HeaderWord,
    /// Longest line in bytes, header included, line feed not; `None` cuts nothing. Default: `None` for streams and descriptors,
    /// 1024 for datagrams, or the address's own `len`.
    pub max_len: Option<usize>,
    /// Whether 5xx and errors get severity `err` instead of `info`. Default false.
    pub separate_errors: bool,
}

/// `[trust]`: whose forwarding headers are believed.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Trust {
    /// Networks of proxies in front of this one. Default none.
    pub proxies: Vec<Cidr>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upstream_prints_as_it_is_written() {
        let tcp = |host: &str| Upstream::Tcp { host: host.to_owned(), port: 8080 };
        assert_eq!(tcp("app").to_string(), "app:8080");
        assert_eq!(tcp("::1").to_string(), "[::1]:8080");
        assert_eq!(Upstream::Unix("/run/app.sock".into()).to_string(), "unix:/run/app.sock");
    }
}
