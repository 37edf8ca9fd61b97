//! Header names compared without regard to case, eight bytes at a time: of all that is done to read a deadline, comparing
//! its name byte by byte would be the dearest.

const WORD: usize = 8;
const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH_BITS: u64 = 0x80 * ONES;

/// Whether `name` is `known`, which is in lower case, but for the case of its letters.
pub(super) fn same(known: &[u8], name: &[u8]) -> bool {
    // Most names of the same length differ in their first byte already; bit 0x20 is all that case changes.
    if known.len() != name.len()
        || known.first().map(|byte| byte | 0x20) != name.first().map(|byte| byte | 0x20)
    {
        return false;
    }
    let (Some(known_end), Some(end)) = (known.last_chunk::<WORD>(), name.last_chunk::<WORD>()) else {
        return known.eq_ignore_ascii_case(name);
    };
    // The last word overlaps the one before it unless the length is a multiple of eight.
    let equal = |known: &[u8; WORD], word: &[u8; WORD]| {
        u64::from_ne_bytes(*known) == lower(u64::from_ne_bytes(*word))
    };
    let (words, known_words) = (name.as_chunks::<WORD>().0, known.as_chunks::<WORD>().0);
    equal(known_end, end) && known_words.iter().zip(words).all(|(known, word)| equal(known, word))
}

/// Sets bit 0x20 of the bytes `A` to `Z`. No sum below leaves its byte, since each byte loses its high bit first.
const fn lower(word: u64) -> u64 {
    let low_bits = word & !HIGH_BITS;
    let from_a = low_bits + (0x80 - b'A' as u64) * ONES;
    let above_z = low_bits + (0x7f - b'Z' as u64) * ONES;
    let upper = (from_a ^ above_z) & !word & HIGH_BITS;
    word | upper >> 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_lowered_as_ascii_is() {
        for byte in 0..=u8::MAX {
            for place in 0..WORD {
                let mut word = *b"x-Z[@`{\xff";
                word[place] = byte;
                assert_eq!(
                    lower(u64::from_ne_bytes(word)).to_ne_bytes(),
                    word.map(|b| b.to_ascii_lowercase())
                );
            }
        }
    }

    #[test]
    fn names_of_every_length() {
        let known = "x-envoy-expected-rq-timeout-ms";
        for length in 0..=known.len() {
            let known = &known.as_bytes()[..length];
            assert!(same(known, known));
            assert!(same(known, &known.to_ascii_uppercase()));
            for place in 0..length {
                let mut other = known.to_vec();
                other[place] ^= 1;
                assert!(!same(known, &other));
            }
            assert!(!same(known, &[known, b"x"].concat()));
        }
    }
}
