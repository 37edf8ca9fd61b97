//! Which limit is tried next, when, and what that may cost.
//!
//! Higher ones are tried in turn with lower ones. A higher one costs nothing where throughput is flat, so it is tried whenever its pause is over. A
//! lower one is tried only while the service has been asked for more than it can do for some seconds, and it is paid from an account that
//! grows with time: together such trials lose at most 0.3 % of the throughput, so they are rare when they are dear. The first is free: it
//! shows where the [knee](super::knee) is.

use super::Auto;
use super::trial::Trial;
use super::tuning::{COARSE, OVERLOADED, OVERLOADED_ANSWERS, OVERLOADED_AT_LAST, WIDEST};
use super::verdict::{Question, answers_needed};
use crate::Instant;
use crate::limiter::number::ln;
use crate::time::nanos;

impl Auto {
    /// Begins the next trial if it is time for one.
    pub(super) fn begin_trial(&mut self, now: Instant) {
        let room = self.room.take().map(|room| room.min(self.max)).filter(|room| *room > self.limit);
        let (up, asked) = room.map_or_else(|| self.higher(), |room| (room, Question::Room));
        let down = self.lower();
        let can_up = up > self.limit && (now >= self.up.next || room.is_some());
        let can_down =
            down < self.limit && now >= self.down.next && self.is_overloaded(now) && self.can_afford(down);
        self.went_up &= room.is_none();
        let level = match (can_up, can_down, self.went_up) {
            (true, false, _) | (true, true, false) => up,
            (false, true, _) | (true, true, true) => down,
            (false, false, _) => return,
        };
        self.went_up = level > self.limit;
        let asked = match (self.went_up, asked) {
            (true, Question::Room) => Question::Room,
            _ if self.thrashes => Question::Peak,
            (true, asked) => asked,
            (false, _) => Question::Loss,
        };
        self.trial = Some(Trial::new(now, level, asked));
        self.switch(now);
    }

    /// Whether the limit has been in the way for so long that it is not by chance.
    pub(super) fn is_overloaded(&self, now: Instant) -> bool {
        // Where little is answered, chance fills the queue for longer.
        let answers = (OVERLOADED_ANSWERS / self.base.rate().max(1e-15)) as u64;
        // Nobody gets an answer in time: that is no reason to wait for many.
        let answers = answers.min(nanos(OVERLOADED_AT_LAST));
        self.bound_since.is_some_and(|since| now.nanos_since(since) >= nanos(OVERLOADED).max(answers))
    }

    /// The next higher limit to try, the present one if there is none, and what is asked of it.
    fn higher(&self) -> (u32, Question) {
        let width = if self.is_coarse() { self.up.width.max(COARSE) } else { self.up.width };
        let wider = ((f64::from(self.limit) * (1.0 + width)).round() as u32).max(self.limit + 1);
        let former = self.former.filter(|former| former.limit > self.limit && self.up.vain > 0);
        let (level, asked) = match former {
            // In turn, the one that was right before throughput fell.
            Some(former) if self.up.vain % 2 == 1 && !former.is_dear => (former.limit, Question::Return),
            Some(_) => (wider, Question::Return),
            None if self.up.vain == 0 => (wider, Question::Growth),
            None => (wider, Question::Gain),
        };
        (level.min(self.highest()), asked)
    }

    /// The next lower limit to try; the present one if there is none.
    fn lower(&self) -> u32 {
        let width = if self.thrashes { self.down.width } else { self.down.width.max(WIDEST) };
        let lower = (f64::from(self.limit) / (1.0 + width)).round() as u32;
        lower.min(self.limit - 1).clamp(self.min().get(), self.limit)
    }

    fn can_afford(&self, lower: u32) -> bool {
        // Where throughput falls above a point, pauses are what keeps trials cheap.
        self.thrashes || !self.alone.is_known() || self.loss_below(lower) <= self.credit
    }

    /// What a trial of this lower limit will lose, in nanoseconds of throughput, by what is known of the knee.
    fn loss_below(&self, lower: u32) -> f64 {
        let lower = f64::from(lower.max(1));
        let ratio = f64::from(self.limit) / lower;
        let answers = answers_needed(ln(ratio), self.dispersion);
        let rate = self.base.rate();
        let worse = self.alone.knee(rate).map_or(ratio, |knee| (knee / lower).clamp(1.0, ratio));
        answers * (worse - 1.0) / rate.max(1e-15)
    }
}
