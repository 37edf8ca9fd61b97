//! The `%` aliases of HAProxy 2.6: their names, and how each prints.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::format::Flags;
use super::record::Record;
use crate::date::{self, Zone};
use crate::escape::{Encoding, push_encoded, push_hex};

/// HAProxy's `REQURI_LEN`: what is kept of a request line, terminator included.
const REQUEST_LINE_MAX: usize = 1024 - 1;
const BAD_REQUEST: &[u8] = b"<BADREQ>";
const NO_SERVER: &[u8] = b"<NOSRV>";

/// What an alias prints. The comments in [`Record`] and [`Timers`](super::Timers) define the values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Alias {
    Backend,
    Frontend,
    FrontendTransport,
    Server,
    Status,
    BytesOut,
    BytesIn,
    BackendQueue,
    ServerQueue,
    TimeHandshake,
    TimeIdle,
    TimeRequest,
    TimeUntilRequest,
    TimeQueue,
    TimeConnect,
    TimeResponse,
    TimeData,
    TimeActive,
    TimeTotal,
    TimeUser,
    ClientIp,
    ClientPort,
    FrontendIp,
    FrontendPort,
    SourceIp,
    SourcePort,
    ServerIp,
    ServerPort,
    ActiveConnections,
    FrontendConnections,
    BackendConnections,
    ServerConnections,
    Retries,
    LogCounter,
    RequestCounter,
    AcceptDate,
    AcceptDateUtc,
    AcceptDateLocal,
    AcceptSeconds,
    AcceptMillis,
    RequestDate,
    RequestDateUtc,
    RequestDateLocal,
    RequestLine,
    Method,
    UriPath,
    PathOnly,
    Query,
    Uri,
    Version,
    Termination,
    TerminationWithCookies,
    Hostname,
    Pid,
    UniqueId,
    TlsCipher,
    TlsVersion,
    /// `CC`, `CS`: no cookie is ever captured.
    Cookie,
    /// `hr`, `hs`, `hrl`, `hsl`: no header is ever captured.
    CapturedHeaders,
}

const ALIASES: &[(&str, Alias)] = &[
    ("b", Alias::Backend),
    ("f", Alias::Frontend),
    ("ft", Alias::FrontendTransport),
    ("s", Alias::Server),
    ("ST", Alias::Status),
    ("B", Alias::BytesOut),
    ("U", Alias::BytesIn),
    ("bq", Alias::BackendQueue),
    ("sq", Alias::ServerQueue),
    ("Th", Alias::TimeHandshake),
    ("Ti", Alias::TimeIdle),
    ("TR", Alias::TimeRequest),
    ("Tq", Alias::TimeUntilRequest),
    ("Tw", Alias::TimeQueue),
    ("Tc", Alias::TimeConnect),
    ("Tr", Alias::TimeResponse),
    ("Td", Alias::TimeData),
    ("Ta", Alias::TimeActive),
    ("Tt", Alias::TimeTotal),
    ("Tu", Alias::TimeUser),
    ("ci", Alias::ClientIp),
    ("cp", Alias::ClientPort),
    ("fi", Alias::FrontendIp),
    ("fp", Alias::FrontendPort),
    ("bi", Alias::SourceIp),
    ("bp", Alias::SourcePort),
    ("si", Alias::ServerIp),
    ("sp", Alias::ServerPort),
    ("ac", Alias::ActiveConnections),
    ("fc", Alias::FrontendConnections),
    ("bc", Alias::BackendConnections),
    ("sc", Alias::ServerConnections),
    ("rc", Alias::Retries),
    ("lc", Alias::LogCounter),
    ("rt", Alias::RequestCounter),
    ("t", Alias::AcceptDate),
    ("T", Alias::AcceptDateUtc),
    ("Tl", Alias::AcceptDateLocal),
    ("Ts", Alias::AcceptSeconds),
    ("ms", Alias::AcceptMillis),
    ("tr", Alias::RequestDate),
    ("trg", Alias::RequestDateUtc),
    ("trl", Alias::RequestDateLocal),
    ("r", Alias::RequestLine),
    ("HM", Alias::Method),
    ("HP", Alias::UriPath),
    ("HPO", Alias::PathOnly),
    ("HQ", Alias::Query),
    ("HU", Alias::Uri),
    ("HV", Alias::Version),
    ("ts", Alias::Termination),
    ("tsc", Alias::TerminationWithCookies),
    ("H", Alias::Hostname),
    ("pid", Alias::Pid),
    ("ID", Alias::UniqueId),
    ("sslc", Alias::TlsCipher),
    ("sslv", Alias::TlsVersion),
    ("CC", Alias::Cookie),
    ("CS", Alias::Cookie),
    ("hr", Alias::CapturedHeaders),
    ("hs", Alias::CapturedHeaders),
    ("hrl", Alias::CapturedHeaders),
    ("hsl", Alias::CapturedHeaders),
];

