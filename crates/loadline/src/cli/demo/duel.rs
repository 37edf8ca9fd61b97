//! One load, two ways to meet it: both run at the same time, each with an app of its own, and are shown beside each other.
//!
//! The app's workers wait rather than compute, so that the two sides do not take each other's time.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use loadline_load::{Outcome, Plan, Point, Progress, RECOVERED_GOODPUT, Report, Snapshot, Url, run};

use super::children::Part;
use super::figures::{Figure, Unit};
use super::screen::{Scale, Side, Terminal, line, now, plots};

/// Between two pictures.
const PICTURE: Duration = Duration::from_millis(200);

/// Between two lines, where there are no pictures.
const LINE: Duration = Duration::from_secs(2);

/// How long an app may take to say what its workers do.
const STATS: Duration = Duration::from_secs(1);

/// A show of this kind.
pub(super) struct Duel {
    /// What is shown, in a few words.
    pub(super) title: &'static str,
    /// What the load and the app are, in lines that fit the screen.
    pub(super) intro: Vec<String>,
    /// Workers of the app.
    pub(super) workers: u32,
    /// How long a request keeps a worker, in milliseconds.
    pub(super) service_ms: u32,
    /// Everything but the URL.
    pub(super) plan: Plan,
    /// The two ways, the one that loses first.
    pub(super) ways: [Way; 2],
    /// What is measured of both.
    pub(super) rows: &'static [Row],
    /// What must hold, unless nobody asks.
    pub(super) expect: &'static [&'static str],
}

/// One way to meet the load.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way {
    pub(super) name: &'static str,
    /// The proxy's settings; `None` if there is no proxy.
    pub(super) proxy: Option<&'static [&'static str]>,
    /// Whether requests say until when their answer is of use.
    pub(super) tells_deadline: bool,
}

