//! The grammar of log formats: text with `%` items, to a list that renders without looking anything up.

use std::fmt;

use super::alias::{self, Alias};
use super::record::Record;
use super::sample::Sample;
use super::structured;

/// Spillway's line when `LOG_FORMAT` is unset: backend, status, depth, queue time / response time.
const SPILLWAY: &str = "%b %ST %bq %Tw/%Tr";
/// HAProxy's `option httplog`.
const HTTPLOG: &str = r"%ci:%cp [%tr] %ft %b/%s %TR/%Tw/%Tc/%Tr/%Ta %ST %B %CC %CS %tsc %ac/%fc/%bc/%sc/%rc %sq/%bq %hr %hs %{+Q}r";
/// HAProxy's `option httplog clf`.
const CLF: &str = r#"%{+Q}o %{-Q}ci - - [%trg] %r %ST %B "" "" %cp %ms %ft %b %s %TR %Tw %Tc %Tr %Ta %tsc %ac %fc %bc %sc %rc %sq %bq %CC %CS %hrl %hsl"#;

/// A parsed access-log format.
#[derive(Clone, Debug)]
pub struct LogFormat {
    kind: Kind,
    needs: Needs,
}

/// Which headers a format prints, by lower-case name. Callers that keep nothing of a message after it is forwarded
/// must set these aside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Request headers named by `req.hdr()`.
    pub request_headers: Vec<String>,
    /// Response headers named by `res.hdr()`.
    pub response_headers: Vec<String>,
}

/// Why a format was refused: where, what, and what would do instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFormatError {
    /// Byte offset of the culprit in the text given.
    pub offset: usize,
    /// The part of the text that is wrong.
    pub culprit: String,
    /// What is wrong with it, and what to write instead.
    pub problem: String,
}

/// HAProxy's output flags, set by `%{+Q-E}…`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flags {
    /// `Q`: put strings and addresses between quotes.
    pub(crate) quote: bool,
    /// `X`: numbers, addresses and ports in hex.
    pub(crate) hex: bool,
    /// `E`: a backslash before `"`, `\` and `]`.
    pub(crate) escape: bool,
    /// `M`: `-` for an empty string. On unless switched off.
    pub(crate) mandatory: bool,
}

#[derive(Clone, Debug)]
enum Kind {
    Items(Vec<Item>),
    Json,
    Logfmt,
}

#[derive(Clone, Debug)]
enum Item {
    Text(Vec<u8>),
    /// One space, unless a space was just written.
    Space,
    Alias(Alias, Flags),
    Sample(Box<Sample>, Flags),
}

impl LogFormat {
    /// Parses a keyword (`spillway`, `httplog`, `clf`, `json`, `logfmt`) or a HAProxy format string. `env()` is
    /// resolved here, once, as HAProxy does.
    ///
    /// # Errors
    /// Everything that could not be rendered later: unknown items, unclosed braces, bad arguments.
    pub fn parse(text: &str) -> Result<Self, LogFormatError> {
        match text {
            "spillway" => Self::parse_items(SPILLWAY),
            "httplog" => Self::parse_items(HTTPLOG),
            "clf" => Self::parse_items(CLF),
            "json" => Ok(Self { kind: Kind::Json, needs: Needs::default() }),
            "logfmt" => Ok(Self { kind: Kind::Logfmt, needs: Needs::default() }),
            _ => Self::parse_items(text),
        }
    }

    /// Appends one line without its line feed. Nothing that a peer sent can put a control byte into it; the
    /// format's own text is copied as it was written.
    pub fn render(&self, record: &Record<'_>, out: &mut Vec<u8>) {
        match &self.kind {
            Kind::Json => structured::json(record, out),
            Kind::Logfmt => structured::logfmt(record, out),
            Kind::Items(items) => render_items(items, record, out),
        }
    }

    /// The headers this format prints.
    pub fn needs(&self) -> &Needs {
        &self.needs
    }

    fn parse_items(text: &str) -> Result<Self, LogFormatError> {
        let source = Source::unquote(text)?;
        let items =
            Parser { source: &source, position: 0, defaults: Flags::DEFAULT, items: Vec::new() }.run()?;
        let mut needs = Needs::default();
        for item in &items {
            if let Item::Sample(sample, _) = item {
                sample.add_needs(&mut needs);
            }
        }
        Ok(Self { kind: Kind::Items(items), needs })
    }
}

