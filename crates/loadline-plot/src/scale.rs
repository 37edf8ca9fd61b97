//! From a number to a place on an axis, and which numbers are written beside it.

/// About how many marks an axis has.
const MARKS: f64 = 5.0;

/// Decades on an axis that has marks within them.
const FEW_DECADES: f64 = 2.0;

/// How an axis is divided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scale {
    /// Evenly, from 0.
    #[default]
    Linear,
    /// By powers of ten; for numbers above 0.
    Log,
    /// Shares from 0 to below 1, by nines: 0.9, 0.99 and 0.999 are equally far apart.
    Nines,
}

/// A scale with its ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Range {
    scale: Scale,
    from: f64,
    to: f64,
}

impl Scale {
    /// A range that holds all `values` and ends at whole marks.
    pub(crate) fn range(self, values: impl IntoIterator<Item = f64>) -> Range {
        let bend = |value: f64| self.bend(value);
        let finite = values.into_iter().map(bend).filter(|value| value.is_finite());
        let (low, high) = finite
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
        let (low, high) = if low > high { (0.0, 1.0) } else { (low, high) };
        let (from, to) = match self {
            Self::Linear => (0.0, high.max(f64::MIN_POSITIVE)),
            Self::Log => (low.floor(), high.ceil().max(low.floor() + 1.0)),
            Self::Nines => (0.0, high.max(1.0)),
        };
        Range { scale: self, from, to }
    }

    /// To the numbers in which the axis is even.
    fn bend(self, value: f64) -> f64 {
        match self {
            Self::Linear => value,
            Self::Log => value.log10(),
            Self::Nines => -(1.0 - value).log10(),
        }
    }
}

impl Range {
    /// Where `value` lies between the ends, 0 to 1; what lies outside is put at the nearer one.
    pub(crate) fn place(&self, value: f64) -> f64 {
        let share = (self.scale.bend(value) - self.from) / (self.to - self.from);
        if share.is_nan() { 0.0 } else { share.clamp(0.0, 1.0) }
    }

    /// Numbers to write, with their texts.
    pub(crate) fn marks(&self) -> Vec<(f64, String)> {
        match self.scale {
            Scale::Linear => {
                let step = round_step(self.to / MARKS);
                let count = (self.to / step + 1e-9) as u32;
                (0..=count).map(|mark| f64::from(mark) * step).map(|mark| (mark, number(mark))).collect()
            }
            Scale::Log => {
                let exponents = self.from as i32..=self.to as i32;
                // Within a decade or two there is room for more than its ends.
                let within: &[f64] =
                    if self.to - self.from > FEW_DECADES { &[1.0] } else { &[1.0, 2.0, 5.0] };
                let marks = exponents
                    .flat_map(|exponent| within.iter().map(move |factor| factor * 10_f64.powi(exponent)))
                    .filter(|mark| Scale::Log.bend(*mark) <= self.to + 1e-9);
                marks.map(|mark| (mark, number(mark))).collect()
            }
            Scale::Nines => [0.0, 0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999]
                .into_iter()
                .filter(|mark| Scale::Nines.bend(*mark) <= self.to + 1e-9)
                .map(|mark| (mark, number((mark * 1e7).round() / 1e5)))
                .collect(),
        }
    }
}

/// The next larger of 1, 2, 5 times a power of ten.
fn round_step(step: f64) -> f64 {
    let power = 10_f64.powf(step.log10().floor());
    [1.0, 2.0, 5.0, 10.0]
        .map(|factor| factor * power)
        .into_iter()
        .find(|round| *round >= step)
        .unwrap_or(step)
}

/// Without needless decimals.
fn number(value: f64) -> String {
    let rounded = (value * 1e6).round() / 1e6;
    if rounded >= 1e6 { format!("{:e}", rounded) } else { format!("{rounded}") }
}
