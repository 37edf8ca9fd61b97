//! As much HTTP/1.1 as the benchmarks need to tell one message from the next.
//!
//! Both ends are our own or a proxy that frames correctly, so nothing is validated: the proxy's strictness is not
//! under test here.

/// Reads one answer after the other from pieces.
#[derive(Default)]
pub(super) struct Answer {
    /// A head that has not arrived completely.
    partial: Vec<u8>,
    /// Status of the answer whose body is arriving, and the bytes still to come.
    body: Option<(u16, usize)>,
}

impl Answer {
    /// Takes received bytes; returns the status once an answer is complete.
    ///
    /// # Errors
    /// For an answer without a status or `Content-Length`, or with bytes behind it.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<Option<u16>, &'static str> {
        if let Some((status, left)) = self.body.take() {
            return self.take_body(status, left, bytes.len());
        }
        if self.partial.is_empty() {
            return self.take_head(bytes);
        }
        self.partial.extend_from_slice(bytes);
        let whole = std::mem::take(&mut self.partial);
        self.take_head(&whole)
    }

    fn take_head(&mut self, bytes: &[u8]) -> Result<Option<u16>, &'static str> {
        let Some(end) = head_end(bytes) else {
            self.partial = bytes.to_vec();
            return Ok(None);
        };
        let status = status(&bytes[..end]).ok_or("an answer without a status")?;
        let length = content_length(&bytes[..end]).ok_or("an answer without Content-Length")?;
        self.take_body(status, length, bytes.len() - end)
    }

    fn take_body(&mut self, status: u16, left: usize, arrived: usize) -> Result<Option<u16>, &'static str> {
        match left.checked_sub(arrived) {
            Some(0) => Ok(Some(status)),
            Some(left) => {
                self.body = Some((status, left));
                Ok(None)
            }
            None => Err("bytes behind the answer"),
        }
    }
}

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

    #[test]
    fn answers_arrive_in_any_pieces() {
        let bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
        for cut in 1..bytes.len() {
            let mut answer = Answer::default();
            assert_eq!(answer.take(&bytes[..cut]), Ok(None), "{cut}");
            assert_eq!(answer.take(&bytes[cut..]), Ok(Some(200)), "{cut}");
            assert_eq!(answer.take(bytes), Ok(Some(200)), "the next one, {cut}");
        }
    }

    #[test]
    fn odd_answers_are_errors() {
        assert!(Answer::default().take(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
        assert!(Answer::default().take(b"HTTP/1.1 2x0 OK\r\nContent-Length: 0\r\n\r\n").is_err());
        assert!(Answer::default().take(b"HTTP/1.1 204 OK\r\nContent-Length: 0\r\n\r\nx").is_err());
    }
}