impl Default for LogFormat {
    /// Spillway's line.
    fn default() -> Self {
        Self::parse(SPILLWAY).expect("the built-in format is valid")
    }
}

impl fmt::Display for LogFormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "log format, byte {}: `{}`: {}", self.offset, self.culprit.escape_debug(), self.problem)
    }
}

impl std::error::Error for LogFormatError {}

impl Flags {
    const DEFAULT: Self = Self { quote: false, hex: false, escape: false, mandatory: true };

    /// Applies `+Q,-E,…`. Like HAProxy, reads what follows the last sign before each comma, and ignores what it
    /// does not know.
    fn with(mut self, changes: &str) -> Self {
        for change in changes.split(',') {
            let Some(sign) = change.rfind(['+', '-']) else { continue };
            let on = change[sign..].starts_with('+');
            match &change[sign + 1..] {
                "Q" => self.quote = on,
                "X" => self.hex = on,
                "E" => self.escape = on,
                "M" => self.mandatory = on,
                _ => {}
            }
        }
        self
    }
}

fn render_items(items: &[Item], record: &Record<'_>, out: &mut Vec<u8>) {
    // True at the start: leading spaces vanish. An item that prints nothing leaves it alone, so that the spaces on
    // both its sides count as one run.
    let mut after_space = true;
    for item in items {
        match item {
            Item::Space => {
                if !after_space {
                    out.push(b' ');
                    after_space = true;
                }
            }
            Item::Text(text) => {
                out.extend_from_slice(text);
                after_space = false;
            }
            Item::Alias(alias, flags) => after_space &= !alias.render(*flags, record, out),
            Item::Sample(sample, flags) => {
                sample.render(*flags, record, out);
                after_space = false;
            }
        }
    }
}

/// A format with its quoting layer removed, each byte with its place in what the user wrote.
struct Source {
    bytes: Vec<u8>,
    offsets: Vec<usize>,
    length: usize,
}

impl Source {
    /// Resolves the escapes of HAProxy's double-quoted strings (manual 2.2). An unknown escape stays as it is.
    fn unquote(text: &str) -> Result<Self, LogFormatError> {
        let raw = text.as_bytes();
        let mut source =
            Self { bytes: Vec::with_capacity(raw.len()), offsets: Vec::new(), length: raw.len() };
        let mut at = 0;
        while at < raw.len() {
            let (byte, consumed) = match (raw[at], raw.get(at + 1)) {
                (b'\\', Some(b'x')) => {
                    let digits = raw.get(at + 2..at + 4).and_then(|d| std::str::from_utf8(d).ok());
                    let value = digits
                        .filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()))
                        .and_then(|d| u8::from_str_radix(d, 16).ok());
                    let Some(value) = value else {
                        return Err(error(at, "\\x", "`\\x` needs two hex digits, such as `\\x09`"));
                    };
                    (value, 4)
                }
                (b'\\', Some(b'n')) => (b'\n', 2),
                (b'\\', Some(b'r')) => (b'\r', 2),
                (b'\\', Some(b't')) => (b'\t', 2),
                (b'\\', Some(&escaped @ (b'"' | b'\\' | b' ' | b'$' | b'#' | b'\''))) => (escaped, 2),
                (b'\\', None) => {
                    return Err(error(at, "\\", "nothing follows the backslash; write `\\\\` for one"));
                }
                (byte, _) => (byte, 1),
            };
            source.bytes.push(byte);
            source.offsets.push(at);
            at += consumed;
        }
        Ok(source)
    }

    fn peek(&self, position: usize) -> Option<u8> {
        self.bytes.get(position).copied()
    }

    fn text(&self, from: usize, to: usize) -> String {
        String::from_utf8_lossy(&self.bytes[from..to]).into_owned()
    }

    fn error(&self, from: usize, to: usize, problem: impl Into<String>) -> LogFormatError {
        let offset = self.offsets.get(from).copied().unwrap_or(self.length);
        LogFormatError { offset, culprit: self.text(from, to), problem: problem.into() }
    }
}

struct Parser<'s> {
    source: &'s Source,
    position: usize,
    defaults: Flags,
    items: Vec<Item>,
}

