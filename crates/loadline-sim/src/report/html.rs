//! One page with plots, complete in itself: no script, no request, readable in light and dark.
//!
//! A plot per policy and quantity would hide what matters, the comparison; so each quantity has one plot with a line per
//! policy, for the first seed. The mean over the time of a pixel is drawn, not a sample of it.

use std::fmt::Write as _;

use super::table::{table, verdicts};
use crate::compare::Comparison;
use crate::recorder::{Bucket, Run};

/// Size of the area in which lines are drawn.
const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 200.0;
/// Room for the labels at the left, and at the bottom.
const LEFT: f64 = 56.0;
const BOTTOM: f64 = 24.0;
/// Points per line: one per two pixels.
const POINTS: usize = 430;
/// Hues that are told apart, also by most who confuse some; after these they begin again.
const HUES: [u32; 9] = [210, 25, 140, 320, 55, 265, 0, 180, 95];

const STYLE: &str = "\
:root{color-scheme:light dark;--l:42%;--grid:#8884}\
@media(prefers-color-scheme:dark){:root{--l:66%}}\
body{font:15px/1.5 system-ui,sans-serif;max-width:960px;margin:2rem auto;padding:0 1rem}\
pre{overflow-x:auto;font-size:13px}svg{width:100%;height:auto;display:block}\
text{fill:currentColor;font:11px system-ui,sans-serif}.grid{stroke:var(--grid)}\
.line{fill:none;stroke-width:1.6;stroke-linejoin:round}.ref{stroke:currentColor;stroke-dasharray:5 4;fill:none}\
.key span{white-space:nowrap;margin-right:1.2em}.key i{display:inline-block;width:1.4em;border-top:3px solid;\
vertical-align:middle;margin-right:.4em}";

/// The page.
#[must_use]
pub fn html(comparisons: &[Comparison]) -> String {
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>loadline sim</title>\n<style>{STYLE}</style>\n\
         <h1>loadline sim</h1>\n<pre>{}</pre>\n",
        escape(&verdicts(comparisons))
    );
    for comparison in comparisons {
        section(&mut page, comparison);
    }
    page
}

/// A title, what is drawn of each bucket, and the reference for each bucket.
type Quantity<'q> = (&'q str, &'q dyn Fn(&Bucket) -> f64, &'q dyn Fn(usize) -> f64);

fn section(page: &mut String, comparison: &Comparison) {
    let scenario = &comparison.scenario;
    let _ = write!(
        page,
        "<h2>{}</h2>\n<pre>{}</pre>\n<p class=\"key\">",
        escape(&scenario.name),
        escape(&table(comparison))
    );
    for (index, result) in comparison.results.iter().enumerate() {
        let _ = write!(
            page,
            "<span><i style=\"border-color:{}\"></i>{}</span> ",
            colour(index),
            escape(&result.policy)
        );
    }
    page.push_str("</p>\n");
    let runs: Vec<&Run> = comparison.results.iter().filter_map(|result| result.runs.first()).collect();
    let Some(first) = runs.first() else { return };
    let secs = first.bucket as f64 / 1e9;
    let capacity = |bucket: usize| {
        let from = bucket as u64 * first.bucket;
        scenario.mean_capacity(from, from + first.bucket)
    };
    let knee = |bucket: usize| scenario.ability(bucket as u64 * first.bucket).knee;
    let rate = |count: u32| f64::from(count) / secs;
    let quantities: [Quantity<'_>; 4] = [
        ("answers in time per second (dashed: capacity)", &|bucket| rate(bucket.good), &capacity),
        ("attempts per second (dashed: capacity)", &|bucket| rate(bucket.attempts), &capacity),
        ("limit (dashed: knee)", &|bucket| bucket.limit, &knee),
        (
            "requests in the app, abandoned ones included (dashed: knee)",
            &|bucket| f64::from(bucket.in_app),
            &knee,
        ),
    ];
    let buckets = (scenario.duration.0 / first.bucket) as usize;
    for (title, of, reference) in quantities {
        plot(page, title, &runs, buckets, secs, of, reference);
    }
}

