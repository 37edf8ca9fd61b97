//! What loadline says on stderr when it starts: where it listens and sends, and each value that matters with its origin.
//!
//! For people it is a small table, for machines (stderr is no terminal) the same content as one JSON object per line. These are
//! pure functions; printing, and state changes later on, belong to whoever runs the proxy.

use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::net::SocketAddr;

use jiff::Timestamp;
use serde_json::{Value as Json, json};

use crate::config::settings::{Algorithm, Concurrency, FairnessKey, Settings, Upstream, Upstreams};
use crate::config::units::format_duration;
use crate::config::{Loaded, Origin};

/// Columns before a row's value, and of the value, in characters.
const LABEL_WIDTH: usize = 10;
const VALUE_WIDTH: usize = 30;

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
    /// Text on a terminal, coloured where that is welcome; else JSON.
    pub fn of_stderr() -> Self {
        if std::io::stderr().is_terminal() { Self::Text { colour: colour_is_welcome() } } else { Self::Json }
    }
}

/// Whether stderr is a terminal that shows colours, and nobody says that there should be none: `NO_COLOR` set and not empty
/// (no-color.org).
pub(crate) fn colour_is_welcome() -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    std::io::stderr().is_terminal() && !refused && !dumb
}

/// The banner. `settings` are those of `loaded`, with the addresses that were really bound where a port was 0; JSON lines carry
/// the time `now`.
pub fn started(settings: &Settings, loaded: &Loaded, style: Style, now: Timestamp) -> String {
    match style {
        Style::Text { colour } => text(settings, loaded, &Paint { colour }),
        Style::Json => json_lines(settings, loaded, now),
    }
}

/// The line after the banner, once clients are accepted; `millis` since the process started.
pub fn ready(millis: u64, style: Style, now: Timestamp) -> String {
    match style {
        Style::Text { .. } => format!("ready in {millis} ms. Ctrl-C drains.\n"),
        Style::Json => json_line(now, "info", "ready", &[("after_ms", json!(millis))]),
    }
}

/// A change of state: `15:23:07 SHEDDING  41/s offered, …`.
pub(crate) fn state(state: &str, text: &str, style: Style) -> String {
    match style {
        Style::Text { .. } => format!("{} {state:<9} {text}\n", jiff::Zoned::now().strftime("%H:%M:%S")),
        Style::Json => json_line(
            Timestamp::now(),
            "info",
            "state_change",
            &[("state", json!(state)), ("text", json!(text))],
        ),
    }
}

