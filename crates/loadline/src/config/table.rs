//! The one list of settings. The file, `--set`, the environment, `config --defaults`, the JSON Schema and
//! docs/configuration.md all read it, so that a setting is added in exactly one place.
//!
//! The order is the order in documents, and the order in which values are applied: a setting whose reading depends on another
//! (an upstream without a port takes the listener's) stands after it.

use std::sync::LazyLock;
use std::time::Duration;

use loadline_h1::MAX_FIELDS;

use super::address::{Networks, Paths, Token};
use super::codecs::{
    Concurrency, FilePath, Optional, Seconds, Size, Span, Status, Switch, Wait, Words, Workers, positive,
    whole,
};
use super::endpoints::{AdminListen, ListenField};
use super::key::{Key, key, with_field};
use super::logging;
use super::settings::{Algorithm, BodyFormat, Discipline, KIB, MIB, OnAbort, Release, Settings};
use super::upstream::UpstreamField;

/// Most connections, waiting requests or slots: beyond it a machine runs out of descriptors and ports first.
const MOST: u32 = 1_000_000;
/// Shortest timeout that is not "none": below it a timer's own resolution decides.
const MILLISECOND: Duration = Duration::from_millis(1);
/// Longest timeout: above it a typing mistake is likelier than a wish.
const DAY: Duration = Duration::from_secs(86_400);

/// The setting of that dotted name.
pub(super) fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// All settings.
pub(super) static KEYS: LazyLock<Vec<Key>> = LazyLock::new(|| {
    [
        general(),
        limit_and_queue(),
        admission::codel(),
        bypass(),
        decision::priority(),
        decision::deadline(),
        admission::fairness(),
        admission::retry(),
        admission::warmup(),
        overload::overload(),
        timeouts(),
        upstream::dns(),
        upstream::breaker(),
        upstream::balance(),
        buffers(),
        http(),
        response(),
        admin(),
        log(),
        trace::trace(),
        trust(),
    ]
    .into_iter()
    .flatten()
    .collect()
});

/// Where a setting lives in [`Settings`]: the pair of closures that reads and writes the field.
macro_rules! at {
    ($($field:ident).+) => {
        (|settings: &Settings| &settings.$($field).+, |settings: &mut Settings| &mut settings.$($field).+)
    };
}

mod admission;
mod decision;
mod overload;
mod trace;
mod upstream;

fn general() -> Vec<Key> {
    vec![
        with_field("listen", "Addresses that accept clients. A port alone keeps the addresses.", ListenField)
            .spillway("PORT")
            .restart(),
        with_field(
            "upstream",
            "The application: host:port, [v6]:port, http://host:port, unix:/path, srv:name or :port; or a list of these. A name without \
             a port gets the listener's port. Names are resolved again at run time, and each of their addresses is an endpoint.",
            UpstreamField,
        )
        .follows("required; the embedded demo app when nothing at all is given"),
        key("max_connections", "Open client connections at one time. When there are as many, a new one takes the place of the one that was silent for longest \
             (1s at least).", whole(1, MOST), at!(max_connections))
            .spillway("MAX_CONNECTIONS"),
        key(
            "dry_run",
            "Whether everybody is forwarded at once, whatever is decided: decisions are counted and logged, nobody is rejected and \
             nobody waits.",
            Switch,
            at!(dry_run),
        ),
        key(
            "shadow",
            "A file with settings that are tried out beside these: they decide about the same requests, are counted, and not \
             obeyed. What the file does not mention is as here. Read again at each reload.",
            Optional { word: "none", of: FilePath },
            at!(shadow),
        ),
        key("workers", "Worker threads.", Workers { max: 1024 }, at!(workers)).follows("0, one per available core").restart(),
        admission::routes(),
    ]
}

