//! The grammar of a log address: where lines go, and the options that may follow.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::path::PathBuf;

use super::{DATAGRAM_MAX, HeaderFormat};

/// Syslog's port.
const DEFAULT_PORT: u16 = 514;
/// Below this a line could hold little more than its header.
const MIN_LENGTH: usize = 80;
/// The largest UDP payload over IPv4, less the line feed.
const MAX_LENGTH: usize = 65_506;
/// Size of `sun_path`, its terminator not counted.
const UNIX_PATH_MAX: usize = 107;

const FORMS: &str = "`host[:port]`, `[v6]:port`, `udp@host[:port]`, `tcp@host[:port]`, an absolute socket path, \
    `unix@path`, `stdout`, `stderr` or `fd@number`";

/// A parsed `LOG_ADDRESS`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogTarget {
    /// Where lines go.
    pub address: LogAddress,
    /// `len`: longest line in bytes, without its line feed.
    pub max_len: Option<usize>,
    /// `format`: what precedes each line.
    pub format: Option<HeaderFormat>,
}

/// Where lines go. Host names are resolved by whoever opens the target, again after every failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogAddress {
    /// One datagram per line.
    Udp {
        /// Name or literal address, without brackets.
        host: String,
        /// Port, 514 unless given.
        port: u16,
    },
    /// Lines in one stream.
    Tcp {
        /// Name or literal address, without brackets.
        host: String,
        /// Port, 514 unless given.
        port: u16,
    },
    /// One datagram per line to a socket in the file system, which need not exist yet.
    Unix(PathBuf),
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// An inherited file descriptor.
    Fd(u32),
}

/// Why an address was refused: where, what, and what would do instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogTargetError {
    /// Byte offset of the culprit in the text given.
    pub offset: usize,
    /// The part of the text that is wrong.
    pub culprit: String,
    /// What is wrong with it, and what to write instead.
    pub problem: String,
}

impl LogTarget {
    /// Parses an address and the options `len` and `format` behind it. Resolves and opens nothing.
    ///
    /// # Errors
    /// Anything that is none of the forms, and control bytes anywhere: a value with a line feed is an attempt to
    /// write into something else.
    pub fn parse(text: &str) -> Result<Self, LogTargetError> {
        if let Some((offset, character)) = text.char_indices().find(|(_, c)| c.is_control()) {
            return Err(error(
                offset,
                &character.to_string(),
                "control characters are not allowed; remove it",
            ));
        }
        let mut words = Words { text, at: 0 };
        let Some((at, address)) = words.next() else {
            return Err(error(0, text, format!("empty; write {FORMS}")));
        };
        let mut target = Self { address: LogAddress::parse(at, address)?, max_len: None, format: None };
        while let Some((at, option)) = words.next() {
            let value = words.next();
            match (option, value) {
                ("len", Some((at, value))) => target.max_len = Some(length(at, value)?),
                ("format", Some((at, value))) => {
                    target.format =
                        Some(value.parse().map_err(|e: super::NameError| error(at, value, e.expected))?);
                }
                ("len" | "format", None) => return Err(error(at, option, "a value must follow")),
                _ => {
                    return Err(error(
                        at,
                        option,
                        "no such option; known are `len <bytes>` and `format <name>`",
                    ));
                }
            }
        }
        Ok(target)
    }

    /// Whether each line travels on its own, in a datagram.
    pub fn is_datagram(&self) -> bool {
        matches!(self.address, LogAddress::Udp { .. } | LogAddress::Unix(_))
    }

    /// What precedes lines unless someone says otherwise: nothing on a file descriptor, where people and containers
    /// read; RFC 5424 towards a log server.
    pub fn header_format(&self) -> HeaderFormat {
        self.format.unwrap_or(match self.address {
            LogAddress::Stdout | LogAddress::Stderr | LogAddress::Fd(_) => HeaderFormat::Raw,
            LogAddress::Udp { .. } | LogAddress::Tcp { .. } | LogAddress::Unix(_) => HeaderFormat::Rfc5424,
        })
    }

    /// Where a line is cut: `len`, else [`DATAGRAM_MAX`] for datagrams, else nowhere.
    pub fn line_max(&self) -> Option<usize> {
        self.max_len.or_else(|| self.is_datagram().then_some(DATAGRAM_MAX))
    }
}

impl LogAddress {
    fn parse(at: usize, text: &str) -> Result<Self, LogTargetError> {
        match text {
            "stdout" => return Ok(Self::Stdout),
            "stderr" => return Ok(Self::Stderr),
            _ if text.starts_with('/') => return unix_path(at, text),
            _ => {}
        }
        let Some((family, rest)) = text.split_once('@') else {
            let (host, port) = host_and_port(at, text)?;
            return Ok(Self::Udp { host, port });
        };
        let rest_at = at + family.len() + 1;
        match family {
            "udp" => host_and_port(rest_at, rest).map(|(host, port)| Self::Udp { host, port }),
            "tcp" => host_and_port(rest_at, rest).map(|(host, port)| Self::Tcp { host, port }),
            "unix" => unix_path(rest_at, rest),
            "fd" => rest.parse().map(Self::Fd).map_err(|_| {
                error(rest_at, rest, "expected the number of an open file descriptor, such as `fd@3`")
            }),
            "ring" => {
                Err(error(at, text, "ring buffers live inside HAProxy; write `stdout` or a syslog address"))
            }
            _ => Err(error(at, family, format!("no such kind of address; write {FORMS}"))),
        }
    }
}

