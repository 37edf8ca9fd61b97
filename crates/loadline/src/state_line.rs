//! The line on stderr when the proxy begins to shed, and when it has stopped.
//!
//! Only changes are told, and not every one: whoever reads a terminal wants to know that something began and how it
//! ended, not to be flooded by a load that wavers.
//!
//! What is told comes from one of two ledgers, the gate's or a dry run's. A reload may change from one to the other, or begin a new
//! dry run: what was announced ends there, and what the other ledger holds already is no news.

use std::time::Duration;

use loadline_core::{Class, ClassCounters, Reason, Snapshot};
use tokio::time::Instant;

use crate::banner::{self, Style};
use crate::process::Process;
use crate::status::State;

/// At most one line in this time, but for the end of an overload that was announced.
const AT_MOST_EVERY: Duration = Duration::from_secs(10);

/// An overload has ended when nothing was shed for this long.
const QUIET: Duration = Duration::from_secs(3);

pub(crate) struct StateLine {
    style: Style,
    /// An overload that was announced goes on.
    overload: Option<Overload>,
    last_shed: Option<Instant>,
    last_line: Option<Instant>,
    seen: Option<Counts>,
}

/// An overload that was announced.
struct Overload {
    since: Instant,
    /// What had been counted before.
    before: Counts,
}

/// What one ledger said.
#[derive(Clone, Debug, Default)]
struct Counts {
    dry_run: bool,
    shed: ClassCounters,
    critical: u64,
}

impl Counts {
    fn of(gate: &Snapshot, dry_run: bool) -> Self {
        let critical = gate.counters.of(Class::Critical).shed_total();
        Self { dry_run, shed: gate.counters.total(), critical }
    }

    fn total(&self) -> u64 {
        self.shed.shed_total()
    }

    /// Whether both were read from one ledger, the other one earlier.
    fn goes_on_from(&self, earlier: &Self) -> bool {
        self.dry_run == earlier.dry_run
            && self.total() >= earlier.total()
            && self.critical >= earlier.critical
    }

    /// The reason that most were shed for since `earlier`.
    fn leading_reason(&self, earlier: &Self) -> &'static str {
        let since = |reason: Reason| self.shed.shed(reason).saturating_sub(earlier.shed.shed(reason));
        Reason::ALL.into_iter().max_by_key(|reason| since(*reason)).map_or("", Reason::as_str)
    }
}

impl StateLine {
    pub(crate) fn new(style: Style) -> Self {
        Self { style, overload: None, last_shed: None, last_line: None, seen: None }
    }

    /// The line to write now, if any; called about once a second. `dry_run`: `gate` is what would be, and nobody is rejected.
    pub(crate) fn next(&mut self, gate: &Snapshot, process: &Process, dry_run: bool) -> Option<String> {
        let now = Instant::now();
        let counts = Counts::of(gate, dry_run);
        let before = self.seen.replace(counts.clone());
        let before = before.unwrap_or_else(|| Counts { dry_run, ..Counts::default() });
        if !counts.goes_on_from(&before) {
            self.last_shed = None;
            return self.overload.take().map(|overload| self.ended(now, &overload, &before));
        }
        let more = counts.total() > before.total();
        if more {
            self.last_shed = Some(now);
        }
        let quiet = self.last_shed.is_none_or(|at| now - at >= QUIET);
        match self.overload.take_if(|_| quiet) {
            Some(overload) => Some(self.ended(now, &overload, &counts)),
            None if !more || self.overload.is_some() => None,
            None if self.last_line.is_some_and(|at| now - at < AT_MOST_EVERY) => None,
            None => {
                let reason = counts.leading_reason(&before);
                self.overload = Some(Overload { since: now, before });
                self.last_line = Some(now);
                let rates = process.rates();
                if dry_run {
                    let offered = rates.offered;
                    let text =
                        format!("{offered:.0}/s offered, all are served; some would be shed ({reason})");
                    return Some(banner::state("DRY RUN", &text, self.style));
                }
                let text = format!(
                    "{:.0}/s offered, {:.0}/s served, {:.0}/s shed ({reason}), queue {}",
                    rates.offered, rates.admitted, rates.shed, gate.queued
                );
                Some(banner::state(State::Shedding.as_str(), &text, self.style))
            }
        }
    }