/// A figure of both sides: its name, how people call it, and what it is.
pub(super) type Row = (&'static str, &'static str, Measure);

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Measure {
    /// Of what could be served in this stage, what was.
    Goodput(usize),
    /// Of one class's requests, those that were served in time.
    Class(&'static str),
    /// Of all requests, those that were answered too late.
    Late,
    /// From the end of the overload until nearly everything is served again, three seconds in a row.
    Recovery,
    /// Of what the app did, what was for clients that had left, or came too late.
    Wasted,
}

/// What came out.
pub(super) struct Outcomes {
    pub(super) reports: [Report; 2],
    pub(super) figures: Vec<Figure>,
}

/// What an app says of itself.
#[derive(Clone, Copy, Debug, Default)]
struct Stats {
    waiting: u64,
    served: u64,
    abandoned: u64,
}

/// Before the name of a figure of the first way.
const WITHOUT: &str = "without.";

impl Duel {
    /// What it can be expected of.
    pub(super) fn known(&self) -> Vec<(String, Unit)> {
        let both = |(name, _, measure): &Row| {
            [(*name).to_owned(), format!("{WITHOUT}{name}")].map(|name| (name, measure.unit()))
        };
        self.rows.iter().flat_map(both).collect()
    }

    /// Runs both sides. `None` if it was interrupted.
    pub(super) fn run(&self, interrupted: &AtomicBool) -> Result<Option<Outcomes>, String> {
        let workers = self.workers.to_string();
        let app = || Part::app(&["app", "--workers", &workers], &[]);
        let apps = [app()?, app()?];
        let proxy = |side: usize| {
            let settings = self.ways[side].proxy;
            settings.map(|settings| Part::proxy(apps[side].address(), &workers, settings)).transpose()
        };
        let proxies = [proxy(0)?, proxy(1)?];
        let plan = |side: usize| self.plan_for(side, proxies[side].as_ref().unwrap_or(&apps[side]));
        let plans = [plan(0)?, plan(1)?];
        let states = self.ways.map(|way| Mutex::new(Side { name: way.name, ..Side::default() }));
        let stop = AtomicBool::new(false);
        let results = thread::scope(|scope| {
            let side = |side: usize| {
                let mut watch = Watch { state: &states[side], stop: &stop };
                let plan = &plans[side];
                scope.spawn(move || run(plan, &mut watch).map_err(|error| error.to_string()))
            };
            let runs = [side(0), side(1)];
            self.show(
                &states,
                &apps,
                || runs.iter().all(thread::ScopedJoinHandle::is_finished),
                || {
                    stop.store(interrupted.load(Ordering::Relaxed), Ordering::Relaxed);
                },
            );
            runs.map(|run| run.join().unwrap_or_else(|_| Err("a side of the demo panicked".to_owned())))
        });
        let [without, with] = results;
        let reports = [without?, with?];
        if interrupted.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let figures = self.figures(&reports, &[stats(&apps[0])?, stats(&apps[1])?]);
        Ok(Some(Outcomes { reports, figures }))
    }

    /// The figures as a table, its head first.
    pub(super) fn table(&self, figures: &[Figure]) -> Vec<Vec<String>> {
        let head = vec![String::new(), self.ways[0].name.to_owned(), self.ways[1].name.to_owned()];
        let value = |name: String| {
            let figure = figures.iter().find(|figure| figure.name == name);
            figure.map_or_else(String::new, |figure| figure.unit.show(figure.value))
        };
        let row = |(name, label, _): &Row| {
            vec![(*label).to_owned(), value(format!("{WITHOUT}{name}")), value((*name).to_owned())]
        };
        std::iter::once(head).chain(self.rows.iter().map(row)).collect()
    }

    /// Requests per second that the app can do: workers ÷ service time.
    pub(super) fn capacity(&self) -> f64 {
        f64::from(self.workers) * 1_000.0 / f64::from(self.service_ms)
    }

    fn plan_for(&self, side: usize, part: &Part) -> Result<Plan, String> {
        let path = format!("/{}", f64::from(self.service_ms) / 1_000.0);
        let url: Url = format!("http://{}{path}", part.address()).parse()?;
        let mut plan = self.plan.clone();
        for target in &mut plan.targets {
            target.path.clone_from(&path);
            target.name.clone_from(&path);
        }
        plan.url = url;
        if let Some(deadline) = plan.deadline.as_mut().filter(|_| !self.ways[side].tells_deadline) {
            deadline.header = None;
        }
        Ok(plan)
    }

    /// Shows both sides until they are over.
    fn show(&self, states: &[Mutex<Side>; 2], apps: &[Part; 2], over: impl Fn() -> bool, look: impl Fn()) {
        let mut terminal = Terminal::new();
        let peak =
            self.plan.stages.iter().map(|stage| stage.from.get().max(stage.to.get())).fold(0.0, f64::max);
        let scale = Scale { planned: self.plan.duration(), peak, capacity: self.capacity() };
        if !terminal.is_live() {
            std::iter::once(self.title)
                .chain(self.intro.iter().map(String::as_str))
                .for_each(|line| terminal.say(line));
        }
        let mut said = Instant::now();
        let mut waiting = [0, 0];
        loop {
            let ended = over();
            look();
            for (waiting, app) in waiting.iter_mut().zip(apps) {
                *waiting = stats(app).map_or(*waiting, |stats| stats.waiting);
            }
            let sides = [0, 1].map(|side| {
                let state = states[side].lock().unwrap_or_else(PoisonError::into_inner).clone();
                Side { waiting: waiting[side], ..state }
            });
            if terminal.is_live() {
                let elapsed = if ended { scale.planned } else { sides[1].elapsed.min(scale.planned) };
                let mut lines = self.heading(elapsed);
                lines.extend(plots(&sides, &scale, terminal.colour()));
                if !ended {
                    lines.extend(now(&sides));
                }
                terminal.draw(&lines);
            } else if said.elapsed() >= LINE {
                said = Instant::now();
                terminal.say(&line(&sides));
            }
            if ended {
                return;
            }
            thread::sleep(PICTURE);
        }
    }

    fn heading(&self, elapsed: Duration) -> Vec<String> {
        let planned = self.plan.duration().as_secs();
        let clock = format!("{:.0} s of {planned} s", elapsed.as_secs_f64());
        let room = super::screen::WIDTH.saturating_sub(clock.len());
        std::iter::once(format!("{:<room$}{clock}", self.title)).chain(self.intro.iter().cloned()).collect()
    }

    fn figures(&self, reports: &[Report; 2], stats: &[Stats; 2]) -> Vec<Figure> {
        let side = |side: usize| {
            let prefix = if side == 0 { WITHOUT } else { "" };
            self.rows.iter().map(move |(name, _, measure)| Figure {
                name: format!("{prefix}{name}"),
                unit: measure.unit(),
                value: measure.of(&reports[side], stats[side], self.capacity()),
            })
        };
        side(0).chain(side(1)).collect()
    }
}

impl Measure {
    fn unit(self) -> Unit {
        if self == Self::Recovery { Unit::Seconds } else { Unit::Share }
    }

    fn of(self, report: &Report, stats: Stats, capacity: f64) -> f64 {
        match self {
            Self::Goodput(stage) => report.stages.get(stage).map_or(0.0, |stage| {
                let possible = (stage.group.offered as f64).min(capacity * stage.duration_s);
                // Retries of an earlier stage may be served beside this one's requests, but none is counted twice.
                (stage.group.count(Outcome::Served) as f64 / possible.max(1.0)).min(1.0)
            }),
            Self::Class(name) => report.group(name).map_or(0.0, |class| class.goodput),
            Self::Late => report.total.share(Outcome::Late),
            Self::Recovery => recovery(report),
            Self::Wasted => {
                let wasted = stats.abandoned + report.total.count(Outcome::Late);
                wasted as f64 / stats.served.max(1) as f64
            }
        }
    }
}

/// Seconds from the end of the overload to the first of three good ones in a row. The report's own figure wants all seconds to
/// be good until the end, which a hiccup of the machine much later would spoil.
fn recovery(report: &Report) -> f64 {
    const IN_A_ROW: usize = 3;
    let Some(overload) = report.recovery else { return f64::INFINITY };
    let step = report.series.step_s;
    let first = (overload.from_s / step).round() as usize;
    let after = report.series.points.get(first..).unwrap_or_default();
    let seconds: Vec<bool> =
        after.chunks_exact((1.0 / step).round().max(1.0) as usize).map(is_good).collect();
    let found = seconds.windows(IN_A_ROW).position(|row| row.iter().all(|good| *good));
    found.map_or(f64::INFINITY, |second| second as f64)
}

fn is_good(second: &[Point]) -> bool {
    let offered: u64 = second.iter().map(|point| point.offered).sum();
    let served: u64 = second.iter().map(|point| point.outcomes[Outcome::Served.index()]).sum();
    served as f64 >= offered as f64 * RECOVERED_GOODPUT
}

/// Hands what a run shows to whoever draws it, and ends it when told to.
struct Watch<'a> {
    state: &'a Mutex<Side>,
    stop: &'a AtomicBool,
}

impl Progress for Watch<'_> {
    fn tick(&mut self, now: &Snapshot<'_>) -> ControlFlow<()> {
        if self.stop.load(Ordering::Relaxed) {
            return ControlFlow::Break(());
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.elapsed = now.elapsed;
        state.ticks.clear();
        state.ticks.extend_from_slice(now.ticks);
        ControlFlow::Continue(())
    }
}

fn stats(app: &Part) -> Result<Stats, String> {
    let answer = app.ask("GET", "/stats", None, STATS).map_err(|error| format!("the demo app: {error}"))?;
    let numbers: serde_json::Value =
        serde_json::from_str(&answer.body).map_err(|error| format!("the demo app: {error}"))?;
    let number = |name: &str| numbers.get(name).and_then(serde_json::Value::as_u64).unwrap_or_default();
    Ok(Stats { waiting: number("waiting"), served: number("served"), abandoned: number("abandoned") })
}
