//! `loadline explain`: asks a running loadline, and prints its sentences.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use super::ClientArgs;

#[derive(Args)]
pub(super) struct ExplainArgs {
    /// What is asked for: a path, with a query or without
    path: String,
    /// Its method
    #[arg(long, default_value = "GET")]
    method: String,
    /// Its class, instead of the one that the rules give it
    #[arg(long)]
    class: Option<String>,
    /// How long its client waits, instead of what its headers say
    #[arg(long, value_name = "DURATION")]
    deadline: Option<String>,
    /// One of its headers; may be repeated
    #[arg(long, value_name = "NAME:VALUE")]
    header: Vec<String>,
    /// Its client's address
    #[arg(long, value_name = "ADDRESS")]
    from: Option<IpAddr>,
    /// Print the whole answer as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    client: ClientArgs,
}

impl ExplainArgs {
    pub(super) fn answer(self, environment: Vec<(OsString, OsString)>) -> ExitCode {
        let target = self.target();
        self.client.answer(environment, |admin| {
            let answer = admin.get(&target)?;
            Ok(if self.json { answer } else { sentences(&answer).unwrap_or(answer) })
        })
    }

    fn target(&self) -> String {
        let from = self.from.map(|from| from.to_string());
        let given = [
            ("path", Some(&self.path)),
            ("method", Some(&self.method)),
            ("class", self.class.as_ref()),
            ("deadline", self.deadline.as_ref()),
            ("from", from.as_ref()),
        ];
        let headers = self.header.iter().map(|header| ("header", header));
        let given = given.into_iter().filter_map(|(name, value)| Some((name, value?))).chain(headers);
        let mut target = "/api/v1/explain".to_owned();
        for (index, (name, value)) in given.enumerate() {
            let _ = write!(target, "{}{name}={}", if index == 0 { '?' } else { '&' }, encode(value));
        }
        target
    }
}

/// What is written for people; `None` if this is no such answer.
fn sentences(answer: &str) -> Option<String> {
    let answer: Value = serde_json::from_str(answer).ok()?;
    let lines: Option<Vec<_>> = answer.get("text")?.as_array()?.iter().map(Value::as_str).collect();
    Some(lines?.join("\n"))
}

/// Every byte that is not unreserved (RFC 3986, section 2.3) as `%XX`.
fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_means_something_in_a_query_is_escaped() {
        assert_eq!(encode("/a?b=c&d+e f%é"), "/a%3Fb%3Dc%26d%2Be%20f%25%C3%A9");
    }

    #[test]
    fn sentences_are_lines() {
        assert_eq!(sentences(r#"{"text": ["One.", "Two."]}"#).as_deref(), Some("One.\nTwo."));
        assert_eq!(sentences("not json"), None);
    }
}
