//! Writing chunked bodies (RFC 9112 section 7.1).

/// Appends the line before a chunk of `len` bytes. The chunk is this, the data, CRLF. `len` must not be 0, which
/// would end the body.
pub fn encode_chunk_header(out: &mut Vec<u8>, len: usize) {
    debug_assert!(len > 0, "an empty chunk ends the body");
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let significant = (usize::BITS - len.leading_zeros()).div_ceil(4).max(1);
    for digit in (0..significant).rev() {
        out.push(DIGITS[(len >> (digit * 4)) & 0xf]);
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends the end of a chunked body. `trailers` are whole lines, `name: value\r\n`, as
/// [`BodyDecoder::trailers`](crate::BodyDecoder::trailers) gives them.
pub fn encode_last_chunk(out: &mut Vec<u8>, trailers: &[u8]) {
    out.extend_from_slice(b"0\r\n");
    out.extend_from_slice(trailers);
    out.extend_from_slice(b"\r\n");
}