    /// The line at the end of an overload; `counts`: the last of the ledger that it was announced from.
    fn ended(&mut self, now: Instant, overload: &Overload, counts: &Counts) -> String {
        self.last_line = Some(now);
        let Overload { since, before } = overload;
        let text = format!(
            "after {}s: {} {}shed, {} critical",
            (now - *since).as_secs(),
            counts.total() - before.total(),
            if counts.dry_run { "would have been " } else { "" },
            counts.critical - before.critical
        );
        banner::state(State::Ok.as_str(), &text, self.style)
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use loadline_core::{Admission, Instant as Moment, Settings};

    use super::*;

    /// A ledger in which requests are shed.
    struct Ledger(Admission);

    impl Ledger {
        fn new() -> Self {
            Self(Admission::new(Settings::new(NonZeroU32::MIN)))
        }

        fn shed(&mut self, count: usize, reason: Reason) {
            for _ in 0..count {
                let _ = self.0.record_shed(Moment::from_nanos(1), Class::Critical, reason);
            }
        }

        /// The line of the next tick, a second later.
        async fn tick(&self, line: &mut StateLine, dry_run: bool) -> Option<String> {
            tokio::time::advance(Duration::from_secs(1)).await;
            line.next(&self.0.snapshot(Moment::from_nanos(1)), &Process::new(), dry_run)
        }

        /// The line of the next tick that has one.
        async fn wait(&self, line: &mut StateLine, dry_run: bool) -> String {
            for _ in 0..30 {
                if let Some(said) = self.tick(line, dry_run).await {
                    return said;
                }
            }
            panic!("no line")
        }

        /// Ticks that have no line.
        async fn quiet(&self, line: &mut StateLine, dry_run: bool, seconds: usize) {
            for _ in 0..seconds {
                assert_eq!(self.tick(line, dry_run).await, None);
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_overload_is_told_with_its_own_reason_and_counts() {
        let (mut line, mut gate) = (StateLine::new(Style::Json), Ledger::new());
        gate.quiet(&mut line, false, 3).await;
        gate.shed(100, Reason::QueueTimeout);
        assert!(gate.tick(&mut line, false).await.unwrap().contains("(queue_timeout)"));
        assert!(gate.wait(&mut line, false).await.contains("100 shed, 100 critical"));
        gate.quiet(&mut line, false, 10).await;
        gate.shed(7, Reason::QueueFull);
        let said = gate.tick(&mut line, false).await.unwrap();
        assert!(said.contains("(queue_full)"), "the reason of now, not of the past: {said}");
        assert!(gate.wait(&mut line, false).await.contains(": 7 shed"));
    }

    #[tokio::test(start_paused = true)]
    async fn an_overload_ends_where_a_dry_run_begins() {
        let (mut line, mut gate, dry) = (StateLine::new(Style::Json), Ledger::new(), Ledger::new());
        gate.shed(100, Reason::QueueFull);
        gate.wait(&mut line, false).await;
        gate.wait(&mut line, false).await;
        gate.quiet(&mut line, false, 10).await;
        gate.shed(5, Reason::QueueFull);
        gate.wait(&mut line, false).await;
        let said = dry.tick(&mut line, true).await.unwrap();
        assert!(said.contains(": 5 shed"), "{said}");
        dry.quiet(&mut line, true, 20).await;
        gate.quiet(&mut line, false, 20).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_dry_run_that_begins_anew_is_counted_anew() {
        let (mut line, mut first, mut second) = (StateLine::new(Style::Json), Ledger::new(), Ledger::new());
        first.shed(100, Reason::QueueFull);
        first.wait(&mut line, true).await;
        second.shed(3, Reason::QueueFull);
        let said = second.tick(&mut line, true).await.unwrap();
        assert!(said.contains("would have been shed"), "{said}");
        second.quiet(&mut line, true, 10).await;
    }
}
