//! Whether two limits differ in throughput: a sequential test on the logarithm of the ratio of two rates.
//!
//! With rates X₁, X₂ of n₁, n₂ answers each, and mean slots in use N₁, N₂:
//!
//! ```text
//! y = ln(X₂ ÷ X₁)      δ = ln(N₂ ÷ N₁)      variance of y = φ (1 ÷ n₁ + 1 ÷ n₂)
//! elasticity e = y ÷ δ, standard error SE = √variance ÷ δ
//! evidence = (e − e₁ ÷ 2) × e₁ ÷ SE²
//! ```
//!
//! That is the logarithm of how much better "throughput grows with elasticity e₁" explains what was seen than "not at all". It is
//! judged after every answer, and as soon as it is clear it is over: Wald's sequential probability ratio test (1945). φ is how much more
//! (or less) than chance the counts vary; see [`Dispersion`].
//!
//! Worked number: 80 answers at each of two limits that differ by half (δ = 0.405), twice the standard error: 0.158 ÷ 0.405 = 0.39. An
//! elasticity of 1 is then, for e₁ = 0.25, (1 − 0.125) × 0.25 ÷ 0.152 = 1.4 in evidence: four to one.

use super::meter::Meter;
use crate::limiter::number::ln;

/// e^2.5: wrong once in twelve.
const CLEAR: f64 = 2.5;
/// So much clearer must it be that it is worthwhile after all: wrong once in forty.
const DOUBTFUL: f64 = 1.5;
/// e: wrong once in four.
const LIKELY: f64 = 1.0;

/// What a comparison says so far.
#[derive(Clone, Copy, Debug)]
pub(super) struct Comparison {
    pub(super) elasticity: f64,
    pub(super) standard_error: f64,
    width: f64,
}

/// What is looked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Growth {
    /// By more than a quarter of the share by which the limit differs.
    Worthwhile,
    /// By that or by 12 %, however many more slots it takes.
    Any,
    /// As the first, to find out what a lower limit loses: where it loses, nobody waits to be sure.
    Lost,
    /// By the same share.
    Proportional,
}

/// An elasticity that is worth more slots.
const WORTHWHILE: f64 = 0.25;
/// And so is this, as a logarithm, however much wider the limit is.
const ANY: f64 = 0.12;

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

    /// Which explains it better: that throughput grows with this elasticity, or that it does not grow at all.
    pub(super) fn verdict(&self, growth: Growth) -> Verdict {
        self.judge(growth, CLEAR)
    }

    /// The same when there is no more time: what is likely.
    pub(super) fn leaning(&self, growth: Growth) -> Verdict {
        self.judge(growth, LIKELY)
    }

    fn judge(&self, growth: Growth, clear: f64) -> Verdict {
        let grows = match growth {
            Growth::Worthwhile | Growth::Lost => WORTHWHILE.max(LEAST / self.width),
            Growth::Any => WORTHWHILE.min(ANY / self.width).max(LEAST / self.width),
            Growth::Proportional => 1.0,
        };
        let evidence = (self.elasticity - grows / 2.0) * grows / (self.standard_error * self.standard_error);
        // A higher limit is tried again and again, so that one that seems to be better is often luck.
        let by_luck = matches!(growth, Growth::Worthwhile | Growth::Any);
        let clear_growth = if by_luck { clear * DOUBTFUL } else { clear };
        if evidence > clear_growth {
            Verdict::Grows
        } else if evidence < -clear {
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