fn limit_and_queue() -> Vec<Key> {
    vec![
        key(
            "limit.concurrency",
            "Requests in service at the upstream at one time, over the whole process: exactly so many, or what limit.algorithm finds.",
            Concurrency(positive(MOST)),
            at!(limit.concurrency),
        )
        .follows("required; 4 before the demo app"),
        key(
            "limit.algorithm",
            "What finds the limit when limit.concurrency is auto. auto compares the throughput of higher and lower limits; aimd lowers on \
             timeouts; vegas and gradient2 compare latency with what it used to be.",
            Words(&[
                ("auto", Algorithm::Auto),
                ("aimd", Algorithm::Aimd),
                ("vegas", Algorithm::Vegas),
                ("gradient2", Algorithm::Gradient2),
            ]),
            at!(limit.algorithm),
        ),
        key(
            "limit.start",
            "The limit before anything is known, within min and max. Only when limit.concurrency is auto.",
            positive(MOST),
            at!(limit.start),
        ),
        key("limit.min", "The limit never goes below. Only when limit.concurrency is auto.", positive(MOST), at!(limit.min)),
        key("limit.max", "The limit never goes above. Only when limit.concurrency is auto.", positive(MOST), at!(limit.max))
            .follows("the same as max_connections"),
        key(
            "limit.release",
            "When a slot is free again: at the end of the response body, or at its headers.",
            Words(&[("body", Release::Body), ("headers", Release::Headers)]),
            at!(limit.release),
        ),
        key(
            "limit.on_abort",
            "When a client leaves while its request is in service: finish lets the upstream finish and holds the slot until then; \
             cancel closes the upstream connection and frees the slot at once (for apps that notice).",
            Words(&[("finish", OnAbort::Finish), ("cancel", OnAbort::Cancel)]),
            at!(limit.on_abort),
        ),
        key(
            "limit.abandon_timeout",
            "Longest time an abandoned exchange may hold its slot.",
            Span { min: MILLISECOND, max: DAY },
            at!(limit.abandon_timeout),
        )
        .follows("the same as timeouts.upstream"),
        key("queue.timeout", "Longest wait for a slot.", Wait { max: DAY }, at!(queue.timeout))
            .spillway("QUEUE_TIMEOUT")
            .follows("5s; 500ms before the demo app"),
        key(
            "queue.depth",
            "Most requests waiting; 0 rejects at once when no slot is free.",
            whole(0, MOST),
            at!(queue.depth),
        )
        .follows("the same as max_connections"),
        key(
            "queue.discipline",
            "Who is next: fifo the oldest, lifo the newest, adaptive the oldest while healthy and the newest while overloaded. Under overload, adaptive also rejects early who would leave before being served. codel is RFC 8289's law over oldest first, by queue.codel.",
            Words(&[
                ("adaptive", Discipline::Adaptive),
                ("fifo", Discipline::Fifo),
                ("lifo", Discipline::Lifo),
                ("codel", Discipline::Codel),
            ]),
            at!(queue.discipline),
        ),
        key(
            "queue.max_bytes",
            "Most bytes of request bodies that waiting requests may hold, all together; none leaves it to buffer.total.",
            Optional { word: "none", of: Size { min: 0, max: 1024 * 1024 * MIB } },
            at!(queue.max_bytes),
        ),
    ]
}

fn bypass() -> Vec<Key> {
    vec![
        key(
            "bypass.path",
            "Paths whose requests skip limit and queue and are forwarded at once: exact, case-sensitive, without the query.",
            Paths,
            at!(bypass.path),
        )
        .spillway("HEALTHCHECK_PATH"),
        key("bypass.concurrency", "Bypass requests in service at one time.", positive(10_000), at!(bypass.concurrency)),
    ]
}

