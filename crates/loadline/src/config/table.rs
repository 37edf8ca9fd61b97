//! The one list of settings. The file, `--set`, the environment, `config --defaults`, the JSON Schema and
//! docs/configuration.md all read it, so that a setting is added in exactly one place.
//!
//! The order is the order in documents, and the order in which values are applied: a setting whose reading depends on another
//! (an upstream without a port takes the listener's) stands after it.

use std::sync::LazyLock;
use std::time::Duration;

use serde_json::Value as Json;

use super::address::{
    AdminListen, Bind, Networks, OffOr, Paths, Text, Token, list_literal, parse_bind, parse_upstream,
    strings_schema,
};
use super::logging;
use super::settings::{BodyFormat, Discipline, KIB, MIB, OnAbort, Release, Settings, SyslogFormat, Upstream};
use super::value::{
    Codec, Concurrency, Raw, Seconds, Size, Span, Status, Switch, Wait, Words, Workers, positive, quoted,
    whole,
};

/// Most connections, waiting requests or slots: beyond it a machine runs out of descriptors and ports first.
const MOST: u32 = 1_000_000;
/// Shortest timeout that is not "none": below it a timer's own resolution decides.
const MILLISECOND: Duration = Duration::from_millis(1);
/// Longest timeout: above it a typing mistake is likelier than a wish.
const DAY: Duration = Duration::from_secs(86_400);

/// One setting.
pub(super) struct Key {
    /// Dotted name, such as `queue.timeout`.
    pub(super) name: &'static str,
    /// What it does, for users: one or two sentences.
    pub(super) doc: &'static str,
    /// Spillway's variable of the same meaning.
    pub(super) spillway: Option<&'static str>,
    /// The default in words, when it follows from something else; `config --defaults` comments such a key out.
    pub(super) follows: Option<&'static str>,
    /// Whether a change needs a restart.
    pub(super) restart: bool,
    field: Box<dyn Field>,
}

impl Key {
    /// `LOADLINE_QUEUE_TIMEOUT` for `queue.timeout`.
    pub(super) fn variable(&self) -> String {
        format!("LOADLINE_{}", self.name.to_uppercase().replace('.', "_"))
    }

    /// Table and name within it: `("queue", "timeout")`; the table is empty for `listen`.
    pub(super) fn split(&self) -> (&'static str, &'static str) {
        self.name.split_once('.').unwrap_or(("", self.name))
    }

    /// Reads `raw` into `settings`.
    ///
    /// # Errors
    /// What was expected; `settings` is unchanged then.
    pub(super) fn set(&self, settings: &mut Settings, raw: &Raw) -> Result<(), String> {
        self.field.set(settings, raw)
    }

    /// The value in `settings` as a TOML literal.
    pub(super) fn literal(&self, settings: &Settings) -> String {
        self.field.literal(settings)
    }

    /// What is accepted, for people.
    pub(super) fn accepts(&self) -> String {
        self.field.accepts()
    }

    /// What is accepted, for machines.
    pub(super) fn schema(&self) -> Json {
        self.field.schema()
    }

    fn spillway(mut self, variable: &'static str) -> Self {
        self.spillway = Some(variable);
        self
    }

    fn follows(mut self, words: &'static str) -> Self {
        self.follows = Some(words);
        self
    }

    fn restart(mut self) -> Self {
        self.restart = true;
        self
    }
}

