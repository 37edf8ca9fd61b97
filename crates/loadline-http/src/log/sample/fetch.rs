//! What an expression starts from: the fetches, their arguments, and where each finds its value.

use std::borrow::Cow;

use super::{Value, integer};
use crate::date::NANOS_PER_SECOND;
use crate::log::record::Record;

const KNOWN: &str = "src, src_port, dst, dst_port, bc_src, status, method, capture.req.uri, capture.req.method, \
    capture.req.ver, capture.res.ver, hostname, date, uuid, rand, int, str, env, be_name, fe_name, fc_http_major, \
    ssl_fc, unique-id, req.hdr, res.hdr, path, query, loadline.reason, loadline.priority, loadline.limit, \
    loadline.inflight, loadline.deadline_ms";
const NANOS_PER_MILLI: i64 = 1_000_000;
const NANOS_PER_MICRO: i64 = 1_000;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fetch {
    Src,
    SrcPort,
    Dst,
    DstPort,
    BackendSource,
    Status,
    Method,
    CaptureUri,
    CaptureMethod,
    CaptureVersion,
    CaptureResponseVersion,
    Hostname,
    /// Offset and the number of nanoseconds in the unit of both the offset and the result.
    Date(i64, i64),
    Uuid,
    /// A number below the bound; `None`: any 32-bit number.
    Rand(Option<u32>),
    Int(i64),
    /// `str()`, and `env()` as it was at start.
    Text(String),
    BackendName,
    FrontendName,
    ClientHttpMajor,
    Tls,
    UniqueId,
    RequestHeader(String),
    ResponseHeader(String),
    Path,
    Query,
    Reason,
    Priority,
    Limit,
    InFlight,
    DeadlineMs,
}

impl Fetch {
    pub(super) fn new(name: &str, arguments: &[String]) -> Result<Self, String> {
        let fetch = match name {
            "src" => Self::Src,
            "src_port" => Self::SrcPort,
            "dst" => Self::Dst,
            "dst_port" => Self::DstPort,
            "bc_src" => Self::BackendSource,
            "status" => Self::Status,
            "method" => Self::Method,
            "capture.req.uri" => Self::CaptureUri,
            "capture.req.method" => Self::CaptureMethod,
            "capture.req.ver" => Self::CaptureVersion,
            "capture.res.ver" => Self::CaptureResponseVersion,
            "hostname" => Self::Hostname,
            "uuid" => {
                return match arguments {
                    [] => Ok(Self::Uuid),
                    [version] if version == "4" => Ok(Self::Uuid),
                    _ => Err("only version 4 exists; write `uuid()`".to_owned()),
                };
            }
            "be_name" => Self::BackendName,
            "fe_name" => Self::FrontendName,
            "fc_http_major" => Self::ClientHttpMajor,
            "ssl_fc" => Self::Tls,
            "unique-id" => Self::UniqueId,
            "path" => Self::Path,
            "query" => Self::Query,
            "loadline.reason" => Self::Reason,
            "loadline.priority" => Self::Priority,
            "loadline.limit" => Self::Limit,
            "loadline.inflight" => Self::InFlight,
            "loadline.deadline_ms" => Self::DeadlineMs,
            _ => return Self::with_arguments(name, arguments),
        };
        if arguments.is_empty() { Ok(fetch) } else { Err("takes no argument".to_owned()) }
    }

    fn with_arguments(name: &str, arguments: &[String]) -> Result<Self, String> {
        match (name, arguments) {
            ("date", []) => Ok(Self::Date(0, NANOS_PER_SECOND)),
            ("date", [offset]) => Ok(Self::Date(integer(offset)?, NANOS_PER_SECOND)),
            ("date", [offset, unit]) => {
                let offset = if offset.is_empty() { 0 } else { integer(offset)? };
                match unit.as_str() {
                    "s" => Ok(Self::Date(offset, NANOS_PER_SECOND)),
                    "ms" => Ok(Self::Date(offset, NANOS_PER_MILLI)),
                    "us" => Ok(Self::Date(offset, NANOS_PER_MICRO)),
                    _ => Err("the unit must be `s`, `ms` or `us`".to_owned()),
                }
            }
            ("rand", []) => Ok(Self::Rand(None)),
            ("rand", [bound]) => match bound.parse() {
                Ok(bound) => Ok(Self::Rand(Some(bound))),
                Err(_) => Err("the bound must be an integer from 0 to 4294967295".to_owned()),
            },
            ("int", [number]) => Ok(Self::Int(integer(number)?)),
            ("str", []) => Ok(Self::Text(String::new())),
            ("str", [text]) => Ok(Self::Text(text.clone())),
            ("env", [variable]) => Ok(Self::Text(
                std::env::var_os(variable).map(|v| v.to_string_lossy().into_owned()).unwrap_or_default(),
            )),
            ("req.hdr", [header]) => Ok(Self::RequestHeader(header_name(header)?)),
            ("res.hdr", [header]) => Ok(Self::ResponseHeader(header_name(header)?)),
            ("date" | "rand" | "int" | "str" | "env" | "req.hdr" | "res.hdr", _) => {
                Err("wrong number of arguments; write `date(offset,unit)`, `rand(bound)`, `int(number)`, `str(text)`, \
                    `env(variable)`, `req.hdr(name)` or `res.hdr(name)`"
                    .to_owned())
            }
            ("", _) => Err(format!("an expression must be one of {KNOWN}")),
            _ => Err(format!("no such expression; known are {KNOWN}")),
        }
    }

