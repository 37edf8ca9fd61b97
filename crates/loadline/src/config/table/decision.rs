//! Who is let in: `[priority]` and `[deadline]`.

use std::time::Duration;

use loadline_core::Class;
use loadline_http::deadline::NaiveZone;

use super::super::class_rules::RulesField;
use super::super::codecs::{Optional, Span, Switch, Words};
use super::super::deadline::Headers;
use super::super::key::{Key, key, with_field};
use super::super::priority::{ClassHeaderName, Share, SlotsInReserve};
use super::super::settings::Settings;
use super::{DAY, MILLISECOND, MOST};

/// Longest tolerance for clocks that differ: without NTP hosts drift by seconds, and beyond a minute it is a wrong clock.
const MOST_SKEW: Duration = Duration::from_secs(60);

pub(super) fn priority() -> Vec<Key> {
    let share = || Optional { word: "off", of: Share };
    vec![
        key(
            "priority.default",
            "Class of requests that no rule matches.",
            Words(&[
                ("critical", Class::Critical),
                ("high", Class::High),
                ("normal", Class::Normal),
                ("low", Class::Low),
            ]),
            at!(priority.default),
        ),
        with_field(
            "priority.rules",
            "Classes by request: the first rule whose conditions all hold decides. Conditions: path=\"/admin/*\" is all below \
             (/admin/** also /admin itself), method=\"GET\", has_header=\"name\", header=\"name: value\", has_query=\"name\", \
             query=\"name=value\". Class: critical, high, normal, low or bypass. Outside of a file, the list is written as TOML or \
             JSON on one line.",
            RulesField,
        ),
        key(
            "priority.header",
            "Header in which proxies of trust.proxies name the class, instead of the rules: critical, high, normal, low; or, if \
             its name is priority, u=0 to u=7 (RFC 9218). From others it means nothing.",
            Optional { word: "none", of: ClassHeaderName },
            at!(priority.header),
        ),
        key(
            "priority.aging",
            "When somebody of a lower class has waited for this long, the class gets a small share of the slots; none keeps strict \
             order for ever.",
            Optional { word: "none", of: Span { min: MILLISECOND, max: DAY } },
            at!(priority.aging),
        ),
        key(
            "priority.reserve",
            "Slots above the limit that only critical requests may use; auto is a tenth of the limit, at least 1.",
            SlotsInReserve { max: MOST },
            at!(priority.reserve),
        ),
        key(
            "priority.shed_at.high",
            "Share of the limit in use from which high is refused at once instead of waiting.",
            share(),
            at!(priority.shed_at.high),
        ),
        key("priority.shed_at.normal", "The same for normal.", share(), at!(priority.shed_at.normal)),
        key("priority.shed_at.low", "The same for low.", share(), at!(priority.shed_at.low)),
    ]
}

pub(super) fn deadline() -> Vec<Key> {
    let none_or_span = || Optional { word: "none", of: Span { min: MILLISECOND, max: DAY } };
    vec![
        key(
            "deadline.headers",
            "Headers that say how long the client waits, or how long the request has waited already (the latter only from \
             trust.proxies). The earliest deadline counts. An empty list reads none.",
            Headers,
            at!(deadline.headers),
        ),
        key(
            "deadline.zone",
            "Zone in which a date and time without an offset is meant.",
            Words(&[("local", NaiveZone::Local), ("utc", NaiveZone::Utc)]),
            at!(deadline.zone),
        ),
        key(
            "deadline.skew",
            "Tolerance for clocks that differ, added to deadlines that are points in time.",
            Span { min: Duration::ZERO, max: MOST_SKEW },
            at!(deadline.skew),
        ),
        key(
            "deadline.max",
            "Longest time a client can ask for; a point in time further ahead is ignored.",
            Span { min: MILLISECOND, max: DAY },
            at!(deadline.max),
        ),
        key(
            "deadline.predict",
            "Whether a request is refused when by past experience it cannot be answered before its deadline.",
            Switch,
            at!(deadline.predict),
        ),
        key(
            "deadline.max_queue_age",
            "Longest time a request may have waited before it came here, as a proxy of trust.proxies says.",
            none_or_span(),
            at!(deadline.max_queue_age),
        ),
        key(
            "deadline.default_budget",
            "Time in which a request must be answered that names no deadline.",
            none_or_span(),
            at!(deadline.default_budget),
        ),
        key(
            "deadline.propagate",
            "Whether the time that is left is passed to the upstream.",
            Switch,
            at!(deadline.propagate),
        ),
    ]
}
