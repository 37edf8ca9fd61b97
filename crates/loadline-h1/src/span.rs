//! Places in a buffer, kept as offsets: the owner of the buffer may go on appending to it, which a slice would forbid.

use crate::text;

/// A range of bytes in the buffer that a head was parsed from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    start: u32,
    end: u32,
}

impl Span {
    /// The bytes themselves. `buf` must be the buffer that was parsed, or one that begins with the same bytes.
    ///
    /// # Panics
    /// When `buf` is shorter than the head that was parsed.
    #[inline]
    pub fn of<'b>(&self, buf: &'b [u8]) -> &'b [u8] {
        &buf[self.start as usize..self.end as usize]
    }

    /// Number of bytes.
    #[inline]
    pub fn len(&self) -> usize {
        (self.end - self.start) as usize
    }

    /// Whether there are none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Offset of the first byte.
    #[inline]
    pub fn start(&self) -> usize {
        self.start as usize
    }

    /// Offset after the last byte.
    #[inline]
    pub fn end(&self) -> usize {
        self.end as usize
    }

    /// Heads are cut to `u32::MAX` bytes before they are parsed, so offsets always fit.
    #[inline]
    pub(crate) fn new(start: usize, end: usize) -> Self {
        debug_assert!(start <= end && end <= u32::MAX as usize);
        Self { start: start as u32, end: end as u32 }
    }

    /// Where `part`, a slice of `buf`, lies in it.
    #[inline]
    pub(crate) fn locate(buf: &[u8], part: &[u8]) -> Self {
        let start = part.as_ptr() as usize - buf.as_ptr() as usize;
        Self::new(start, start + part.len())
    }
}

/// One field line: the name as received (any case) and the value without the white space around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// The name, a token (RFC 9110 section 5.1).
    pub name: Span,
    /// The value, possibly empty; never holds CR, LF, NUL or another control byte but HTAB.
    pub value: Span,
    pub(crate) role: Role,
}

/// What the codec does with a field; decided once, when the head is parsed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Role {
    /// Passed on as it is.
    #[default]
    EndToEnd,
    /// Means something between two neighbours only (RFC 9110 section 7.6.1): dropped.
    HopByHop,
    Host,
    ContentLength,
    TransferEncoding,
    Connection,
    Te,
    Upgrade,
    Expect,
}

impl Role {
    /// The role of a field by its name alone. `name` is never empty.
    #[inline]
    pub(crate) fn of(name: &[u8]) -> Self {
        let (matches, role) = match (name.len(), name[0] | 0x20) {
            (4, b'h') => (text::is(name, b"host"), Self::Host),
            (10, b'c') => (text::is(name, b"connection"), Self::Connection),
            (10, b'k') => (text::is(name, b"keep-alive"), Self::HopByHop),
            (14, b'c') => (text::is(name, b"content-length"), Self::ContentLength),
            (17, b't') => (text::is(name, b"transfer-encoding"), Self::TransferEncoding),
            (6, b'e') => (text::is(name, b"expect"), Self::Expect),
            (7, b'u') => (text::is(name, b"upgrade"), Self::Upgrade),
            (2, b't') => (text::is(name, b"te"), Self::Te),
            (14, b'h') => (text::is(name, b"http2-settings"), Self::HopByHop),
            (16, b'p') => (text::is(name, b"proxy-connection"), Self::HopByHop),
            _ => return Self::EndToEnd,
        };
        if matches { role } else { Self::EndToEnd }
    }
}
