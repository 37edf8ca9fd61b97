//! Two runs side by side as text: a plot for each, and below it what happens now. Pure but for [`Terminal`].
//!
//! A column is a part of the run, its height the requests that were due then, by what became of them. Four signs tell
//! them apart without colours.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use loadline_load::{Outcome, TICK, Tick};

use crate::banner::colour_is_welcome;

/// Columns that everything fits into.
pub(super) const WIDTH: usize = 80;
/// Columns of one side, and between the two.
const SIDE: usize = 38;
const BETWEEN: usize = 4;
/// Columns for the marks of the vertical axis, its line included.
const MARKS: usize = 4;
/// Columns and rows of a plot.
const COLUMNS: usize = SIDE - MARKS;
const ROWS: usize = 8;
/// Ticks that rates are means of: a second.
const SECOND: usize = 10;

/// One side at one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Side {
    pub(super) name: &'static str,
    pub(super) elapsed: Duration,
    pub(super) ticks: Vec<Tick>,
    /// Requests that wait inside of the app, as it says itself.
    pub(super) waiting: u64,
}

/// What both plots share.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    pub(super) planned: Duration,
    /// The highest rate that is planned, per second.
    pub(super) peak: f64,
    /// What the app can do, per second.
    pub(super) capacity: f64,
}

/// What became of requests, in the order of a column from below.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Band {
    Served,
    Shed,
    Failed,
    UnderWay,
}

/// Counts of some time, in the order of [`Band`].
type Counts = [u32; 4];

const BANDS: [(Band, char, &str); 4] = [
    (Band::Served, '█', "\x1b[32m"),
    (Band::Shed, '▒', "\x1b[33m"),
    (Band::Failed, 'x', "\x1b[31m"),
    (Band::UnderWay, '·', "\x1b[2m"),
];

/// The plots, their axes and the legend.
pub(super) fn plots(sides: &[Side; 2], scale: &Scale, colour: bool) -> Vec<String> {
    let mut lines =
        vec![beside(&sides.each_ref().map(|side| bold(&format!("    {}", side.name), SIDE, colour)))];
    let columns = sides.each_ref().map(|side| columns(side, scale));
    for row in (0..ROWS).rev() {
        lines.push(beside(&columns.each_ref().map(|columns| plot_row(columns, row, scale, colour))));
    }
    let floor = format!("{:>3}└{}", 0, "─".repeat(COLUMNS));
    lines.push(beside(&[floor.clone(), floor]));
    let seconds = seconds(scale);
    lines.push(beside(&[seconds.clone(), seconds]));
    let words = ["served in time", "shed", "failed, late or given up", "under way"];
    let sign = |((_, sign, code), words): (&(Band, char, &str), &str)| {
        format!("{} {words}", paint(*sign, 1, code, colour))
    };
    lines.push(format!("    {}", BANDS.iter().zip(words).map(sign).collect::<Vec<_>>().join("   ")));
    lines
}

/// What happens now, a line for each side.
pub(super) fn now(sides: &[Side; 2]) -> Vec<String> {
    let text = sides.each_ref().map(|side| {
        let [served, shed, failed] = rates(side);
        format!("    {served:.0} served {shed:.0} shed {failed:.0} failed /s")
    });
    let app = sides.each_ref().map(|side| format!("    {} wait inside of the app", side.waiting));
    vec![beside(&text.map(|text| fit(&text))), beside(&app.map(|text| fit(&text)))]
}

/// The same as one plain line.
pub(super) fn line(sides: &[Side; 2]) -> String {
    let side = |side: &Side| {
        let [served, shed, failed] = rates(side);
        format!(
            "{}: {served:.0}/s served, {shed:.0}/s shed, {failed:.0}/s failed, {} wait in the app",
            side.name, side.waiting
        )
    };
    format!("{:>5.1} s  {}  |  {}", sides[0].elapsed.as_secs_f64(), side(&sides[0]), side(&sides[1]))
}

/// Served, shed and failed per second, of what was answered in the last second.
fn rates(side: &Side) -> [f64; 3] {
    // The last tick is not over yet.
    let current = index(side.elapsed).min(side.ticks.len());
    let window = &side.ticks[current.saturating_sub(SECOND)..current];
    let done = window.iter().fold([0; Outcome::COUNT], |sums, tick| {
        std::array::from_fn(|outcome| sums[outcome] + tick.done[outcome])
    });
    let [served, shed, failed, _] = banded(done.iter().sum(), &done);
    let seconds = window.len().max(1) as f64 / SECOND as f64;
    [served, shed, failed].map(|count| f64::from(count) / seconds)
}