    pub(super) fn value<'a>(&'a self, record: &Record<'a>) -> Value<'a> {
        let address = |address: Option<std::net::SocketAddr>| {
            address.map_or(Value::None, |a| Value::Address(a.ip().to_canonical()))
        };
        let port = |address: Option<std::net::SocketAddr>| {
            address.map_or(Value::None, |a| Value::Number(i64::from(a.port())))
        };
        let unsigned = |number: u64| Value::Number(i64::try_from(number).unwrap_or(i64::MAX));
        match self {
            Self::Src => address(record.client),
            Self::SrcPort => port(record.client),
            Self::Dst => address(record.local),
            Self::DstPort => port(record.local),
            Self::BackendSource => address(record.source),
            Self::Status => record.status.map_or(Value::None, |s| Value::Number(i64::from(s))),
            Self::Method | Self::CaptureMethod => peer(record.method),
            Self::CaptureUri => peer(record.origin_form()),
            Self::CaptureVersion => peer(record.version),
            Self::CaptureResponseVersion => peer(record.response_version),
            Self::Hostname => trusted(record.hostname),
            Self::Date(offset, unit) => Value::Number((record.now_ns / unit).saturating_add(*offset)),
            Self::Uuid => Value::Trusted(Cow::Owned(uuid(record.entropy))),
            Self::Rand(bound) => Value::Number(rand(record.entropy, *bound)),
            Self::Int(number) => Value::Number(*number),
            Self::Text(text) => trusted(text),
            Self::BackendName => trusted(record.backend),
            Self::FrontendName => trusted(record.frontend),
            Self::ClientHttpMajor => match record.version.strip_prefix(b"HTTP/").and_then(<[u8]>::first) {
                Some(&digit) if digit.is_ascii_digit() => Value::Number(i64::from(digit - b'0')),
                _ => Value::None,
            },
            Self::Tls => Value::Number(i64::from(record.tls)),
            Self::UniqueId => peer(record.request_id.as_bytes()),
            Self::RequestHeader(name) => header(record.request_headers.and_then(|h| h.last(name))),
            Self::ResponseHeader(name) => header(record.response_headers.and_then(|h| h.last(name))),
            Self::Path => peer(record.origin_path()),
            Self::Query => peer(record.target_query().strip_prefix(b"?").unwrap_or_default()),
            Self::Reason => trusted(record.reason.unwrap_or_default()),
            Self::Priority => trusted(record.class),
            Self::Limit => unsigned(record.limit),
            Self::InFlight => unsigned(record.in_flight),
            Self::DeadlineMs => record.deadline_left_ms.map_or(Value::None, Value::Number),
        }
    }
}

fn trusted(text: &str) -> Value<'_> {
    if text.is_empty() { Value::None } else { Value::Trusted(Cow::Borrowed(text.as_bytes())) }
}

fn peer(text: &[u8]) -> Value<'_> {
    if text.is_empty() { Value::None } else { Value::Peer(Cow::Borrowed(text)) }
}

fn header(text: Option<&[u8]>) -> Value<'_> {
    text.map_or(Value::None, |text| Value::Header(Cow::Borrowed(text)))
}

/// A field name (RFC 9110 section 5.1), lower-cased.
fn header_name(name: &str) -> Result<String, String> {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if !name.is_empty() && name.bytes().all(token) {
        Ok(name.to_ascii_lowercase())
    } else {
        Err(format!("`{}` is no header name", name.escape_debug()))
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): spreads one random number into several that look independent.
fn mix(entropy: u64, index: u64) -> u64 {
    let mut z = entropy.wrapping_add(0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(index + 1));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

fn rand(entropy: u64, bound: Option<u32>) -> i64 {
    let random = mix(entropy, 0) >> 32;
    i64::try_from(bound.map_or(random, |bound| (random * u64::from(bound)) >> 32)).unwrap_or(0)
}

/// A version 4 UUID (RFC 9562 section 5.4). Not a secret: it is as random as the record's entropy.
fn uuid(entropy: u64) -> Vec<u8> {
    let high = (mix(entropy, 1) & !0xF000) | 0x4000;
    let low = (mix(entropy, 2) & !(0b11 << 62)) | (0b10 << 62);
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xFFFF,
        high & 0xFFFF,
        low >> 48,
        low & 0xFFFF_FFFF_FFFF
    )
    .into_bytes()
}