impl Parser<'_> {
    fn run(mut self) -> Result<Vec<Item>, LogFormatError> {
        while let Some(byte) = self.source.peek(self.position) {
            match byte {
                b' ' => {
                    self.items.push(Item::Space);
                    self.position += 1;
                }
                b'%' => self.item()?,
                _ => self.literal(byte),
            }
        }
        Ok(self.items)
    }

    fn literal(&mut self, byte: u8) {
        if let Some(Item::Text(text)) = self.items.last_mut() {
            text.push(byte);
        } else {
            self.items.push(Item::Text(vec![byte]));
        }
        self.position += 1;
    }

    /// One item, from its `%` on.
    fn item(&mut self) -> Result<(), LogFormatError> {
        let start = self.position;
        self.position += 1;
        match self.source.peek(self.position) {
            Some(b'%') => {
                self.literal(b'%');
                Ok(())
            }
            Some(b'{') => {
                let flags = self.flags(start)?;
                match self.source.peek(self.position) {
                    Some(b'[') => self.sample(start, flags),
                    Some(byte) if byte.is_ascii_alphanumeric() => self.alias(start, flags),
                    _ => Err(self.source.error(
                        start,
                        self.position,
                        "flags without an item; an alias or `[expression]` must follow, such as `%{+Q}r`",
                    )),
                }
            }
            Some(b'[') => self.sample(start, self.defaults),
            Some(byte) if byte.is_ascii_alphabetic() => self.alias(start, self.defaults),
            Some(byte) if byte.is_ascii_digit() || byte == b' ' || byte == b'\t' => Err(self.source.error(
                start,
                self.position + 1,
                "no alias starts like this; write `%%` for a percent sign",
            )),
            // HAProxy drops a percent sign before any other character.
            Some(_) => Ok(()),
            None => Err(self.source.error(
                start,
                self.position,
                "the line ends in `%`; write `%%` for a percent sign",
            )),
        }
    }

    /// `{…}`; leaves the position behind the closing brace.
    fn flags(&mut self, start: usize) -> Result<Flags, LogFormatError> {
        let from = self.position + 1;
        let mut end = from;
        loop {
            match self.source.peek(end) {
                Some(b'}') => break,
                Some(_) => end += 1,
                None => {
                    return Err(self.source.error(
                        start,
                        end,
                        "`%{` is never closed; `}` and an alias must follow",
                    ));
                }
            }
        }
        self.position = end + 1;
        Ok(self.defaults.with(&self.source.text(from, end)))
    }

    fn alias(&mut self, start: usize, flags: Flags) -> Result<(), LogFormatError> {
        let from = self.position;
        while self.source.peek(self.position).is_some_and(|b| b.is_ascii_alphanumeric()) {
            self.position += 1;
        }
        let name = self.source.text(from, self.position);
        if name == "o" {
            self.defaults = flags;
            return Ok(());
        }
        match Alias::named(&name) {
            Some(alias) => {
                self.items.push(Item::Alias(alias, flags));
                Ok(())
            }
            None => Err(self.source.error(start, self.position, unknown_alias(&name))),
        }
    }

    fn sample(&mut self, start: usize, flags: Flags) -> Result<(), LogFormatError> {
        let from = self.position + 1;
        match Sample::parse(&self.source.bytes[from..]) {
            Ok((sample, length)) => {
                self.position = from + length;
                if self.source.peek(self.position) != Some(b']') {
                    let problem = "`%[` is never closed; `]` must follow the expression";
                    return Err(self.source.error(start, self.position, problem));
                }
                self.position += 1;
                self.items.push(Item::Sample(Box::new(sample), flags));
                Ok(())
            }
            Err((at, length, problem)) => Err(self.source.error(from + at, from + at + length, problem)),
        }
    }
}

fn unknown_alias(name: &str) -> String {
    let close = alias::names().find(|known| known.eq_ignore_ascii_case(name));
    let prefix = alias::names().filter(|known| name.starts_with(known)).max_by_key(|known| known.len());
    match (close, prefix) {
        (Some(close), _) => format!("no such alias; did you mean `%{close}`? Write `%%` for a percent sign"),
        (None, Some(prefix)) => format!(
            "no such alias. A name takes in every letter and digit that follows; put a separator after `%{prefix}`, or write `%%` for a percent sign"
        ),
        (None, None) => "no such alias; write `%%` for a percent sign".to_owned(),
    }
}

fn error(offset: usize, culprit: &str, problem: &str) -> LogFormatError {
    LogFormatError { offset, culprit: culprit.to_owned(), problem: problem.to_owned() }
}
