//! How the rate changes over a run: stages one after the other, and spikes laid over them.

use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;

use crate::units::{Rate, Span};

/// A part of the run in which the rate is constant or changes evenly.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(try_from = "String")]
pub struct Stage {
    /// How long it lasts.
    pub duration: Duration,
    /// The rate at its beginning.
    pub from: Rate,
    /// The rate at its end.
    pub to: Rate,
}

/// A rate that holds for a while whatever the stages say.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(try_from = "String")]
pub struct Spike {
    /// When it begins, from the start of the run.
    pub at: Duration,
    /// How long it lasts.
    pub duration: Duration,
    /// The rate meanwhile.
    pub rate: Rate,
}

impl Stage {
    /// A stage with one rate.
    #[must_use]
    pub fn hold(duration: Duration, rate: Rate) -> Self {
        Self { duration, from: rate, to: rate }
    }

    /// The rate so long after the stage's beginning.
    #[must_use]
    pub fn rate_at(&self, offset: Duration) -> f64 {
        let share =
            if self.duration.is_zero() { 0.0 } else { offset.div_duration_f64(self.duration).min(1.0) };
        self.from.get() + (self.to.get() - self.from.get()) * share
    }

    /// Requests that are due in it, as a real number: the mean of both rates, times the duration.
    #[must_use]
    pub fn requests(&self) -> f64 {
        self.mean_rate() * self.duration.as_secs_f64()
    }

    /// The mean of the rates at its beginning and at its end, per second.
    #[must_use]
    pub fn mean_rate(&self) -> f64 {
        f64::midpoint(self.from.get(), self.to.get())
    }

    /// The part from `begin` to `end`, if that is not empty.
    fn part(&self, begin: Duration, end: Duration) -> Option<Self> {
        let rate = |offset| Rate::per_second(self.rate_at(offset)).unwrap_or(self.to);
        let duration = end.checked_sub(begin).filter(|duration| !duration.is_zero())?;
        Some(Self { duration, from: rate(begin), to: rate(end) })
    }
}

/// The stages with a spike laid over them. What of it lies beyond the end of the stages is cut off.
#[must_use]
pub fn with_spike(stages: &[Stage], spike: Spike) -> Vec<Stage> {
    let (mut result, mut begin) = (Vec::with_capacity(stages.len() + 2), Duration::ZERO);
    let total: Duration = stages.iter().map(|stage| stage.duration).sum();
    let (from, to) = (spike.at.min(total), (spike.at + spike.duration).min(total));
    for stage in stages {
        let end = begin + stage.duration;
        let inside = |moment: Duration| moment.clamp(begin, end) - begin;
        result.extend(stage.part(Duration::ZERO, inside(from)));
        if (begin..end).contains(&from) && from < to {
            result.push(Stage::hold(to - from, spike.rate));
        }
        result.extend(stage.part(inside(to), stage.duration));
        begin = end;
    }
    result
}

impl FromStr for Stage {
    type Err = String;

    /// `10s@100` holds, `10s@100..1000` ramps.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| format!("stage `{text}`: {why} (try 10s@100, or 10s@100..1000 for a ramp)");
        let (duration, rates) = text.split_once('@').ok_or_else(|| wrong("there is no `@`"))?;
        let Span(duration) = duration.parse().map_err(|why: String| wrong(&why))?;
        let (from, to) = rates.split_once("..").unwrap_or((rates, rates));
        let rate = |rate: &str| rate.parse::<Rate>().map_err(|why| wrong(&why));
        if duration.is_zero() {
            return Err(wrong("it lasts no time"));
        }
        Ok(Self { duration, from: rate(from)?, to: rate(to)? })
    }
}

impl FromStr for Spike {
    type Err = String;

    /// `10s+1s@2000`: from 10 s on, for 1 s.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| format!("spike `{text}`: {why} (try 10s+1s@2000: after 10s, for 1s)");
        let (at, stage) = text.split_once('+').ok_or_else(|| wrong("there is no `+`"))?;
        let Span(at) = at.parse().map_err(|why: String| wrong(&why))?;
        let (duration, rate) = stage.split_once('@').ok_or_else(|| wrong("there is no `@`"))?;
        let Span(duration) = duration.parse().map_err(|why: String| wrong(&why))?;
        let rate = rate.parse::<Rate>().map_err(|why| wrong(&why))?;
        if duration.is_zero() {
            return Err(wrong("it lasts no time"));
        }
        Ok(Self { at, duration, rate })
    }
}

impl TryFrom<String> for Stage {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl TryFrom<String> for Spike {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stages(texts: &[&str]) -> Vec<Stage> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn a_spike_cuts_the_stage_it_falls_into() {
        let spike = "4s+2s@500".parse().unwrap();
        assert_eq!(with_spike(&stages(&["10s@100"]), spike), stages(&["4s@100", "2s@500", "4s@100"]));
    }

    #[test]
    fn a_spike_over_several_stages_and_the_end() {
        let spike: Spike = "8s+100s@500".parse().unwrap();
        assert_eq!(with_spike(&stages(&["10s@100", "5s@200"]), spike), stages(&["8s@100", "7s@500"]));
        let whole: Spike = "0s+15s@7".parse().unwrap();
        assert_eq!(with_spike(&stages(&["10s@100", "5s@200"]), whole), stages(&["15s@7"]));
        let border: Spike = "10s+1s@7".parse().unwrap();
        assert_eq!(
            with_spike(&stages(&["10s@100", "5s@200"]), border),
            stages(&["10s@100", "1s@7", "4s@200"])
        );
        let beyond: Spike = "15s+1s@7".parse().unwrap();
        assert_eq!(with_spike(&stages(&["10s@100", "5s@200"]), beyond), stages(&["10s@100", "5s@200"]));
    }

    #[test]
    fn a_ramp_keeps_its_slope_around_a_spike() {
        let cut = with_spike(&stages(&["10s@0..100"]), "4s+2s@500".parse().unwrap());
        assert_eq!(cut, stages(&["4s@0..40", "2s@500", "4s@60..100"]));
    }

    #[test]
    fn mistakes_say_what_is_wrong_and_what_instead() {
        for (text, part) in
            [("10s", "no `@`"), ("x@5", "not a duration"), ("5s@x", "not a rate"), ("0s@5", "no time")]
        {
            let error = text.parse::<Stage>().unwrap_err();
            assert!(error.contains(part) && error.contains("try 10s@100"), "{error}");
        }
        for (text, part) in [("1s@5", "no `+`"), ("1s+1s", "no `@`"), ("1s+0s@5", "no time")] {
            let error = text.parse::<Spike>().unwrap_err();
            assert!(error.contains(part) && error.contains("try 10s+1s@2000"), "{error}");
        }
    }
}