impl fmt::Display for LogAddress {
    /// As [`LogTarget::parse`] reads it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, host, port) = match self {
            Self::Udp { host, port } => ("udp", host, port),
            Self::Tcp { host, port } => ("tcp", host, port),
            Self::Unix(path) => return write!(f, "unix@{}", path.display()),
            Self::Stdout => return f.write_str("stdout"),
            Self::Stderr => return f.write_str("stderr"),
            Self::Fd(number) => return write!(f, "fd@{number}"),
        };
        if host.contains(':') {
            write!(f, "{kind}@[{host}]:{port}")
        } else {
            write!(f, "{kind}@{host}:{port}")
        }
    }
}

impl fmt::Display for LogTargetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "log address, byte {}: `{}`: {}", self.offset, self.culprit.escape_debug(), self.problem)
    }
}

impl std::error::Error for LogTargetError {}

/// Splits at spaces, keeping offsets.
struct Words<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Iterator for Words<'t> {
    type Item = (usize, &'t str);

    fn next(&mut self) -> Option<Self::Item> {
        let rest = &self.text[self.at..];
        let start = self.at + rest.find(|c| c != ' ')?;
        let word = self.text[start..].split(' ').next()?;
        self.at = start + word.len();
        Some((start, word))
    }
}

/// `host`, `host:`, `host:port`, `[v6]`, `[v6]:port` or a bare IPv6 address.
fn host_and_port(at: usize, text: &str) -> Result<(String, u16), LogTargetError> {
    if let Some(rest) = text.strip_prefix('[') {
        let Some((literal, after)) = rest.split_once(']') else {
            return Err(error(at, text, "`[` is never closed; write `[v6]:port`"));
        };
        if literal.parse::<Ipv6Addr>().is_err() {
            return Err(error(at + 1, literal, "no IPv6 address; brackets are for those only"));
        }
        return match after.strip_prefix(':') {
            Some(digits) => Ok((literal.to_owned(), port(at + text.len() - digits.len(), digits)?)),
            None if after.is_empty() => Ok((literal.to_owned(), DEFAULT_PORT)),
            None => Err(error(at + text.len() - after.len(), after, "expected `:port` or nothing after `]`")),
        };
    }
    if text.parse::<Ipv6Addr>().is_ok() {
        return Ok((text.to_owned(), DEFAULT_PORT));
    }
    let (host, digits) = text.split_once(':').unwrap_or((text, ""));
    if digits.contains(':') {
        return Err(error(at, text, "more than one colon; write an IPv6 address as `[v6]:port`"));
    }
    if !is_host(host) {
        return Err(error(at, host, format!("no host name; write {FORMS}")));
    }
    Ok((host.to_owned(), port(at + host.len() + 1, digits)?))
}

fn port(at: usize, digits: &str) -> Result<u16, LogTargetError> {
    match digits.parse() {
        _ if digits.is_empty() => Ok(DEFAULT_PORT),
        Ok(port) if port > 0 && digits.bytes().all(|b| b.is_ascii_digit()) => Ok(port),
        _ => Err(error(at, digits, "no port; expected 1 to 65535")),
    }
}

/// Letters, digits, `-`, `.`, and `_`, which container networks use. All digits and dots must be an IPv4 address.
fn is_host(host: &str) -> bool {
    let plain = host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'));
    let numeric = host.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    !host.is_empty() && host.len() <= 253 && plain && (!numeric || host.parse::<IpAddr>().is_ok())
}

fn unix_path(at: usize, path: &str) -> Result<LogAddress, LogTargetError> {
    if path.is_empty() || path.len() > UNIX_PATH_MAX {
        let problem =
            format!("expected the path of a socket, 1 to {UNIX_PATH_MAX} bytes, such as `/dev/log`");
        return Err(error(at, path, problem));
    }
    Ok(LogAddress::Unix(PathBuf::from(path)))
}

fn length(at: usize, text: &str) -> Result<usize, LogTargetError> {
    match text.parse() {
        Ok(length) if (MIN_LENGTH..=MAX_LENGTH).contains(&length) => Ok(length),
        _ => Err(error(at, text, format!("expected a length from {MIN_LENGTH} to {MAX_LENGTH} bytes"))),
    }
}

fn error(offset: usize, culprit: &str, problem: impl Into<String>) -> LogTargetError {
    LogTargetError { offset, culprit: culprit.to_owned(), problem: problem.into() }
}