/// All names, for suggestions.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    ALIASES.iter().map(|&(name, _)| name)
}

impl Alias {
    pub(crate) fn named(name: &str) -> Option<Self> {
        ALIASES.iter().find(|&&(known, _)| known == name).map(|&(_, alias)| alias)
    }

    /// Appends the value. False if the alias is one that prints nothing, so that the spaces around it merge.
    pub(crate) fn render(self, flags: Flags, record: &Record<'_>, out: &mut Vec<u8>) -> bool {
        let (timers, counters) = (&record.timers, &record.counters);
        match self {
            Self::Backend => text(out, flags, record.backend_or_frontend().as_bytes()),
            Self::Frontend => text(out, flags, record.frontend.as_bytes()),
            Self::FrontendTransport => quoted(out, flags, |out| {
                push_encoded(out, record.frontend.as_bytes(), Encoding::Trusted, false);
                if record.tls {
                    out.push(b'~');
                }
            }),
            Self::Server => text(out, flags, record.server.map_or(NO_SERVER, str::as_bytes)),
            Self::Status => signed(out, record.status.map_or(-1, i64::from)),
            Self::BytesOut => decimal(out, record.bytes_out),
            Self::BytesIn => decimal(out, record.bytes_in),
            Self::BackendQueue => decimal(out, record.queue_position),
            Self::ServerQueue => decimal(out, 0),
            Self::TimeHandshake => millis(out, Some(timers.handshake)),
            Self::TimeIdle => millis(out, Some(timers.idle)),
            Self::TimeRequest => millis(out, timers.request),
            Self::TimeUntilRequest => millis(out, timers.until_request()),
            Self::TimeQueue => millis(out, timers.queue),
            Self::TimeConnect => millis(out, timers.connect),
            Self::TimeResponse => millis(out, timers.response),
            Self::TimeData => millis(out, timers.transfer),
            Self::TimeActive => millis(out, Some(timers.total)),
            Self::TimeTotal => millis(out, Some(timers.session())),
            Self::TimeUser => millis(out, Some(timers.user())),
            Self::ClientIp => ip(out, flags, record.client),
            Self::ClientPort => port(out, flags, record.client),
            Self::FrontendIp => ip(out, flags, record.local),
            Self::FrontendPort => port(out, flags, record.local),
            Self::SourceIp => ip(out, flags, record.source),
            Self::SourcePort => port(out, flags, record.source),
            Self::ServerIp => ip(out, flags, record.upstream),
            Self::ServerPort => port(out, flags, record.upstream),
            Self::ActiveConnections => decimal(out, counters.active_connections),
            Self::FrontendConnections => decimal(out, counters.frontend_connections),
            Self::BackendConnections => decimal(out, counters.backend_connections),
            Self::ServerConnections => decimal(out, counters.server_connections),
            Self::Retries => {
                if counters.redispatched {
                    out.push(b'+');
                }
                decimal(out, u64::from(counters.retries));
            }
            Self::LogCounter => hex_or_decimal(out, flags, counters.log_counter, 4),
            Self::RequestCounter => hex_or_decimal(out, flags, counters.request_counter, 4),
            Self::AcceptDate => date_with_millis(out, record.accepted_at_ns),
            Self::AcceptDateUtc => date_with_offset(out, record.accepted_at_ns, Zone::Utc),
            Self::AcceptDateLocal => date_with_offset(out, record.accepted_at_ns, Zone::Local),
            Self::AcceptSeconds => {
                let seconds = record.accepted_at_ns.div_euclid(date::NANOS_PER_SECOND);
                if flags.hex { push_hex(out, seconds as u64, 4) } else { signed(out, seconds) }
            }
            Self::AcceptMillis => {
                let part = date::millis(record.accepted_at_ns);
                if flags.hex { push_hex(out, u64::from(part), 2) } else { date::push_padded(out, part, 3) }
            }
            Self::RequestDate => date_with_millis(out, record.started_at_ns),
            Self::RequestDateUtc => date_with_offset(out, record.started_at_ns, Zone::Utc),
            Self::RequestDateLocal => date_with_offset(out, record.started_at_ns, Zone::Local),
            Self::RequestLine => request_line(out, flags, record),
            Self::Method => request_part(out, flags, record, record.method),
            Self::UriPath => request_part(out, flags, record, record.target_path()),
            Self::PathOnly => request_part(out, flags, record, record.origin_path()),
            Self::Query => request_part(out, flags, record, record.target_query()),
            Self::Uri => request_part(out, flags, record, record.target),
            Self::Version => request_part(out, flags, record, record.version),
            Self::Termination => push_encoded(out, &record.termination, Encoding::Url, false),
            Self::TerminationWithCookies => {
                push_encoded(out, &record.termination, Encoding::Url, false);
                out.extend_from_slice(b"--");
            }
            Self::Hostname => text(out, flags, record.hostname.as_bytes()),
            Self::Pid => hex_or_decimal(out, flags, u64::from(record.pid), 4),
            Self::UniqueId => string(out, flags, Encoding::Url, record.request_id.as_bytes()),
            Self::TlsCipher => text(out, flags, record.tls_cipher.unwrap_or_default().as_bytes()),
            Self::TlsVersion => text(out, flags, record.tls_version.unwrap_or_default().as_bytes()),
            Self::Cookie => text(out, flags, b""),
            Self::CapturedHeaders => return false,
        }
        true
    }
}

