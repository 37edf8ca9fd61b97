//! The screen of `loadline top`, made to be read at 80 columns and 24 lines. Colours stand beside words, never for them.

use std::collections::VecDeque;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Sparkline};

use super::feed::{News, Percentiles, Sample, Status};

/// Seconds that are kept for the sparklines: as many as the widest of terminals may show.
const KEPT: usize = 300;

/// Columns of a label, and of a rate.
const LABEL: u16 = 10;
const RATE: u16 = 10;

/// Most and least columns of a gauge, and those beside it that are left to its numbers.
const GAUGE: u16 = 40;
const LEAST_GAUGE: u16 = 4;
const BESIDE_GAUGE: u16 = 14;

/// Columns of a percentile, and the least that one has.
const PERCENTILE: u16 = 10;
const LEAST_PERCENTILE: u16 = 8;

/// Lines from which on there are blank ones between the parts, and from which on every part is whole.
const ROOMY: u16 = 19;
const WHOLE: u16 = 12;

const CLASSES: [&str; 5] = ["critical", "high", "normal", "low", "bypass"];

const SOFT: Style = Style::new().fg(Color::DarkGray);
const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);

/// What has been heard.
pub(super) struct View {
    /// The admin listener's address.
    address: String,
    status: Status,
    samples: VecDeque<Sample>,
    /// Why there is no answer, while there is none.
    lost: Option<String>,
    /// Whether another process answers than at first.
    restarted: bool,
}

impl View {
    pub(super) fn new(address: String, status: Status) -> Self {
        Self { address, status, samples: VecDeque::new(), lost: None, restarted: false }
    }

    pub(super) fn hear(&mut self, news: News) {
        match news {
            News::Status(status) => {
                self.restarted |= status.started_ms != self.status.started_ms;
                self.lost = None;
                self.status = *status;
            }
            News::Samples(samples) => {
                self.samples.extend(samples);
                while self.samples.len() > KEPT {
                    self.samples.pop_front();
                }
            }
            News::Lost(why) => self.lost = Some(why),
        }
    }

    /// Everything in one line.
    pub(super) fn line(&self) -> String {
        let (_, word, _) = self.state();
        let Status { in_flight, effective_limit, queued, queue_depth, .. } = self.status;
        if let Some(why) = &self.lost {
            return format!("{word:<9} {why}");
        }
        let rates = &self.status.rates_per_second;
        format!(
            "{word:<9} offered {}/s, served {}/s, shed {}/s, goodput {}/s, in flight {in_flight} of {effective_limit}, \
             waiting {queued} of {queue_depth}, wait p95 {}",
            number(rates.offered),
            number(rates.admitted),
            number(rates.shed),
            number(rates.good),
            millis(self.status.wait_ms.p95),
        )
    }

    pub(super) fn draw(&self, frame: &mut Frame<'_>) {
        let height = frame.area().height;
        let between = Constraint::Length(u16::from(height >= ROOMY));
        // What is least missed on a small screen is the last line of these parts.
        let part = Constraint::Length(if height >= WHOLE { 3 } else { 2 });
        let [head, state, _, rates, _, gauges, _, percentiles, _, shed] = Layout::vertical([
            Constraint::Length(1),
            Constraint::Length(1),
            between,
            Constraint::Length(4),
            between,
            part,
            between,
            part,
            between,
            Constraint::Min(0),
        ])
        .horizontal_margin(1)
        .areas(frame.area());
        frame.render_widget(self.head(head.width), head);
        frame.render_widget(self.state_line(), state);
        self.draw_rates(frame, rates);
        frame.render_widget(self.gauges(gauges.width), gauges);
        frame.render_widget(self.percentiles(percentiles.width), percentiles);
        frame.render_widget(self.shed(shed.height), shed);
    }

    /// Sign, word and colour of the state.
    fn state(&self) -> (&'static str, &str, Color) {
        if self.lost.is_some() {
            return ("×", "NO ANSWER", Color::Magenta);
        }
        match self.status.state.as_str() {
            "DRAINING" => ("▼", "DRAINING", Color::Magenta),
            _ if self.status.dry_run => ("○", "DRY RUN", Color::Cyan),
            "OK" => ("●", "OK", Color::Green),
            "QUEUEING" => ("≡", "QUEUEING", Color::Yellow),
            word => ("▲", word, Color::Red),
        }
    }

