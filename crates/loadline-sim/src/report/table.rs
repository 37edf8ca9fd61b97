//! Tables for a terminal.

use std::fmt::Write as _;

use loadline_core::Class;

use crate::clients::{ClassMix, ClassName};
use crate::compare::{Comparison, PolicyResult, Verdict};
use crate::recorder::Run;
use crate::scenario::{Expectation, What};
use crate::units::Span;

/// One scenario: a row per policy, averages over the seeds.
#[must_use]
pub fn table(comparison: &Comparison) -> String {
    let scenario = &comparison.scenario;
    let ability = scenario.ability(0);
    let (from, to) = (scenario.settle, scenario.duration);
    let mut text = format!(
        "{}: {}\nC = {}/s, knee = {}, {from} to {to}, {}\n\n",
        scenario.name,
        scenario.about,
        short(ability.capacity),
        short(ability.knee),
        seeds(comparison),
    );
    let critical = has_critical(comparison);
    let mut rows = vec![header(critical)];
    for result in &comparison.results {
        rows.push(row(comparison, &result.policy, &result.runs, critical));
    }
    if let Some((limit, _)) = comparison.best_fixed(from.0, to.0)
        && let Some((_, runs)) = comparison.fixed.iter().find(|(fixed, _)| *fixed == limit)
    {
        rows.push(row(comparison, &format!("best fixed ({limit})"), runs, critical));
    }
    align(&mut text, &rows);
    text
}

/// A setting taken through a range: a row per value and policy.
#[must_use]
pub fn sweep(key: &str, values: &[u64], comparisons: &[Comparison]) -> String {
    let critical = comparisons.first().is_some_and(has_critical);
    let mut rows = vec![header(critical)];
    rows[0][0] = format!("{key} policy");
    let mut best: Option<(f64, String)> = None;
    for (value, comparison) in values.iter().zip(comparisons) {
        let (from, to) = (comparison.scenario.settle.0, comparison.scenario.duration.0);
        for result in &comparison.results {
            let name = format!("{value} {}", result.policy);
            let goodput = comparison.mean(&result.runs, |run| run.goodput(&comparison.scenario, from, to));
            if best.as_ref().is_none_or(|(most, _)| goodput > *most) {
                best = Some((goodput, name.clone()));
            }
            rows.push(row(comparison, &name, &result.runs, critical));
        }
    }
    let mut text = String::new();
    align(&mut text, &rows);
    if let Some((goodput, name)) = best {
        let _ = writeln!(text, "\nmost goodput: {key} = {name}, {}", percent(goodput));
    }
    text
}

/// Whether the scenario has critical clients, for a column of their own.
fn has_critical(comparison: &Comparison) -> bool {
    let critical = ClassName(Class::Critical);
    comparison.scenario.clients.iter().any(|clients| match &clients.class {
        ClassMix::One(class) => *class == critical,
        ClassMix::Shares(shares) => shares.contains_key(&critical),
    })
}

fn header(critical: bool) -> Vec<String> {
    let mut cells = vec!["policy", "goodput", "worst s", "success"];
    if critical {
        cells.push("critical");
    }
    cells.extend(["shed", "wasted", "p50", "p99", "limit", "in app"]);
    cells.into_iter().map(str::to_owned).collect()
}

fn row(comparison: &Comparison, name: &str, runs: &[Run], critical: bool) -> Vec<String> {
    let scenario = &comparison.scenario;
    let (from, to) = (scenario.settle, scenario.duration);
    let mean = |of: &dyn Fn(&Run) -> f64| comparison.mean(runs, of);
    let of = |what, class| {
        let expectation = window(what, from, to, class);
        mean(&|run: &Run| run.measure(scenario, &expectation))
    };
    let latency = |share| mean(&|run: &Run| run.latency(share, from.0, to.0).unwrap_or(f64::NAN));
    let mut cells = vec![
        name.to_owned(),
        percent(of(What::Goodput, None)),
        percent(of(What::WorstSecond, None)),
        percent(of(What::Success, None)),
    ];
    if critical {
        cells.push(percent(of(What::Success, Some(Class::Critical))));
    }
    cells.extend([
        percent(of(What::Shed, None)),
        percent(of(What::Wasted, None)),
        seconds(latency(0.5)),
        seconds(latency(0.99)),
        short(of(What::Limit, None)),
        short(of(What::InApp, None)),
    ]);
    cells
}

