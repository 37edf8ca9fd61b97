//! What loadline says on stderr when it starts: where it listens and sends, and each value that matters with its origin.
//!
//! For people it is a small table, for machines (stderr is no terminal) the same content as one JSON object per line. These are
//! pure functions; printing, and state changes later on, belong to whoever runs the proxy.

use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::net::SocketAddr;

use serde_json::{Value as Json, json};

use crate::config::settings::{Settings, Upstream};
use crate::config::units::format_duration;
use crate::config::{Loaded, Origin};

/// Columns before a row's value, and of the value, in characters.
const LABEL_WIDTH: usize = 10;
const VALUE_WIDTH: usize = 28;

const BOLD: &str = "\x1b[1m";
const DIM: &str = "\x1b[2m";
const YELLOW: &str = "\x1b[33m";
const RESET: &str = "\x1b[0m";

/// How to write on stderr.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// A table, with colours or without.
    Text {
        /// Whether to use ANSI colours.
        colour: bool,
    },
    /// One JSON object per line.
    Json,
}

impl Style {
    /// Text on a terminal, coloured unless `NO_COLOR` is set and not empty (no-color.org) or the terminal is `dumb`; else JSON.
    pub fn of_stderr() -> Self {
        if !std::io::stderr().is_terminal() {
            return Self::Json;
        }
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self::Text { colour: !refused && !dumb }
    }
}

/// The banner. `settings` are those of `loaded`, with the addresses that were really bound where a port was 0.
pub fn started(settings: &Settings, loaded: &Loaded, style: Style) -> String {
    match style {
        Style::Text { colour } => text(settings, loaded, &Paint { colour }),
        Style::Json => json_lines(settings, loaded),
    }
}

/// The line after the banner, once clients are accepted; `millis` since the process started.
pub fn ready(millis: u128, style: Style) -> String {
    match style {
        Style::Text { .. } => format!("ready in {millis} ms. Ctrl-C drains.\n"),
        Style::Json => json_line(
            &json!({ "level": "info", "msg": "ready", "after_ms": u64::try_from(millis).unwrap_or(u64::MAX) }),
        ),
    }
}

/// A change of state: `15:23:07 SHEDDING  41/s offered, …`.
pub(crate) fn state(state: &str, text: &str, style: Style) -> String {
    match style {
        Style::Text { .. } => format!("{} {state:<9} {text}\n", jiff::Zoned::now().strftime("%H:%M:%S")),
        Style::Json => json_line(
            &json!({ "level": "info", "msg": "state_change", "state": state, "text": text, "ts": jiff::Timestamp::now().to_string() }),
        ),
    }
}

/// Something else that happened.
pub(crate) fn note(text: &str, style: Style) -> String {
    match style {
        Style::Text { .. } => format!("{} {text}\n", jiff::Zoned::now().strftime("%H:%M:%S")),
        Style::Json => json_line(
            &json!({ "level": "info", "msg": "note", "text": text, "ts": jiff::Timestamp::now().to_string() }),
        ),
    }
}

/// One row: a label, the values with their origins, and a remark.
struct Row {
    label: &'static str,
    parts: Vec<Part>,
    remark: &'static str,
}

/// A value as the text banner words it, and the setting it comes from.
struct Part {
    words: String,
    key: &'static str,
    json: Json,
}

fn rows(settings: &Settings, loaded: &Loaded) -> Vec<Row> {
    let part = |key: &'static str, words: String, json: Json| Part { words, key, json };
    let duration = |key: &'static str, prefix: &str, value| {
        let text = format_duration(value);
        part(key, format!("{prefix}{text}"), Json::from(text))
    };

    let limit = settings.limit.concurrency;
    let limit = vec![part("limit.concurrency", format!("{limit} in flight, fixed"), json!(limit))];

    let depth = settings.queue.depth;
    let mut queue = match (depth, settings.queue.timeout) {
        (0, _) => vec![part("queue.depth", "none, rejects at once".to_owned(), json!(0))],
        (_, timeout) => vec![
            match timeout {
                Some(timeout) => duration("queue.timeout", "waits up to ", timeout),
                None => part("queue.timeout", "waits for ever".to_owned(), json!(0)),
            },
            part("queue.depth", format!("{depth} deep"), json!(depth)),
        ],
    };
    if depth > 0 && loaded.origins.is_set("queue.discipline") {
        let discipline = format!("{:?}", settings.queue.discipline).to_lowercase();
        queue.push(part("queue.discipline", discipline.clone(), Json::from(discipline)));
    }

    let timeouts = vec![
        duration("timeouts.upstream", "upstream ", settings.timeouts.upstream),
        duration("timeouts.client", "client ", settings.timeouts.client),
    ];
    let paths = &settings.bypass.path;
    let bypass = if paths.is_empty() { "none".to_owned() } else { paths.join(" ") };
    let admin =
        settings.admin.listen.map_or_else(|| "off".to_owned(), |address| format!("http://{address}/"));

    let row = |label, parts, remark| Row { label, parts, remark };
    let mut rows = vec![
        row("limit", limit, ""),
        row("queue", queue, ""),
        row("timeouts", timeouts, ""),
        row("bypass", vec![part("bypass.path", bypass, json!(paths))], ""),
        row("admin", vec![part("admin.listen", admin.clone(), Json::from(admin))], admin_remark(settings)),
    ];
    if let Some(access) = &settings.log.access {
        let words = format!("{access} to {}", settings.log.address);
        rows.push(row("log", vec![part("log.access", words, Json::from(access.as_str()))], ""));
    }
    rows
}