    fn head(&self, width: u16) -> Line<'static> {
        let Status { version, upstream, uptime_seconds, .. } = &self.status;
        let left = format!("loadline {version}");
        let up = span(*uptime_seconds);
        let up = if self.restarted { format!("restarted {up} ago") } else { format!("up {up}") };
        let middle = format!("  {} -> {upstream}  {up}", self.address);
        let right = "q quits";
        let used = left.chars().count() + middle.chars().count() + right.len();
        let gap = usize::from(width).saturating_sub(used).max(1);
        let room = usize::from(width).saturating_sub(left.len() + right.len() + 1);
        Line::from(vec![
            Span::styled(left, BOLD),
            Span::raw(middle.chars().take(room).collect::<String>()),
            Span::raw(" ".repeat(gap)),
            Span::styled(right, SOFT),
        ])
    }

    fn state_line(&self) -> Line<'static> {
        let (sign, word, colour) = self.state();
        let rates = &self.status.rates_per_second;
        let text = match (&self.lost, word) {
            // Whom it is about is said above.
            (Some(why), _) => {
                let why = why
                    .strip_prefix("http://")
                    .and_then(|rest| rest.split_once(": "))
                    .map_or(why.as_str(), |(_, why)| why);
                format!("{why}; trying again")
            }
            (None, "OK") if rates.offered == 0.0 => "no requests at the moment".to_owned(),
            (None, "OK") => "every request has a slot at once".to_owned(),
            (None, "QUEUEING") => "requests wait, nobody is rejected".to_owned(),
            (None, "DRAINING") => "connections close after their answer".to_owned(),
            (None, "DRY RUN") => {
                let would = self.samples.back().and_then(|sample| sample.would_shed).unwrap_or_default();
                format!("everybody is forwarded; {}/s would be rejected", number(would))
            }
            (None, _) => format!(
                "{} of {} requests per second are rejected",
                number(rates.shed),
                number(rates.offered)
            ),
        };
        let style = Style::new().fg(colour).add_modifier(Modifier::BOLD);
        Line::from(vec![Span::styled(format!("{sign} {word}"), style), Span::raw(format!("  {text}"))])
    }

    fn draw_rates(&self, frame: &mut Frame<'_>, area: Rect) {
        let rates = &self.status.rates_per_second;
        let rows = [
            ("offered", rates.offered, Color::Reset),
            ("served", rates.admitted, Color::Cyan),
            ("shed", rates.shed, Color::Red),
            ("goodput", rates.good, Color::Green),
        ];
        let of = |label, sample: &Sample| match label {
            "offered" => sample.offered,
            "served" => sample.served,
            "shed" => sample.shed,
            _ => sample.good,
        };
        // What was last heard is not how it is.
        let bold = if self.lost.is_some() { SOFT } else { BOLD };
        // One scale, so that the heights can be compared.
        let shown = usize::from(area.width.saturating_sub(LABEL + RATE + 2));
        let skipped = self.samples.len().saturating_sub(shown);
        let latest = || self.samples.iter().skip(skipped);
        // Rates per second are small numbers in small services: tenths, for `Sparkline` takes whole ones.
        let tenths = |rate: f64| (rate * 10.0).round() as u64;
        let most = latest().map(|sample| tenths(sample.offered.max(sample.served))).max().unwrap_or(0).max(1);
        for ((label, rate, colour), row) in rows.into_iter().zip(area.rows()) {
            let [name, value, _, line] = Layout::horizontal([
                Constraint::Length(LABEL),
                Constraint::Length(RATE),
                Constraint::Length(2),
                Constraint::Min(0),
            ])
            .areas(row);
            frame.render_widget(Span::raw(label), name);
            frame.render_widget(Line::styled(format!("{}/s", number(rate)), bold).right_aligned(), value);
            // The latest second is at the right end from the start.
            let missing = shown.saturating_sub(self.samples.len());
            let data =
                std::iter::repeat_n(0, missing).chain(latest().map(|sample| tenths(of(label, sample))));
            let data: Vec<u64> = data.collect();
            frame.render_widget(
                Sparkline::default().data(&data).max(most).style(Style::new().fg(colour)),
                line,
            );
        }
    }

    fn gauges(&self, width: u16) -> Paragraph<'static> {
        let columns = width.saturating_sub(LABEL + BESIDE_GAUGE).clamp(LEAST_GAUGE, GAUGE);
        let Status {
            in_flight,
            limit,
            effective_limit,
            queued,
            queue_depth,
            oldest_wait_ms,
            demand_ratio,
            ..
        } = self.status;
        let stands = if limit == effective_limit { String::new() } else { format!(", limit {limit}") };
        let oldest =
            oldest_wait_ms.map_or_else(String::new, |wait| format!(", oldest {}", millis(Some(wait))));
        let demand = number(demand_ratio * 100.0);
        Paragraph::new(vec![
            gauge(
                "slots",
                columns,
                in_flight,
                effective_limit,
                format!("{in_flight} of {effective_limit}{stands}"),
                Color::Cyan,
            ),
            gauge(
                "queue",
                columns,
                queued,
                queue_depth,
                format!("{queued} of {queue_depth}{oldest}"),
                Color::Yellow,
            ),
            Line::from(vec![
                label("demand"),
                Span::styled(format!("{demand} %"), BOLD),
                Span::raw(" of the limit"),
            ]),
        ])
    }

    fn percentiles(&self, width: u16) -> Paragraph<'static> {
        let column = usize::from((width.saturating_sub(LABEL) / 3).clamp(LEAST_PERCENTILE, PERCENTILE));
        let row = |name: &str, of: Percentiles| {
            let cells = [of.p50, of.p95, of.p99].map(|value| format!("{:>column$}", millis(value))).concat();
            Line::from(vec![label(name), Span::styled(cells, BOLD)])
        };
        Paragraph::new(vec![
            Line::styled(
                format!(
                    "{:10}{:>column$}{:>column$}{:>column$}   over the last 10 s",
                    "", "p50", "p95", "p99"
                ),
                SOFT,
            ),
            row("wait", self.status.wait_ms),
            row("service", self.status.service_ms),
        ])
    }

    /// Reasons by class, those that count most first, in `height` lines.
    fn shed(&self, height: u16) -> Paragraph<'static> {
        let mut reasons: Vec<_> =
            self.status.shed_by_reason.iter().filter(|(_, count)| **count > 0).collect();
        if reasons.is_empty() {
            return Paragraph::new(Line::styled("nothing has been rejected", SOFT));
        }
        reasons.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        let head: String = CLASSES.iter().map(|class| format!("{class:>10}")).collect();
        let mut lines = vec![Line::styled(format!("{:22}{head}", "shed since the start"), SOFT)];
        // All of them, or one line less and what is missing.
        let room = usize::from(height.saturating_sub(1));
        let shown = if reasons.len() <= room { room } else { room.saturating_sub(1) };
        for (reason, _) in reasons.iter().take(shown) {
            let mut cells = vec![Span::raw(format!("{reason:22}"))];
            cells.extend(CLASSES.iter().map(|class| self.cell(class, reason)));
            lines.push(Line::from(cells));
        }
        if reasons.len() > shown {
            lines.push(Line::styled(format!("and {} more reasons", reasons.len() - shown), SOFT));
        }
        Paragraph::new(lines)
    }

    fn cell(&self, class: &str, reason: &str) -> Span<'static> {
        let count =
            self.status.classes.get(class).and_then(|class| class.shed_by_reason.get(reason)).copied();
        match (class, count.unwrap_or(0)) {
            (_, 0) => Span::styled(format!("{:>10}", 0), SOFT),
            ("critical", count) => Span::styled(format!("{:>10}", format!("▲ {count}")), BOLD.fg(Color::Red)),
            (_, count) => Span::styled(format!("{count:>10}"), BOLD),
        }
    }
}

