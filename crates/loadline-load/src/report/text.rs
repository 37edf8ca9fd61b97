//! The report for a terminal.

use std::fmt::Write as _;

use super::{Group, Latency, Report};
use crate::outcome::Outcome;

/// Reasons for rejections that are shown; the JSON has all.
const REASONS: usize = 4;

pub(super) fn text(report: &Report) -> String {
    let mut out = String::new();
    let mut line = |label: &str, text: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "{label:<12}{text}");
    };
    let total = &report.total;
    line("target", format!("{} ({})", report.url, report.protocol));
    line("offered", format!("{} in {:.1} s, {:.1}/s", total.offered, report.planned_s, report.offered_per_s));
    line("goodput", format!("{:.1}/s, {}", report.goodput_per_s, percent(total.goodput)));
    for outcome in Outcome::ALL {
        let count = total.count(outcome);
        if count > 0 || outcome == Outcome::Served {
            let why = match (outcome, report.causes.get(&outcome)) {
                (Outcome::Shed, _) => reasons(total),
                (_, Some(cause)) => format!("first: {cause}"),
                _ => String::new(),
            };
            line(
                outcome.as_str(),
                format!("{count:>9}  {:>7}  {why}", percent(total.share(outcome))).trim_end().to_owned(),
            );
        }
    }
    if report.unfinished > 0 {
        line("unfinished", format!("{:>9}", report.unfinished));
    }
    line("latency", latency(&total.latency, "of what was served, from when it was due"));
    if total.shed_latency.count > 0 {
        line("", latency(&total.shed_latency, "of what was shed"));
    }
    if total.all_latency.count > total.latency.count {
        line("", latency(&total.all_latency, "of everything sent"));
    }
    for (kind, groups) in
        [("class", &report.classes), ("request", &report.targets), ("tenant", &report.tenants)]
    {
        for group in groups {
            line(kind, one_line(group));
        }
    }
    if let Some(recovery) = report.recovery {
        let seconds = recovery.seconds.map(|seconds| format!("{seconds:.0} s"));
        let after = format!("after the overload that ended at {:.1} s", recovery.from_s);
        line("recovery", format!("{} {after}", seconds.unwrap_or_else(|| "not within the run".to_owned())));
    }
    let repeated =
        report.attempts.saturating_sub(total.offered - report.unfinished - total.count(Outcome::NotSent));
    line(
        "sent",
        format!(
            "{} requests, {repeated} of them retries, on {} connections",
            report.attempts, report.connections
        ),
    );
    line(
        "late starts",
        format!(
            "{} ({}), p99 {}, max {}",
            report.late_starts.count,
            percent(report.late_starts.share),
            duration(report.late_starts.p99_ms),
            duration(report.late_starts.max_ms)
        ),
    );
    for problem in &report.problems {
        line("NOT VALID", problem.clone());
    }
    out
}

fn reasons(group: &Group) -> String {
    let mut reasons: Vec<(&String, &u64)> = group.shed_by_reason.iter().collect();
    reasons.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let shown: Vec<String> =
        reasons.iter().take(REASONS).map(|(reason, count)| format!("{reason} {count}")).collect();
    shown.join(", ")
}

fn one_line(group: &Group) -> String {
    format!(
        "{:<16} {:>8} offered, goodput {:>7}, shed {:>7}, p50 {:>8}, p99 {:>8}",
        group.name,
        group.offered,
        percent(group.goodput),
        percent(group.share(Outcome::Shed)),
        duration(group.latency.p50_ms),
        duration(group.latency.p99_ms)
    )
}

fn latency(latency: &Latency, of: &str) -> String {
    if latency.count == 0 {
        return format!("nothing {}", of.trim_start_matches("of what "));
    }
    let parts = [
        ("p50", latency.p50_ms),
        ("p90", latency.p90_ms),
        ("p99", latency.p99_ms),
        ("p99.9", latency.p99_9_ms),
        ("max", latency.max_ms),
    ];
    let parts: Vec<String> =
        parts.iter().map(|(name, value)| format!("{name} {}", duration(*value))).collect();
    format!("{}  {of}", parts.join("  "))
}

/// `99.95 %`, without rounding up to a hundred what is less.
pub(super) fn percent(share: f64) -> String {
    let percent = (share * 10_000.0).floor() / 100.0;
    if share >= 1.0 { "100 %".to_owned() } else { format!("{percent:.2} %") }
}

/// Milliseconds with three significant digits.
pub(super) fn duration(ms: f64) -> String {
    match ms {
        ms if ms >= 10_000.0 => format!("{:.1} s", ms / 1_000.0),
        ms if ms >= 1_000.0 => format!("{:.2} s", ms / 1_000.0),
        ms if ms >= 100.0 => format!("{ms:.0} ms"),
        ms if ms >= 10.0 => format!("{ms:.1} ms"),
        ms => format!("{ms:.2} ms"),
    }
}
