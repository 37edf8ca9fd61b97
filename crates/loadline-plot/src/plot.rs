//! Lines and bands over two axes, as SVG.

use std::fmt::Write as _;

use crate::escape;
use crate::scale::{Range, Scale};

/// The drawing's size in units; it is scaled to the page's width.
const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 300.0;
/// Room for marks and texts at each side.
const LEFT: f64 = 64.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 66.0;
/// Height of a row of the legend.
const LEGEND_ROW: f64 = 20.0;
/// Width of an entry's sign with the space behind it, and of a letter of its name: about the mean of a sans-serif font of 12 px,
/// and room to the next entry.
const LEGEND_SIGN: f64 = 19.0;
const LEGEND_LETTER: f64 = 6.6;
const LEGEND_GAP: f64 = 22.0;

/// A colour as CSS writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Color(pub &'static str);

/// An axis and what it counts.
#[derive(Clone, Copy, Debug)]
pub struct Axis {
    unit: &'static str,
    scale: Scale,
}

/// A line through points.
#[derive(Clone, Debug)]
pub struct Line {
    /// In the legend.
    pub name: String,
    /// Its colour.
    pub color: Color,
    /// `x`, `y`.
    pub points: Vec<(f64, f64)>,
    /// Whether it is dashed.
    pub dashed: bool,
}

/// A band between two heights, constant over each step.
#[derive(Clone, Debug)]
pub struct Area {
    /// In the legend.
    pub name: String,
    /// Its colour.
    pub color: Color,
    /// `x` where a step begins, lower and upper `y`.
    pub band: Vec<(f64, f64, f64)>,
    /// Length of a step.
    pub step: f64,
}

/// A picture with two axes.
#[derive(Clone, Debug)]
pub struct Plot {
    title: String,
    x: Axis,
    y: Axis,
    right: Option<f64>,
    top: Option<f64>,
    areas: Vec<Area>,
    lines: Vec<Line>,
}

impl Axis {
    /// An even axis.
    #[must_use]
    pub fn new(unit: &'static str) -> Self {
        Self { unit, scale: Scale::Linear }
    }

    /// The same with another scale.
    #[must_use]
    pub fn scale(self, scale: Scale) -> Self {
        Self { scale, ..self }
    }
}

impl Plot {
    /// An empty plot.
    #[must_use]
    pub fn new(title: &str, x: Axis, y: Axis) -> Self {
        Self { title: title.to_owned(), x, y, right: None, top: None, areas: Vec::new(), lines: Vec::new() }
    }

    /// The same with an x axis that goes at least so far: what is below each other happened at the same time.
    #[must_use]
    pub fn right(self, right: f64) -> Self {
        Self { right: Some(right), ..self }
    }

    /// The same with a y axis that goes at least so far: two plots with one scale can be compared.
    #[must_use]
    pub fn top(self, top: f64) -> Self {
        Self { top: Some(top), ..self }
    }

    /// What it shows.
    #[must_use]
    pub fn title(&self) -> &str {
        &self.title
    }

    /// Adds a band. Bands are drawn in order, below all lines.
    pub fn area(&mut self, area: Area) {
        self.areas.push(area);
    }

    /// Adds a line.
    pub fn line(&mut self, line: Line) {
        self.lines.push(line);
    }

    /// The drawing.
    #[must_use]
    pub fn svg(&self) -> String {
        let in_areas = || self.areas.iter().flat_map(|area| area.band.iter().map(|step| (area.step, step)));
        let in_lines = || self.lines.iter().flat_map(|line| &line.points);
        let xs = in_areas().flat_map(|(step, (x, ..))| [*x, x + step]).chain(in_lines().map(|(x, _)| *x));
        let xs = xs.chain(self.right);
        let ys = in_areas().map(|(_, (.., high))| *high).chain(in_lines().map(|(_, y)| *y)).chain(self.top);
        let frame = Frame { x: self.x.scale.range(xs), y: self.y.scale.range(ys) };
        let legend = self.legend();
        let rows = legend.last().map_or(0, |entry| entry.row);
        let height = HEIGHT + rows as f64 * LEGEND_ROW;
        let mut svg = format!(
            "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{}\">\n",
            escape(&self.title)
        );
        self.draw_grid(&frame, &mut svg);
        for area in &self.areas {
            push(&mut svg, format_args!("<path d=\"{}\" fill=\"{}\"/>\n", frame.band(area), area.color.0));
        }
        for line in &self.lines {
            push(
                &mut svg,
                format_args!(
                    "<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"1.8\"{}/>\n",
                    frame.points(&line.points),
                    line.color.0,
                    dashes(line)
                ),
            );
        }
        legend.iter().for_each(|entry| entry.draw(&mut svg));
        svg + "</svg>\n"
    }

