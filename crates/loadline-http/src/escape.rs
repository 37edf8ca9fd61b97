//! Escaping: nothing that a client sends may start a new log line, close a quote or drive a terminal.
//!
//! Text formats follow HAProxy (configuration manual 8.6): a byte that could do harm becomes `#` and two hex digits,
//! which is why `#` itself is encoded too. JSON and logfmt use JSON's escapes (RFC 8259 section 7).

const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// Which bytes are written as `#XX`, besides those below 32 and above 126.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Encoding {
    /// Text from the configuration or from loadline itself: UTF-8 stays readable, only ASCII controls are encoded.
    Trusted = TRUSTED,
    /// Request lines, URIs and whatever else a peer chose: also `"` and `#`.
    Url = URL,
    /// Header values: also `"`, `#`, `{`, `|` and `}`, which delimit captured headers.
    Header = HEADER,
}

/// Appends `text` in `encoding`; with `backslash`, also puts `\` before `"`, `\` and `]` (HAProxy's flag `E`).
pub(crate) fn push_encoded(out: &mut Vec<u8>, text: &[u8], encoding: Encoding, backslash: bool) {
    let encode = encoding as u8;
    let stop = if backslash { encode | BACKSLASH } else { encode };
    let mut rest = text;
    while let Some(at) = rest.iter().position(|&byte| BYTES[usize::from(byte)] & stop != 0) {
        let byte = rest[at];
        out.extend_from_slice(&rest[..at]);
        if BYTES[usize::from(byte)] & encode != 0 {
            push_hex_escape(out, byte);
        } else {
            out.extend_from_slice(&[b'\\', byte]);
        }
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
}

/// Appends `value` in upper-case hex, at least `width` digits.
pub(crate) fn push_hex(out: &mut Vec<u8>, value: u64, width: usize) {
    let digits = (u64::BITS - value.leading_zeros()).div_ceil(4) as usize;
    for position in (0..digits.max(width)).rev() {
        out.push(HEX[(value.checked_shr(4 * position as u32).unwrap_or(0) & 0xF) as usize]);
    }
}

/// Appends a JSON string with its quotes. Bytes that are no UTF-8 become U+FFFD, written as an escape.
pub(crate) fn push_json_string(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    // Nearly every string is plain ASCII and copied whole.
    let plain = text.iter().position(|&byte| BYTES[usize::from(byte)] & JSON != 0).unwrap_or(text.len());
    out.extend_from_slice(&text[..plain]);
    for chunk in text[plain..].utf8_chunks() {
        for character in chunk.valid().chars() {
            push_json_char(out, character);
        }
        if !chunk.invalid().is_empty() {
            out.extend_from_slice(b"\\ufffd");
        }
    }
    out.push(b'"');
}

/// Appends a logfmt value: bare where that is unambiguous, else as a JSON string.
pub(crate) fn push_logfmt_value(out: &mut Vec<u8>, text: &[u8]) {
    if !text.is_empty() && text.iter().all(|&byte| BYTES[usize::from(byte)] & LOGFMT == 0) {
        out.extend_from_slice(text);
    } else {
        push_json_string(out, text);
    }
}

const TRUSTED: u8 = 1;
const URL: u8 = 2;
const HEADER: u8 = 4;
/// What the flag `E` escapes.
const BACKSLASH: u8 = 8;
/// What a JSON string cannot hold as it is, or what needs a closer look.
const JSON: u8 = 16;
/// What makes a logfmt value ambiguous.
const LOGFMT: u8 = 32;

/// For each byte, who must not copy it.
static BYTES: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < table.len() {
        table[byte] = special(byte as u8);
        byte += 1;
    }
    table
};

const fn special(byte: u8) -> u8 {
    match byte {
        0..32 | 127 => TRUSTED | URL | HEADER | JSON | LOGFMT,
        128.. => URL | HEADER | JSON | LOGFMT,
        b'"' => URL | HEADER | BACKSLASH | JSON | LOGFMT,
        b'#' => URL | HEADER,
        b'{' | b'|' | b'}' => HEADER,
        b'\\' => BACKSLASH | JSON | LOGFMT,
        b']' => BACKSLASH,
        b' ' | b'=' => LOGFMT,
        _ => 0,
    }
}

fn push_hex_escape(out: &mut Vec<u8>, byte: u8) {
    out.extend_from_slice(&[b'#', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 0xF)]]);
}

fn push_json_char(out: &mut Vec<u8>, character: char) {
    match character {
        '"' | '\\' => out.extend_from_slice(&[b'\\', character as u8]),
        '\n' => out.extend_from_slice(b"\\n"),
        '\r' => out.extend_from_slice(b"\\r"),
        '\t' => out.extend_from_slice(b"\\t"),
        // C0, DEL and C1 drive terminals; the two separators end a line for some readers.
        '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' => {
            out.extend_from_slice(b"\\u");
            push_hex(out, u64::from(u32::from(character)), 4);
        }
        _ => {
            let mut buffer = [0; 4];
            out.extend_from_slice(character.encode_utf8(&mut buffer).as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn each_encoding_covers_its_bytes() {
        let source = b"a\"#{|}\r\n\x7f\xff b";
        assert_eq!(text(|o| push_encoded(o, source, Encoding::Url, false)), "a#22#23{|}#0D#0A#7F#FF b");
        assert_eq!(
            text(|o| push_encoded(o, source, Encoding::Header, false)),
            "a#22#23#7B#7C#7D#0D#0A#7F#FF b"
        );
        assert_eq!(text(|o| push_encoded(o, "é\"#\n".as_bytes(), Encoding::Trusted, false)), "é\"##0A");
    }

    #[test]
    fn backslash_escapes_what_survives_the_encoding() {
        assert_eq!(text(|o| push_encoded(o, br#"a\b]c"d"#, Encoding::Url, true)), r"a\\b\]c#22d");
    }

    #[test]
    fn json_strings() {
        assert_eq!(
            text(|o| push_json_string(o, b"a\"\\\n\x01\xc2\x9b\xff\xc3\xa9")),
            r#""a\"\\\n\u0001\u009B\ufffdé""#
        );
    }

    #[test]
    fn logfmt_quotes_only_when_needed() {
        assert_eq!(text(|o| push_logfmt_value(o, b"/a?b")), "/a?b");
        assert_eq!(text(|o| push_logfmt_value(o, b"a=b c")), r#""a=b c""#);
        assert_eq!(text(|o| push_logfmt_value(o, b"")), r#""""#);
    }

    #[test]
    fn hex_is_padded() {
        assert_eq!(text(|o| push_hex(o, 0x1F, 4)), "001F");
        assert_eq!(text(|o| push_hex(o, u64::MAX, 2)), "FFFFFFFFFFFFFFFF");
        assert_eq!(text(|o| push_hex(o, 0, 1)), "0");
    }
}
