//! Which class a request belongs to: rules over its path, method, headers and query.
//!
//! **Why it exists.** Under overload the class decides who waits and who is turned away, so whoever can choose a request's
//! bytes must not be able to choose its class by a trick of spelling.
//!
//! **When it acts.** Once per request, before admission: [`Rules::class`], and beside it what a trusted hop says
//! ([`ClassHeader`]), which cohort the request's user is in ([`cohort`]), and whether it is a retry ([`attempt`]).
//!
//! **Rules**
//! - The first rule whose conditions all hold decides; if none does, the default class.
//! - Paths are compared by whole segments and byte by byte: case counts, nothing is decoded or normalised. See [`PathGlob`].
//! - A path that the application behind may read differently ([`ambiguity`]: `..`, `//`, `%2e`, `;`, …) never gets more
//!   than the default class: rules that would raise it are passed over, so that `/admin/../export` gains nothing from
//!   `/admin/*`. Rules that lower it still hold. A rule that lowers is no protection against a client that disguises
//!   its path; to be sure, make the low class the default and raise what matters.
//!
//! **Out of scope.** Whom to trust, and the configuration's syntax.
//!
//! ```
//! use loadline_core::Class;
//! use loadline_http::classify::{Condition, PathGlob, RequestView, Rule, Rules};
//!
//! let admin = Rule { conditions: vec![Condition::Path(PathGlob::parse("/admin/*")?)], class: Class::Critical };
//! let rules = Rules::new(vec![admin], Class::Normal)?;
//! let request = |path| RequestView { method: b"GET", path, query: None, header: &|_| None };
//! assert_eq!(rules.class(&request(b"/admin/users")), (Class::Critical, Some(0)));
//! assert_eq!(rules.class(&request(b"/administrator")), (Class::Normal, None));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod ambiguity;
mod attempt;
mod class_header;
mod cohort;
mod glob;

use std::fmt;

use loadline_core::Class;

pub use ambiguity::ambiguity;
pub use attempt::{ATTEMPT_HEADERS, attempt, is_attempt_header};
pub use class_header::{ClassHeader, Vocabulary};
pub use cohort::{COHORTS, cohort};
pub use glob::{GlobError, GlobProblem, PathGlob};

/// A request, as far as rules look at it. Nothing is copied.
#[derive(Clone, Copy)]
pub struct RequestView<'a> {
    /// As received: case counts.
    pub method: &'a [u8],
    /// The path of the target, without the query, as received.
    pub path: &'a [u8],
    /// What follows the first `?`, if there is one.
    pub query: Option<&'a [u8]>,
    /// The value of the first field with this lower-case name.
    pub header: &'a dyn Fn(&str) -> Option<&'a [u8]>,
}

/// What a rule asks of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Condition {
    /// The path matches.
    Path(PathGlob),
    /// The method is this one.
    Method(String),
    /// There is a field with this lower-case name, whatever its value.
    HasHeader(String),
    /// The first field with this lower-case name has exactly this value.
    HeaderEquals(String, String),
    /// The query has a parameter of this name, with or without a value. Nothing is decoded.
    HasQuery(String),
    /// The query has a parameter of this name with exactly this value, among others perhaps. Nothing is decoded.
    QueryEquals(String, String),
}

impl Condition {
    /// Name and value, as a configuration file writes it: `has_header = "x-internal"`, `query = "page=1"`.
    #[must_use]
    pub fn name_and_value(&self) -> (&'static str, String) {
        match self {
            Self::Path(glob) => ("path", glob.as_str().to_owned()),
            Self::Method(method) => ("method", method.clone()),
            Self::HasHeader(name) => ("has_header", name.clone()),
            Self::HeaderEquals(name, value) => ("header", format!("{name}: {value}")),
            Self::HasQuery(name) => ("has_query", name.clone()),
            Self::QueryEquals(name, value) => ("query", format!("{name}={value}")),
        }
    }
}

/// A class for the requests that meet all conditions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// At least one.
    pub conditions: Vec<Condition>,
    /// The class of what meets them.
    pub class: Class,
}

/// Rules in their order, and a class for what none of them matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    rules: Vec<Rule>,
    default: Class,
}

impl Rules {
    /// # Errors
    /// A rule without conditions; a name that no request can have; `bypass` as the default class.
    pub fn new(rules: Vec<Rule>, default: Class) -> Result<Self, RuleError> {
        if default == Class::Bypass {
            return Err(RuleError { rule: None, problem: RuleProblem::BypassByDefault });
        }
        for (position, rule) in rules.iter().enumerate() {
            rule.check().map_err(|problem| RuleError { rule: Some(position), problem })?;
        }
        Ok(Self { rules, default })
    }

