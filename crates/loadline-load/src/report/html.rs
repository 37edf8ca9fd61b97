//! The report as one HTML page with plots: no script, no request to anywhere.

use loadline_plot::{Area, Axis, Color, Line, Page, Plot, Scale};

use super::text::{duration, percent};
use super::{Group, Report};
use crate::outcome::Outcome;

/// Bands from good to bad; told apart in print and by most colour-blind readers by lightness as well.
const COLORS: [(Outcome, Color); Outcome::COUNT] = [
    (Outcome::Served, Color("#2e9e62")),
    (Outcome::Late, Color("#b7d968")),
    (Outcome::Shed, Color("#f2b134")),
    (Outcome::ClientError, Color("#9b8cd6")),
    (Outcome::ServerError, Color("#d1495b")),
    (Outcome::Timeout, Color("#7d1d3f")),
    (Outcome::Refused, Color("#5b6470")),
    (Outcome::Reset, Color("#2f3742")),
    (Outcome::NotSent, Color("#c9ced6")),
];
const BEFORE: Color = Color("#c2571a");
const AFTER: Color = Color("#1f6fb2");
const OFFERED: Color = Color("#222222");

/// Writes one run, or two of them side by side: `before`, and what `report` shows after a change. `title` is the page's.
#[must_use]
pub fn html(title: &str, report: &Report, before: Option<&Report>) -> String {
    let mut page = Page::new(title);
    match before {
        None => page.paragraph(&describe(report)),
        Some(before) => {
            page.paragraph(&format!("Before: {}", describe(before)));
            page.paragraph(&format!("After: {}", describe(report)));
        }
    }
    for (run, name) in [(before, "before: "), (Some(report), "")] {
        for problem in run.map_or(&[][..], |run| &run.problems) {
            page.warning(&format!("Not valid: {name}{problem}"));
        }
    }
    page.table(&figures(report, before));
    match before {
        None => page.plot(&bands(report, "What became of the requests that were due")),
        Some(before) => {
            let top = highest(report).max(highest(before));
            page.plot(&bands(before, "Before: what became of the requests that were due").top(top));
            page.plot(&bands(report, "After: what became of the requests that were due").top(top));
        }
    }
    page.plot(&latency(report, before));
    page.plot(&curve(report, before));
    for (heading, groups) in
        [("Classes", &report.classes), ("Requests", &report.targets), ("Tenants", &report.tenants)]
    {
        if !groups.is_empty() {
            page.heading(heading);
            page.table(&group_rows(groups));
        }
    }
    page.finish()
}

fn describe(report: &Report) -> String {
    format!(
        "{} ({}): {} requests in {:.1} s, open loop. Latencies count from when a request was due.",
        report.url, report.protocol, report.total.offered, report.planned_s
    )
}

/// The main figures; with two runs, a column for each.
fn figures(report: &Report, before: Option<&Report>) -> Vec<Vec<String>> {
    let recovery = |report: &Report| {
        let text = |seconds: Option<f64>| {
            seconds.map_or_else(|| "not within the run".to_owned(), |s| format!("{s:.0} s"))
        };
        report.recovery.map_or_else(|| "-".to_owned(), |recovery| text(recovery.seconds))
    };
    type Figure<'a> = (String, Box<dyn Fn(&Report) -> String + 'a>);
    let mut rows: Vec<Figure<'_>> = vec![
        ("offered".into(), Box::new(|report| format!("{:.1}/s", report.offered_per_s))),
        (
            "goodput".into(),
            Box::new(|report| format!("{:.1}/s ({})", report.goodput_per_s, percent(report.total.goodput))),
        ),
    ];
    let seen = |outcome: Outcome| {
        [Some(report), before].into_iter().flatten().any(|run| run.total.count(outcome) > 0)
    };
    for outcome in Outcome::ALL.into_iter().filter(|outcome| seen(*outcome)) {
        let cell = move |report: &Report| {
            format!("{} ({})", report.total.count(outcome), percent(report.total.share(outcome)))
        };
        rows.push((outcome.as_str().replace('_', " "), Box::new(cell)));
    }
    rows.push(("p50 of what was served".into(), Box::new(|report| duration(report.total.latency.p50_ms))));
    rows.push(("p99 of what was served".into(), Box::new(|report| duration(report.total.latency.p99_ms))));
    rows.push((
        "p99 of everything sent".into(),
        Box::new(|report| duration(report.total.all_latency.p99_ms)),
    ));
    rows.push(("recovery".into(), Box::new(recovery)));
    rows.push((
        "late starts".into(),
        Box::new(|report| format!("{} ({})", report.late_starts.count, percent(report.late_starts.share))),
    ));
    let head = match before {
        None => vec![String::new(), String::new()],
        Some(_) => vec![String::new(), "before".to_owned(), "after".to_owned()],
    };
    let row = |(name, cell): &Figure<'_>| {
        let cells = [before, Some(report)].into_iter().flatten().map(cell);
        std::iter::once(name.clone()).chain(cells).collect()
    };
    std::iter::once(head).chain(rows.iter().map(row)).collect()
}