/// Counts by band for each column of a plot; none where the run has not come to yet.
fn columns(side: &Side, scale: &Scale) -> Vec<[f64; 4]> {
    let ticks = index(scale.planned).max(1);
    let passed = index(side.elapsed).min(ticks);
    let edge = |column: usize| column * ticks / COLUMNS;
    let column = |column: usize| {
        let (from, to) = (edge(column), edge(column + 1).max(edge(column) + 1));
        let range =
            from.min(side.ticks.len())..to.min(passed).min(side.ticks.len()).max(from.min(side.ticks.len()));
        let of = &side.ticks[range.clone()];
        let offered = of.iter().map(|tick| tick.offered).sum();
        let outcomes = of.iter().fold([0; Outcome::COUNT], |sums, tick| {
            std::array::from_fn(|outcome| sums[outcome] + tick.outcomes[outcome])
        });
        let seconds = range.len().max(1) as f64 * TICK.as_secs_f64();
        banded(offered, &outcomes).map(|count| f64::from(count) / seconds)
    };
    (0..COLUMNS).map(column).collect()
}

fn banded(offered: u32, outcomes: &[u32; Outcome::COUNT]) -> Counts {
    let served = outcomes[Outcome::Served.index()];
    let shed = outcomes[Outcome::Shed.index()];
    let over: u32 = outcomes.iter().sum();
    [served, shed, over - served - shed, offered.saturating_sub(over)]
}

fn plot_row(columns: &[[f64; 4]], row: usize, scale: &Scale, colour: bool) -> String {
    let height = scale.peak / ROWS as f64;
    // The middle of the row decides, so that a band of half a row is seen.
    let level = (row as f64 + 0.5) * height;
    let capacity = (scale.capacity / height).ceil() as usize;
    let mark = match row + 1 {
        ROWS => format!("{:>3}┤", scale.peak.round()),
        above if above == capacity => format!("{:>3}┤", scale.capacity.round()),
        _ => "   │".to_owned(),
    };
    let signs = columns.iter().map(|bands| {
        let mut top = 0.0;
        BANDS.iter().zip(bands).find_map(|((_, sign, code), count)| {
            top += count;
            (level < top).then_some((*sign, *code))
        })
    });
    let mut text = mark;
    let mut run: Vec<Option<(char, &str)>> = signs.collect();
    // What the terminal need not paint.
    while run.last() == Some(&None) {
        run.pop();
    }
    let blank = COLUMNS - run.len();
    let mut at = 0;
    while at < run.len() {
        let same = run[at..].iter().take_while(|sign| **sign == run[at]).count();
        text += &run[at].map_or_else(|| " ".repeat(same), |(sign, code)| paint(sign, same, code, colour));
        at += same;
    }
    text + &" ".repeat(blank)
}

fn seconds(scale: &Scale) -> String {
    let total = scale.planned.as_secs_f64();
    let mut text = " ".repeat(SIDE);
    for part in [0.0, 1.0 / 3.0, 2.0 / 3.0] {
        let label = format!("{:.0} s", total * part);
        let at = MARKS + (part * COLUMNS as f64).round() as usize;
        text.replace_range(at..at + label.len(), &label);
    }
    text
}

fn paint(sign: char, count: usize, code: &str, colour: bool) -> String {
    let signs = sign.to_string().repeat(count);
    if colour { format!("{code}{signs}\x1b[0m") } else { signs }
}

fn bold(text: &str, width: usize, colour: bool) -> String {
    let padded = format!("{text:<width$}");
    if colour { format!("\x1b[1m{padded}\x1b[0m") } else { padded }
}

fn fit(text: &str) -> String {
    format!("{text:<SIDE$.SIDE$}")
}

fn beside(sides: &[String; 2]) -> String {
    format!("{}{}{}", sides[0], " ".repeat(BETWEEN), sides[1])
}

fn index(at: Duration) -> usize {
    usize::try_from(at.as_nanos() / TICK.as_nanos()).unwrap_or(usize::MAX)
}