fn plot(
    page: &mut String,
    title: &str,
    runs: &[&Run],
    buckets: usize,
    secs: f64,
    of: &dyn Fn(&Bucket) -> f64,
    reference: &dyn Fn(usize) -> f64,
) {
    let lines: Vec<Vec<f64>> =
        runs.iter().map(|run| thin(run.buckets.iter().take(buckets).map(of), buckets)).collect();
    let reference = thin((0..buckets).map(reference), buckets);
    let top = top(&lines, &reference);
    let (width, height) = (WIDTH + LEFT, HEIGHT + BOTTOM);
    let _ = write!(
        page,
        "<h3>{}</h3>\n<svg viewBox=\"0 0 {width} {}\" role=\"img\" aria-label=\"{}\">",
        escape(title),
        height + 6.0,
        escape(title)
    );
    let y = |value: f64| 6.0 + HEIGHT * (1.0 - (value / top).clamp(0.0, 1.0));
    let x = |share: f64| LEFT + WIDTH * share;
    for step in 0..=4 {
        let value = top * f64::from(step) / 4.0;
        let _ = write!(
            page,
            "<path class=\"grid\" d=\"M{LEFT} {0:.1}H{width}\"/><text x=\"{1}\" y=\"{2:.1}\" text-anchor=\"end\">{3}</text>",
            y(value),
            LEFT - 6.0,
            y(value) + 4.0,
            super::table::short(value)
        );
    }
    let total = buckets as f64 * secs;
    for step in 0..=6 {
        let share = f64::from(step) / 6.0;
        let _ = write!(
            page,
            "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{}s</text>",
            x(share).min(width - 14.0),
            height,
            super::table::short(total * share)
        );
    }
    let path = |line: &[f64]| {
        let mut path = String::new();
        for (index, value) in line.iter().enumerate().filter(|(_, value)| value.is_finite()) {
            let letter = if path.is_empty() { 'M' } else { 'L' };
            let _ = write!(path, "{letter}{:.1} {:.1}", x(index as f64 / line.len() as f64), y(*value));
        }
        path
    };
    let _ = write!(page, "<path class=\"ref\" d=\"{}\"/>", path(&reference));
    for (index, line) in lines.iter().enumerate() {
        let _ = write!(page, "<path class=\"line\" stroke=\"{}\" d=\"{}\"/>", colour(index), path(line));
    }
    page.push_str("</svg>\n");
}

/// At most [`POINTS`] means, so that a page of an hour is no larger than one of a minute.
fn thin(values: impl Iterator<Item = f64>, buckets: usize) -> Vec<f64> {
    let per_point = buckets.div_ceil(POINTS).max(1);
    let values: Vec<f64> = values.collect();
    values.chunks(per_point).map(|chunk| chunk.iter().sum::<f64>() / chunk.len() as f64).collect()
}

/// The upper end of the scale. A policy that lets everything in would flatten all others; what is above four times the reference
/// is cut off.
fn top(lines: &[Vec<f64>], reference: &[f64]) -> f64 {
    let max = |values: &[f64]| values.iter().copied().filter(|value| value.is_finite()).fold(0.0, f64::max);
    let highest = lines.iter().map(|line| max(line)).fold(0.0, f64::max);
    let reference = max(reference);
    let bound = if reference > 0.0 { reference * 4.0 } else { f64::INFINITY };
    (highest.min(bound).max(reference) * 1.05).max(1.0)
}

fn colour(index: usize) -> String {
    format!("hsl({} 75% var(--l))", HUES[index % HUES.len()])
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Plan, Scenario, compare};

    #[test]
    fn a_page_is_complete_in_itself() {
        let text = "name = '<b>'\nduration = '3s'\npolicies = ['none', 'loadline']\n[[backend.stage]]\nkind = 'workers'\n\
                    workers = 3\nwork = '50ms'\n[[clients]]\nrate = '2x'\ntimeout = '1s'";
        let plan = Plan::new(Scenario::parse(text, &[]).unwrap()).unwrap();
        let page = html(&compare(&[plan], &|_| {}));
        assert!(page.contains("&lt;b&gt;") && !page.contains("<b>"), "names are text");
        for outside in ["http:", "https:", "src=", "href=", "<script", "@import", "url("] {
            assert!(!page.contains(outside), "{outside}");
        }
        assert_eq!(page.matches("<svg").count(), 4);
        assert_eq!(page.matches("class=\"line\"").count(), 8);
        assert!(page.contains("prefers-color-scheme:dark"));
        assert!(!page.contains("NaN") && !page.contains("inf"), "numbers that can be drawn");
    }
}
