//! A run, decided in every detail before the first request: parsed, complete, checked.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::deadline::Deadline;
use crate::mix::Mix;
use crate::retry::Retry;
use crate::schedule::Arrivals;
use crate::stage::Stage;
use crate::target::{Target, is_token};

/// Requests in flight at once, unless the plan says otherwise: an overload of 1,000/s with a timeout of 10 s fits.
pub const DEFAULT_MAX_IN_FLIGHT: usize = 10_000;

/// Time until an attempt is given up, unless the plan says otherwise.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// What to send, to whom, when, and what to do when it fails.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where to.
    pub url: Url,
    /// The protocol.
    pub protocol: Protocol,
    /// Whether each request has a connection of its own.
    pub new_connections: bool,
    /// The rate over time; at least one stage.
    pub stages: Vec<Stage>,
    /// How requests follow each other at that rate.
    pub arrivals: Arrivals,
    /// What is asked for, by weight; at least one.
    pub targets: Vec<Target>,
    /// The classes of targets that have none, by weight; may be empty.
    pub classes: Mix,
    /// The header that says the class, in lower case.
    pub class_header: String,
    /// The tenants of targets that have none, by weight; may be empty.
    pub tenants: Mix,
    /// The header that says the tenant, in lower case.
    pub tenant_header: String,
    /// How long an attempt may take until it is given up and its connection closed.
    pub timeout: Duration,
    /// Until when an answer is of use, counted from when its request was due.
    pub deadline: Option<Deadline>,
    /// What a client does after a failed attempt.
    pub retry: Retry,
    /// Most requests in flight, and so most connections. What is due beyond is not sent, and the run is not valid.
    pub max_in_flight: usize,
    /// Seed of everything random in the run.
    pub seed: u64,
}

/// The protocol of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Protocol {
    /// HTTP/1.1, a connection per request in flight.
    #[default]
    #[serde(rename = "http/1.1")]
    Http1,
    /// HTTP/2 without TLS, by prior knowledge, a hundred requests in flight per connection.
    #[serde(rename = "h2")]
    H2,
}

/// `http://host:port/path`, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// Name or address to connect to, without brackets.
    pub host: String,
    /// Port to connect to.
    pub port: u16,
    /// What `Host` says: host and port as they were written.
    pub authority: String,
    /// Path and query, at least `/`.
    pub path: String,
}

/// Why a plan cannot be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanError(pub String);

impl Plan {
    /// `GET` of `url` at the rates of `stages`, with everything else as it is by default.
    #[must_use]
    pub fn new(url: Url, stages: Vec<Stage>) -> Self {
        let target = Target { name: url.path.clone(), path: url.path.clone(), ..Target::default() };
        Self {
            url,
            protocol: Protocol::default(),
            new_connections: false,
            stages,
            arrivals: Arrivals::default(),
            targets: vec![target],
            classes: Mix::default(),
            class_header: "x-criticality".to_owned(),
            tenants: Mix::default(),
            tenant_header: "x-tenant".to_owned(),
            timeout: DEFAULT_TIMEOUT,
            deadline: None,
            retry: Retry::default(),
            max_in_flight: DEFAULT_MAX_IN_FLIGHT,
            seed: 0,
        }
    }

    /// How long requests are due.
    #[must_use]
    pub fn duration(&self) -> Duration {
        self.stages.iter().map(|stage| stage.duration).sum()
    }

    /// How many requests are due, up to rounding and chance.
    #[must_use]
    pub fn requests(&self) -> f64 {
        self.stages.iter().map(Stage::requests).sum()
    }

