//! Checks of the log settings' texts.
//!
//! The languages themselves, formats and targets, live in loadline-http; here stands what the configuration adds: the words that
//! name a whole format, and what can be said about a text before a line is ever written.

use super::error::closest;
use super::value::did_you_mean;

/// Words that name a whole log format.
pub(super) const FORMATS: [&str; 5] = ["json", "logfmt", "clf", "httplog", "spillway"];

/// Syslog facilities by name, in the order of their numbers (RFC 5424, section 6.2.1; names as HAProxy has them).
pub(super) const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "auth2", "ftp", "ntp",
    "audit", "alert", "cron2", "local0", "local1", "local2", "local3", "local4", "local5", "local6",
    "local7",
];

/// A format's name, or a format string: text with at least one `%` item, since one without would log the same line for ever.
pub(super) fn check_format(text: &str) -> Result<(), String> {
    if FORMATS.contains(&text) {
        return Ok(());
    }
    if !text.contains('%') {
        let hint = closest(text, FORMATS.into_iter().chain(["off"])).map(did_you_mean).unwrap_or_default();
        return Err(format!(
            "{text:?} is neither \"off\", {}, nor a log-format string{hint}",
            FORMATS.join(", ")
        ));
    }
    Ok(())
}

/// A log target: not empty, one word.
pub(super) fn check_target(text: &str) -> Result<(), String> {
    if text.is_empty() || text.contains(char::is_whitespace) {
        return Err(format!(
            "{text:?} is not a log target (try \"stdout\", \"syslog.local:514\", \"tcp@syslog.local:601\")"
        ));
    }
    Ok(())
}

/// A facility of [`FACILITIES`].
pub(super) fn check_facility(text: &str) -> Result<(), String> {
    if FACILITIES.contains(&text) {
        return Ok(());
    }
    let hint = closest(text, FACILITIES.into_iter()).map(did_you_mean).unwrap_or_default();
    Err(format!("{text:?} is not a syslog facility{hint}"))
}

/// An APP-NAME (RFC 5424, section 6.2.5).
pub(super) fn check_tag(text: &str) -> Result<(), String> {
    if (1..=48).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(());
    }
    Err(format!("{text:?} is not 1 to 48 visible ASCII characters"))
}
