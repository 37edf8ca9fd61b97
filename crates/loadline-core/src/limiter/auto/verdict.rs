//! Whether two limits differ in throughput: a sequential test on the logarithm of the ratio of two rates.
//!
//! With rates X₁, X₂ of n₁, n₂ answers each, and mean slots in use N₁, N₂:
//!
//! ```text
//! y = ln(X₂ ÷ X₁)      δ = ln(N₂ ÷ N₁)      variance of y = φ (1 ÷ n₁ + 1 ÷ n₂)
//! elasticity e = y ÷ δ, standard error SE = √variance ÷ δ
//! evidence = (e − (e₁ + e₀) ÷ 2) × (e₁ − e₀) ÷ SE²
//! ```
//!
//! That is the logarithm of how much better "throughput grows with elasticity e₁" explains what was seen than "with e₀", which is
//! mostly 0: not at all. It is judged after every answer, and as soon as it is clear it is over: Wald's sequential probability ratio test (1945). φ is how much more
//! (or less) than chance the counts vary; see [`Dispersion`].
//!
//! Worked number: 80 answers at each of two limits that differ by half (δ = 0.405), twice the standard error: 0.158 ÷ 0.405 = 0.39. An
//! elasticity of 1 is then, for e₁ = 0.25, (1 − 0.125) × 0.25 ÷ 0.152 = 1.4 in evidence: four to one.

use super::meter::Meter;
use crate::limiter::number::ln;

/// e^2.5: wrong once in twelve.
const CLEAR: f64 = 2.5;
/// e: wrong once in four.
const LIKELY: f64 = 1.0;
/// The same of the first higher limits, for which less is asked otherwise.
const LIKELY_GROWTH: f64 = 1.5;

/// What a comparison says so far.
#[derive(Clone, Copy, Debug)]
pub(super) struct Comparison {
    pub(super) elasticity: f64,
    pub(super) standard_error: f64,
    width: f64,
}

/// What is asked of another limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Question {
    /// Of a higher one, when nothing above has been tried: does it give much more? Most services that have not enough show it at once.
    Growth,
    /// Of a higher one, later: a quarter of the share by which the limit differs, or 12 % however many slots it takes?
    Gain,
    /// Of a higher one after a fall: has throughput come back in proportion?
    Return,
    /// Of a higher one: does it do no harm?
    Room,
    /// Of a lower one: does it lose anything?
    Loss,
    /// Of either, where throughput rises to a point and then falls: on which side is that?
    Peak,
}

/// The two explanations that a question decides between, as elasticities, and how much surer than [`CLEAR`] each answer must be.
struct Test {
    grows: f64,
    otherwise: f64,
    /// More throughput was found.
    surer_grows: f64,
    /// It was not.
    surer_flat: f64,
}

impl Question {
    /// For limits whose logarithms differ by `width`.
    fn test(self, width: f64) -> Test {
        let least = LEAST / width;
        let (grows, otherwise) = match self {
            Self::Growth => (MUCH.max(least), 0.0),
            Self::Gain => (WORTHWHILE.min(ANY / width).max(least), 0.0),
            Self::Return => (1.0, 0.0),
            Self::Room => (0.0, -HARM),
            Self::Loss => (WORTHWHILE.max(least), 0.0),
            // Far apart, it may be flat between the two: then the lower one will do.
            Self::Peak if width > FAR => (HARM, -HARM / 2.0),
            Self::Peak => (HARM, -HARM),
        };
        let (surer_grows, surer_flat) = match self {
            // A higher limit is tried again and again, so that one that seems to be better is often luck.
            Self::Growth => (1.0, 1.0),
            Self::Gain => (1.5, 0.8),
            Self::Return | Self::Room => (1.0, 1.0),
            // A limit that is too low costs throughput until that is noticed; one that is too high only time.
            Self::Loss => (1.0, 1.8),
            Self::Peak => (1.2, 1.2),
        };
        Test { grows, otherwise, surer_grows, surer_flat }
    }
}

/// An elasticity that is a reason for more slots whatever it costs.
const MUCH: f64 = 0.4;
/// An elasticity that is worth more slots.
const WORTHWHILE: f64 = 0.25;
/// And so is this, as a logarithm, however much wider the limit is.
const ANY: f64 = 0.12;
/// Minus the elasticity of a service that thrashes, or half of what slots bring below its best point.
const HARM: f64 = 0.5;

/// Logarithm of the ratio of two limits that are far apart: one and a half.
const FAR: f64 = 0.4;

/// Nothing smaller is looked for, as a logarithm: between two limits that hardly differ it would take minutes.
const LEAST: f64 = 0.06;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    /// More slots, more throughput.
    Grows,
    /// More slots, no more throughput, or less.
    Flat,
    /// Not clear yet.
    Open,
}

impl Comparison {
    /// Of what was measured at a lower and at a higher limit; `None` if their use hardly differed.
    pub(super) fn of(lower: &Meter, higher: &Meter, dispersion: Dispersion) -> Option<Self> {
        let floor = f64::MIN_POSITIVE * 1e10;
        let width = ln(higher.level().max(1e-3) / lower.level().max(1e-3));
        if width < 0.02 {
            return None;
        }
        let ratio = (higher.rate() + floor) / (lower.rate() + floor);
        let y = ln(ratio.clamp(1e-6, 1e6));
        let variance = dispersion.0 * (1.0 / lower.count() + 1.0 / higher.count());
        Some(Self { elasticity: y / width, standard_error: variance.sqrt() / width, width })
    }

    /// Which explanation is clearly the better one.
    pub(super) fn verdict(&self, question: Question) -> Verdict {
        self.judge(question, CLEAR)
    }

    /// The same when there is no more time: what is likely.
    pub(super) fn leaning(&self, question: Question) -> Verdict {
        let clear = if question == Question::Growth { LIKELY_GROWTH } else { LIKELY };
        self.judge(question, clear)
    }

    fn judge(&self, question: Question, clear: f64) -> Verdict {
        let test = question.test(self.width);
        let middle = (test.grows + test.otherwise) / 2.0;
        let variance = self.standard_error * self.standard_error;
        let evidence = (self.elasticity - middle) * (test.grows - test.otherwise) / variance;
        if evidence > clear * test.surer_grows {
            Verdict::Grows
        } else if evidence < -clear * test.surer_flat {
            Verdict::Flat
        } else {
            Verdict::Open
        }
    }
}

/// Variance of counts ÷ their mean: 1 for independent answers, less for a service like clockwork, more for one that pauses.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dispersion(f64);

impl Dispersion {
    /// Learns from two measurements at the same limit, one after the other.
    pub(super) fn learn(&mut self, one: &Meter, other: &Meter) {
        if one.answered < 5 || other.answered < 5 {
            return;
        }
        let y = ln((one.rate() / other.rate()).clamp(1e-6, 1e6));
        let seen = y * y / (1.0 / one.count() + 1.0 / other.count());
        self.0 += (seen.min(6.0) - self.0) / 12.0;
        self.0 = self.0.clamp(0.3, 4.0);
    }

    pub(super) const fn get(self) -> f64 {
        self.0
    }
}

impl Default for Dispersion {
    fn default() -> Self {
        Self(1.0)
    }
}

/// How many answers it takes at each of two limits to be sure that throughput is in proportion to them, if it is. `width` is the
/// logarithm of their ratio.
pub(super) fn answers_needed(width: f64, dispersion: Dispersion) -> f64 {
    2.0 * dispersion.0 * CLEAR / ((1.0 - WORTHWHILE / 2.0) * WORTHWHILE * width * width)
}
