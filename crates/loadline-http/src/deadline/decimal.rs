//! Decimal numbers in ASCII. No sign, no exponent, no separators, no other script's digits.

/// A number of at most 19 digits before the point, so that it fits 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Decimal {
    pub(super) whole: u64,
    /// How many digits `whole` was written with, 1 to 19.
    pub(super) digits: usize,
    /// Billionths; `None` if there was no point.
    pub(super) fraction: Option<u32>,
}

const MOST_DIGITS: usize = 19;
const FRACTION_DIGITS: usize = 9;

/// `1*19DIGIT [ "." 1*9DIGIT ]` and nothing else.
pub(super) fn parse(value: &[u8]) -> Option<Decimal> {
    let (whole, digits) = leading_digits(value, MOST_DIGITS + 1);
    if digits == 0 || digits > MOST_DIGITS {
        return None;
    }
    let fraction = match value[digits..].split_first() {
        None => None,
        Some((b'.', rest)) => {
            let (billionths, length) = fraction(rest)?;
            if length != rest.len() {
                return None;
            }
            Some(billionths)
        }
        Some(_) => return None,
    };
    Some(Decimal { whole, digits, fraction })
}

/// `1*mostDIGIT` and nothing else; `most` is at most 19.
pub(super) fn whole(value: &[u8], most: usize) -> Option<u64> {
    let (number, digits) = leading_digits(value, most + 1);
    (digits == value.len() && (1..=most).contains(&digits)).then_some(number)
}

/// The billionths that `1*9DIGIT` at the start of `value` mean after a decimal point, and the number of digits.
pub(super) fn fraction(value: &[u8]) -> Option<(u32, usize)> {
    const SCALE: [u32; FRACTION_DIGITS + 1] =
        [1_000_000_000, 100_000_000, 10_000_000, 1_000_000, 100_000, 10_000, 1_000, 100, 10, 1];
    let (number, digits) = leading_digits(value, FRACTION_DIGITS + 1);
    if digits == 0 || digits > FRACTION_DIGITS {
        return None;
    }
    Some((number as u32 * SCALE[digits], digits))
}

/// The value and the number of the digits that `value` begins with, counted up to `most`, which is 20 at most. The value
/// of 20 digits is meaningless.
fn leading_digits(value: &[u8], most: usize) -> (u64, usize) {
    let mut number: u64 = 0;
    let mut digits = 0;
    for byte in value.iter().take(most) {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            break;
        }
        number = number.wrapping_mul(10).wrapping_add(u64::from(digit));
        digits += 1;
    }
    (number, digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        assert_eq!(parse(b"12"), Some(Decimal { whole: 12, digits: 2, fraction: None }));
        assert_eq!(parse(b"007.5"), Some(Decimal { whole: 7, digits: 3, fraction: Some(500_000_000) }));
        assert_eq!(parse(b"0.000000001"), Some(Decimal { whole: 0, digits: 1, fraction: Some(1) }));
        let largest = parse(b"9999999999999999999").map(|decimal| decimal.whole);
        assert_eq!(largest, Some(9_999_999_999_999_999_999));
        for bad in [
            "",
            ".",
            "1.",
            ".5",
            "1.0000000000",
            "+1",
            "-1",
            "1e3",
            " 1",
            "1 ",
            "10000000000000000000",
            "1,5",
        ] {
            assert_eq!(parse(bad.as_bytes()), None, "{bad:?}");
        }
    }

    #[test]
    fn whole_numbers() {
        assert_eq!(whole(b"12345678", 8), Some(12_345_678));
        for bad in ["", "123456789", "1.0", "x", "1x"] {
            assert_eq!(whole(bad.as_bytes(), 8), None, "{bad:?}");
        }
    }
}
