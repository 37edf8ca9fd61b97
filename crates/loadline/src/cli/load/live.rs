//! What a run shows while it goes on: one line that is overwritten on a terminal, a line now and then elsewhere.
//!
//! Ctrl-C ends the run early; what was over by then is still reported.

use std::io::{IsTerminal as _, Write as _};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use loadline_load::{Outcome, Progress, Snapshot, Tick};

use crate::cli::interrupt;

/// Between two lines where they are not overwritten.
const LINE_EVERY: Duration = Duration::from_secs(1);

/// The same for runs of more than a minute: a log of an hour should not have thousands of lines.
const LONG_LINE_EVERY: Duration = Duration::from_secs(10);

const LONG_RUN: Duration = Duration::from_secs(60);

/// Ticks that the shown rates are means of: a second, so that they read as rates.
const WINDOW: usize = 10;

pub(super) struct Live {
    quiet: bool,
    terminal: bool,
    next: Duration,
    interrupted: Arc<AtomicBool>,
}

impl Live {
    pub(super) fn new(quiet: bool) -> Self {
        let terminal = std::io::stderr().is_terminal();
        Self { quiet, terminal, next: LINE_EVERY, interrupted: interrupt::watch() }
    }

    /// Makes room for the report.
    pub(super) fn clear(&self) {
        if self.terminal && !self.quiet {
            eprint!("\r\x1b[K");
        }
    }
}

impl Progress for Live {
    fn tick(&mut self, now: &Snapshot<'_>) -> ControlFlow<()> {
        if self.interrupted.load(Ordering::Relaxed) {
            return ControlFlow::Break(());
        }
        if self.quiet {
            return ControlFlow::Continue(());
        }
        if self.terminal {
            // A terminal that is gone is no reason to end the run.
            let _ = write!(std::io::stderr(), "\r\x1b[K{}", line(now));
        } else if now.elapsed >= self.next {
            let every = if now.planned > LONG_RUN { LONG_LINE_EVERY } else { LINE_EVERY };
            self.next = now.elapsed + every;
            let _ = writeln!(std::io::stderr(), "{}", line(now));
        }
        ControlFlow::Continue(())
    }
}

/// Fits 80 columns.
fn line(now: &Snapshot<'_>) -> String {
    // The last tick is not over yet.
    let current =
        usize::try_from(now.elapsed.as_nanos() / loadline_load::TICK.as_nanos()).unwrap_or(usize::MAX);
    let window = current.saturating_sub(WINDOW).min(now.ticks.len())..current.min(now.ticks.len());
    let seconds = WINDOW.min(current).max(1) as f64 / WINDOW as f64;
    let ticks = &now.ticks[window];
    let rate = |count: &dyn Fn(&Tick) -> u32| f64::from(ticks.iter().map(count).sum::<u32>()) / seconds;
    let done = |outcome: Outcome| move |tick: &Tick| tick.done[outcome.index()];
    let failed =
        |tick: &Tick| tick.done.iter().sum::<u32>() - done(Outcome::Served)(tick) - done(Outcome::Shed)(tick);
    format!(
        "{:>5.1}s/{:.0}s  offered {:.0}/s  served {:.0}/s  shed {:.0}/s  failed {:.0}/s  busy {}",
        now.elapsed.as_secs_f64(),
        now.planned.as_secs_f64(),
        rate(&|tick| tick.offered),
        rate(&done(Outcome::Served)),
        rate(&done(Outcome::Shed)),
        rate(&failed),
        now.in_flight
    )
}
