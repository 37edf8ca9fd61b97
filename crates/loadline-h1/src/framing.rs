//! Where a message's body ends (RFC 9112 section 6).

use crate::refusal::RefusalKind;
use crate::text;

/// The two versions spoken; all others are refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    #[default]
    Http11,
}

/// How the end of a received body is found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// There is no body.
    #[default]
    None,
    /// So many bytes; may be 0.
    Length(u64),
    /// Chunks, up to the last one and its trailers (RFC 9112 section 7.1).
    Chunked,
    /// Everything until the connection ends. Responses only.
    Close,
}

/// Largest Content-Length accepted: what a signed 64-bit number holds, because many recipients use one.
pub(crate) const MAX_LENGTH: u64 = i64::MAX as u64;

/// Value of a Content-Length field: digits and nothing else (RFC 9110 section 8.6).
pub(crate) fn content_length(value: &[u8]) -> Result<u64, RefusalKind> {
    if value.is_empty() {
        return Err(RefusalKind::LengthInvalid);
    }
    let mut length: u64 = 0;
    for &byte in value {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return Err(RefusalKind::LengthInvalid);
        }
        length = length
            .checked_mul(10)
            .and_then(|l| l.checked_add(u64::from(digit)))
            .filter(|&l| l <= MAX_LENGTH)
            .ok_or(RefusalKind::LengthInvalid)?;
    }
    Ok(length)
}

/// Accepts the one Transfer-Encoding that every recipient frames alike, `chunked` alone, and says what is wrong with
/// any other (RFC 9112 sections 6.1 and 7).
pub(crate) fn transfer_coding(value: &[u8]) -> Result<(), RefusalKind> {
    if value.eq_ignore_ascii_case(b"chunked") {
        return Ok(());
    }
    let mut chunked = 0;
    let mut unknown = false;
    for coding in text::elements(value) {
        if !text::is_token(coding) {
            return Err(RefusalKind::CodingMalformed);
        }
        if coding.eq_ignore_ascii_case(b"chunked") {
            chunked += 1;
        } else {
            unknown = true;
        }
    }
    if chunked > 1 {
        Err(RefusalKind::CodingRepeated)
    } else if unknown {
        Err(RefusalKind::CodingUnknown)
    } else {
        Err(RefusalKind::CodingMalformed)
    }
}
