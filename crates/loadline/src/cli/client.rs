//! A small blocking HTTP/1.1 client for a running loadline's admin listener and for health checks.
//!
//! One request per connection, plain HTTP, a bound on time and size: these commands run in probes and scripts, where a clear error
//! within seconds is worth more than anything else. Out of scope: TLS, redirects, proxies.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use crate::config::settings::Secret;

/// Longest time for a whole exchange with the admin listener.
const ADMIN_TIMEOUT: Duration = Duration::from_secs(5);
/// Largest answer that is read, head included: a status document has a few kilobytes.
const MAX_ANSWER: usize = 1 << 20;
/// Longest part of a failure's body that is shown, in characters.
const SHOWN: usize = 300;

/// A running loadline's admin listener.
pub(super) struct Admin {
    address: SocketAddr,
    token: Option<Secret>,
}

impl Admin {
    /// The listener at `address`; an unspecified address means this machine.
    pub(super) fn new(mut address: SocketAddr, token: Option<Secret>) -> Self {
        if address.ip().is_unspecified() {
            let loopback =
                if address.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
            address.set_ip(loopback);
        }
        Self { address, token }
    }

    /// The URL of a path.
    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Reads a document.
    ///
    /// # Errors
    /// The listener is not there, does not answer in time, or answers with something else than 2xx.
    pub(super) fn get(&self, path: &str) -> Result<String, ClientError> {
        self.ask("GET", path)
    }

    /// Triggers an action.
    ///
    /// # Errors
    /// As [`Admin::get`].
    pub(super) fn post(&self, path: &str) -> Result<String, ClientError> {
        self.ask("POST", path)
    }

    fn ask(&self, method: &str, path: &str) -> Result<String, ClientError> {
        let deadline = Instant::now() + ADMIN_TIMEOUT;
        let authority = self.address.to_string();
        let request =
            Request { method, authority: &authority, target: path, token: self.token.as_ref(), header: None };
        let answer = exchange(&[self.address], &request, deadline)
            .map_err(|cause| ClientError::io(self.url(path), cause))?;
        answer.success(self.url(path))
    }
}

/// Asks `url` (`http://host[:port][/path]`) and wants a 2xx.
///
/// # Errors
/// The URL is not such a URL, or as [`Admin::get`].
pub(super) fn healthcheck(url: &str, timeout: Duration) -> Result<(), ClientError> {
    let deadline = Instant::now() + timeout;
    let (authority, target) = split_url(url).ok_or_else(|| ClientError::url(url))?;
    let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
    let with_port = if has_port { authority.to_owned() } else { format!("{authority}:80") };
    let addresses = with_port.to_socket_addrs().map_err(|cause| ClientError::io(url.to_owned(), cause))?;
    let request = Request { method: "GET", authority, target, token: None, header: None };
    let answer = exchange(&addresses.collect::<Vec<_>>(), &request, deadline);
    answer.map_err(|cause| ClientError::io(url.to_owned(), cause))?.success(url.to_owned()).map(|_| ())
}

/// Why there is no good answer.
#[derive(Debug)]
pub(super) struct ClientError(String);

impl ClientError {
    fn io(url: String, cause: io::Error) -> Self {
        Self(match cause.kind() {
            io::ErrorKind::ConnectionRefused => {
                format!("{url}: nothing listens there (is loadline running?)")
            }
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => format!("{url}: no answer in time"),
            _ => format!("{url}: {cause}"),
        })
    }

    fn url(url: &str) -> Self {
        Self(format!("{url:?} is not a URL to check (try http://127.0.0.1:8000/healthcheck)"))
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One request.
pub(super) struct Request<'r> {
    pub(super) method: &'r str,
    pub(super) authority: &'r str,
    pub(super) target: &'r str,
    pub(super) token: Option<&'r Secret>,
    /// One more header.
    pub(super) header: Option<(&'r str, &'r str)>,
}

/// Its answer.
#[derive(Debug, PartialEq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: String,
}

impl Answer {
    fn success(self, url: String) -> Result<String, ClientError> {
        if (200..300).contains(&self.status) {
            return Ok(self.body);
        }
        let shown: String =
            self.body.trim().chars().filter(|letter| !letter.is_control()).take(SHOWN).collect();
        let separator = if shown.is_empty() { "" } else { ": " };
        Err(ClientError(format!("{url} answered {}{separator}{shown}", self.status)))
    }
}

