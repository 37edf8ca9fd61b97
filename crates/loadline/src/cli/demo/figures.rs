//! What a show measured, and what must hold of it: `goodput>=70%`, `without.recovery>5s`.
//!
//! A figure has a name, a unit and a number; an expectation is a name, an operator and a number of the same unit. Names are known
//! before a show begins, so that a mistake in an expectation is found then.

use std::fmt;

/// What a figure counts in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// A part of a whole, 1 is all of it. It can be above 1 in an expectation, not in a figure.
    Share,
    /// Time; infinite for what never came.
    Seconds,
    /// How many.
    Count,
}

/// One figure.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Figure {
    pub(super) name: String,
    pub(super) unit: Unit,
    pub(super) value: f64,
}

/// What must hold of a figure.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Expectation {
    text: String,
    name: String,
    operator: Operator,
    unit: Unit,
    bound: f64,
}

/// Whether it held, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) held: bool,
    pub(super) text: String,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Operator {
    Below,
    AtMost,
    Above,
    AtLeast,
    Equal,
}

/// Signs of the operators, the longer before their beginnings.
const OPERATORS: [(&str, Operator); 5] = [
    ("<=", Operator::AtMost),
    (">=", Operator::AtLeast),
    ("<", Operator::Below),
    (">", Operator::Above),
    ("=", Operator::Equal),
];

impl Expectation {
    /// Reads one about the figures that a show has.
    ///
    /// # Errors
    /// In words what is wrong with it.
    pub(super) fn parse(text: &str, known: &[(String, Unit)]) -> Result<Self, String> {
        let wrong = |why: String| format!("expectation `{text}`: {why}");
        let compact: String = text.chars().filter(|letter| *letter != ' ').collect();
        let found =
            OPERATORS.iter().find_map(|(sign, operator)| Some((compact.split_once(sign)?, *operator)));
        let ((name, value), operator) =
            found.ok_or_else(|| wrong("there is no <, <=, >, >= or =".to_owned()))?;
        let Some((_, unit)) = known.iter().find(|(known, _)| known == name) else {
            let names: Vec<&str> = known.iter().map(|(name, _)| name.as_str()).collect();
            return Err(wrong(format!("`{name}` is not one of {}", names.join(", "))));
        };
        let bound =
            number(value, *unit).ok_or_else(|| wrong(format!("`{value}` is not {}", unit.example())))?;
        Ok(Self { text: text.to_owned(), name: name.to_owned(), operator, unit: *unit, bound })
    }

    /// Holds it against the figures of a run.
    pub(super) fn verdict(&self, figures: &[Figure]) -> Verdict {
        let Some(figure) = figures.iter().find(|figure| figure.name == self.name) else {
            return Verdict { held: false, text: format!("{}: nothing was measured", self.text) };
        };
        let held = match self.operator {
            Operator::Below => figure.value < self.bound,
            Operator::AtMost => figure.value <= self.bound,
            Operator::Above => figure.value > self.bound,
            Operator::AtLeast => figure.value >= self.bound,
            Operator::Equal => (figure.value - self.bound).abs() < f64::EPSILON,
        };
        Verdict { held, text: format!("{}: {}", self.text, self.unit.show(figure.value)) }
    }
}

impl Unit {
    /// A number as people read it.
    pub(super) fn show(self, value: f64) -> String {
        match self {
            Self::Share => format!("{:.1} %", value * 100.0),
            Self::Seconds if value.is_infinite() => "not within the run".to_owned(),
            Self::Seconds => format!("{value:.1} s"),
            Self::Count => format!("{value:.0}"),
        }
    }

    fn example(self) -> &'static str {
        match self {
            Self::Share => "a share (try 90%)",
            Self::Seconds => "a duration (try 2s, 500ms)",
            Self::Count => "a number",
        }
    }
}

impl fmt::Display for Expectation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn number(text: &str, unit: Unit) -> Option<f64> {
    let plain = |text: &str| text.parse::<f64>().ok().filter(|number| number.is_finite());
    match unit {
        Unit::Share => plain(text.strip_suffix('%')?).map(|percent| percent / 100.0),
        Unit::Seconds => match text.strip_suffix("ms") {
            Some(millis) => plain(millis).map(|millis| millis / 1_000.0),
            None => plain(text.strip_suffix('s')?),
        },
        Unit::Count => plain(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Vec<(String, Unit)> {
        vec![
            ("goodput".into(), Unit::Share),
            ("recovery".into(), Unit::Seconds),
            ("failed".into(), Unit::Count),
        ]
    }

    fn held(text: &str, name: &str, value: f64) -> bool {
        let expectation = Expectation::parse(text, &known()).unwrap();
        let unit = known().into_iter().find(|(known, _)| known == name).unwrap().1;
        expectation.verdict(&[Figure { name: name.to_owned(), unit, value }]).held
    }

    #[test]
    fn expectations_hold_or_do_not() {
        assert!(held("goodput >= 70%", "goodput", 0.7) && !held("goodput>70%", "goodput", 0.7));
        assert!(!held("goodput>120%", "goodput", 1.0));
        assert!(held("recovery<=500ms", "recovery", 0.5) && !held("recovery<10s", "recovery", f64::INFINITY));
        assert!(held("failed=0", "failed", 0.0) && !held("failed=0", "failed", 1.0));
    }

    #[test]
    fn a_verdict_says_what_was_measured() {
        let expectation = Expectation::parse("recovery<2s", &known()).unwrap();
        let never = Figure { name: "recovery".into(), unit: Unit::Seconds, value: f64::INFINITY };
        assert_eq!(expectation.verdict(&[never]).text, "recovery<2s: not within the run");
        assert_eq!(expectation.verdict(&[]).text, "recovery<2s: nothing was measured");
    }

    #[test]
    fn mistakes_are_found_before_the_show() {
        for (text, part) in [
            ("goodput", "no <"),
            ("p99<1s", "`p99` is not one of goodput, recovery, failed"),
            ("goodput>5", "not a share"),
            ("recovery<2", "not a duration"),
            ("failed<x", "not a number"),
        ] {
            let error = Expectation::parse(text, &known()).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }
}