fn timeouts() -> Vec<Key> {
    let span = || Span { min: MILLISECOND, max: DAY };
    vec![
        key("timeouts.connect", "Until the upstream connection stands.", span(), at!(timeouts.connect)),
        key(
            "timeouts.header",
            "Until a request's head is complete, from its first byte.",
            span(),
            at!(timeouts.header),
        ),
        key(
            "timeouts.body",
            "Until a request's body is complete while it is buffered.",
            span(),
            at!(timeouts.body),
        ),
        key(
            "timeouts.upstream",
            "Until the upstream's response headers; afterwards its longest silence.",
            span(),
            at!(timeouts.upstream),
        )
        .spillway("SERVER_TIMEOUT"),
        key(
            "timeouts.total",
            "Until the upstream's answer is complete, from the moment that the request has its slot, repetitions included. Streams \
             end there too, upgraded connections do not.",
            Optional { word: "none", of: span() },
            at!(timeouts.total),
        ),
        key(
            "timeouts.client",
            "Longest silence of a client that owes body bytes or does not read its response.",
            span(),
            at!(timeouts.client),
        ),
        key(
            "timeouts.idle",
            "Longest time a client connection is kept between requests. Longer than the 60 s of common load balancers, so that \
             they close first and no request crosses a close.",
            span(),
            at!(timeouts.idle),
        ),
        key(
            "timeouts.drain",
            "Longest time in which requests in flight may finish at shutdown; 0 ends at once. Who still waits shortly before its end is rejected.",
            Span { min: Duration::ZERO, max: DAY },
            at!(timeouts.drain),
        ),
        key(
            "timeouts.upstream_idle",
            "Longest time an unused upstream connection is kept.",
            span(),
            at!(timeouts.upstream_idle),
        ),
    ]
}

fn buffers() -> Vec<Key> {
    vec![
        key(
            "buffer.request",
            "Request body read before admission, so that a slow upload holds no slot; larger ones stream.",
            Size { min: 0, max: 64 * MIB },
            at!(buffer.request),
        ),
        key(
            "buffer.response",
            "Response read ahead of a slow client, so that it holds no slot.",
            Size { min: 0, max: 64 * MIB },
            at!(buffer.response),
        ),
        key(
            "buffer.total",
            "What all buffers hold together; beyond it everything streams. The process may take up to twice as much memory for it.",
            Size { min: 0, max: 1024 * 1024 * MIB },
            at!(buffer.total),
        ),
        key(
            "buffer.min_rate",
            "Bytes per second below which a client that ties a slot is dropped when others wait for it; 0 switches the rule off.",
            Size { min: 0, max: 1024 * MIB },
            at!(buffer.min_rate),
        ),
        key(
            "buffer.grace",
            "How long a peer may stay below min_rate.",
            Span { min: Duration::ZERO, max: Duration::from_secs(3_600) },
            at!(buffer.grace),
        ),
    ]
}

fn http() -> Vec<Key> {
    vec![
        key(
            "http.max_header_bytes",
            "Largest head, first line included; a larger one of a request gets 431, one of a response 502.",
            Size { min: KIB, max: MIB },
            at!(http.max_header_bytes),
        ),
        key(
            "http.max_header_count",
            "Most header fields of a message; more of them in a request get 431, in a response 502.",
            whole(1, MAX_FIELDS as u32),
            at!(http.max_header_count),
        ),
        key(
            "http.max_target_bytes",
            "Longest request target; beyond it 414.",
            Size { min: 64, max: MIB },
            at!(http.max_target_bytes),
        ),
        key(
            "http.http2",
            "Whether HTTP/2 with prior knowledge is accepted beside HTTP/1.1.",
            Switch,
            at!(http.http2),
        ),
        key(
            "http.forwarded",
            "Whether the client's address is appended to X-Forwarded-For.",
            Switch,
            at!(http.forwarded),
        ),
    ]
}