/// `http://authority/target` without spaces, control characters and user information.
fn split_url(url: &str) -> Option<(&str, &str)> {
    let rest = url.strip_prefix("http://")?;
    let (authority, target) = rest.find('/').map_or((rest, "/"), |slash| rest.split_at(slash));
    let good = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    (good(authority) && good(target) && !authority.contains('@')).then_some((authority, target))
}

/// Sends it on a connection of its own, and reads the whole answer.
///
/// # Errors
/// No connection, no complete answer by `deadline`, or an answer that is no HTTP or above 1 MiB.
pub(super) fn exchange(
    addresses: &[SocketAddr],
    request: &Request<'_>,
    deadline: Instant,
) -> io::Result<Answer> {
    let mut stream = connect(addresses, deadline)?;
    let mut head = format!(
        "{} {} HTTP/1.1\r\nhost: {}\r\nuser-agent: loadline/{}\r\nconnection: close\r\n",
        request.method,
        request.target,
        request.authority,
        env!("CARGO_PKG_VERSION")
    );
    if let Some(token) = request.token {
        head += &format!("authorization: Bearer {}\r\n", token.expose());
    }
    if let Some((name, value)) = request.header {
        head += &format!("{name}: {value}\r\n");
    }
    if request.method == "POST" {
        head += "content-length: 0\r\n";
    }
    head += "\r\n";
    stream.set_write_timeout(Some(left(deadline)?))?;
    stream.write_all(head.as_bytes())?;
    let bytes = read_answer(&mut stream, deadline)?;
    parse_answer(&bytes)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the answer is not complete HTTP"))
}

fn connect(addresses: &[SocketAddr], deadline: Instant) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in addresses {
        match TcpStream::connect_timeout(address, left(deadline)?) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Reads until the server closes, which we asked for, or until a declared length is there.
fn read_answer(stream: &mut TcpStream, deadline: Instant) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 8192];
    while !is_complete(&bytes) {
        stream.set_read_timeout(Some(left(deadline)?))?;
        match stream.read(&mut chunk) {
            Ok(0) => break,
            Ok(count) => bytes.extend_from_slice(&chunk[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        if bytes.len() > MAX_ANSWER {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the answer is larger than 1 MiB"));
        }
    }
    Ok(bytes)
}

/// Time until the deadline; an error when there is none left.
fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}

/// Head and body of an answer whose head is complete.
struct Parts<'b> {
    status: u16,
    length: Option<usize>,
    chunked: bool,
    body: &'b [u8],
}

fn parts(bytes: &[u8]) -> Option<Parts<'_>> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..end]).ok()?;
    let mut lines = head.split("\r\n");
    let status_line = lines.next()?.strip_prefix("HTTP/1.")?;
    let status = status_line.split(' ').nth(1)?.parse().ok()?;
    let mut parts = Parts { status, length: None, chunked: false, body: &bytes[end + 4..] };
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        if name.eq_ignore_ascii_case("content-length") {
            parts.length = Some(value.trim().parse().ok()?);
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            parts.chunked = value.trim().eq_ignore_ascii_case("chunked");
        }
    }
    Some(parts)
}

fn is_complete(bytes: &[u8]) -> bool {
    parts(bytes).is_some_and(|parts| {
        parts.status == 204
            || (!parts.chunked && parts.length.is_some_and(|length| parts.body.len() >= length))
    })
}

fn parse_answer(bytes: &[u8]) -> Option<Answer> {
    let parts = parts(bytes)?;
    let body = match (parts.chunked, parts.length) {
        (true, _) => dechunk(parts.body)?,
        (false, Some(length)) if parts.status != 204 => parts.body.get(..length)?.to_vec(),
        (false, _) => parts.body.to_vec(),
    };
    Some(Answer { status: parts.status, body: String::from_utf8_lossy(&body).into_owned() })
}

/// The content of a chunked body (RFC 9112, section 7.1); trailers are not looked at.
fn dechunk(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line_end = rest.windows(2).position(|window| window == b"\r\n")?;
        let size = std::str::from_utf8(&rest[..line_end]).ok()?.split(';').next()?.trim();
        let size = usize::from_str_radix(size, 16).ok().filter(|size| *size <= MAX_ANSWER)?;
        rest = &rest[line_end + 2..];
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(rest.get(..size)?);
        rest = rest.get(size..)?.strip_prefix(b"\r\n")?;
    }
}

#[cfg(test)]
mod tests;