    /// The request's class, and the position of the rule that decided; `None` is the default.
    #[must_use]
    pub fn class(&self, request: &RequestView<'_>) -> (Class, Option<usize>) {
        let mut may_be_raised = None;
        for (position, rule) in self.rules.iter().enumerate() {
            if !rule.matches(request) {
                continue;
            }
            // Looked at only when a rule would raise the class: most requests never pay for it.
            if !self.raises(rule.class)
                || *may_be_raised.get_or_insert_with(|| ambiguity(request.path).is_none())
            {
                return (rule.class, Some(position));
            }
        }
        (self.default, None)
    }

    /// The class of what no rule matches.
    #[must_use]
    pub const fn default_class(&self) -> Class {
        self.default
    }

    fn raises(&self, class: Class) -> bool {
        class == Class::Bypass || class.index() < self.default.index()
    }
}

impl Rule {
    fn matches(&self, request: &RequestView<'_>) -> bool {
        self.conditions.iter().all(|condition| condition.holds(request))
    }

    fn check(&self) -> Result<(), RuleProblem> {
        if self.conditions.is_empty() {
            return Err(RuleProblem::NoCondition);
        }
        self.conditions.iter().try_for_each(Condition::check)
    }
}

impl Condition {
    fn holds(&self, request: &RequestView<'_>) -> bool {
        match self {
            Self::Path(glob) => glob.matches(request.path),
            Self::Method(method) => method.as_bytes() == request.method,
            Self::HasHeader(name) => (request.header)(name).is_some(),
            Self::HeaderEquals(name, value) => (request.header)(name) == Some(value.as_bytes()),
            Self::HasQuery(name) => parameters(request.query).any(|(key, _)| key == name.as_bytes()),
            Self::QueryEquals(name, value) => {
                parameters(request.query).any(|(key, is)| key == name.as_bytes() && is == value.as_bytes())
            }
        }
    }

    fn check(&self) -> Result<(), RuleProblem> {
        match self {
            Self::Path(_) => Ok(()),
            Self::Method(method) if method.is_empty() || !method.bytes().all(is_token) => {
                Err(RuleProblem::Method(method.clone()))
            }
            Self::HasHeader(name) | Self::HeaderEquals(name, _)
                if name.is_empty() || !name.bytes().all(|b| is_token(b) && !b.is_ascii_uppercase()) =>
            {
                Err(RuleProblem::Header(name.clone()))
            }
            Self::HasQuery(name) | Self::QueryEquals(name, _)
                if name.is_empty() || name.bytes().any(|b| b"&=#".contains(&b)) =>
            {
                Err(RuleProblem::Query(name.clone()))
            }
            Self::Method(_)
            | Self::HasHeader(_)
            | Self::HeaderEquals(..)
            | Self::HasQuery(_)
            | Self::QueryEquals(..) => Ok(()),
        }
    }
}

/// Why rules cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleError {
    /// The rule at fault, counted from 0; `None` is the default class.
    pub rule: Option<usize>,
    /// What is wrong with it.
    pub problem: RuleProblem,
}

/// What is wrong with a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RuleProblem {
    /// It would match everything, which the default class is for.
    NoCondition,
    /// Not a method name.
    Method(String),
    /// Not a lower-case header name.
    Header(String),
    /// Not the name of a query parameter.
    Query(String),
    /// If everything went past the queue, nothing would be limited.
    BypassByDefault,
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(rule) = self.rule {
            write!(f, "rule {}: ", rule + 1)?;
        }
        match &self.problem {
            RuleProblem::NoCondition => f.write_str("no condition"),
            RuleProblem::Method(name) => write!(f, "{name:?} is not a method"),
            RuleProblem::Header(name) => write!(f, "{name:?} is not a lower-case header name"),
            RuleProblem::Query(name) => write!(f, "{name:?} is not the name of a query parameter"),
            RuleProblem::BypassByDefault => f.write_str("the default class cannot be bypass"),
        }
    }
}

impl std::error::Error for RuleError {}

/// Names and values between `&`, as they are written; a parameter without `=` has an empty value.
fn parameters(query: Option<&[u8]>) -> impl Iterator<Item = (&[u8], &[u8])> {
    query.into_iter().flat_map(|query| query.split(|byte| *byte == b'&')).map(|parameter| {
        match parameter.iter().position(|byte| *byte == b'=') {
            Some(equals) => (&parameter[..equals], &parameter[equals + 1..]),
            None => (parameter, &b""[..]),
        }
    })
}

/// RFC 9110 section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
