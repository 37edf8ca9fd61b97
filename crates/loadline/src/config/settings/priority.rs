//! `[priority]`: which class a request belongs to, and what a class is worth.

use std::time::Duration;

use loadline_core::Class;
use loadline_http::classify::{ClassHeader, Rule, Rules};

/// `[priority]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Priority {
    /// The class of what no rule matches; never bypass. Default normal.
    pub default: Class,
    /// In their order: the first that matches decides. Each has passed [`Rules::new`]. Default none.
    pub rules: Vec<Rule>,
    /// The header in which trusted hops name the class, instead of the rules. Default none.
    pub header: Option<ClassHeader>,
    /// A request of a lower class that has waited for this long gives its class a share of the slots; `None`: strict order
    /// without end. Default 2 s.
    pub aging: Option<Duration>,
    /// Slots above the limit that only critical requests may use. Default [`Reserve::Auto`].
    pub reserve: Reserve,
    /// From which share of the limit on a class is refused at once.
    pub shed_at: ShedAt,
}

impl Priority {
    /// The rules and the default class, ready for use.
    pub fn classifier(&self) -> Rules {
        Rules::new(self.rules.clone(), self.default)
            .expect("every rule and the default were checked when they were read")
    }
}

/// Slots above the limit for critical requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reserve {
    /// A tenth of the limit, at least 1.
    Auto,
    /// So many; 0 to 1,000,000.
    Slots(u32),
}

/// `[priority.shed_at]`: shares of the limit in whole percent, 1 to 100; `None` is off, which is the default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShedAt {
    /// Of the class `high`.
    pub high: Option<u8>,
    /// Of the class `normal`.
    pub normal: Option<u8>,
    /// Of the class `low`.
    pub low: Option<u8>,
}
