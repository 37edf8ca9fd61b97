//! Syslog: where log lines go, and what stands before them.
//!
//! Why by hand: Spillway hands `LOG_ADDRESS` to HAProxy, so its address grammar and its header formats are the
//! contract; no syslog crate speaks them. Sources: HAProxy 2.6 configuration manual section 4.2 (`log`), RFC 3164,
//! RFC 5424, RFC 6587 (framing on streams: we use its non-transparent framing, one line feed per message).
//!
//! Out of scope: opening the target, and the message itself ([`crate::log`]).

mod target;

use std::fmt;
use std::str::FromStr;

use crate::date;

pub use target::{LogAddress, LogTarget, LogTargetError};

/// Longest datagram, its line feed not counted: RFC 3164's limit and HAProxy's default `len`.
pub const DATAGRAM_MAX: usize = 1024;

/// RFC 5424 section 6: longest host name that a header may hold.
const WORD_MAX: usize = 255;

/// What precedes the message. Names as in HAProxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderFormat {
    /// Nothing.
    Raw,
    /// `<134>Nov 20 15:27:52 loadline[1]: ` – RFC 3164 without host name, Spillway 1.x.
    Local,
    /// `<134>Nov 20 15:27:52 host loadline[1]: `.
    Rfc3164,
    /// `<134>1 2026-11-20T15:27:54.505710+00:00 - loadline 1 - - `, Spillway 2.0.
    Rfc5424,
    /// `<134>`.
    Priority,
    /// `<6>`: the severity alone, as systemd reads it.
    Short,
    /// `<6>2026-11-20T15:27:54.505710+00:00 `.
    Timed,
    /// `2026-11-20T15:27:54.505710+00:00 `.
    Iso,
}

/// RFC 5424 section 6.2.1, most urgent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// 0
    Emerg,
    /// 1
    Alert,
    /// 2
    Crit,
    /// 3
    Err,
    /// 4
    Warning,
    /// 5
    Notice,
    /// 6: every request, whatever its status, unless errors are kept apart.
    Info,
    /// 7
    Debug,
}

/// One of syslog's 24 facilities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facility(u8);

/// A tag or host name that can stand in a header: printable ASCII without spaces, 1 to 255 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderWord(String);

/// All that a header says, severity and time aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyslogSettings {
    /// Layout.
    pub format: HeaderFormat,
    /// Default `local0`.
    pub facility: Facility,
    /// Who is speaking. Default `loadline`.
    pub tag: HeaderWord,
    /// Host name. `None` prints `localhost` in RFC 3164 and `-` in RFC 5424, as HAProxy does.
    pub hostname: Option<HeaderWord>,
    /// Process id.
    pub pid: u32,
}

/// A name that is none of those allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameError {
    /// What was given.
    pub culprit: String,
    /// What would do.
    pub expected: String,
}

/// Appends header and message, without a line feed. `epoch_nanos` is nanoseconds since the Unix epoch.
pub fn frame(
    settings: &SyslogSettings,
    severity: Severity,
    epoch_nanos: i64,
    message: &[u8],
    out: &mut Vec<u8>,
) {
    let facility = Some(settings.facility);
    match settings.format {
        HeaderFormat::Raw => {}
        HeaderFormat::Local => {
            push_priority(out, facility, severity);
            date::push_rfc3164(out, epoch_nanos);
            out.push(b' ');
            push_tag_and_pid(out, settings);
        }
        HeaderFormat::Rfc3164 => {
            push_priority(out, facility, severity);
            date::push_rfc3164(out, epoch_nanos);
            out.push(b' ');
            out.extend_from_slice(
                settings.hostname.as_ref().map_or("localhost", HeaderWord::as_str).as_bytes(),
            );
            out.push(b' ');
            push_tag_and_pid(out, settings);
        }
        HeaderFormat::Rfc5424 => {
            push_priority(out, facility, severity);
            out.extend_from_slice(b"1 ");
            date::push_iso_micros(out, epoch_nanos);
            out.push(b' ');
            out.extend_from_slice(settings.hostname.as_ref().map_or("-", HeaderWord::as_str).as_bytes());
            out.push(b' ');
            out.extend_from_slice(settings.tag.as_str().as_bytes());
            out.push(b' ');
            push_number(out, settings.pid);
            out.extend_from_slice(b" - - ");
        }
        HeaderFormat::Priority => push_priority(out, facility, severity),
        HeaderFormat::Short => push_priority(out, None, severity),
        HeaderFormat::Timed => {
            push_priority(out, None, severity);
            date::push_iso_micros(out, epoch_nanos);
            out.push(b' ');
        }
        HeaderFormat::Iso => {
            date::push_iso_micros(out, epoch_nanos);
            out.push(b' ');
        }
    }
    out.extend_from_slice(message);
}

