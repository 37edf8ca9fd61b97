//! Eight bytes of digits and separators, checked at once.

/// What eight bytes look like: `0` is any digit, every other byte stands for itself.
pub(super) struct Layout {
    pattern: u64,
    /// What can be added to a byte's difference from the pattern before its high bit is set, if it fits.
    room: u64,
}

impl Layout {
    /// `pattern` is ASCII.
    pub(super) const fn new(pattern: &[u8; 8]) -> Self {
        let mut room = [0x7f; 8];
        let mut at = 0;
        while at < pattern.len() {
            if pattern[at] == b'0' {
                // The digits differ from '0' by 0 to 9 in exclusive or, as in subtraction.
                room[at] = 0x7f - 9;
            }
            at += 1;
        }
        Self { pattern: u64::from_le_bytes(*pattern), room: u64::from_le_bytes(room) }
    }

    /// The digits' values in their places, or `None` if some byte does not fit.
    pub(super) fn digits(&self, bytes: [u8; 8]) -> Option<[u8; 8]> {
        const HIGH_BITS: u64 = 0x8080_8080_8080_8080;
        let difference = u64::from_le_bytes(bytes) ^ self.pattern;
        // A sum can carry into the next byte only from a byte whose own high bit is set, which is refused anyway.
        let misfits = (difference.wrapping_add(self.room) | difference) & HIGH_BITS;
        (misfits == 0).then(|| difference.to_le_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_in_every_place() {
        let layout = Layout::new(b"0000-00t");
        let good = *b"2026-11t";
        assert_eq!(layout.digits(good), Some([2, 0, 2, 6, 0, 1, 1, 0]));
        for place in 0..8 {
            for byte in 0..=u8::MAX {
                let mut bytes = good;
                bytes[place] = byte;
                let fits = match place {
                    4 => byte == b'-',
                    7 => byte == b't',
                    _ => byte.is_ascii_digit(),
                };
                assert_eq!(layout.digits(bytes).is_some(), fits, "{byte} in place {place}");
                // A neighbour's carry must not make good what is bad.
                bytes[0] = 0xff;
                assert_eq!(layout.digits(bytes), None);
            }
        }
    }
}
