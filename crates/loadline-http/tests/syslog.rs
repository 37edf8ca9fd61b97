//! Syslog headers and addresses, compared with what HAProxy 2.6.12 sends and accepts.

use loadline_http::syslog::{
    DATAGRAM_MAX, Facility, HeaderFormat, HeaderWord, LogAddress, LogTarget, Severity, SyslogSettings,
    finish_line, frame,
};
use proptest::prelude::*;

/// 2026-11-20T15:27:54.505710Z
const INSTANT: i64 = 1_795_188_474_505_710_000;

fn settings(format: &str) -> SyslogSettings {
    SyslogSettings {
        format: format.parse().unwrap(),
        tag: "haproxy".parse().unwrap(),
        pid: 23213,
        ..SyslogSettings::default()
    }
}

fn framed(settings: &SyslogSettings, severity: Severity) -> String {
    let mut out = Vec::new();
    frame(settings, severity, INSTANT, b"app 200", &mut out);
    String::from_utf8(out).unwrap()
}

/// The header with its local times replaced by `<iso>` and `<date>`, since the zone of the machine is unknown.
fn without_time(line: &str) -> String {
    let chars: Vec<char> = line.chars().collect();
    let iso = |at: usize| {
        let text: String = chars[at..].iter().take(32).collect();
        text.len() == 32
            && text.as_bytes()[10] == b'T'
            && &text[19..26] == ".505710"
            && text.as_bytes()[29] == b':'
    };
    if let Some(at) = (0..chars.len()).find(|&at| iso(at)) {
        return format!("{}<iso>{}", &line[..at], &line[at + 32..]);
    }
    match line.find("Nov 20 ").or_else(|| line.find("Nov 21 ")) {
        Some(at) => format!("{}<date>{}", &line[..at], &line[at + 15..]),
        None => line.to_owned(),
    }
}

#[test]
fn each_header_format() {
    for (format, expected) in [
        ("raw", "app 200"),
        ("local", "<134><date> haproxy[23213]: app 200"),
        ("rfc3164", "<134><date> localhost haproxy[23213]: app 200"),
        ("rfc5424", "<134>1 <iso> - haproxy 23213 - - app 200"),
        ("priority", "<134>app 200"),
        ("short", "<6>app 200"),
        ("timed", "<6><iso> app 200"),
        ("iso", "<iso> app 200"),
    ] {
        let settings = settings(format);
        assert_eq!(without_time(&framed(&settings, Severity::Info)), expected);
        assert_eq!(settings.format.as_str(), format);
    }
}

#[test]
fn host_facility_and_severity() {
    let mut settings = settings("rfc5424");
    settings.hostname = Some("web-1".parse().unwrap());
    settings.facility = "daemon".parse().unwrap();
    assert_eq!(
        without_time(&framed(&settings, Severity::Err)),
        "<27>1 <iso> web-1 haproxy 23213 - - app 200"
    );
    settings.format = HeaderFormat::Rfc3164;
    settings.facility = "local7".parse().unwrap();
    assert_eq!(
        without_time(&framed(&settings, Severity::Debug)),
        "<191><date> web-1 haproxy[23213]: app 200"
    );
    assert_eq!((Facility::LOCAL0.code(), Facility::LOCAL0.as_str()), (16, "local0"));
    assert_eq!("emerg".parse(), Ok(Severity::Emerg));
    assert_eq!(Severity::Warning.as_str(), "warning");
}

#[test]
fn names_that_do_not_exist_are_answered_with_those_that_do() {
    let error = "local8".parse::<Facility>().unwrap_err().to_string();
    assert!(error.contains("`local8`") && error.contains("local7"), "{error}");
    let error = "error".parse::<Severity>().unwrap_err().to_string();
    assert!(error.contains("`error`") && error.contains("err,"), "{error}");
    let error = "rfc9999".parse::<HeaderFormat>().unwrap_err().to_string();
    assert!(error.contains("rfc5424"), "{error}");
    for word in ["", "two words", "line\nfeed", "é", &"x".repeat(256)] {
        assert!(word.parse::<HeaderWord>().is_err(), "{word:?}");
    }
}

#[test]
fn lines_are_cut_and_ended() {
    let mut out = b"before\n".to_vec();
    let start = out.len();
    out.extend_from_slice(&[b'x'; 3000]);
    finish_line(&mut out, start, Some(DATAGRAM_MAX));
    assert_eq!((out.len() - start, out.last()), (1025, Some(&b'\n')));

    let start = out.len();
    out.extend_from_slice(&[b'y'; 3000]);
    finish_line(&mut out, start, None);
    assert_eq!(out.len() - start, 3001);
}