/// The exam: a row per scenario with the goodput of every policy, then what did not come out as expected.
#[must_use]
pub fn exam(comparisons: &[Comparison]) -> String {
    let mut policies: Vec<&str> = Vec::new();
    for result in comparisons.iter().flat_map(|comparison| &comparison.results) {
        if !policies.contains(&result.policy.as_str()) {
            policies.push(&result.policy);
        }
    }
    let names = policies.iter().map(|name| (*name).to_owned());
    let mut rows =
        vec![["scenario".to_owned(), "best fixed".to_owned()].into_iter().chain(names).collect::<Vec<_>>()];
    for comparison in comparisons {
        let (from, to) = (comparison.scenario.settle.0, comparison.scenario.duration.0);
        let goodput = |result: &PolicyResult| {
            percent(comparison.mean(&result.runs, |run| run.goodput(&comparison.scenario, from, to)))
        };
        let best = comparison.best_fixed(from, to);
        let best =
            best.map_or_else(|| "-".to_owned(), |(limit, goodput)| format!("{} ({limit})", percent(goodput)));
        let cells = policies.iter().map(|policy| {
            let result = comparison.results.iter().find(|result| result.policy == *policy);
            result.map_or_else(|| "-".to_owned(), goodput)
        });
        rows.push([comparison.scenario.name.clone(), best].into_iter().chain(cells).collect());
    }
    let mut text = "goodput as a share of the capacity\n\n".to_owned();
    align(&mut text, &rows);
    text.push('\n');
    text + &verdicts(comparisons)
}

/// How many expectations hold, and which do not, each with the command that shows it again.
#[must_use]
pub fn verdicts(comparisons: &[Comparison]) -> String {
    let all =
        || comparisons.iter().flat_map(|comparison| comparison.verdicts.iter().map(move |v| (comparison, v)));
    let mut text = String::new();
    for (comparison, verdict) in all().filter(|(_, verdict)| !verdict.holds) {
        let Verdict { policy, expectation, value, seed, .. } = verdict;
        let name = &comparison.scenario.name;
        let (word, why) = match &expectation.known_gap {
            Some(why) => ("NOT MET", format!(": {why}")),
            None => ("FAILED", String::new()),
        };
        let run = match expectation.what {
            // Others and all seeds belong to it.
            What::VsBestAdaptive => String::new(),
            _ => format!(" --policy {policy} --seed {seed}"),
        };
        let (expected, value) = (expectation.describe(), short(*value));
        let _ = writeln!(
            text,
            "{word} {name}: {policy}: {expected} is {value}{why}\n       loadline sim {name}{run}"
        );
    }
    let (count, held) = (all().count(), all().filter(|(_, verdict)| verdict.holds).count());
    let _ = writeln!(text, "{held} of {count} expectations hold");
    text
}

fn window(what: What, from: Span, to: Span, class: Option<Class>) -> Expectation {
    Expectation {
        policy: Vec::new(),
        what,
        from,
        to: Some(to),
        class: class.map(ClassName),
        clients: None,
        min: None,
        max: None,
        known_gap: None,
    }
}

fn seeds(comparison: &Comparison) -> String {
    let seeds: Vec<String> = comparison
        .results
        .first()
        .map_or(&[][..], |result| &result.runs)
        .iter()
        .map(|run| run.seed.to_string())
        .collect();
    format!("seed{} {}", if seeds.len() == 1 { "" } else { "s" }, seeds.join(", "))
}

/// The first column to the left, the others to the right.
fn align(text: &mut String, rows: &[Vec<String>]) {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width =
        |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    for row in rows {
        for (column, cell) in row.iter().enumerate() {
            let width = widths[column];
            let _ =
                if column == 0 { write!(text, "{cell:width$}") } else { write!(text, "  {cell:>width$}") };
        }
        text.push('\n');
    }
}

/// `98.2 %`; `-` for what is no number.
pub(super) fn percent(share: f64) -> String {
    if share.is_finite() { format!("{:.1} %", share * 100.0) } else { "-".to_owned() }
}

/// Three significant digits or so.
pub(super) fn short(value: f64) -> String {
    match value {
        v if v.is_nan() => "-".to_owned(),
        v if v.is_infinite() => "none".to_owned(),
        v if v.abs() >= 100.0 => format!("{v:.0}"),
        v if v.abs() >= 10.0 => format!("{v:.1}"),
        v => format!("{v:.3}").trim_end_matches('0').trim_end_matches('.').to_owned(),
    }
}

fn seconds(secs: f64) -> String {
    match secs {
        s if s.is_nan() => "-".to_owned(),
        s if s < 1.0 => format!("{:.0}ms", s * 1e3),
        s => format!("{s:.1}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let numbers = [0.5, 0.0, 12.34, 1234.5, f64::INFINITY, f64::NAN].map(short);
        assert_eq!(numbers, ["0.5", "0", "12.3", "1234", "none", "-"]);
        assert_eq!([percent(0.9821), percent(f64::NAN)], ["98.2 %", "-"]);
        assert_eq!([seconds(0.0123), seconds(2.0)], ["12ms", "2.0s"]);
    }

    #[test]
    fn columns_are_aligned() {
        let mut text = String::new();
        align(&mut text, &[vec!["a".into(), "bb".into()], vec!["ccc".into(), "d".into()]]);
        assert_eq!(text, "a    bb\nccc   d\n");
    }
}
