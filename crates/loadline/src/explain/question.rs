//! The question: a request described by query parameters, and written out so that the codec reads it like one that came.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use loadline_core::Class;
use loadline_h1::Status;

use crate::buffers::Scratch;
use crate::config::units::parse_duration;
use crate::live::Live;

const PARAMETERS: &str = "path, method, class, deadline, header, from";

/// A request that might come.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Question {
    /// With the query, if there is one.
    pub(super) path: String,
    pub(super) method: String,
    /// Instead of the class that the settings give it.
    pub(super) class: Option<Class>,
    /// Instead of what its headers say.
    pub(super) deadline: Option<Duration>,
    /// `name: value`.
    headers: Vec<String>,
    /// The client's address.
    pub(super) from: IpAddr,
}

impl Question {
    /// Reads `path=/x&method=GET&class=high&deadline=500ms&header=name:value&from=10.0.0.1`; only the path is needed.
    pub(super) fn parse(query: &str) -> Result<Self, String> {
        let mut question = Self {
            path: String::new(),
            method: "GET".to_owned(),
            class: None,
            deadline: None,
            headers: Vec::new(),
            from: Ipv4Addr::LOCALHOST.into(),
        };
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let value = decode(value).ok_or_else(|| format!("{name}: not percent-encoded UTF-8"))?;
            match name {
                "path" => question.path = value,
                "method" => question.method = value,
                "class" => question.class = Some(class(&value)?),
                "deadline" => {
                    let deadline = parse_duration(&value);
                    question.deadline =
                        Some(deadline.ok_or_else(|| {
                            format!("deadline: {value:?} is not a duration (try 500ms, 2s)")
                        })?);
                }
                "header" => {
                    let Some((name, content)) = value.split_once(':') else {
                        return Err(format!("header: {value:?} is not name:value"));
                    };
                    question.headers.push(format!("{}: {}", name.trim(), content.trim()));
                }
                "from" => {
                    question.from =
                        value.parse().map_err(|_| format!("from: {value:?} is not an IP address"))?;
                }
                _ => {
                    return Err(format!("unknown parameter {name:?}; there are: {PARAMETERS}"));
                }
            }
        }
        if question.path.is_empty() {
            return Err("path is missing (try ?path=/)".to_owned());
        }
        Ok(question)
    }

    /// The request as if it had come, its head parsed.
    pub(super) fn scratch(&self, live: &Live) -> Result<Scratch, String> {
        let lines = [&self.method, &self.path].into_iter().chain(&self.headers);
        // Else one parameter could say two things.
        if lines.clone().any(|line| line.contains(['\r', '\n'])) {
            return Err("a method, path or header has no line break".to_owned());
        }
        let mut text = format!("{} {} HTTP/1.1\r\n", self.method, self.path);
        if !self.headers.iter().any(|line| has_name(line, "host")) {
            text.push_str("host: explain\r\n");
        }
        for line in &self.headers {
            text.push_str(line);
            text.push_str("\r\n");
        }
        text.push_str("\r\n");
        let mut scratch = Scratch { inbox: text.into_bytes(), ..Scratch::default() };
        match scratch.head.parse(&scratch.inbox, &live.limits) {
            Ok(Status::Complete) => Ok(scratch),
            Ok(Status::Partial) => Err("that is not a complete request".to_owned()),
            Err(refusal) => {
                Err(format!("such a request would get {}: {}", refusal.status, refusal.kind.text()))
            }
        }
    }
}

fn has_name(line: &str, name: &str) -> bool {
    line.split(':').next().is_some_and(|is| is.eq_ignore_ascii_case(name))
}

fn class(text: &str) -> Result<Class, String> {
    let known = Class::ALL.into_iter().find(|class| class.as_str() == text);
    known.ok_or_else(|| format!("class: {text:?} is not critical, high, normal, low or bypass"))
}

/// Replaces `%XX`. A plus sign is one: paths and dates have them.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first == b'%' {
            let digits = std::str::from_utf8(tail.get(..2)?).ok()?;
            // `from_str_radix` would take a sign.
            if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                return None;
            }
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &tail[2..];
        } else {
            bytes.push(*first);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_has_a_path_and_what_else_is_said() {
        let query =
            "path=/a%3Fx%3D1+2&method=POST&class=high&deadline=1s&header=X-A%3A%20b&header=c:&from=::1";
        let question = Question::parse(query).unwrap();
        let expected = Question {
            path: "/a?x=1+2".to_owned(),
            method: "POST".to_owned(),
            class: Some(Class::High),
            deadline: Some(Duration::from_secs(1)),
            headers: vec!["X-A: b".to_owned(), "c: ".to_owned()],
            from: "::1".parse().unwrap(),
        };
        assert_eq!(question, expected);
        assert_eq!(Question::parse("path=/").unwrap().from, IpAddr::from(Ipv4Addr::LOCALHOST));
    }

    #[test]
    fn what_is_no_question_is_told_why() {
        for (query, why) in [
            ("", "path is missing (try ?path=/)"),
            ("path=", "path is missing (try ?path=/)"),
            ("path=/&class=urgent", "class: \"urgent\" is not critical, high, normal, low or bypass"),
            ("path=/&deadline=soon", "deadline: \"soon\" is not a duration (try 500ms, 2s)"),
            ("path=/&header=x", "header: \"x\" is not name:value"),
            ("path=/&from=here", "from: \"here\" is not an IP address"),
            ("path=%2", "path: not percent-encoded UTF-8"),
            ("path=%+1", "path: not percent-encoded UTF-8"),
            ("path=%ff", "path: not percent-encoded UTF-8"),
            ("paht=/", "unknown parameter \"paht\"; there are: path, method, class, deadline, header, from"),
        ] {
            assert_eq!(Question::parse(query), Err(why.to_owned()), "{query}");
        }
    }
}