#[test]
fn addresses() {
    let udp = |host: &str, port| LogAddress::Udp { host: host.to_owned(), port };
    let tcp = |host: &str, port| LogAddress::Tcp { host: host.to_owned(), port };
    let accepted = [
        ("127.0.0.1", udp("127.0.0.1", 514)),
        ("127.0.0.1:5140", udp("127.0.0.1", 5140)),
        ("logs.example.com", udp("logs.example.com", 514)),
        ("logs_1:", udp("logs_1", 514)),
        ("[::1]:5140", udp("::1", 5140)),
        ("[::1]", udp("::1", 514)),
        ("::1", udp("::1", 514)),
        ("udp@h:1", udp("h", 1)),
        ("tcp@h", tcp("h", 514)),
        ("tcp@[2001:db8::1]:601", tcp("2001:db8::1", 601)),
        ("/dev/log", LogAddress::Unix("/dev/log".into())),
        ("unix@run/log.sock", LogAddress::Unix("run/log.sock".into())),
        ("stdout", LogAddress::Stdout),
        ("stderr", LogAddress::Stderr),
        ("fd@3", LogAddress::Fd(3)),
    ];
    for (text, expected) in accepted {
        let target = LogTarget::parse(text).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(target.address, expected, "{text}");
        assert_eq!(
            LogTarget::parse(&target.address.to_string()).unwrap().address,
            expected,
            "printed form of {text}"
        );
    }
}

#[test]
fn options_and_defaults() {
    let target = LogTarget::parse("  127.0.0.1:5140  len 200 format rfc3164 ").unwrap();
    assert_eq!((target.max_len, target.format), (Some(200), Some(HeaderFormat::Rfc3164)));
    assert_eq!((target.line_max(), target.header_format()), (Some(200), HeaderFormat::Rfc3164));

    let defaults = |text: &str| {
        let target = LogTarget::parse(text).unwrap();
        (target.is_datagram(), target.line_max(), target.header_format())
    };
    assert_eq!(defaults("stdout"), (false, None, HeaderFormat::Raw));
    assert_eq!(defaults("fd@4"), (false, None, HeaderFormat::Raw));
    assert_eq!(defaults("h"), (true, Some(1024), HeaderFormat::Rfc5424));
    assert_eq!(defaults("tcp@h"), (false, None, HeaderFormat::Rfc5424));
    assert_eq!(defaults("/dev/log"), (true, Some(1024), HeaderFormat::Rfc5424));
}

/// Text, offset of the culprit, the culprit, and a word of the advice.
#[test]
fn addresses_that_are_refused() {
    let long = format!("/{}", "x".repeat(107));
    let refused = [
        ("", 0, "", "write `host[:port]`"),
        ("   ", 0, "   ", "empty"),
        ("h:70000", 2, "70000", "1 to 65535"),
        ("h:0", 2, "0", "1 to 65535"),
        ("h:+5", 2, "+5", "1 to 65535"),
        ("udp@h:x", 6, "x", "1 to 65535"),
        ("[::1", 0, "[::1", "never closed"),
        ("[h]:1", 1, "h", "no IPv6 address"),
        ("[::1]x", 5, "x", "`:port`"),
        ("a:b:1", 0, "a:b:1", "[v6]:port"),
        ("300.1.1.1", 0, "300.1.1.1", "no host name"),
        ("tcp@", 4, "", "no host name"),
        (":514", 0, "", "no host name"),
        ("a/b", 0, "a/b", "no host name"),
        ("ring@buf", 0, "ring@buf", "inside HAProxy"),
        ("abns@x", 0, "abns", "no such kind"),
        ("fd@x", 3, "x", "fd@3"),
        ("fd@-1", 3, "-1", "fd@3"),
        ("unix@", 5, "", "path"),
        (&long, 0, &long, "107"),
        ("h len", 2, "len", "must follow"),
        ("h len 5", 6, "5", "80 to"),
        ("h len x", 6, "x", "80 to"),
        ("h format x", 9, "x", "rfc5424"),
        ("h local0", 2, "local0", "`len <bytes>`"),
        ("h\nuser root", 1, "\n", "control"),
        ("h\0", 1, "\0", "control"),
    ];
    for (text, offset, culprit, advice) in refused {
        let error = LogTarget::parse(text).expect_err(text);
        assert_eq!((error.offset, error.culprit.as_str()), (offset, culprit), "{text:?}: {error}");
        assert!(error.to_string().contains(advice), "{text:?}: {error}");
    }
}

proptest! {
    #[test]
    fn any_address_is_parsed_or_refused_with_its_place(text in any::<String>()) {
        if let Err(error) = LogTarget::parse(&text) {
            prop_assert!(error.offset <= text.len());
            prop_assert!(!error.to_string().chars().any(char::is_control));
        }
    }

    #[test]
    fn odd_addresses_do_not_panic(text in r"(udp|tcp|unix|fd|ring)?@?[\[\]:0-9a-f./ len-]{0,30}") {
        if let Ok(target) = LogTarget::parse(&text) {
            prop_assert_eq!(LogTarget::parse(&target.address.to_string()).map(|t| t.address), Ok(target.address));
        }
    }

    #[test]
    fn a_header_never_holds_a_control_byte(instant in any::<i64>(), pid in any::<u32>(), format in 0_usize..8) {
        let names = ["raw", "local", "rfc3164", "rfc5424", "priority", "short", "timed", "iso"];
        let settings = SyslogSettings { pid, ..settings(names[format]) };
        let mut out = Vec::new();
        frame(&settings, Severity::Info, instant, b"message", &mut out);
        prop_assert!(out.ends_with(b"message"));
        prop_assert!(!out.iter().any(u8::is_ascii_control));
    }
}