    /// # Errors
    /// The first thing that cannot be run, in words.
    pub fn check(&self) -> Result<(), PlanError> {
        let wrong = |why: &str| Err(PlanError(why.to_owned()));
        if self.requests() < 1.0 {
            return wrong(&format!(
                "no request is due in {:?}: give a rate above 0 and a duration, with its unit (try 100/s, 30s)",
                self.duration()
            ));
        }
        if self.timeout.is_zero() {
            return wrong("the timeout is 0: every request would fail");
        }
        if self.max_in_flight == 0 {
            return wrong("max_in_flight is 0: nothing could be sent");
        }
        for name in [&self.class_header, &self.tenant_header] {
            if !is_token(name) {
                return wrong(&format!("`{name}` is not a header name"));
            }
        }
        if let Some(header) = self.deadline.as_ref().and_then(|deadline| deadline.header.as_ref())
            && !is_token(header)
        {
            return wrong(&format!("`{header}` is not a header name"));
        }
        let names = [&self.classes, &self.tenants].into_iter().flat_map(Mix::names);
        let own = self.targets.iter().flat_map(|target| target.class.iter().chain(&target.tenant));
        if let Some(name) = names.chain(own).find(|name| !name.bytes().all(|byte| byte.is_ascii_graphic())) {
            return wrong(&format!("`{name}` cannot be sent as a class or tenant: it is not plain ASCII"));
        }
        self.targets.iter().try_for_each(Target::check).map_err(PlanError)
    }
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for PlanError {}

impl Protocol {
    /// Its name in flags and files.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http1 => "http/1.1",
            Self::H2 => "h2",
        }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.authority, self.path)
    }
}

impl FromStr for Url {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| format!("`{text}`: {why} (try http://127.0.0.1:8000/)");
        if text.starts_with("https://") {
            return Err(wrong("TLS is not supported: send to the plain port behind it"));
        }
        let rest = text.strip_prefix("http://").unwrap_or(text);
        if rest.contains("://") {
            return Err(wrong("only http:// is supported"));
        }
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let path = path.split('#').next().unwrap_or_default();
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => {
                let port = port.parse().ok().filter(|port| *port != 0);
                (host, port.ok_or_else(|| wrong("the port is not a number from 1 to 65535"))?)
            }
            _ => (authority, 80),
        };
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let odd = |byte: u8| !byte.is_ascii_alphanumeric() && !b"-._:%".contains(&byte);
        if host.is_empty() || host.bytes().any(odd) {
            return Err(wrong("the host is missing or not a name"));
        }
        Ok(Self { host: host.to_owned(), port, authority: authority.to_owned(), path })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        let parts = |text: &str| {
            let url: Url = text.parse().unwrap();
            (url.host, url.port, url.authority, url.path)
        };
        let expect = |host: &str, port, authority: &str, path: &str| {
            (host.to_owned(), port, authority.to_owned(), path.to_owned())
        };
        assert_eq!(parts("http://a:8000/x?y=1#z"), expect("a", 8000, "a:8000", "/x?y=1"));
        assert_eq!(parts("a:8000"), expect("a", 8000, "a:8000", "/"));
        assert_eq!(parts("http://[::1]:81"), expect("::1", 81, "[::1]:81", "/"));
        assert_eq!(parts("http://[::1]/"), expect("::1", 80, "[::1]", "/"));
        assert_eq!(parts("http://a?x"), expect("a", 80, "a", "/?x"));
    }

    #[test]
    fn wrong_urls_say_why() {
        for (text, part) in [
            ("https://a/", "TLS"),
            ("ftp://a/", "only http"),
            ("http://a:0/", "port"),
            ("http://a:x/", "port"),
            ("http:///x", "host"),
            ("http://a b/", "host"),
        ] {
            let error = text.parse::<Url>().unwrap_err();
            assert!(error.contains(part) && error.contains("try http://"), "{error}");
        }
    }

    #[test]
    fn a_plan_that_cannot_be_run_is_refused() {
        let plan = Plan::new("http://a/".parse().unwrap(), vec!["1s@10".parse().unwrap()]);
        assert!(plan.check().is_ok());
        let none = Plan { stages: vec!["1s@0".parse().unwrap()], ..plan.clone() };
        assert!(none.check().unwrap_err().0.contains("no request is due in 1s"));
        let header = Plan { class_header: "a b".to_owned(), ..plan.clone() };
        assert!(header.check().unwrap_err().0.contains("not a header name"));
        let forged = Plan { classes: "a\r\nb=1".parse().unwrap(), ..plan };
        assert!(forged.check().unwrap_err().0.contains("not plain ASCII"));
    }
}
