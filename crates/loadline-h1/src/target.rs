//! The request target and the authority (RFC 9112 section 3.2, RFC 3986 section 3.2).

use crate::refusal::RefusalKind;
use crate::span::Span;

/// The parts of a request target, as places in the buffer.
pub(crate) struct Target {
    pub(crate) path: Span,
    pub(crate) query: Span,
    /// Path and query together; does not begin with a slash where absolute-form has no path.
    pub(crate) origin: Span,
    /// Only absolute-form has one.
    pub(crate) authority: Option<Span>,
    /// `*` itself, or `OPTIONS` with an absolute-form that has neither path nor query, which a proxy forwards as `*`
    /// (RFC 9112 section 3.2.4).
    pub(crate) asterisk: bool,
}

/// Splits the target of a request with `method`, which lies at `target` in `buf`.
///
/// The token parser has refused controls, space and DEL. Of what is left, RFC 3986 does not allow `"`, `<`, `>`, `\`,
/// `^`, `` ` ``, `{`, `|` and `}`, but clients send them, no parser takes them for a delimiter, and other proxies pass
/// them on: so do we, byte for byte. A fragment (`#`) and bytes from 0x80 up are refused.
pub(crate) fn split(buf: &[u8], method: &[u8], target: Span) -> Result<Target, RefusalKind> {
    let text = target.of(buf);
    match text {
        [b'/', ..] => path_and_query(buf, target.start(), target.end()),
        b"*" if method == b"OPTIONS" => {
            Ok(Target { asterisk: true, ..path_and_query(buf, target.start(), target.end())? })
        }
        _ => absolute(buf, method, target),
    }
}

/// `http://authority[/path][?query]`. `https` is taken too: whoever terminated TLS before us may send it.
fn absolute(buf: &[u8], method: &[u8], target: Span) -> Result<Target, RefusalKind> {
    let text = target.of(buf);
    let scheme = text.iter().position(|&b| b == b':').ok_or(RefusalKind::TargetForm)?;
    let is_http =
        text[..scheme].eq_ignore_ascii_case(b"http") || text[..scheme].eq_ignore_ascii_case(b"https");
    if !is_http || !text[scheme..].starts_with(b"://") {
        return Err(RefusalKind::TargetForm);
    }
    let (from, end) = (target.start() + scheme + 3, target.end());
    let to = buf[from..end].iter().position(|&b| b == b'/' || b == b'?').map_or(end, |length| from + length);
    if !is_authority(&buf[from..to]) {
        return Err(RefusalKind::HostInvalid);
    }
    let mut parts = path_and_query(buf, to, end)?;
    parts.authority = Some(Span::new(from, to));
    if parts.path.is_empty() {
        // An empty path means "/" (RFC 9110 section 4.2.3). The last slash of "://" lends its place for it.
        parts.path = Span::new(from - 1, from);
        parts.asterisk = method == b"OPTIONS" && to == end;
    }
    Ok(parts)
}

fn path_and_query(buf: &[u8], start: usize, end: usize) -> Result<Target, RefusalKind> {
    let path_end = plain_end(buf, start, end);
    let (query_start, query_end) = match buf[path_end..end] {
        [] => (end, end),
        // A query may hold `?` as well.
        [b'?', ..] => (path_end + 1, end),
        _ => return Err(RefusalKind::Target),
    };
    let mut at = query_start;
    while at < query_end {
        at = plain_end(buf, at, query_end);
        match buf[at..query_end] {
            [] => {}
            [b'?', ..] => at += 1,
            _ => return Err(RefusalKind::Target),
        }
    }
    Ok(Target {
        path: Span::new(start, path_end),
        query: Span::new(query_start, query_end),
        origin: Span::new(start, end),
        authority: None,
        asterisk: false,
    })
}

/// Where in `buf[start..end]` the first byte that is not plain lies: `?`, or one that a target may not hold.
#[inline]
fn plain_end(buf: &[u8], start: usize, end: usize) -> usize {
    buf[start..end].iter().position(|&b| !PLAIN_BYTE[b as usize]).map_or(end, |length| start + length)
}

static PLAIN_BYTE: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = b'!';
    while byte < 0x7f {
        table[byte as usize] = byte != b'?' && byte != b'#';
        byte += 1;
    }
    table
};

/// Whether `text` is `uri-host [":" port]` (RFC 9110 section 7.2) as real hosts are written: no user information, no
/// white space, no comma (which would make it a list), no `%` (allowed by RFC 3986, but decoded by some recipients and
/// not by others, and in no real host), an IPv6 address in brackets without zone, a port up to 65535 or empty.
pub(crate) fn is_authority(text: &[u8]) -> bool {
    let (host_is_good, rest) = match text {
        [b'[', inside @ ..] => {
            let Some(end) = inside.iter().position(|&b| b == b']') else { return false };
            (is_ipv6(&inside[..end]), &inside[end + 1..])
        }
        _ => {
            let end = text.iter().position(|&b| !HOST_BYTE[b as usize]).unwrap_or(text.len());
            (end > 0, &text[end..])
        }
    };
    host_is_good
        && match rest {
            [] => true,
            [b':', port @ ..] => is_port(port),
            _ => false,
        }
}

/// `unreserved`, and `sub-delims` without the comma (RFC 3986 section 3.2.2).
static HOST_BYTE: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        let b = byte as u8;
        table[byte] = b.is_ascii_alphanumeric()
            || matches!(b, b'-' | b'.' | b'_' | b'~' | b'!' | b'$' | b'&' | b'\'')
            || matches!(b, b'(' | b')' | b'*' | b'+' | b';' | b'=');
        byte += 1;
    }
    table
};

/// The shape only: what an address means is the upstream's matter.
fn is_ipv6(text: &[u8]) -> bool {
    core::str::from_utf8(text).is_ok_and(|text| text.parse::<core::net::Ipv6Addr>().is_ok())
}

fn is_port(port: &[u8]) -> bool {
    port.len() <= 5
        && port.iter().all(u8::is_ascii_digit)
        && port.iter().fold(0u32, |number, digit| number * 10 + u32::from(digit - b'0'))
            <= u32::from(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::is_authority;

    #[test]
    fn authorities() {
        for good in [
            "a",
            "a:",
            "a:80",
            "a.b-c_d:65535",
            "[::1]",
            "[::1]:80",
            "[::ffff:1.2.3.4]",
            "127.0.0.1:8000",
            "example.com.",
            "a!b",
        ] {
            assert!(is_authority(good.as_bytes()), "{good}");
        }
        for bad in [
            "",
            ":80",
            "a:65536",
            "a:000080",
            "a:8x",
            "a:-1",
            "a b",
            "a,b",
            "a/b",
            "u@a",
            "a:1:2",
            "[::1",
            "[]",
            "[::1]80",
            "[::1%25eth0]",
            "[v1.x]",
            "::1",
            "a%2",
            "a%zz",
            "a%",
            "a?b",
            "a#b",
            "a\\b",
            "\u{e9}",
            "a\t",
            "a<b",
            "a\"b",
            "[a]",
            "a]",
        ] {
            assert!(!is_authority(bad.as_bytes()), "{bad}");
        }
    }
}
