//! The two text formats of metrics: Prometheus' own and OpenMetrics.
//!
//! Both are written here because they differ in one point that a library for either gets wrong for the other: OpenMetrics
//! names a counter's family without `_total`, Prometheus' own format with it. Which families there are is not known here.

use std::borrow::Cow;
use std::fmt::{Display, Write as _};

use super::histogram::{Exemplar, Histogram};

/// Which of the two text formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Prometheus,
    OpenMetrics,
}

impl Format {
    /// The best one that `accept` allows.
    pub(crate) fn from_accept(accept: &str) -> Self {
        if accept.contains("application/openmetrics-text") { Self::OpenMetrics } else { Self::Prometheus }
    }

    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// The text being written.
pub(super) struct Page {
    text: String,
    format: Format,
    family: &'static str,
}

impl Page {
    pub(super) fn new(format: Format) -> Self {
        Self { text: String::with_capacity(16 * 1024), format, family: "" }
    }

    /// The whole text.
    pub(super) fn end(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }

    pub(super) fn counter(&mut self, name: &'static str, help: &str) {
        let family = match self.format {
            Format::Prometheus => name,
            Format::OpenMetrics => name.trim_end_matches("_total"),
        };
        self.describe(family, help, "counter");
        self.family = name;
    }

    pub(super) fn gauge(&mut self, name: &'static str, help: &str) {
        self.describe(name, help, "gauge");
        self.family = name;
    }

    pub(super) fn histogram(&mut self, name: &'static str, help: &str) {
        self.describe(name, help, "histogram");
        self.family = name;
    }

    pub(super) fn sample(&mut self, labels: &[(&str, &str)], value: impl Display) {
        self.line("", labels, None, value);
    }

    pub(super) fn buckets(&mut self, labels: &[(&str, &str)], histogram: &Histogram) {
        let mut last = 0;
        for (bucket, (bound, count)) in histogram.cumulative().enumerate() {
            // Both formats' canonical numbers: a bound of one is "1.0".
            self.line("_bucket", labels, Some(&format!("{bound:?}")), count);
            self.exemplar(histogram, bucket);
            last = bucket + 1;
        }
        self.line("_bucket", labels, Some("+Inf"), histogram.count());
        self.exemplar(histogram, last);
        self.line("_sum", labels, None, histogram.sum());
        self.line("_count", labels, None, histogram.count());
    }

    fn describe(&mut self, family: &str, help: &str, kind: &str) {
        let _ = writeln!(self.text, "# HELP {family} {help}\n# TYPE {family} {kind}");
    }

    /// Appends to the line just written which trace fell into its bucket last. 40 characters of labels, of the 128 that
    /// OpenMetrics allows; the classic format has no exemplars.
    fn exemplar(&mut self, histogram: &Histogram, bucket: usize) {
        if let Some(Exemplar { trace, value, at }) =
            histogram.exemplar(bucket).filter(|_| self.format == Format::OpenMetrics)
        {
            self.text.pop();
            let _ = writeln!(self.text, " # {{trace_id=\"{trace}\"}} {value} {at:.3}");
        }
    }

    fn line(&mut self, suffix: &str, labels: &[(&str, &str)], bound: Option<&str>, value: impl Display) {
        self.text.push_str(self.family);
        self.text.push_str(suffix);
        let all = labels.iter().copied().chain(bound.map(|bound| ("le", bound)));
        let mut open = '{';
        for (name, value) in all {
            let _ = write!(self.text, "{open}{name}=\"{}\"", escaped(value));
            open = ',';
        }
        if open == ',' {
            self.text.push('}');
        }
        let _ = writeln!(self.text, " {value}");
    }
}

/// A label's value. Names of ours have nothing to escape; the path of a unix socket may.
fn escaped(value: &str) -> Cow<'_, str> {
    if value.contains(['\\', '"', '\n']) {
        value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n").into()
    } else {
        value.into()
    }
}
