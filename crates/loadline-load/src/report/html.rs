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
/// Between black and white: the page is light or dark.
const OFFERED: Color = Color("#77808b");

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
    body(&mut page, &Runs { names: ["before", "after"], report, before });
    page.finish()
}

/// Writes two runs of one plan side by side under names of one's own, such as `without` and `with` something. `intro` comes first, then
/// `rows`: figures that a report does not have, the first of which is the head.
#[must_use]
pub fn html_of_two(
    title: &str,
    intro: &[String],
    rows: &[Vec<String>],
    names: [&str; 2],
    reports: [&Report; 2],
) -> String {
    let mut page = Page::new(title);
    intro.iter().for_each(|text| page.paragraph(text));
    page.table(rows);
    body(&mut page, &Runs { names, report: reports[1], before: Some(reports[0]) });
    page.finish()
}

/// What a page is about: one run, or two with a name for each.
struct Runs<'a> {
    names: [&'a str; 2],
    report: &'a Report,
    before: Option<&'a Report>,
}

impl Runs<'_> {
    /// Each run with its name, which is empty if there is only one.
    fn each(&self) -> impl Iterator<Item = (&str, &Report)> {
        let name = if self.before.is_some() { self.names[1] } else { "" };
        self.before.map(|before| (self.names[0], before)).into_iter().chain([(name, self.report)])
    }

    /// A colour for each.
    fn colors(&self) -> impl Iterator<Item = Color> {
        self.before.map(|_| BEFORE).into_iter().chain([AFTER])
    }
}

fn body(page: &mut Page, runs: &Runs<'_>) {
    for (name, run) in runs.each() {
        for problem in &run.problems {
            let of = if name.is_empty() { String::new() } else { format!("{name}: ") };
            page.warning(&format!("Not valid: {of}{problem}"));
        }
    }
    page.table(&figures(runs));
    let top = runs.each().map(|(_, run)| highest(run)).fold(0.0, f64::max);
    for (name, run) in runs.each() {
        let what = "hat became of the requests that were due";
        let title = if name.is_empty() { format!("W{what}") } else { format!("{}: w{what}", capital(name)) };
        page.plot(&bands(run, &title).top(top));
    }
    page.plot(&latency(runs));
    page.plot(&curve(runs));
    for (name, run) in runs.each() {
        for (heading, groups) in
            [("Classes", &run.classes), ("Requests", &run.targets), ("Tenants", &run.tenants)]
        {
            if !groups.is_empty() {
                let of = if name.is_empty() { String::new() } else { format!(" {name}") };
                page.heading(&format!("{heading}{of}"));
                page.table(&group_rows(groups));
            }
        }
    }
}

/// With a capital letter, as a sentence begins.
fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

fn describe(report: &Report) -> String {
    format!(
        "{} ({}): {} requests in {:.1} s, open loop. Latencies count from when a request was due.",
        report.url, report.protocol, report.total.offered, report.planned_s
    )
}

/// The main figures; with two runs, a column for each.
fn figures(runs: &Runs<'_>) -> Vec<Vec<String>> {
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
    let seen = |outcome: Outcome| runs.each().any(|(_, run)| run.total.count(outcome) > 0);
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
    let head = std::iter::once(String::new()).chain(runs.each().map(|(name, _)| name.to_owned())).collect();
    let row = |(name, cell): &Figure<'_>| {
        std::iter::once(name.clone()).chain(runs.each().map(|(_, run)| cell(run))).collect()
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
fn latency(runs: &Runs<'_>) -> Plot {
    let axis = Axis::new("milliseconds").scale(Scale::Log);
    let mut plot = Plot::new("Latency of what was served, by when it was due", Axis::new("seconds"), axis);
    // As far as the bands above it, also where nothing was served at the end.
    plot = plot.right(runs.each().flat_map(|(_, run)| run.series.end()).fold(0.0, f64::max));
    for ((name, report), color) in runs.each().zip(runs.colors()) {
        type Pick = fn(&super::Point) -> Option<f64>;
        let lines: [(&str, Pick, bool); 2] =
            [("p99", |point| point.p99_ms, false), ("p50", |point| point.p50_ms, true)];
        for (percentile, pick, dashed) in lines {
            let points =
                report.series.points.iter().filter_map(|point| Some((point.at_s, pick(point)?))).collect();
            let name = format!("{name} {percentile}").trim_start().to_owned();
            plot.line(Line { name, color, points, dashed });
        }
    }
    plot
}

/// Latency by percentile; the axis gives each nine the same room.
fn curve(runs: &Runs<'_>) -> Plot {
    let shares = Axis::new("percentile").scale(Scale::Nines);
    let axis = Axis::new("milliseconds").scale(Scale::Log);
    let mut plot = Plot::new("Percentiles of what was served", shares, axis);
    for ((name, report), color) in runs.each().zip(runs.colors()) {
        let served = report.total.latency.count > 0;
        let points = report.curve.iter().filter(|(share, _)| served && *share < 1.0).copied().collect();
        let name = if name.is_empty() { "served" } else { name }.to_owned();
        plot.line(Line { name, color, points, dashed: false });
    }
    plot
}
