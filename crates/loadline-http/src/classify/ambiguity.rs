//! Paths that two programs may read differently.
//!
//! A rule sees the path's bytes; the application behind sees what its server makes of them: it may resolve `..`, merge
//! slashes, decode escapes once or twice, cut off `;parameters`, turn `\` into `/`. Where that could lead to another
//! place, the bytes prove nothing about the request.

/// The position of the first thing in `path` that may be read differently; `None` if there is nothing of the kind.
///
/// That is: a path that does not begin with `/`; an empty segment other than the last; a segment `.` or `..`; `;`, `\`, a
/// control byte; an escape that is malformed or stands for `.`, `/`, `\`, `;`, `%`, a control byte or a byte that UTF-8
/// never holds (some decoders take `%c0%ae` for a dot). Other escapes stay within their segment.
#[must_use]
pub fn ambiguity(path: &[u8]) -> Option<usize> {
    if path.first() != Some(&b'/') {
        return Some(0);
    }
    // What follows the last slash, while it consists of dots only.
    let mut dots = Some(0_u8);
    for (at, &byte) in path.iter().enumerate().skip(1) {
        match byte {
            b'/' => {
                if dots.is_some_and(|count| count <= 2) {
                    return Some(at);
                }
                dots = Some(0);
            }
            b'.' => dots = dots.map(|count| count.saturating_add(1)),
            b';' | b'\\' | 0..=0x1f | 0x7f => return Some(at),
            b'%' => {
                if !harmless_escape(path.get(at + 1..at + 3)) {
                    return Some(at);
                }
                dots = None;
            }
            _ => dots = None,
        }
    }
    // The last segment may be empty, a trailing slash, but no dot segment.
    matches!(dots, Some(1 | 2)).then_some(path.len())
}

/// Whether two hexadecimal digits stand for a byte that neither separates, moves nor escapes anything.
fn harmless_escape(digits: Option<&[u8]>) -> bool {
    let Some(&[high, low]) = digits else { return false };
    let (Some(high), Some(low)) = ((high as char).to_digit(16), (low as char).to_digit(16)) else {
        return false;
    };
    !matches!(
        (high * 16 + low) as u8,
        b'.' | b'/' | b'\\' | b';' | b'%' | 0..=0x1f | 0x7f | 0xc0 | 0xc1 | 0xf5..=0xff
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_mean_one_thing() {
        for path in [
            "/",
            "/a",
            "/a/",
            "/a/b.c",
            "/.well-known/x",
            "/a/...",
            "/a..b/..c/d..",
            "/a/%20b",
            "/m%C3%BCller",
            "/%41",
            "/a%40b.com/~x",
            "/a:b@c,d=e+f!$&'()*",
        ] {
            assert_eq!(ambiguity(path.as_bytes()), None, "{path}");
        }
    }

    #[test]
    fn paths_that_may_mean_another() {
        for (path, at) in [
            ("", 0),
            ("*", 0),
            ("admin", 0),
            ("http://a/", 0),
            ("//", 1),
            ("//a", 1),
            ("/a//b", 3),
            ("/a//", 3),
            ("/.", 2),
            ("/..", 3),
            ("/./a", 2),
            ("/a/../b", 5),
            ("/a/..", 5),
            ("/a/.", 4),
            ("/a;b", 2),
            ("/a/..;/b", 5),
            ("/;", 1),
            ("/a\\b", 2),
            ("/a\tb", 2),
            ("/a\x7f", 2),
            ("/%2e%2e/a", 1),
            ("/a/.%2E/b", 4),
            ("/a%2fb", 2),
            ("/a%2Fb", 2),
            ("/a%5cb", 2),
            ("/a%3bb", 2),
            ("/a%00", 2),
            ("/a%0d", 2),
            ("/a%252e", 2),
            ("/a%", 2),
            ("/a%4", 2),
            ("/a%4g", 2),
            ("/a%+4", 2),
            ("/a%u002e", 2),
            ("/a/%c0%ae%c0%ae/b", 3),
            ("/a%FF", 2),
        ] {
            assert_eq!(ambiguity(path.as_bytes()), Some(at), "{path}");
        }
    }
}
