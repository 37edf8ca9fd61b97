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

/// Appends `name` in lower case. `name` is a token, so ASCII.
pub(crate) fn push_lower(out: &mut Vec<u8>, name: &[u8]) {
    let at = out.len();
    out.extend_from_slice(name);
    lower(&mut out[at..]);
}

/// Puts ASCII letters into lower case, eight bytes at a time: this runs over every field name of every message.
/// All bytes must be below 0x80, which holds for tokens.
#[inline]
pub(crate) fn lower(name: &mut [u8]) {
    let (words, rest) = name.as_chunks_mut::<8>();
    for word in words {
        *word = lower8(u64::from_ne_bytes(*word)).to_ne_bytes();
    }
    for byte in rest {
        byte.make_ascii_lowercase();
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
            for length in 1..=17 {
                let mut name = vec![byte; length];
                lower(&mut name);
                assert_eq!(name, vec![byte.to_ascii_lowercase(); length]);
            }
        }
        let mut mixed = *b"@AZ[`az{Content-Length";
        lower(&mut mixed);
        assert_eq!(&mixed, b"@az[`az{content-length");
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