/// A string item: quoted with `Q`; if empty, `""` with `Q`, else `-` unless `M` was switched off.
pub(crate) fn string(out: &mut Vec<u8>, flags: Flags, encoding: Encoding, value: &[u8]) {
    if value.is_empty() && flags.mandatory && !flags.quote {
        out.push(b'-');
    } else {
        quoted(out, flags, |out| push_encoded(out, value, encoding, flags.escape));
    }
}

fn text(out: &mut Vec<u8>, flags: Flags, value: &[u8]) {
    string(out, flags, Encoding::Trusted, value);
}

fn quoted(out: &mut Vec<u8>, flags: Flags, write: impl FnOnce(&mut Vec<u8>)) {
    if flags.quote {
        out.push(b'"');
    }
    write(out);
    if flags.quote {
        out.push(b'"');
    }
}

fn decimal(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

fn signed(out: &mut Vec<u8>, value: i64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

fn hex_or_decimal(out: &mut Vec<u8>, flags: Flags, value: u64, width: usize) {
    if flags.hex { push_hex(out, value, width) } else { decimal(out, value) }
}

/// Whole milliseconds; −1 for a phase that was never reached.
fn millis(out: &mut Vec<u8>, duration: Option<Duration>) {
    match duration {
        Some(duration) => out.extend_from_slice(itoa::Buffer::new().format(duration.as_millis()).as_bytes()),
        None => out.extend_from_slice(b"-1"),
    }
}

fn ip(out: &mut Vec<u8>, flags: Flags, address: Option<SocketAddr>) {
    match address.map(|a| a.ip().to_canonical()) {
        None => text(out, flags, b""),
        Some(IpAddr::V4(v4)) if flags.hex => push_hex(out, u64::from(u32::from(v4)), 8),
        Some(IpAddr::V6(v6)) if flags.hex => {
            let bits = u128::from(v6);
            push_hex(out, (bits >> 64) as u64, 16);
            push_hex(out, bits as u64, 16);
        }
        Some(ip) => quoted(out, flags, |out| push_ip(out, ip)),
    }
}

/// Dotted or colon form, without allocating.
pub(crate) fn push_ip(out: &mut Vec<u8>, ip: IpAddr) {
    use std::io::Write as _;
    match ip {
        IpAddr::V4(v4) => {
            for (index, octet) in v4.octets().into_iter().enumerate() {
                if index > 0 {
                    out.push(b'.');
                }
                decimal(out, u64::from(octet));
            }
        }
        IpAddr::V6(v6) => write!(out, "{v6}").expect("writing to a Vec cannot fail"),
    }
}

fn port(out: &mut Vec<u8>, flags: Flags, address: Option<SocketAddr>) {
    match address {
        Some(address) => hex_or_decimal(out, flags, u64::from(address.port()), 4),
        None => text(out, flags, b""),
    }
}

fn date_with_millis(out: &mut Vec<u8>, epoch_nanos: i64) {
    date::push_clf(out, date::civil(epoch_nanos, Zone::Local));
    out.push(b'.');
    date::push_padded(out, date::millis(epoch_nanos), 3);
}

fn date_with_offset(out: &mut Vec<u8>, epoch_nanos: i64, zone: Zone) {
    let date = date::civil(epoch_nanos, zone);
    date::push_clf(out, date);
    date::push_clf_offset(out, date);
}

fn request_line(out: &mut Vec<u8>, flags: Flags, record: &Record<'_>) {
    quoted(out, flags, |out| {
        if !record.has_request_line() {
            out.extend_from_slice(BAD_REQUEST);
            return;
        }
        let mut room = REQUEST_LINE_MAX;
        for part in [record.method, b" ", record.target, b" ", record.version] {
            let kept = &part[..part.len().min(room)];
            room -= kept.len();
            push_encoded(out, kept, Encoding::Url, flags.escape);
        }
    });
}

/// Part of the request line. Unlike other strings, an empty one prints nothing at all.
fn request_part(out: &mut Vec<u8>, flags: Flags, record: &Record<'_>, part: &[u8]) {
    let part = if record.has_request_line() { part } else { BAD_REQUEST };
    let part = &part[..part.len().min(REQUEST_LINE_MAX)];
    quoted(out, flags, |out| push_encoded(out, part, Encoding::Url, flags.escape));
}
