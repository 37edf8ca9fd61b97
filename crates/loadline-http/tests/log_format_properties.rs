//! No format panics, and no request can put a control byte into a line.

use std::time::Duration;

use loadline_http::log::{HeaderLookup, LogFormat, Record, Timers};
use proptest::prelude::*;

struct Same(Vec<u8>);

impl HeaderLookup for Same {
    fn last(&self, _: &str) -> Option<&[u8]> {
        Some(&self.0)
    }
}

/// What a peer chose: bytes for the request's parts and headers, and text for ids.
#[derive(Clone, Debug)]
struct Peer {
    method: Vec<u8>,
    target: Vec<u8>,
    version: Vec<u8>,
    header: Vec<u8>,
    id: String,
    instant: i64,
    number: u64,
}

fn peer() -> impl Strategy<Value = Peer> {
    let bytes = || proptest::collection::vec(any::<u8>(), 0..60);
    (bytes(), bytes(), bytes(), bytes(), any::<String>(), any::<i64>(), any::<u64>()).prop_map(
        |(method, target, version, header, id, instant, number)| Peer {
            method,
            target,
            version,
            header,
            id,
            instant,
            number,
        },
    )
}

fn render(format: &LogFormat, peer: &Peer) -> Vec<u8> {
    let headers = Same(peer.header.clone());
    let record = Record {
        now_ns: peer.instant,
        accepted_at_ns: peer.instant,
        started_at_ns: peer.instant,
        method: &peer.method,
        target: &peer.target,
        version: &peer.version,
        response_version: &peer.version,
        request_headers: Some(&headers),
        response_headers: Some(&headers),
        request_id: &peer.id,
        trace_id: &peer.id,
        backend: "app",
        frontend: "http",
        entropy: peer.number,
        bytes_in: peer.number,
        limit: peer.number,
        timers: Timers {
            request: Some(Duration::from_nanos(peer.number)),
            idle: Duration::MAX,
            total: Duration::MAX,
            ..Timers::default()
        },
        deadline_left_ms: Some(peer.instant),
        ..Record::default()
    };
    let mut out = Vec::new();
    format.render(&record, &mut out);
    out
}

/// Formats that are mostly valid, without backslashes: those may ask for control bytes.
fn plausible() -> impl Strategy<Value = String> {
    let alias = prop::sample::select(vec![
        "b", "f", "ft", "s", "ST", "B", "U", "bq", "sq", "Th", "Ti", "TR", "Tq", "Tw", "Tc", "Tr", "Td",
        "Ta", "Tt", "Tu", "ci", "cp", "fi", "fp", "bi", "bp", "si", "sp", "ac", "fc", "bc", "sc", "rc", "lc",
        "rt", "t", "T", "Tl", "Ts", "ms", "tr", "trg", "trl", "r", "HM", "HP", "HPO", "HQ", "HU", "HV", "ts",
        "tsc", "H", "pid", "ID", "sslc", "sslv", "CC", "CS", "hr", "hs", "hrl", "hsl", "o",
    ]);
    let sample = prop::sample::select(vec![
        "[req.hdr(a)]",
        "[res.hdr(b),lower]",
        "[path,upper]",
        "[query]",
        "[capture.req.uri]",
        "[capture.req.ver]",
        "[unique-id]",
        "[date(0,us)]",
        "[date,ltime(%n%t%Y)]",
        "[req.hdr(a),utime(%s)]",
        "[uuid]",
        "[rand(7)]",
        "[method]",
        "[loadline.limit]",
        "[loadline.deadline_ms]",
    ]);
    let flags = prop::sample::select(vec!["", "{+Q}", "{+E}", "{+X}", "{-M}", "{+Q,+E,+X}"]);
    let text = "[ -$&-\\[\\]-~]{0,4}";
    let item = (flags, prop_oneof![alias, sample], text).prop_map(|(flags, item, text)| {
        let separator = if text.is_empty() { " " } else { "" };
        format!("%{flags}{item} {text}{separator}")
    });
    prop::collection::vec(item, 1..8).prop_map(|items| items.concat())
}

proptest! {
    #[test]
    fn any_text_parses_or_is_refused_with_its_place(text in any::<String>(), peer in peer()) {
        match LogFormat::parse(&text) {
            Ok(format) => { render(&format, &peer); }
            Err(error) => {
                prop_assert!(error.offset <= text.len());
                prop_assert!(!error.to_string().chars().any(char::is_control));
            }
        }
    }

    #[test]
    fn odd_formats_do_not_panic(text in r#"[%{}\[\](),+QXEMobrx\\"' 0-9a-z.-]{0,40}"#, peer in peer()) {
        if let Ok(format) = LogFormat::parse(&text) {
            render(&format, &peer);
        }
    }

    #[test]
    fn no_request_puts_a_control_byte_into_a_line(text in plausible(), peer in peer()) {
        let format = LogFormat::parse(&text).map_err(|e| TestCaseError::fail(e.to_string()))?;
        let line = render(&format, &peer);
        prop_assert!(!line.iter().any(|b| b.is_ascii_control()), "{}", line.escape_ascii());
    }

    #[test]
    fn structured_lines_are_single_lines_of_valid_text(peer in peer()) {
        for keyword in ["json", "logfmt", "httplog", "clf", "spillway"] {
            let line = String::from_utf8(render(&LogFormat::parse(keyword).unwrap(), &peer)).unwrap();
            prop_assert!(!line.chars().any(char::is_control), "{}", line.escape_debug());
        }
    }

    #[test]
    fn a_json_line_is_one_object_whose_strings_close(peer in peer()) {
        let line = String::from_utf8(render(&LogFormat::parse("json").unwrap(), &peer)).unwrap();
        let mut in_string = false;
        let mut depth = 0_i32;
        let mut characters = line.chars();
        while let Some(character) = characters.next() {
            match (character, in_string) {
                ('\\', true) => prop_assert!(characters.next().is_some_and(|c| "\"\\nrtu".contains(c))),
                ('"', _) => in_string = !in_string,
                ('{', false) => depth += 1,
                ('}', false) => depth -= 1,
                _ => {}
            }
        }
        prop_assert_eq!((in_string, depth), (false, 0));
        let whole = line.starts_with(r#"{"ts":""#) && line.ends_with('}');
        prop_assert!(whole);
    }
}