/// Something else that happened: a reload, a signal.
pub(crate) fn note(text: &str, style: Style) -> String {
    match style {
        Style::Text { .. } => format!("{} {text}\n", jiff::Zoned::now().strftime("%H:%M:%S")),
        Style::Json => json_line(Timestamp::now(), "info", "note", &[("text", json!(text))]),
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

    let limit = &settings.limit;
    let limit = match limit.concurrency {
        Concurrency::Fixed(number) => {
            vec![part("limit.concurrency", format!("{number} in flight, fixed"), json!(number))]
        }
        Concurrency::Auto => {
            let mut parts = vec![part("limit.concurrency", "auto".to_owned(), json!("auto"))];
            if limit.algorithm != Algorithm::Auto {
                let algorithm = format!("{:?}", limit.algorithm).to_lowercase();
                parts.push(part("limit.algorithm", format!("by {algorithm}"), json!(algorithm)));
            }
            parts.push(part("limit.start", format!("from {}", limit.start), json!(limit.start)));
            parts.push(part("limit.max", format!("at most {}", limit.max), json!(limit.max)));
            parts
        }
    };

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
    let mut rows = Vec::new();
    if settings.dry_run {
        let words = "DRY RUN: rejects nobody".to_owned();
        rows.push(row("mode", vec![part("dry_run", words, json!(true))], ""));
    }
    if let Some(shadow) = &settings.shadow {
        let path = shadow.display().to_string();
        rows.push(row("shadow", vec![part("shadow", path.clone(), json!(path))], ""));
    }
    rows.extend([row("limit", limit, ""), row("queue", queue, "")]);
    if let Some(over) = settings.warmup.over {
        let from = format!("from {} % of the limit", settings.warmup.from);
        let share = json!(f64::from(settings.warmup.from) / 100.0);
        let over = duration("warmup.over", "over ", over);
        rows.push(row("warm-up", vec![part("warmup.from", from, share), over], ""));
    }
    if settings.fairness.key != FairnessKey::Off {
        let key = settings.fairness.key.to_string();
        let words = if settings.fairness.cohorts { "cohorts by " } else { "fair between " };
        rows.push(row("tenants", vec![part("fairness.key", format!("{words}{key}"), json!(key))], ""));
    }
    if !settings.route.is_empty() {
        let names: Vec<_> = settings.route.iter().map(|route| route.name.as_str()).collect();
        rows.push(row("routes", vec![part("route", names.join(" "), json!(names))], ""));
    }
    rows.extend([
        row("timeouts", timeouts, ""),
        row("bypass", vec![part("bypass.path", bypass, json!(paths))], ""),
        row("admin", vec![part("admin.listen", admin.clone(), Json::from(admin))], admin_remark(settings)),
    ]);
    if let Some(access) = &settings.log.access {
        let words = format!("{access} to {}", settings.log.address);
        // The address alone switches the log on, so that it is the origin when nobody chose a format.
        let key = if loaded.origins.is_set("log.access") { "log.access" } else { "log.address" };
        rows.push(row("log", vec![part(key, words.clone(), Json::from(words))], ""));
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
            if settings.upstream.is_demo() { &Origin::Default } else { &Origin::Argument }
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
        let _ = writeln!(text, "  {}   {warning}", paint.with(YELLOW, "warning"));
    }
    if settings.upstream.is_demo() {
        let url = settings.listen.first().map(|address| reachable(*address)).unwrap_or_default();
        let _ = writeln!(text, "  {:LABEL_WIDTH$}curl {url}", "look");
        let _ = writeln!(text, "  {:LABEL_WIDTH$}wrk -c 100 -d 10s {url}", "overload");
        let _ = writeln!(text, "  {:LABEL_WIDTH$}loadline app:8080 3", "your app");
    }
    text
}

fn json_lines(settings: &Settings, loaded: &Loaded, now: Timestamp) -> String {
    let listen: Vec<_> = settings.listen.iter().map(SocketAddr::to_string).collect();
    let origin = |key: &str| Json::from(loaded.origins.of(key).to_string());
    let started = [
        ("version", json!(env!("CARGO_PKG_VERSION"))),
        ("listen", json!(listen.join(" "))),
        ("admin", json!(settings.admin.listen.map(|address| address.to_string()))),
        ("listen_origin", origin("listen")),
        ("upstream", json!(upstream_url(&settings.upstream))),
        ("upstream_origin", origin("upstream")),
    ];
    let mut text = json_line(now, "info", "started", &started);
    for part in rows(settings, loaded).into_iter().flat_map(|row| row.parts) {
        let fields = [("key", json!(part.key)), ("value", part.json), ("origin", origin(part.key))];
        text += &json_line(now, "info", "setting", &fields);
    }
    for warning in &loaded.warnings {
        text += &json_line(now, "warn", "warning", &[("text", json!(warning))]);
    }
    text
}

/// One line with the fields in reading order, which a JSON map would sort.
fn json_line(now: Timestamp, level: &str, message: &str, fields: &[(&str, Json)]) -> String {
    let mut line = format!("{{\"ts\":\"{now:.3}\",\"level\":\"{level}\",\"msg\":\"{message}\"");
    for (name, value) in fields {
        let _ = write!(line, ",\"{name}\":{value}");
    }
    line + "}\n"
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

fn upstream_url(upstream: &Upstreams) -> String {
    let url = |target: &Upstream| match target {
        Upstream::Demo => "the embedded demo app".to_owned(),
        Upstream::Tcp { .. } => format!("http://{target}"),
        Upstream::Unix(_) | Upstream::Srv(_) => target.to_string(),
    };
    upstream.targets().iter().map(url).collect::<Vec<_>>().join(", ")
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Sources, load};

    const PLAIN: Style = Style::Text { colour: false };

    fn banner(sources: &Sources, style: Style) -> String {
        let loaded = load(sources).unwrap();
        started(&loaded.settings, &loaded, style, Timestamp::UNIX_EPOCH)
    }

    fn app() -> Sources {
        Sources { upstream: Some("app:8080".into()), concurrency: Some("3".into()), ..Sources::default() }
    }

    #[test]
    fn the_first_run() {
        let expected = "\
loadline 0.1.0  http://0.0.0.0:8000 -> http://app:8080
  limit     3 in flight, fixed            (argument)
  queue     waits up to 5s, 2000 deep     (default)
  timeouts  upstream 30s, client 30s      (default)
  bypass    /healthcheck                  (default)
  admin     http://127.0.0.1:8001/        (default)  /metrics, /api/v1/status
";
        assert_eq!(banner(&app(), PLAIN), expected);
        assert_eq!(ready(4, PLAIN, Timestamp::UNIX_EPOCH), "ready in 4 ms. Ctrl-C drains.\n");
    }

    #[test]
    fn a_limit_that_is_found_says_from_where_and_how_far() {
        let auto = |set: &[&str]| {
            let set = set.iter().map(|text| (*text).to_owned()).collect();
            let text = banner(&Sources { concurrency: Some("auto".into()), set, ..app() }, PLAIN);
            text.lines().find(|line| line.contains("limit ")).unwrap().to_owned()
        };
        assert_eq!(auto(&[]), "  limit     auto (argument), from 10 (default), at most 2000 (default)");
        assert_eq!(
            auto(&["limit.algorithm=vegas", "limit.max=64"]),
            "  limit     auto (argument), by vegas (--set), from 10 (default), at most 64 (--set)"
        );
    }

    #[test]
    fn every_value_names_its_own_origin() {
        let environment = [
            ("QUEUE_TIMEOUT", "0"),
            ("PORT", "9000"),
            ("LOG_ADDRESS", "stdout"),
            ("HEALTHCHECK_PATH", "/up,/live"),
        ];
        let sources = Sources {
            environment: environment.map(|(name, value)| (name.into(), value.into())).into(),
            set: vec!["admin.listen=off".into(), "queue.discipline=fifo".into()],
            ..app()
        };
        let expected = "\
loadline 0.1.0  http://0.0.0.0:9000 (environment PORT) -> http://app:8080
  limit     3 in flight, fixed            (argument)
  queue     waits for ever (environment QUEUE_TIMEOUT), 2000 deep (default), fifo (--set)
  timeouts  upstream 30s, client 30s      (default)
  bypass    /up /live                     (environment HEALTHCHECK_PATH)
  admin     off                           (--set)
  log       spillway to stdout            (environment LOG_ADDRESS)
  warning   queue.timeout is 0: requests wait for ever (to reject at once, set queue.depth = 0)
";
        assert_eq!(banner(&sources, PLAIN), expected);
    }

    #[test]
    fn what_is_switched_on_has_a_row() {
        let set = [
            "warmup.over=30s",
            "fairness.key=header:X-Tenant",
            "route=[{name=\"a\",path=\"/a\"},{name=\"b\",path=\"/b\"}]",
        ];
        let text = banner(&Sources { set: set.map(str::to_owned).into(), ..app() }, PLAIN);
        let expected = "
  queue     waits up to 5s, 2000 deep     (default)
  warm-up   from 20 % of the limit (default), over 30s (--set)
  tenants   fair between header:x-tenant  (--set)
  routes    a b                           (--set)
  timeouts";
        assert!(text.contains(expected), "{text}");
    }

    #[test]
    fn the_demo_says_what_to_do_next() {
        let text = banner(&Sources::default(), PLAIN);
        assert!(text.starts_with("loadline 0.1.0  http://0.0.0.0:8000 -> the embedded demo app\n"), "{text}");
        let hints = "  look      curl http://127.0.0.1:8000/
  overload  wrk -c 100 -d 10s http://127.0.0.1:8000/
  your app  loadline app:8080 3
";
        assert!(text.ends_with(hints), "{text}");
    }

    #[test]
    fn machines_read_one_object_per_line() {
        let text = banner(&app(), Style::Json);
        let started = "{\"ts\":\"1970-01-01T00:00:00.000Z\",\"level\":\"info\",\"msg\":\"started\",\"version\":\"0.1.0\",\
            \"listen\":\"0.0.0.0:8000\",\"admin\":\"127.0.0.1:8001\",\"listen_origin\":\"default\",\"upstream\":\"http://app:8080\",\
            \"upstream_origin\":\"argument\"}";
        assert_eq!(text.lines().next(), Some(started));
        let limit = "{\"ts\":\"1970-01-01T00:00:00.000Z\",\"level\":\"info\",\"msg\":\"setting\",\
            \"key\":\"limit.concurrency\",\"value\":3,\"origin\":\"argument\"}";
        assert_eq!(text.lines().nth(1), Some(limit));
        assert!(text.lines().all(|line| serde_json::from_str::<Json>(line).is_ok()), "{text}");
    }

    #[test]
    fn colours_change_nothing_but_colours() {
        let coloured = banner(&app(), Style::Text { colour: true });
        assert_eq!(coloured.replace(BOLD, "").replace(DIM, "").replace(RESET, ""), banner(&app(), PLAIN));
    }
}