/// Cuts a line that starts at `start` in `out` to `max_len` bytes and ends it with a line feed. `None` cuts nothing.
pub fn finish_line(out: &mut Vec<u8>, start: usize, max_len: Option<usize>) {
    if let Some(max_len) = max_len {
        out.truncate(start.saturating_add(max_len));
    }
    out.push(b'\n');
}

impl HeaderFormat {
    const NAMES: [(&'static str, Self); 8] = [
        ("raw", Self::Raw),
        ("local", Self::Local),
        ("rfc3164", Self::Rfc3164),
        ("rfc5424", Self::Rfc5424),
        ("priority", Self::Priority),
        ("short", Self::Short),
        ("timed", Self::Timed),
        ("iso", Self::Iso),
    ];

    /// The name, as [`FromStr`] reads it.
    pub fn as_str(self) -> &'static str {
        Self::NAMES.iter().find(|(_, format)| *format == self).map_or("raw", |(name, _)| name)
    }
}

impl FromStr for HeaderFormat {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        named(&Self::NAMES, text)
    }
}

impl Severity {
    const NAMES: [(&'static str, Self); 8] = [
        ("emerg", Self::Emerg),
        ("alert", Self::Alert),
        ("crit", Self::Crit),
        ("err", Self::Err),
        ("warning", Self::Warning),
        ("notice", Self::Notice),
        ("info", Self::Info),
        ("debug", Self::Debug),
    ];

    /// HAProxy's name of the level.
    pub fn as_str(self) -> &'static str {
        Self::NAMES[self as usize].0
    }
}

impl FromStr for Severity {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        named(&Self::NAMES, text)
    }
}

impl Facility {
    /// 16: what Spillway logs with.
    pub const LOCAL0: Self = Self(16);

    /// In the order of their codes (RFC 5424 section 6.2.1), under HAProxy's names.
    const NAMES: [&'static str; 24] = [
        "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "auth2", "ftp",
        "ntp", "audit", "alert", "cron2", "local0", "local1", "local2", "local3", "local4", "local5",
        "local6", "local7",
    ];

    /// 0 to 23.
    pub fn code(self) -> u8 {
        self.0
    }

    /// HAProxy's name.
    pub fn as_str(self) -> &'static str {
        Self::NAMES[usize::from(self.0)]
    }
}

impl FromStr for Facility {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        match Self::NAMES.iter().position(|name| *name == text) {
            Some(code) => Ok(Self(code as u8)),
            None => {
                Err(NameError { culprit: text.to_owned(), expected: one_of(Self::NAMES.iter().copied()) })
            }
        }
    }
}

impl HeaderWord {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for HeaderWord {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if (1..=WORD_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic()) {
            Ok(Self(text.to_owned()))
        } else {
            let expected = format!("1 to {WORD_MAX} printable ASCII characters without spaces");
            Err(NameError { culprit: text.to_owned(), expected })
        }
    }
}

impl Default for SyslogSettings {
    fn default() -> Self {
        Self {
            format: HeaderFormat::Rfc5424,
            facility: Facility::LOCAL0,
            tag: HeaderWord("loadline".to_owned()),
            hostname: None,
            pid: 0,
        }
    }
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`: expected {}", self.culprit.escape_debug(), self.expected)
    }
}

impl std::error::Error for NameError {}

fn named<T: Copy>(names: &[(&'static str, T)], text: &str) -> Result<T, NameError> {
    match names.iter().find(|(name, _)| *name == text) {
        Some(&(_, value)) => Ok(value),
        None => {
            Err(NameError { culprit: text.to_owned(), expected: one_of(names.iter().map(|(name, _)| *name)) })
        }
    }
}

fn one_of(names: impl Iterator<Item = &'static str>) -> String {
    format!("one of {}", names.collect::<Vec<_>>().join(", "))
}

/// `<n>`, where n is facility × 8 + severity.
fn push_priority(out: &mut Vec<u8>, facility: Option<Facility>, severity: Severity) {
    out.push(b'<');
    push_number(out, u32::from(facility.map_or(0, Facility::code)) * 8 + severity as u32);
    out.push(b'>');
}

fn push_tag_and_pid(out: &mut Vec<u8>, settings: &SyslogSettings) {
    out.extend_from_slice(settings.tag.as_str().as_bytes());
    out.push(b'[');
    push_number(out, settings.pid);
    out.extend_from_slice(b"]: ");
}

fn push_number(out: &mut Vec<u8>, number: u32) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}
