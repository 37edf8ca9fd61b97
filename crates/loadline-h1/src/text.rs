//! Character classes and the few list and number forms that heads need.

/// `tchar` of RFC 9110 section 5.6.2.
pub(crate) const fn is_tchar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}

/// Whether `text` is a token: one or more `tchar`.
pub(crate) fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|&b| is_tchar(b))
}

/// The elements of a comma-separated list without the white space around them, empty ones included
/// (RFC 9110 section 5.6.1).
pub(crate) fn elements(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    list.split(|&b| b == b',').map(trim)
}

/// Without the spaces and tabs at both ends.
pub(crate) fn trim(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = text {
        text = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

/// Whether `text` is `known`, which is in lower case and made of letters, digits and hyphens, in any case.
///
/// Setting bit 5 folds case for these; the control bytes that it would also fold (0x0d on `-`, 0x10 to 0x19 on
/// digits) are in no name or value that reaches us. Faster than comparing byte by byte, as the length is constant.
#[inline]
pub(crate) fn is<const N: usize>(text: &[u8], known: &[u8; N]) -> bool {
    <&[u8; N]>::try_from(text).is_ok_and(|text| {
        text.iter().zip(known).fold(0, |differences, (byte, known)| differences | ((byte | 0x20) ^ known))
            == 0
    })
}

/// Puts the first `length` bytes of `line` into lower case; they must be ASCII, as tokens are.
///
/// This runs over every field name of every message, so it takes eight bytes at a time. In the word where the name
/// ends, the bytes behind it are masked out.
#[inline]
pub(crate) fn lower_start(line: &mut [u8], length: usize) {
    if line.len() < length.next_multiple_of(8) {
        line[..length].make_ascii_lowercase();
        return;
    }
    let (words, _) = line.as_chunks_mut::<8>();
    let (whole, rest) = words.split_at_mut(length / 8);
    for word in whole {
        *word = lower8(u64::from_le_bytes(*word)).to_le_bytes();
    }
    if let (1.., Some(last)) = (length % 8, rest.first_mut()) {
        let word = u64::from_le_bytes(*last);
        let name = (1 << (8 * (length % 8))) - 1;
        *last = ((word & !name) | lower8(word & name)).to_le_bytes();
    }
}

/// Eight ASCII bytes to lower case: in each byte, bit 7 is set by the first addition if it is at least `A` and by the
/// second if it is above `Z`; where only the first is, bit 5 is set.
#[inline]
fn lower8(word: u64) -> u64 {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let from_a = word + EACH * (0x80 - b'A' as u64);
    let above_z = word + EACH * (0x80 - b'Z' as u64 - 1);
    word | (((from_a & !above_z) & (EACH * 0x80)) >> 2)
}

/// Appends `number` in decimal.
pub(crate) fn push_decimal(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0u8; 20]; // u64::MAX has 20 digits
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lower_agrees_with_the_standard_library_on_all_ascii() {
        for byte in 0..0x80u8 {
            for length in [0, 1, 7, 8, 9, 15, 16, 17, 33] {
                for behind in [&b""[..], b": V", b": A VALUE OF 16+ BYTES\xff"] {
                    let mut line = [vec![byte; length].as_slice(), behind].concat();
                    lower_start(&mut line, length);
                    assert_eq!(line, [vec![byte.to_ascii_lowercase(); length].as_slice(), behind].concat());
                }
            }
        }
    }

    #[test]
    fn folded_comparison_is_exact_on_what_values_may_hold() {
        for byte in (0x20..=0xff).chain([b'\t']) {
            assert_eq!(is(&[byte], b"k"), byte == b'k' || byte == b'K', "{byte:#x}");
            assert_eq!(is(&[byte], b"-"), byte == b'-', "{byte:#x}");
            assert_eq!(is(&[byte], b"2"), byte == b'2', "{byte:#x}");
        }
        assert!(!is(b"close ", b"close") && !is(b"clos", b"close"));
    }

    #[test]
    fn decimals() {
        for number in [0, 9, 10, 12345, u64::MAX] {
            let mut out = Vec::new();
            push_decimal(&mut out, number);
            assert_eq!(out, number.to_string().as_bytes());
        }
    }

    #[test]
    fn lists_keep_empty_elements() {
        let list: Vec<&[u8]> = elements(b" a ,,\tb").collect();
        assert_eq!(list, [b"a".as_slice(), b"", b"b"]);
    }
}
