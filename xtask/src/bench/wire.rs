//! As much HTTP/1.1 as the benchmarks need to tell one message from the next.
//!
//! Both ends are our own or a proxy that frames correctly, so nothing is validated: the proxy's strictness is not
//! under test here.

/// A read buffer for whole messages of any scenario, but the download of the slow clients.
pub(super) fn read_buffer() -> Vec<u8> {
    /// Holds any answer or request of the scenarios in one piece.
    const READ_BUFFER: usize = 64 * 1024;
    vec![0; READ_BUFFER]
}

/// Where the head of an HTTP message ends: the index just after its empty line.
pub(super) fn head_end(bytes: &[u8]) -> Option<usize> {
    const END: &[u8; 4] = b"\r\n\r\n";
    bytes.windows(4).position(|window| window == END).map(|at| at + 4)
}

/// The value of the first field called `name` (lower case) in a message head.
pub(super) fn field<'a>(head: &'a [u8], name: &str) -> Option<&'a [u8]> {
    head.split(|byte| *byte == b'\n').skip(1).find_map(|line| {
        let (key, rest) = line.split_at_checked(name.len())?;
        let value = rest.strip_prefix(b":")?;
        key.eq_ignore_ascii_case(name.as_bytes()).then(|| value.trim_ascii())
    })
}

/// The value of `Content-Length`, in bytes; `None` when absent or malformed.
pub(super) fn content_length(head: &[u8]) -> Option<usize> {
    std::str::from_utf8(field(head, "content-length")?).ok()?.parse().ok()
}

/// The status code of a response head.
pub(super) fn status(head: &[u8]) -> Option<u16> {
    std::str::from_utf8(head.get(9..12)?).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-LENGTH:  12 \r\nX: y\r\n\r\n";

    #[test]
    fn heads_are_read() {
        assert_eq!(head_end(HEAD), Some(HEAD.len()));
        assert_eq!(status(HEAD), Some(503));
        assert_eq!(content_length(HEAD), Some(12));
        assert_eq!(field(HEAD, "x"), Some(&b"y"[..]));
        assert_eq!(field(HEAD, "content"), None);
    }

    #[test]
    fn the_first_empty_line_ends_the_head() {
        assert_eq!(head_end(b"a\r\n\r\nb\r\n\r\n"), Some(5));
        assert_eq!(head_end(b"a\r\n\r\nbody"), Some(5));
        assert_eq!(head_end(b"a\r\n\r"), None);
    }
}
