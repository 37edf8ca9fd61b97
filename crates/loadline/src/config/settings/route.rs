//! `[[route]]`: kinds of requests that are told apart.

use std::num::NonZeroU32;
use std::time::Duration;

use loadline_core::Class;
use loadline_http::classify::PathGlob;

/// One `[[route]]`. A request belongs to the first whose path and method match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The value of the label `path` in metrics; unique, [`is_route_name`].
    pub name: String,
    /// At least one; any of them may match.
    pub paths: Vec<PathGlob>,
    /// Any of them; empty is every method.
    pub methods: Vec<String>,
    /// Of the limit, how many slots its requests may take at once; `None`: all.
    pub concurrency: Option<NonZeroU32>,
    /// What one of its requests counts for.
    pub cost: Cost,
    /// The class of its requests, before the rules are asked.
    pub class: Option<Class>,
    /// Instead of `timeouts.upstream`; at least 1 ms.
    pub timeout: Option<Duration>,
}

/// What a request counts for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cost {
    /// One slot, for as long as past requests of the route held theirs.
    Learned,
    /// So many slots at once.
    Slots(NonZeroU32),
}

/// Labels that mean something else: no route of the configuration, and health checks.
const TAKEN: [&str; 2] = ["other", "healthcheck"];

/// Longest name: it is in every line of the log and in every series.
const LONGEST_NAME: usize = 64;

/// Whether a route may have this name: letters, digits, `_`, `-`, `.`, at most 64, beginning with a letter or digit; not
/// `other` or `healthcheck`, which metrics use themselves.
pub fn is_route_name(name: &str) -> bool {
    let starts_well = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    starts_well
        && name.len() <= LONGEST_NAME
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
        && !TAKEN.contains(&name)
}