/// The setting of that dotted name.
pub(super) fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// All settings.
pub(super) static KEYS: LazyLock<Vec<Key>> = LazyLock::new(|| {
    [
        general(),
        limit_and_queue(),
        bypass(),
        timeouts(),
        buffers(),
        http(),
        response(),
        admin(),
        log(),
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

fn general() -> Vec<Key> {
    vec![
        with_field("listen", "Addresses that accept clients. A port alone keeps the addresses.", ListenField)
            .spillway("PORT")
            .restart(),
        with_field(
            "upstream",
            "The application: host:port, [v6]:port, http://host:port, unix:/path or :port. A name without a port gets the \
             listener's port. Names are resolved again at run time.",
            UpstreamField,
        )
        .follows("required; the embedded demo app when nothing at all is given"),
        key("max_connections", "Open client connections at one time.", whole(1, MOST), at!(max_connections))
            .spillway("MAX_CONNECTIONS"),
        key("workers", "Worker threads.", Workers { max: 1024 }, at!(workers)).follows("0: one per available core").restart(),
    ]
}

fn limit_and_queue() -> Vec<Key> {
    vec![
        key(
            "limit.concurrency",
            "Requests in service at the upstream at one time, over the whole process.",
            Concurrency(positive(MOST)),
            at!(limit.concurrency),
        )
        .follows("required; 3 before the demo app"),
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
            .spillway("QUEUE_TIMEOUT"),
        key(
            "queue.depth",
            "Most requests waiting; 0 rejects at once when no slot is free.",
            whole(0, MOST),
            at!(queue.depth),
        )
        .follows("the same as max_connections"),
        key(
            "queue.discipline",
            "Who is next: fifo the oldest, lifo the newest, adaptive the oldest while healthy and the newest while overloaded.",
            Words(&[
                ("adaptive", Discipline::Adaptive),
                ("fifo", Discipline::Fifo),
                ("lifo", Discipline::Lifo),
            ]),
            at!(queue.discipline),
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
            "Longest time in which requests in flight may finish at shutdown; 0 ends at once.",
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
            "All buffers together; beyond it everything streams.",
            Size { min: 0, max: 1024 * 1024 * MIB },
            at!(buffer.total),
        ),
        key(
            "buffer.min_rate",
            "Bytes per second below which a peer that ties a slot is dropped; 0 switches the rule off.",
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
            "Largest request head, request line included; beyond it 431.",
            Size { min: KIB, max: MIB },
            at!(http.max_header_bytes),
        ),
        key(
            "http.max_header_count",
            "Most header fields of a request; beyond it 431.",
            whole(1, 1_000),
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
            "The request log: off, json, logfmt, clf, httplog, spillway, or a HAProxy log-format string. LOG_FORMAT counts only \
             with an address, as in Spillway.",
            OffOr(Text { accepts: "\"off\", a format's name, or a log-format string", check: logging::check_format }),
            at!(log.access),
        )
        .spillway("LOG_FORMAT")
        .follows("off; spillway when log.address is set"),
        key(
            "log.address",
            "Where request log lines go: stdout, stderr, fd@N, a syslog host (UDP, or tcp@host), or a datagram socket's path.",
            Text { accepts: "a log target", check: logging::check_target },
            at!(log.address),
        )
        .spillway("LOG_ADDRESS"),
        key(
            "log.syslog_format",
            "Header before each line.",
            Words(&[
                ("raw", SyslogFormat::Raw),
                ("local", SyslogFormat::Local),
                ("rfc3164", SyslogFormat::Rfc3164),
                ("rfc5424", SyslogFormat::Rfc5424),
                ("priority", SyslogFormat::Priority),
                ("short", SyslogFormat::Short),
                ("timed", SyslogFormat::Timed),
                ("iso", SyslogFormat::Iso),
            ]),
            at!(log.syslog_format),
        )
        .follows("raw for stdout, stderr and fd@N; rfc5424 for the rest"),
        key(
            "log.facility",
            "Syslog facility.",
            Text { accepts: "a syslog facility (such as \"local0\")", check: logging::check_facility },
            at!(log.facility),
        ),
        key(
            "log.tag",
            "Program name in syslog headers.",
            Text { accepts: "1 to 48 visible ASCII characters", check: logging::check_tag },
            at!(log.tag),
        ),
        key(
            "log.max_len",
            "Longest datagram in bytes, header included; streams are not cut.",
            whole(80, 65_000),
            at!(log.max_len),
        ),
        key("log.separate_errors", "Whether 5xx get severity err instead of info.", Switch, at!(log.separate_errors)),
    ]
}

fn trust() -> Vec<Key> {
    vec![key(
        "trust.proxies",
        "Networks of proxies whose forwarding headers are believed.",
        Networks,
        at!(trust.proxies),
    )]
}

/// One setting's place in [`Settings`], with its kind hidden.
trait Field: Send + Sync {
    fn set(&self, settings: &mut Settings, raw: &Raw) -> Result<(), String>;
    fn literal(&self, settings: &Settings) -> String;
    fn accepts(&self) -> String;
    fn schema(&self) -> Json;
}

/// A setting that a codec reads on its own.
struct Plain<C: Codec> {
    codec: C,
    get: fn(&Settings) -> &C::Target,
    get_mut: fn(&mut Settings) -> &mut C::Target,
}

impl<C: Codec + Send + Sync> Field for Plain<C> {
    fn set(&self, settings: &mut Settings, raw: &Raw) -> Result<(), String> {
        *(self.get_mut)(settings) = self.codec.parse(raw)?;
        Ok(())
    }

    fn literal(&self, settings: &Settings) -> String {
        self.codec.literal((self.get)(settings))
    }

    fn accepts(&self) -> String {
        self.codec.accepts()
    }

    fn schema(&self) -> Json {
        self.codec.schema()
    }
}

/// The getter and the setter of a field.
type Place<T> = (fn(&Settings) -> &T, fn(&mut Settings) -> &mut T);

fn key<C: Codec + Send + Sync + 'static>(
    name: &'static str,
    doc: &'static str,
    codec: C,
    (get, get_mut): Place<C::Target>,
) -> Key {
    with_field(name, doc, Plain { codec, get, get_mut })
}

fn with_field(name: &'static str, doc: &'static str, field: impl Field + 'static) -> Key {
    Key { name, doc, spillway: None, follows: None, restart: false, field: Box::new(field) }
}

/// `listen`: a bare port changes the port of the addresses that are already there.
struct ListenField;

impl Field for ListenField {
    fn set(&self, settings: &mut Settings, raw: &Raw) -> Result<(), String> {
        let number = raw.integer().map(|number| number.to_string());
        let texts = match &number {
            Some(number) => vec![number.as_str()],
            None => raw.strings().ok_or_else(|| format!("{raw} is not {}", self.accepts()))?,
        };
        let mut listen = Vec::new();
        for text in &texts {
            match parse_bind(text)? {
                Bind::Port(port) if texts.len() == 1 => {
                    listen.clone_from(&settings.listen);
                    listen.iter_mut().for_each(|address| address.set_port(port));
                }
                Bind::Port(_) => {
                    return Err(format!("{text:?} needs an address beside others (try \"0.0.0.0:{text}\")"));
                }
                Bind::Address(address) if listen.contains(&address) => {
                    return Err(format!("{text:?} is given twice"));
                }
                Bind::Address(address) => listen.push(address),
            }
        }
        if listen.is_empty() {
            return Err("an empty list would accept no clients".to_owned());
        }
        settings.listen = listen;
        Ok(())
    }

    fn literal(&self, settings: &Settings) -> String {
        let texts: Vec<_> = settings.listen.iter().map(ToString::to_string).collect();
        match texts.as_slice() {
            [one] => quoted(one),
            several => list_literal(several.iter().map(String::as_str)),
        }
    }

    fn accepts(&self) -> String {
        "an address with port, a port, or a list of addresses".to_owned()
    }

    fn schema(&self) -> Json {
        let mut schema = strings_schema("^[0-9a-fA-F.:\\[\\]]+$");
        if let Some(forms) = schema["anyOf"].as_array_mut() {
            forms.push(serde_json::json!({ "type": "integer", "minimum": 1, "maximum": 65_535 }));
        }
        schema
    }
}

/// `upstream`: a name without a port takes the listener's.
struct UpstreamField;

impl Field for UpstreamField {
    fn set(&self, settings: &mut Settings, raw: &Raw) -> Result<(), String> {
        if matches!(raw, Raw::List(_)) {
            return Err("a list of upstreams is not available yet in this version; give one".to_owned());
        }
        let text = raw.text().ok_or_else(|| format!("{raw} is not {}", self.accepts()))?;
        let port = settings.listen.first().map_or(0, std::net::SocketAddr::port);
        settings.upstream = parse_upstream(text, port)?;
        Ok(())
    }

    fn literal(&self, settings: &Settings) -> String {
        match &settings.upstream {
            Upstream::Demo => quoted(""),
            upstream => quoted(&upstream.to_string()),
        }
    }

    fn accepts(&self) -> String {
        "an address (such as \"app:8080\")".to_owned()
    }

    fn schema(&self) -> Json {
        serde_json::json!({ "type": "string", "minLength": 1 })
    }
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
        for key in KEYS.iter().filter(|key| !["upstream", "admin.token"].contains(&key.name)) {
            let text = format!("value = {}", key.literal(&defaults));
            let nodes = super::super::document::parse_toml(&text).unwrap();
            let super::super::document::Item::Value(raw) = &nodes[0].item else { panic!("a value") };
            let mut read = Settings::default();
            assert_eq!(key.set(&mut read, raw), Ok(()), "{}", key.name);
            assert_eq!(read, defaults, "{}", key.name);
        }
    }
}