fn response() -> Vec<Key> {
    vec![
        key("response.status", "Status of a rejection.", Status(&[503, 429]), at!(response.status)),
        key(
            "response.deadline_status",
            "Status of a passed deadline.",
            Status(&[504, 419]),
            at!(response.deadline_status),
        ),
        key(
            "response.retry_after",
            "What Retry-After says: computed from the backlog, or these seconds; jittered either way.",
            Seconds { max: 86_400 },
            at!(response.retry_after),
        ),
        key(
            "response.format",
            "Form of a rejection's body; html is HAProxy's page.",
            Words(&[
                ("problem+json", BodyFormat::ProblemJson),
                ("html", BodyFormat::Html),
                ("text", BodyFormat::Text),
            ]),
            at!(response.format),
        ),
        key(
            "response.proxy_status",
            "Whether the Proxy-Status header (RFC 9209) names the reason.",
            Switch,
            at!(response.proxy_status),
        ),
        key(
            "response.server_timing",
            "Whether the Server-Timing header says for how many milliseconds a request waited for its slot (queue) and how long the \
             upstream took until its response began (app). Tells clients how loaded the application is.",
            Switch,
            at!(response.server_timing),
        ),
    ]
}

fn admin() -> Vec<Key> {
    vec![
        key("admin.listen", "Address of metrics, status, drain and reload.", AdminListen, at!(admin.listen))
            .restart(),
        key(
            "admin.token",
            "Bearer token that allows drain and reload from elsewhere than this machine.",
            Token,
            at!(admin.token),
        )
        .follows("none"),
    ]
}

fn log() -> Vec<Key> {
    vec![
        key(
            "log.access",
            "The request log. LOG_FORMAT counts only with an address, as in Spillway.",
            logging::Access,
            at!(log.access),
        )
        .spillway("LOG_FORMAT")
        .follows("off; spillway when log.address is set"),
        key(
            "log.address",
            "Where request log lines go. A host is a syslog server.",
            logging::Target,
            at!(log.address),
        )
        .spillway("LOG_ADDRESS")
        .follows("stdout; an address that is set also switches the log on"),
        key("log.syslog_format", "Header before each line.", logging::HEADER_FORMAT, at!(log.syslog_format))
            .follows("raw for stdout, stderr and fd@N; rfc5424 for the rest"),
        key("log.facility", "Syslog facility.", logging::FACILITY, at!(log.facility)),
        key("log.tag", "Program name in syslog headers.", logging::TAG, at!(log.tag)),
        key("log.max_len", "Longest line in bytes, header included.", logging::LineLength, at!(log.max_len))
            .follows("1024 for datagrams; streams and descriptors are not cut"),
        key(
            "log.separate_errors",
            "Whether 5xx get severity err instead of info.",
            Switch,
            at!(log.separate_errors),
        ),
    ]
}

fn trust() -> Vec<Key> {
    vec![key(
        "trust.proxies",
        "Networks of proxies whose priority, deadline-age and forwarding headers are believed.",
        Networks,
        at!(trust.proxies),
    )]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_and_variables_are_unique() {
        let names: BTreeSet<_> = KEYS.iter().map(|key| key.name).collect();
        let variables: BTreeSet<_> = KEYS.iter().map(Key::variable).collect();
        assert_eq!((names.len(), variables.len()), (KEYS.len(), KEYS.len()));
    }

    #[test]
    fn spillways_seven_variables_are_there() {
        let seven: BTreeSet<_> = KEYS.iter().filter_map(|key| key.spillway).collect();
        let expected = [
            "HEALTHCHECK_PATH",
            "LOG_ADDRESS",
            "LOG_FORMAT",
            "MAX_CONNECTIONS",
            "PORT",
            "QUEUE_TIMEOUT",
            "SERVER_TIMEOUT",
        ];
        assert_eq!(seven, BTreeSet::from(expected));
    }

    #[test]
    fn every_default_is_a_value_its_own_setting_accepts() {
        let defaults = Settings::default();
        for key in KEYS.iter().filter(|key| !key.literal(&defaults).is_empty()) {
            let text = format!("value = {}", key.literal(&defaults));
            let nodes = super::super::document::parse_toml(&text).unwrap();
            let super::super::document::Item::Value(raw) = &nodes[0].item else { panic!("a value") };
            let mut read = Settings::default();
            assert_eq!(key.set(&mut read, raw), Ok(()), "{}", key.name);
            assert_eq!(read, defaults, "{}", key.name);
        }
    }
}