    fn draw_grid(&self, frame: &Frame, svg: &mut String) {
        let (right, floor) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        for (mark, text) in frame.y.marks() {
            let y = frame.y(mark);
            push(svg, format_args!("<path class=\"grid\" d=\"M{LEFT} {y:.1}H{right}\"/>"));
            push(
                svg,
                format_args!(
                    "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{text}</text>\n",
                    LEFT - 8.0,
                    y + 4.0
                ),
            );
        }
        for (mark, text) in frame.x.marks() {
            let x = frame.x(mark);
            push(svg, format_args!("<path class=\"grid\" d=\"M{x:.1} {floor}v5\"/>"));
            push(
                svg,
                format_args!(
                    "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{text}</text>\n",
                    floor + 18.0
                ),
            );
        }
        push(svg, format_args!("<path class=\"ink\" d=\"M{LEFT} {floor}H{right}\"/>"));
        push(
            svg,
            format_args!(
                "<text x=\"{right}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                floor + 34.0,
                self.x.unit
            ),
        );
        let middle = f64::midpoint(TOP, floor);
        push(
            svg,
            format_args!(
                "<text transform=\"translate(14 {middle:.1}) rotate(-90)\" text-anchor=\"middle\">{}</text>\n",
                self.y.unit
            ),
        );
    }

    /// The names, each as wide as it is, in as many rows as it takes.
    fn legend(&self) -> Vec<Entry<'_>> {
        let areas = self.areas.iter().map(|area| (&area.name, area.color, 10, ""));
        let lines = self.lines.iter().map(|line| (&line.name, line.color, 3, dashes(line)));
        let (mut x, mut row) = (LEFT, 0);
        let entries = areas.chain(lines).map(|(name, color, width, dashes)| {
            let wide = LEGEND_SIGN + name.chars().count() as f64 * LEGEND_LETTER;
            if x > LEFT && x + wide > WIDTH - RIGHT {
                (x, row) = (LEFT, row + 1);
            }
            let entry = Entry { name, color, width, dashes, x, row };
            x += wide + LEGEND_GAP;
            entry
        });
        entries.collect()
    }
}

/// A name in the legend.
struct Entry<'a> {
    name: &'a str,
    color: Color,
    /// Of its sign's stroke.
    width: u32,
    dashes: &'static str,
    x: f64,
    row: usize,
}

impl Entry<'_> {
    fn draw(&self, svg: &mut String) {
        let y = HEIGHT - 14.0 + self.row as f64 * LEGEND_ROW;
        push(
            svg,
            format_args!(
                "<path d=\"M{:.1} {:.1}h14\" stroke=\"{}\" stroke-width=\"{}\"{}/>\
                 <text x=\"{:.1}\" y=\"{y:.1}\">{}</text>\n",
                self.x,
                y - 4.0,
                self.color.0,
                self.width,
                self.dashes,
                self.x + LEGEND_SIGN,
                escape(self.name)
            ),
        );
    }
}

fn dashes(line: &Line) -> &'static str {
    if line.dashed { " stroke-dasharray=\"5 4\"" } else { "" }
}

/// From values to places in the drawing.
struct Frame {
    x: Range,
    y: Range,
}

impl Frame {
    fn x(&self, value: f64) -> f64 {
        LEFT + self.x.place(value) * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, value: f64) -> f64 {
        HEIGHT - BOTTOM - self.y.place(value) * (HEIGHT - TOP - BOTTOM)
    }

    fn points(&self, points: &[(f64, f64)]) -> String {
        let points: Vec<String> =
            points.iter().map(|(x, y)| format!("{:.1},{:.1}", self.x(*x), self.y(*y))).collect();
        points.join(" ")
    }

    /// The upper edge from left to right, then the lower one back.
    fn band(&self, area: &Area) -> String {
        let mut path = String::new();
        let mut corner = |x: f64, y: f64| {
            let command = if path.is_empty() { 'M' } else { 'L' };
            push(&mut path, format_args!("{command}{:.1} {:.1}", self.x(x), self.y(y)));
        };
        for (x, _, high) in &area.band {
            corner(*x, *high);
            corner(x + area.step, *high);
        }
        for (x, low, _) in area.band.iter().rev() {
            corner(x + area.step, *low);
            corner(*x, *low);
        }
        path + "Z"
    }
}

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = out.write_fmt(text);
}