fn label(text: &str) -> Span<'static> {
    Span::raw(format!("{text:width$}", width = usize::from(LABEL)))
}

fn gauge(name: &str, columns: u16, value: u64, most: u64, text: String, colour: Color) -> Line<'static> {
    let columns = usize::from(columns);
    let share = if most == 0 { 0.0 } else { (value as f64 / most as f64).min(1.0) };
    // Whatever is there shows.
    let filled = ((share * columns as f64).round() as usize).max(usize::from(value > 0 && most > 0));
    Line::from(vec![
        label(name),
        Span::styled("█".repeat(filled), Style::new().fg(colour)),
        Span::styled("░".repeat(columns - filled), SOFT),
        Span::styled(format!("  {text}"), BOLD),
    ])
}

/// `0`, `0.4`, `7.2`, `41`, `1204`.
fn number(value: f64) -> String {
    if value == 0.0 || value >= 9.95 { format!("{value:.0}") } else { format!("{value:.1}") }
}

fn millis(value: Option<f64>) -> String {
    match value {
        None => "-".to_owned(),
        Some(ms) if ms >= 999.5 => format!("{:.1} s", ms / 1e3),
        Some(ms) if ms >= 9.95 || ms == 0.0 => format!("{ms:.0} ms"),
        Some(ms) => format!("{ms:.1} ms"),
    }
}

fn span(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86_400 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

#[cfg(test)]
mod tests;