fn admin_remark(settings: &Settings) -> &'static str {
    if settings.admin.listen.is_some() { "/metrics, /api/v1/status" } else { "" }
}

fn text(settings: &Settings, loaded: &Loaded, paint: &Paint) -> String {
    let listen =
        settings.listen.iter().map(|address| format!("http://{address}")).collect::<Vec<_>>().join(", ");
    let upstream = upstream_url(&settings.upstream);
    let version = env!("CARGO_PKG_VERSION");
    let mut text = format!(
        "{} {version}  {listen}{} -> {upstream}{}\n",
        paint.with(BOLD, "loadline"),
        aside(loaded.origins.of("listen"), &Origin::Default),
        aside(
            loaded.origins.of("upstream"),
            if settings.upstream == Upstream::Demo { &Origin::Default } else { &Origin::Argument }
        ),
    );
    for row in rows(settings, loaded) {
        let (value, origin) = with_origins(&row.parts, loaded);
        let _ = write!(text, "  {:LABEL_WIDTH$}", row.label);
        match origin {
            Some(origin) => {
                let _ = write!(text, "{value:VALUE_WIDTH$}{}", paint.with(DIM, &format!("({origin})")));
            }
            None => text.push_str(&value),
        }
        if !row.remark.is_empty() {
            let _ = write!(text, "  {}", row.remark);
        }
        text.push('\n');
    }
    for warning in &loaded.warnings {
        let _ = writeln!(text, "  {} {warning}", paint.with(YELLOW, "warning  "));
    }
    if settings.upstream == Upstream::Demo {
        let url = settings.listen.first().map(|address| reachable(*address)).unwrap_or_default();
        let _ = writeln!(text, "  {:LABEL_WIDTH$}curl {url}", "look");
        let _ = writeln!(text, "  {:LABEL_WIDTH$}wrk -c 50 -d 10s {url}", "overload");
        let _ = writeln!(text, "  {:LABEL_WIDTH$}loadline app:8080 3", "your app");
    }
    text
}

fn json_lines(settings: &Settings, loaded: &Loaded) -> String {
    let listen: Vec<_> = settings.listen.iter().map(SocketAddr::to_string).collect();
    let mut text = json_line(&json!({
        "level": "info",
        "msg": "started",
        "version": env!("CARGO_PKG_VERSION"),
        "listen": listen.join(" "),
        "admin": settings.admin.listen.map(|address| address.to_string()),
        "listen_origin": loaded.origins.of("listen").to_string(),
        "upstream": upstream_url(&settings.upstream),
        "upstream_origin": loaded.origins.of("upstream").to_string(),
    }));
    for part in rows(settings, loaded).iter().flat_map(|row| &row.parts) {
        let origin = loaded.origins.of(part.key).to_string();
        text += &json_line(
            &json!({ "level": "info", "msg": "setting", "key": part.key, "value": part.json, "origin": origin }),
        );
    }
    for warning in &loaded.warnings {
        text += &json_line(&json!({ "level": "warn", "msg": "warning", "text": warning }));
    }
    text
}

fn json_line(value: &Json) -> String {
    format!("{value}\n")
}

/// The values in one phrase. One origin for all stands beside the phrase; different ones follow their values.
fn with_origins(parts: &[Part], loaded: &Loaded) -> (String, Option<String>) {
    let origin = |part: &Part| loaded.origins.of(part.key).to_string();
    let first = parts.first().map(origin);
    if parts.iter().all(|part| Some(origin(part)) == first) {
        return (parts.iter().map(|part| part.words.as_str()).collect::<Vec<_>>().join(", "), first);
    }
    let each = parts.iter().map(|part| format!("{} ({})", part.words, origin(part)));
    (each.collect::<Vec<_>>().join(", "), None)
}

/// ` (origin)`, unless it is the one that goes without saying.
fn aside(origin: &Origin, usual: &Origin) -> String {
    if origin == usual { String::new() } else { format!(" ({origin})") }
}

fn upstream_url(upstream: &Upstream) -> String {
    match upstream {
        Upstream::Demo => "the embedded demo app".to_owned(),
        Upstream::Tcp { .. } => format!("http://{upstream}"),
        Upstream::Unix(_) => upstream.to_string(),
    }
}

/// The URL under which this machine reaches a listener.
fn reachable(mut address: SocketAddr) -> String {
    if address.ip().is_unspecified() {
        let loopback =
            if address.is_ipv4() { [127, 0, 0, 1].into() } else { std::net::Ipv6Addr::LOCALHOST.into() };
        address.set_ip(loopback);
    }
    format!("http://{address}/")
}

struct Paint {
    colour: bool,
}

impl Paint {
    fn with(&self, code: &str, text: &str) -> String {
        if self.colour { format!("{code}{text}{RESET}") } else { text.to_owned() }
    }
}
