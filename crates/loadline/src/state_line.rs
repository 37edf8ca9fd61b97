//! The line on stderr when the proxy begins to shed, and when it has stopped.
//!
//! Only changes are told, and not every one: whoever reads a terminal wants to know that something began and how it
//! ended, not to be flooded by a load that wavers.

use std::time::Duration;

use loadline_core::{Class, Reason, Snapshot};
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
    /// Since when, and with which counts, an overload that was announced goes on.
    overload: Option<(Instant, Totals)>,
    last_shed: Option<Instant>,
    last_line: Option<Instant>,
    seen: Totals,
}

#[derive(Clone, Copy, Debug, Default)]
struct Totals {
    shed: u64,
    critical: u64,
}

impl StateLine {
    pub(crate) fn new(style: Style) -> Self {
        Self { style, overload: None, last_shed: None, last_line: None, seen: Totals::default() }
    }

    /// The line to write now, if any; called about once a second. `dry_run`: `gate` is what would be, and nobody is rejected.
    pub(crate) fn next(&mut self, gate: &Snapshot, process: &Process, dry_run: bool) -> Option<String> {
        let now = Instant::now();
        let total = gate.counters.total();
        let totals =
            Totals { shed: total.shed_total(), critical: gate.counters.of(Class::Critical).shed_total() };
        let before = std::mem::replace(&mut self.seen, totals);
        if totals.shed > before.shed {
            self.last_shed = Some(now);
        }
        let quiet = self.last_shed.is_none_or(|at| now - at >= QUIET);
        match self.overload {
            Some((since, at)) if quiet => {
                self.overload = None;
                self.last_line = Some(now);
                let text = format!(
                    "after {}s: {} {}shed, {} critical",
                    (now - since).as_secs(),
                    totals.shed - at.shed,
                    if dry_run { "would have been " } else { "" },
                    totals.critical - at.critical
                );
                Some(banner::state(State::Ok.as_str(), &text, self.style))
            }
            None if totals.shed > before.shed => {
                if self.last_line.is_some_and(|at| now - at < AT_MOST_EVERY) {
                    return None;
                }
                self.overload = Some((now, before));
                self.last_line = Some(now);
                let rates = process.rates();
                let leading = Reason::ALL.into_iter().max_by_key(|reason| total.shed[reason.index()]);
                let leading = leading.map_or("", Reason::as_str);
                if dry_run {
                    let offered = rates.offered;
                    let text =
                        format!("{offered:.0}/s offered, all are served; some would be shed ({leading})");
                    return Some(banner::state("DRY RUN", &text, self.style));
                }
                let text = format!(
                    "{:.0}/s offered, {:.0}/s served, {:.0}/s shed ({leading}), queue {}",
                    rates.offered, rates.admitted, rates.shed, gate.queued
                );
                Some(banner::state(State::Shedding.as_str(), &text, self.style))
            }
            _ => None,
        }
    }
}
