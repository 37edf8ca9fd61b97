//! Patterns for paths, compared segment by segment.
//!
//! | pattern | matches | does not match |
//! |---|---|---|
//! | `/health` | `/health` | `/healthcare`, `/health/`, `/Health` |
//! | `/admin/*` | all below: `/admin/`, `/admin/a`, `/admin/a/b` | `/admin`, `/administrator` |
//! | `/admin/**` | the same and `/admin` itself | `/administrator` |
//! | `/users/*/orders` | `/users/7/orders` | `/users//orders`, `/users/7/8/orders` |
//! | `/static/**/*.js` | `/static/a.js`, `/static/x/y/a.js` | `/static/a.css` |
//! | `/v*/items` | `/v/items`, `/v2/items` | `/v2/x/items` |
//!
//! So `*` is any run of bytes within a segment; alone in its segment it is one segment that is not empty, and at the end of
//! a pattern one or more segments of any kind. `**` is any number of segments, none included. One `*` per segment keeps
//! matching linear in the path for each `**`, whatever a client sends.

use std::fmt;

use super::ambiguity;

/// A pattern, ready for use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathGlob {
    text: Box<str>,
    shape: Shape,
}

/// The two usual shapes are one comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Shape {
    /// Nothing but text.
    Exact,
    /// Text and a final `*`: the path begins with what stands before it, a slash at its end.
    Below,
    /// Any other. Every path it matches begins with so many bytes of the text: one comparison rules most paths out.
    Segments(usize, Box<[Segment]>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Text(Box<[u8]>),
    /// Text around one `*`.
    Around(Box<[u8]>, Box<[u8]>),
    /// `*`: one segment, not empty.
    One,
    /// A final `*`: this segment, even if it is empty, and all that follow.
    Rest,
    /// `**`.
    AnyNumber,
}

impl PathGlob {
    /// # Errors
    /// A pattern that could not match any path, or that uses signs with another meaning elsewhere (`?`, `{}`, `[]`, `^`).
    pub fn parse(pattern: &str) -> Result<Self, GlobError> {
        let fail = |at, problem| Err(GlobError { pattern: pattern.to_owned(), at, problem });
        if !pattern.starts_with('/') {
            return fail(0, GlobProblem::NoSlash);
        }
        if let Some(at) = pattern.bytes().position(|byte| !may_be_in_path(byte)) {
            return fail(at, GlobProblem::Sign);
        }
        if let Some(at) = ambiguity(pattern.as_bytes()) {
            return fail(at, GlobProblem::Ambiguous);
        }
        let mut segments = Vec::new();
        let mut at = 1;
        let mut pieces = pattern[1..].split('/').peekable();
        while let Some(piece) = pieces.next() {
            let last = pieces.peek().is_none();
            segments.push(match piece.split_once('*') {
                None => Segment::Text(piece.as_bytes().into()),
                Some(("", "")) if last => Segment::Rest,
                Some(("", "")) => Segment::One,
                Some(("", "*")) => Segment::AnyNumber,
                Some((before, after)) => match after.find('*') {
                    None => Segment::Around(before.as_bytes().into(), after.as_bytes().into()),
                    Some(further) => return fail(at + before.len() + 1 + further, GlobProblem::SecondStar),
                },
            });
            at += piece.len() + 1;
        }
        let wild = segments.iter().filter(|segment| !matches!(segment, Segment::Text(_))).count();
        let shape = match (wild, segments.last()) {
            (0, _) => Shape::Exact,
            (1, Some(Segment::Rest)) => Shape::Below,
            _ => Shape::Segments(fixed_prefix(pattern), segments.into()),
        };
        Ok(Self { text: pattern.into(), shape })
    }

    /// Whether it matches a path as received, without its query.
    #[must_use]
    pub fn matches(&self, path: &[u8]) -> bool {
        match &self.shape {
            Shape::Exact => path == self.text.as_bytes(),
            Shape::Below => path.starts_with(&self.text.as_bytes()[..self.text.len() - 1]),
            Shape::Segments(prefix, segments) => {
                path.starts_with(&self.text.as_bytes()[..*prefix])
                    && path.strip_prefix(b"/").is_some_and(|rest| walk(segments, rest))
            }
        }
    }

    /// The pattern as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for PathGlob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Why a pattern was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GlobError {
    /// The pattern.
    pub pattern: String,
    /// The byte at fault, counted from 0.
    pub at: usize,
    /// What is wrong there.
    pub problem: GlobProblem,
}

/// What is wrong with a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GlobProblem {
    /// It does not begin with `/`.
    NoSlash,
    /// A byte that no path holds, or that means something else in other pattern languages.
    Sign,
    /// Something that makes a path ambiguous: `//`, `..`, `;`, `%2e`, …
    Ambiguous,
    /// A second `*` in one segment, or a `**` that is not alone in its segment.
    SecondStar,
}

impl fmt::Display for GlobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pattern, at, problem } = self;
        let problem = match problem {
            GlobProblem::NoSlash => "a path pattern begins with /",
            GlobProblem::Sign => "not a sign that a path pattern can hold",
            GlobProblem::Ambiguous => "applications differ in how they read this",
            GlobProblem::SecondStar => "a segment holds one *, or is **",
        };
        write!(f, "{pattern:?}, byte {}: {problem}", at + 1)
    }
}

impl std::error::Error for GlobError {}

/// How many bytes stand before anything variable. `**` may take no segment, and then its slash is missing too.
fn fixed_prefix(pattern: &str) -> usize {
    let star = pattern.find('*').unwrap_or(pattern.len());
    if pattern[star..].starts_with("**") { star - 1 } else { star }
}

/// Matches segment by segment. A `**` takes as little as it can; when the rest does not match, the latest `**` takes
/// one segment more. Earlier ones need not: what they could take, the latest can take as well.
fn walk(segments: &[Segment], path: &[u8]) -> bool {
    let mut left = segments;
    let mut rest = Some(path);
    let mut again: Option<(&[Segment], Option<&[u8]>)> = None;
    loop {
        match (left, rest) {
            ([], None) | ([Segment::Rest], Some(_)) => return true,
            ([Segment::AnyNumber, further @ ..], _) => {
                left = further;
                again = Some((further, rest));
                continue;
            }
            ([segment, further @ ..], Some(path)) => {
                let (first, after) = next_segment(path);
                if segment.matches(first) {
                    (left, rest) = (further, after);
                    continue;
                }
            }
            ([], Some(_)) | ([_, ..], None) => {}
        }
        let Some((further, Some(path))) = again else { return false };
        (left, rest) = (further, next_segment(path).1);
        again = Some((further, rest));
    }
}

impl Segment {
    /// Compares one segment of a path; the two that take several are not asked.
    fn matches(&self, segment: &[u8]) -> bool {
        match self {
            Self::Text(text) => **text == *segment,
            Self::Around(before, after) => {
                segment.strip_prefix(&**before).is_some_and(|rest| rest.ends_with(after))
            }
            Self::One => !segment.is_empty(),
            Self::Rest | Self::AnyNumber => true,
        }
    }
}

/// The first segment, and what follows its slash if it has one.
fn next_segment(path: &[u8]) -> (&[u8], Option<&[u8]>) {
    match path.iter().position(|byte| *byte == b'/') {
        Some(slash) => (&path[..slash], Some(&path[slash + 1..])),
        None => (path, None),
    }
}

/// RFC 3986 section 3.3, `pchar` and `/`.
fn may_be_in_path(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@%\\".contains(&byte)
}
