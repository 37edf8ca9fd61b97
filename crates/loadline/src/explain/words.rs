//! An explanation in sentences, for people.

use std::fmt::Write as _;
use std::time::Duration;

use loadline_core::{self as core, Class, Remedy, Verdict};

use super::Case;
use super::door::Rule;
use crate::asked::DecidedBy;
use crate::config::{self, units};

/// What stands in the way, or does not; one sentence each.
pub(super) fn sentences(case: &Case<'_>) -> Vec<String> {
    let sentences: [fn(&Case<'_>) -> Option<String>; 8] =
        [class, trust, deadline, verdict, remedy, limit, prediction, dry_run];
    sentences.iter().filter_map(|sentence| sentence(case)).collect()
}

fn class(case: &Case<'_>) -> Option<String> {
    let super::Question { method, path, .. } = case.question;
    let class = case.asked.class;
    let settings = &case.live.settings;
    let why = match case.asked.decided_by {
        _ if case.class_given => "as asked".to_owned(),
        DecidedBy::BypassPath => "its path is one of bypass.path".to_owned(),
        DecidedBy::Header => {
            let header = settings.priority.header.as_ref().map_or("", |header| header.name.as_str());
            format!("a trusted hop says so in {header}")
        }
        DecidedBy::Route => format!("its route {} says so", case.live.routes.name(case.asked.route)),
        DecidedBy::Rule(at) => {
            let rule = settings.priority.rules.get(at).map(config::rule_text).unwrap_or_default();
            format!("rule {} matches: {rule}", at + 1)
        }
        DecidedBy::Default if settings.priority.rules.is_empty() => {
            "the default, there are no rules".to_owned()
        }
        DecidedBy::Default => "the default, no rule matches".to_owned(),
    };
    let mut text = format!("{method} {path} is {class} ({why})");
    if case.explanation.class != class {
        let _ = write!(
            text,
            ", judged as {}: it is a retry while fresh {class} work is shed",
            case.explanation.class
        );
    }
    Some(text + ".")
}

/// Only of a limit that was found: one that was given explains itself.
fn limit(case: &Case<'_>) -> Option<String> {
    let limiter = &case.limiter;
    if limiter.law == "fixed" {
        return None;
    }
    let mut text = format!("The limit is {}, found by {}", limiter.limit, limiter.law);
    match (limiter.changes.last(), case.limit_since) {
        (Some(change), Some(since)) => {
            let since = since.as_secs();
            let _ = write!(text, ": {} until {since} s ago ({})", change.from, change.why.as_str());
        }
        _ => text.push_str(", and has not changed yet"),
    }
    if let Some((low, high)) = limiter.arms {
        let _ = write!(text, "; {low} and {high} are being compared");
    }
    Some(text + ".")
}

fn trust(case: &Case<'_>) -> Option<String> {
    let (from, word) = (case.question.from, if case.trusted { "trusted" } else { "not trusted" });
    Some(format!("Its client {from} is {word} to say class and age."))
}

fn deadline(case: &Case<'_>) -> Option<String> {
    Some(match case.deadline_left {
        Some(left) if left.is_zero() => "Its deadline has passed.".to_owned(),
        Some(left) => format!("Its deadline is in {}.", span(left)),
        None => "It has no deadline.".to_owned(),
    })
}

fn verdict(case: &Case<'_>) -> Option<String> {
    let explanation = &case.explanation;
    let (class, in_flight, slots) = (explanation.class, explanation.in_flight, explanation.slots);
    let used = format!("{in_flight} of the {slots} slots for {class} are in use");
    let settings = &case.live.settings;
    let what = match case.verdict {
        Verdict::Admit => "It would be admitted at once".to_owned(),
        Verdict::Queue => "It would wait".to_owned(),
        Verdict::Shed(reason) => format!("It would be rejected ({reason})"),
    };
    let route = case.live.routes.name(case.asked.route);
    let rule = match case.rule {
        Rule::Connections => {
            return Some(format!("{what}: all {} client connections are in use.", settings.max_connections));
        }
        Rule::QueueAge => {
            return Some(format!(
                "{what}: it waited longer before it came here than deadline.max_queue_age."
            ));
        }
        Rule::BreakerOpen(rest) => {
            return Some(format!(
                "{what}: every endpoint failed too often and is left alone, for another {} (breaker).",
                span(rest)
            ));
        }
        Rule::NoEndpoint => {
            return Some(format!("{what}: no endpoint can be asked now; `loadline status` shows them."));
        }
        Rule::Core(rule) => rule,
    };
    let why = match rule {
        core::Rule::FreeSlot if class == Class::Bypass => {
            format!("health checks pass the limit by, and {used}")
        }
        core::Rule::FreeSlot => format!("{used}, and nobody of its class or above waits"),
        core::Rule::QueuePlace => format!("{used}, and {}", waiting(case.queued)),
        core::Rule::PushOut => {
            let lower = explanation.displaces.unwrap_or(class);
            format!("{used}; the queue is full, and one of {lower} gives way to it")
        }
        core::Rule::DeadlinePassed => "its deadline has passed".to_owned(),
        core::Rule::Prediction => "the predicted wait and service exceed the time that is left".to_owned(),
        core::Rule::OverloadSignal => format!("its class is rejected because of overload: {}", case.overload),
        core::Rule::Threshold => format!("priority.shed_at.{class} is reached: {used}"),
        core::Rule::RetryShare => "it is a retry, and retries hold their share of the slots".to_owned(),
        core::Rule::RouteLimit => {
            format!("its route {route} is at its own limit, and nobody may wait (queue.depth = 0)")
        }
        core::Rule::SlotsTaken => format!("{used}, and nobody may wait (queue.depth = 0)"),
        core::Rule::BypassLimit => format!("health checks have a cap of their own, and {used}"),
        core::Rule::Draining => format!("the proxy drains, and {used}"),
        core::Rule::QueueDepth => {
            format!("{used}, and {}, none of whom gives way to it", waiting(case.queued))
        }
        core::Rule::HeldBytes => {
            "the bodies of those who wait hold as much as they may (queue.max_bytes)".to_owned()
        }
        core::Rule::TenantShare => {
            format!("{used}, and {}, most of them for its own tenant", waiting(case.queued))
        }
        _ => used,
    };
    Some(format!("{what}: {why}."))
}

/// What would let it in.
fn remedy(case: &Case<'_>) -> Option<String> {
    Some(match case.remedy()? {
        Remedy::HigherClass(Class::Critical) => "As critical it would get in.".to_owned(),
        Remedy::HigherClass(class) => format!("As {class} it would get in, or above."),
        Remedy::Budget(budget) => format!("With a deadline {} away, or more, it would get in.", span(budget)),
        _ => return None,
    })
}

fn prediction(case: &Case<'_>) -> Option<String> {
    if case.asked.class == Class::Bypass {
        return None;
    }
    let wait = match case.explanation.predicted_wait {
        Duration::ZERO => "no wait".to_owned(),
        wait => format!("a wait of {}", span(wait)),
    };
    let service = match case.explanation.predicted_service {
        Some(service) => format!("{} of service", span(service)),
        None => "a service time that is not known yet".to_owned(),
    };
    Some(format!("Predicted: {wait}, and {service}."))
}

/// Not of what the proxy refuses for its own sake, in a dry run too.
fn dry_run(case: &Case<'_>) -> Option<String> {
    let text = "This is a dry run: whatever is decided, it would be forwarded at once.";
    let decided = matches!(case.rule, Rule::Core(_) | Rule::QueueAge);
    (case.live.settings.dry_run && decided).then(|| text.to_owned())
}

fn waiting(count: u32) -> String {
    match count {
        0 => "nobody waits".to_owned(),
        1 => "1 request waits".to_owned(),
        count => format!("{count} requests wait"),
    }
}

/// Whole milliseconds, or microseconds below one.
fn span(time: Duration) -> String {
    let unit = if time < Duration::from_millis(1) { 1_000 } else { 1_000_000 };
    let nanos = time.as_nanos().div_ceil(unit) * unit;
    units::format_duration(Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
}
