//! The log settings: codecs over the languages of formats, targets and syslog words that loadline-http defines.
//!
//! A format or a target is kept as its text, and parsed again by whoever opens the log; here it is proved that this will work.

use std::str::FromStr;

use loadline_http::log::LogFormat;
use loadline_http::syslog::{Facility, HeaderFormat, HeaderWord, LogTarget, NameError};
use serde_json::{Value as Json, json};

use super::codecs::whole;
use super::error::closest;
use super::value::{Codec, Raw, did_you_mean, quoted};

/// Words that name a whole log format, and the one that means none.
const FORMATS: [&str; 6] = ["off", "json", "logfmt", "clf", "httplog", "spillway"];

/// Shortest datagram: below it a line would hold little more than its header.
const MIN_LINE: u32 = 80;
/// Longest datagram that UDP can carry, rounded down.
const MAX_LINE: u32 = 65_000;

/// `off`, a format's name, or a format string.
pub(super) struct Access;

impl Codec for Access {
    type Target = Option<String>;

    fn parse(&self, raw: &Raw) -> Result<Option<String>, String> {
        let text = raw.text().ok_or_else(|| format!("{raw} is not {}", self.accepts()))?;
        // Text without an item would log the same line for ever: a name was meant.
        if !FORMATS.contains(&text) && !text.contains('%') {
            let hint = closest(text, FORMATS.into_iter()).map(did_you_mean).unwrap_or_default();
            return Err(format!("{text:?} is not {}{hint}", self.accepts()));
        }
        if text == "off" {
            return Ok(None);
        }
        match LogFormat::parse(text) {
            Ok(_) => Ok(Some(text.to_owned())),
            Err(error) => Err(located(text, error.offset, &error.culprit, &error.problem)),
        }
    }

    fn literal(&self, value: &Option<String>) -> String {
        quoted(value.as_deref().unwrap_or("off"))
    }

    fn accepts(&self) -> String {
        "off, json, logfmt, clf, httplog, spillway or a HAProxy log-format string".to_owned()
    }

    fn schema(&self) -> Json {
        json!({ "anyOf": [{ "enum": FORMATS }, { "type": "string", "pattern": "%" }] })
    }
}

/// Where log lines go.
pub(super) struct Target;

impl Codec for Target {
    type Target = String;

    fn parse(&self, raw: &Raw) -> Result<String, String> {
        let text = raw.text().ok_or_else(|| format!("{raw} is not {}", self.accepts()))?;
        match LogTarget::parse(text) {
            Ok(_) => Ok(text.to_owned()),
            Err(error) => Err(located(text, error.offset, &error.culprit, &error.problem)),
        }
    }

    fn literal(&self, value: &String) -> String {
        quoted(value)
    }

    fn accepts(&self) -> String {
        "stdout, stderr, fd@N, host[:port], tcp@host[:port] or a socket's path".to_owned()
    }

    fn schema(&self) -> Json {
        json!({ "type": "string", "minLength": 1 })
    }
}

/// A word that loadline-http reads: a facility, a header format, a tag.
pub(super) struct Named<T> {
    accepts: &'static str,
    show: fn(&T) -> &str,
}

pub(super) const FACILITY: Named<Facility> =
    Named { accepts: "a syslog facility (such as \"local0\")", show: |facility| facility.as_str() };
pub(super) const HEADER_FORMAT: Named<HeaderFormat> = Named {
    accepts: "raw, local, rfc3164, rfc5424, priority, short, timed or iso",
    show: |format| format.as_str(),
};
pub(super) const TAG: Named<HeaderWord> =
    Named { accepts: "1 to 255 visible ASCII characters", show: HeaderWord::as_str };

impl<T: FromStr<Err = NameError>> Codec for Named<T> {
    type Target = T;

    fn parse(&self, raw: &Raw) -> Result<T, String> {
        raw.text().and_then(|text| text.parse().ok()).ok_or_else(|| format!("{raw} is not {}", self.accepts))
    }

    fn literal(&self, value: &T) -> String {
        quoted((self.show)(value))
    }

    fn accepts(&self) -> String {
        self.accepts.to_owned()
    }

    fn schema(&self) -> Json {
        json!({ "type": "string", "minLength": 1 })
    }
}

/// A line's largest length in bytes.
pub(super) struct LineLength;

impl Codec for LineLength {
    type Target = Option<usize>;

    fn parse(&self, raw: &Raw) -> Result<Option<usize>, String> {
        whole(MIN_LINE, MAX_LINE).parse(raw).map(|length| usize::try_from(length).ok())
    }

    fn literal(&self, value: &Option<usize>) -> String {
        value.map(|length| length.to_string()).unwrap_or_default()
    }

    fn accepts(&self) -> String {
        whole(MIN_LINE, MAX_LINE).accepts()
    }

    fn schema(&self) -> Json {
        whole(MIN_LINE, MAX_LINE).schema()
    }
}

/// Where in the text the culprit stands, counted in characters from 1.
fn located(text: &str, offset: usize, culprit: &str, problem: &str) -> String {
    let position = text.get(..offset).unwrap_or(text).chars().count() + 1;
    format!("at character {position}: `{}`: {problem}", culprit.escape_debug())
}