fn group_rows(groups: &[Group]) -> Vec<Vec<String>> {
    let head = ["", "offered", "goodput", "shed", "timeout", "p50", "p99"].map(str::to_owned).to_vec();
    let row = |group: &Group| {
        vec![
            group.name.clone(),
            group.offered.to_string(),
            percent(group.goodput),
            percent(group.share(Outcome::Shed)),
            percent(group.share(Outcome::Timeout)),
            duration(group.latency.p50_ms),
            duration(group.latency.p99_ms),
        ]
    };
    std::iter::once(head).chain(groups.iter().map(row)).collect()
}

/// Outcomes stacked on each other, under a line for what was offered.
fn bands(report: &Report, title: &str) -> Plot {
    let (step, points) = (report.series.step_s, &report.series.points);
    let per_second = |count: u64| count as f64 / step;
    let mut plot = Plot::new(title, Axis::new("seconds"), Axis::new("requests/s"));
    let mut below = vec![0.0; points.len()];
    for (outcome, color) in COLORS {
        let sums = points.iter().zip(&below);
        let above: Vec<f64> =
            sums.map(|(point, below)| below + per_second(point.outcomes[outcome.index()])).collect();
        if above != below {
            let edges = points.iter().zip(below.iter().zip(&above));
            let band = edges.map(|(point, (below, above))| (point.at_s, *below, *above)).collect();
            plot.area(Area { name: outcome.as_str().replace('_', " "), color, band, step });
        }
        below = above;
    }
    let level =
        |point: &super::Point| [point.at_s, point.at_s + step].map(|at| (at, per_second(point.offered)));
    let offered = points.iter().flat_map(level).collect();
    plot.line(Line { name: "offered".to_owned(), color: OFFERED, points: offered, dashed: true });
    plot
}

fn highest(report: &Report) -> f64 {
    let counts = report.series.points.iter().map(|point| point.offered);
    counts.max().unwrap_or_default() as f64 / report.series.step_s
}

/// Latency over time, by when requests were due: a stall is a slope.
fn latency(report: &Report, before: Option<&Report>) -> Plot {
    let axis = Axis::new("milliseconds").scale(Scale::Log);
    let mut plot = Plot::new("Latency of what was served, by when it was due", Axis::new("seconds"), axis);
    let mut run = |report: &Report, prefix: &str, color: Color| {
        type Pick = fn(&super::Point) -> Option<f64>;
        let lines: [(&str, Pick, bool); 2] =
            [("p99", |point| point.p99_ms, false), ("p50", |point| point.p50_ms, true)];
        for (name, pick, dashed) in lines {
            let points =
                report.series.points.iter().filter_map(|point| Some((point.at_s, pick(point)?))).collect();
            plot.line(Line { name: format!("{prefix}{name}"), color, points, dashed });
        }
    };
    if let Some(before) = before {
        run(before, "before ", BEFORE);
    }
    run(report, if before.is_some() { "after " } else { "" }, AFTER);
    plot
}

/// Latency by percentile; the axis gives each nine the same room.
fn curve(report: &Report, before: Option<&Report>) -> Plot {
    let shares = Axis::new("percentile").scale(Scale::Nines);
    let axis = Axis::new("milliseconds").scale(Scale::Log);
    let mut plot = Plot::new("Percentiles of what was served", shares, axis);
    let mut run = |report: &Report, name: &str, color: Color| {
        let served = report.total.latency.count > 0;
        let points = report.curve.iter().filter(|(share, _)| served && *share < 1.0).copied().collect();
        plot.line(Line { name: name.to_owned(), color, points, dashed: false });
    };
    if let Some(before) = before {
        run(before, "before", BEFORE);
    }
    run(report, if before.is_some() { "after" } else { "served" }, AFTER);
    plot
}