/// Where pictures are drawn over each other, or lines below each other.
pub(super) struct Terminal {
    live: bool,
    colour: bool,
    drawn: usize,
}

impl Terminal {
    /// Standard error: live if it is a terminal that is wide enough, coloured unless `NO_COLOR` says no.
    pub(super) fn new() -> Self {
        let stderr = std::io::stderr();
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        let wide = rustix::termios::tcgetwinsize(&stderr).is_ok_and(|size| usize::from(size.ws_col) >= WIDTH);
        let live = stderr.is_terminal() && !dumb && wide;
        Self { live, colour: live && colour_is_welcome(), drawn: 0 }
    }

    pub(super) fn is_live(&self) -> bool {
        self.live
    }

    pub(super) fn colour(&self) -> bool {
        self.colour
    }

    /// Draws over what was drawn before. A terminal that is gone is no reason to end the show.
    pub(super) fn draw(&mut self, lines: &[String]) {
        let mut text = if self.drawn == 0 { "\x1b[?25l".to_owned() } else { format!("\x1b[{}F", self.drawn) };
        for line in lines {
            text += &format!("\x1b[2K{line}\n");
        }
        // What was longer before.
        text += "\x1b[J";
        self.drawn = lines.len();
        let _ = std::io::stderr().write_all(text.as_bytes());
    }

    /// A plain line, below what there is.
    pub(super) fn say(&self, line: &str) {
        let _ = writeln!(std::io::stderr(), "{line}");
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if self.drawn > 0 {
            let _ = std::io::stderr().write_all(b"\x1b[?25h");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCALE: Scale = Scale { planned: Duration::from_secs(30), peak: 60.0, capacity: 30.0 };

    /// A run of 60/s, of which so many per second were served, shed and failed.
    fn side(name: &'static str, seconds: u64, [served, shed, failed]: [u32; 3]) -> Side {
        let mut tick = Tick { offered: 6, ..Tick::default() };
        for (outcome, count) in [(Outcome::Served, served), (Outcome::Shed, shed), (Outcome::Timeout, failed)]
        {
            tick.outcomes[outcome.index()] = count;
            tick.done[outcome.index()] = count;
        }
        let ticks = vec![tick; seconds as usize * SECOND];
        Side { name, elapsed: Duration::from_secs(seconds), ticks, waiting: 12 }
    }

    #[test]
    fn a_picture_fits_the_screen_and_shows_shares_as_heights() {
        let sides = [side("without", 30, [0, 0, 6]), side("with", 15, [3, 3, 0])];
        let mut lines = plots(&sides, &SCALE, false);
        lines.extend(now(&sides));
        assert!(lines.iter().all(|line| line.chars().count() <= WIDTH), "{lines:#?}");
        assert_eq!(lines.len(), 1 + ROWS + 5);
        let (top, bottom) = (&lines[1], &lines[ROWS]);
        assert!(top.starts_with(&format!(" 60┤{}", "x".repeat(COLUMNS))), "{top}");
        // Half of the run is over there, half of what was asked is shed.
        assert!(top.trim_end().ends_with(&format!(" 60┤{}", "▒".repeat(COLUMNS / 2))), "{top}");
        assert!(bottom.trim_end().ends_with(&"█".repeat(COLUMNS / 2)), "{bottom}");
        assert!(lines[1 + ROWS / 2].starts_with(" 30┤"), "{lines:#?}");
        assert!(lines[lines.len() - 2].contains("30 served 30 shed 0 failed /s"), "{lines:#?}");
    }

    #[test]
    fn colours_change_no_width() {
        let sides = [side("without", 30, [1, 2, 2]), side("with", 15, [3, 3, 0])];
        let plain = plots(&sides, &SCALE, false);
        for (line, plain) in plots(&sides, &SCALE, true).iter().zip(&plain) {
            let mut text = line.clone();
            for code in ["\x1b[0m", "\x1b[1m", "\x1b[2m", "\x1b[31m", "\x1b[32m", "\x1b[33m"] {
                text = text.replace(code, "");
            }
            assert_eq!(text, *plain);
        }
    }

    #[test]
    fn nothing_has_happened_yet() {
        let sides = [Side::default(), Side::default()];
        assert!(plots(&sides, &SCALE, false)[1].starts_with(" 60┤  "));
        assert!(line(&sides).contains("0/s served, 0/s shed"));
    }
}
