//! How loaded an application says it is, in a response header: the field `endpoint-load-metrics` of ORCA (Open Request Cost
//! Aggregation; field names from `xds.data.orca.v3.OrcaLoadReport`), and a bare number as in `X-Load`.
//!
//! ```text
//! 0.85
//! TEXT cpu_utilization=0.3,application_utilization=0.85,named_metrics.queue=12
//! JSON {"cpu_utilization": 0.3, "named_metrics": {"queue": 12}}
//! ```
//!
//! A JSON object is also taken without the word before it. Numbers are finite and not negative. What breaks the grammar
//! anywhere says nothing at all, and a name that is given twice counts as first given. Nothing is allocated.
//!
//! **Out of scope.** The binary form (`endpoint-load-metrics-bin`, a protobuf), and what to do about the load.
//!
//! ```
//! use loadline_http::load_report::{metric, utilization};
//!
//! let report = b"TEXT cpu_utilization=0.3, named_metrics.queue=12";
//! assert_eq!(utilization(report), Some(0.3));
//! assert_eq!(metric(report, "named_metrics.queue"), Some(12.0));
//! ```

/// Objects within objects that are followed; the format has two.
const DEEPEST: u8 = 8;

/// How much of the application is in use, where 1 is all: the bare number, `application_utilization`, or where that is
/// missing or 0 (which is how a protobuf says missing) `cpu_utilization`. May exceed 1.
#[must_use]
pub fn utilization(report: &[u8]) -> Option<f64> {
    if let Some(number) = number(report.trim_ascii()) {
        return Some(number);
    }
    let application = metric(report, "application_utilization").filter(|share| *share > 0.0);
    application.or_else(|| metric(report, "cpu_utilization"))
}

/// The number of this name; one within a group is called `named_metrics.queue`.
#[must_use]
pub fn metric(report: &[u8], name: &str) -> Option<f64> {
    let report = report.trim_ascii();
    if let Some(list) = strip_word(report, b"TEXT") {
        return in_text(list, name);
    }
    let document = strip_word(report, b"JSON").unwrap_or(report);
    let mut search = Search { rest: document, found: None };
    search.skip_blanks();
    search.object(name.as_bytes(), DEEPEST)?;
    search.skip_blanks();
    if search.rest.is_empty() { search.found } else { None }
}

fn strip_word<'a>(report: &'a [u8], word: &[u8]) -> Option<&'a [u8]> {
    let rest = report.strip_prefix(word)?;
    rest.first().is_some_and(u8::is_ascii_whitespace).then_some(rest)
}

fn in_text(list: &[u8], name: &str) -> Option<f64> {
    let mut found = None;
    for pair in list.split(|byte| *byte == b',') {
        let equals = pair.iter().position(|byte| *byte == b'=')?;
        let (key, value) = (pair[..equals].trim_ascii(), number(pair[equals + 1..].trim_ascii())?);
        if key == name.as_bytes() {
            found = found.or(Some(value));
        }
    }
    found
}

/// A number as JSON writes it (RFC 8259, section 6), not negative.
fn number(text: &[u8]) -> Option<f64> {
    // What `parse` would take beyond that: signs, names, a point at either end.
    let plain = text.first()?.is_ascii_digit() && text.last()?.is_ascii_digit();
    let signs = text.iter().all(|byte| byte.is_ascii_digit() || b".eE+-".contains(byte));
    if !plain || !signs {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok().filter(|number: &f64| number.is_finite())
}

/// A walk through a JSON document for one number in it.
struct Search<'a> {
    rest: &'a [u8],
    found: Option<f64>,
}

impl<'a> Search<'a> {
    /// `wanted`: the rest of the name that may be found in here; empty for none.
    fn object(&mut self, wanted: &[u8], depth: u8) -> Option<()> {
        let depth = depth.checked_sub(1)?;
        self.expect(b'{')?;
        if self.expect(b'}').is_some() {
            return Some(());
        }
        loop {
            let key = self.string()?;
            self.expect(b':')?;
            if self.rest.first() == Some(&b'{') {
                let inner = wanted.strip_prefix(key).and_then(|rest| rest.strip_prefix(b"."));
                self.object(inner.unwrap_or_default(), depth)?;
            } else {
                let value = self.scalar()?;
                if !wanted.is_empty() && key == wanted {
                    self.found = self.found.or(value);
                }
            }
            if self.expect(b'}').is_some() {
                return Some(());
            }
            self.expect(b',')?;
        }
    }

    /// A number; the inner `None` is another value, which says nothing.
    fn scalar(&mut self) -> Option<Option<f64>> {
        if self.rest.first() == Some(&b'"') {
            self.string()?;
            return Some(None);
        }
        let ends = |byte: &u8| b",}".contains(byte) || byte.is_ascii_whitespace();
        let length = self.rest.iter().position(ends).unwrap_or(self.rest.len());
        let (token, rest) = self.rest.split_at(length);
        self.rest = rest;
        self.skip_blanks();
        match token {
            b"null" | b"true" | b"false" => Some(None),
            number => self::number(number).map(Some),
        }
    }

    /// The text between two quotes, escapes as they are.
    fn string(&mut self) -> Option<&'a [u8]> {
        let text = self.rest.strip_prefix(b"\"")?;
        let mut escaped = false;
        let end = text.iter().position(|byte| {
            let ends = *byte == b'"' && !escaped;
            escaped = *byte == b'\\' && !escaped;
            ends
        })?;
        self.rest = &text[end + 1..];
        self.skip_blanks();
        Some(&text[..end])
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        self.rest = self.rest.strip_prefix(&[byte])?;
        self.skip_blanks();
        Some(())
    }

    fn skip_blanks(&mut self) {
        self.rest = self.rest.trim_ascii_start();
    }
}
