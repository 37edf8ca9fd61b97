//! Says which rule was broken where the token parser only says "error". Runs on refusals only, so it may walk the
//! bytes again.

use crate::refusal::RefusalKind;
use crate::text::is_tchar;

/// The rule that a request head breaks. `head` begins with the request line.
pub(crate) fn request(head: &[u8], error: httparse::Error) -> RefusalKind {
    match error {
        httparse::Error::Token => {
            let (method, rest) = token(head);
            match rest {
                [b' ', target @ ..] if !method.is_empty() => {
                    let end = target.iter().position(|&b| b <= b' ' || b == 0x7f).unwrap_or(target.len());
                    match target[end..].first() {
                        // The line ends after the target: a request of HTTP/0.9.
                        Some(b'\r' | b'\n') if end > 0 => RefusalKind::VersionUnsupported,
                        _ => RefusalKind::Target,
                    }
                }
                _ => RefusalKind::Method,
            }
        }
        httparse::Error::Version => version(head),
        httparse::Error::NewLine => {
            let line_end = head.iter().position(|&b| b == b'\r' || b == b'\n').unwrap_or(head.len());
            // Whatever follows the version in its line, if only a space, is part of a malformed version.
            let after_version =
                head[..line_end].ends_with(b"HTTP/1.0") || head[..line_end].ends_with(b"HTTP/1.1");
            if after_version { RefusalKind::BareCr } else { RefusalKind::Version }
        }
        other => field_lines(after_first_line(head), other),
    }
}

/// The rule that a response head breaks.
pub(crate) fn response(head: &[u8], error: httparse::Error) -> RefusalKind {
    match error {
        httparse::Error::Status | httparse::Error::Token => RefusalKind::StatusLine,
        httparse::Error::Version if head.starts_with(b"HTTP/1.1") || head.starts_with(b"HTTP/1.0") => {
            RefusalKind::StatusLine
        }
        httparse::Error::Version => numbered_version(head),
        other => field_lines(after_first_line(head), other),
    }
}

/// The rule that a sequence of field lines breaks.
pub(crate) fn field_lines(lines: &[u8], error: httparse::Error) -> RefusalKind {
    match error {
        httparse::Error::TooManyHeaders => RefusalKind::TooManyFields,
        httparse::Error::HeaderName => {
            lines.split_inclusive(|&b| b == b'\n').find_map(bad_name).unwrap_or(RefusalKind::FieldName)
        }
        httparse::Error::HeaderValue => {
            // The first control byte that is not part of a line's end.
            let mut rest = lines;
            while let [byte, after @ ..] = rest {
                rest = match (byte, after.first()) {
                    (b'\r', Some(b'\n')) => &after[1..],
                    (b'\r', _) => return RefusalKind::BareCr,
                    (b'\t' | b'\n' | b' '..=b'~' | 0x80.., _) => after,
                    _ => break,
                };
            }
            RefusalKind::FieldValue
        }
        _ => RefusalKind::BareCr,
    }
}

fn version(head: &[u8]) -> RefusalKind {
    let named = head.splitn(3, |&b| b == b' ').nth(2).unwrap_or_default();
    numbered_version(named)
}

fn numbered_version(text: &[u8]) -> RefusalKind {
    match text {
        [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', ..] => RefusalKind::VersionUnsupported,
        _ => RefusalKind::Version,
    }
}

fn bad_name(line: &[u8]) -> Option<RefusalKind> {
    let (name, rest) = token(line);
    match (name, rest.first()) {
        ([], Some(b' ' | b'\t')) => Some(RefusalKind::Folded),
        ([], Some(b':')) => Some(RefusalKind::FieldNameEmpty),
        ([], Some(b'\r' | b'\n') | None) | (_, Some(b':') | None) => None,
        (_, Some(b' ' | b'\t')) => Some(RefusalKind::SpaceBeforeColon),
        _ => Some(RefusalKind::FieldName),
    }
}

fn token(text: &[u8]) -> (&[u8], &[u8]) {
    text.split_at(text.iter().position(|&b| !is_tchar(b)).unwrap_or(text.len()))
}

fn after_first_line(head: &[u8]) -> &[u8] {
    head.iter().position(|&b| b == b'\n').map_or(&[], |end| &head[end + 1..])
}
