//! An app over a socket that can do exactly what a scenario's `[backend]` says.
//!
//! Its capacity is modelled: a request occupies a worker for the time that the scenario draws for it, and nothing is computed
//! meanwhile, so that dozens of workers fit on one core. Like [`SlotOrigin`](super::slot_origin::SlotOrigin) it does not notice
//! when a client leaves: whatever it was handed is worked on to the end.
//!
//! Each stage of the scenario is a thread that sleeps until the next request is done. Active requests proceed at the same
//! rate, `speed × efficiency(n) × min(1, cores × parallel ÷ active)` with
//! `efficiency(n) = 1 ÷ (1 + slope × max(0, n − knee) ÷ knee)` and n the requests in the stage; those beyond its workers wait
//! in order of arrival. These are the simulator's formulas, written once more against the system's clock: `bench reality`
//! compares what comes out.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use loadline_sim::{BackendSpec, Random, StageKind, StageSpec};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use super::app::{Holding, Serving, read_head};
use super::wire::{content_length, read_buffer};
use super::{LOAD_CORE, Result, measure};

/// A running app; dropping it ends its threads and closes its connections.
pub(super) struct StationApp {
    app: Arc<App>,
    serving: Serving,
    stages: Vec<JoinHandle<()>>,
}

struct App {
    spec: BackendSpec,
    stages: Vec<Stage>,
    seed: u64,
    /// Requests so far: each draws its work from a stream of its own.
    requests: AtomicU64,
    holding: Holding,
}

impl StationApp {
    /// Starts the app as it is before any change.
    pub(super) fn start(spec: &BackendSpec, seed: u64) -> Result<Self> {
        let app = Arc::new(App {
            spec: spec.clone(),
            stages: spec.stages.iter().map(Stage::new).collect(),
            seed,
            requests: AtomicU64::new(0),
            holding: Holding::default(),
        });
        let served = Arc::clone(&app);
        let serving = Serving::start(move |stream| serve(stream, Arc::clone(&served)))?;
        let mut running = Self { app: Arc::clone(&app), serving, stages: Vec::new() };
        for index in 0..app.stages.len() {
            let app = Arc::clone(&app);
            running.stages.push(thread::Builder::new().name("stage".into()).spawn(move || {
                // Elsewhere the threads do as well, only less exactly.
                let _ = measure::pin_to(LOAD_CORE);
                app.stages[index].work();
            })?);
        }
        Ok(running)
    }

    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.serving.address
    }

    /// The scenario begins now: its changes come when they are due from here.
    pub(super) fn begin(&self) {
        let now = Instant::now();
        for stage in &self.app.stages {
            let mut changes: Vec<_> = self
                .app
                .spec
                .changes
                .iter()
                .filter(|change| change.stage.as_ref().is_none_or(|name| *name == stage.name))
                .map(|change| (now + Duration::from_nanos(change.at.0), 1.0 / change.slower, change.parallel))
                .collect();
            changes.sort_by_key(|(at, ..)| *at);
            stage.lock().changes = changes.into();
            stage.woken.notify_one();
        }
        self.take_peak();
    }

    /// The most requests held at once since the last call, those for clients that left included.
    pub(super) fn take_peak(&self) -> usize {
        self.app.holding.take_peak()
    }
}

impl Drop for StationApp {
    fn drop(&mut self) {
        for stage in &self.app.stages {
            stage.lock().stopped = true;
            stage.woken.notify_one();
        }
        for thread in self.stages.drain(..) {
            // A panic there was printed there.
            let _ = thread.join();
        }
    }
}

/// One connection: request after request.
async fn serve(mut stream: TcpStream, app: Arc<App>) -> std::io::Result<()> {
    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let mut buffer = read_buffer();
    let mut input = Vec::new();
    loop {
        let Some(end) = read_head(&mut stream, &mut buffer, &mut input).await? else { return Ok(()) };
        // The load has no bodies; bytes behind the head are the next request.
        if content_length(&input[..end]).is_some_and(|length| length > 0) {
            return Err(std::io::ErrorKind::Unsupported.into());
        }
        input.drain(..end);
        let _held = app.holding.hold();
        let mut random = Random::new(app.seed, app.requests.fetch_add(1, Ordering::Relaxed));
        for (stage, spec) in app.stages.iter().zip(&app.spec.stages) {
            // Fails only when the app ends.
            let Ok(()) = stage.enter(spec.work.draw(&mut random)).await else { return Ok(()) };
        }
        stream.write_all(ANSWER).await?;
    }
}

/// One stage, and where its thread waits.
struct Stage {
    name: String,
    station: Mutex<Station>,
    woken: Condvar,
}

/// Who is in a stage, and how far. Work is counted in nanoseconds.
struct Station {
    slots: f64,
    cores: f64,
    knee: f64,
    slope: f64,
    speed: f64,
    parallel: f64,
    /// When, speed, share of the parallelism; in order of time.
    changes: VecDeque<(Instant, f64, f64)>,
    /// Work done per active request so far.
    done: f64,
    /// The moment up to which `done` is right.
    seen: Instant,
    /// By the `done` at which they are over (whole nanoseconds), then in order of entry.
    active: BTreeMap<(u64, u64), oneshot::Sender<()>>,
    waiting: VecDeque<(f64, oneshot::Sender<()>)>,
    entered: u64,
    stopped: bool,
}

impl Stage {
    fn new(spec: &StageSpec) -> Self {
        let (slots, cores) = match spec.kind {
            StageKind::Cpu => (f64::INFINITY, spec.cores.unwrap_or(1.0)),
            StageKind::Workers => (spec.workers.unwrap_or(1.0), spec.cores.unwrap_or(f64::INFINITY)),
            StageKind::Lock => (1.0, f64::INFINITY),
            StageKind::Delay => (f64::INFINITY, f64::INFINITY),
        };
        let station = Station {
            slots,
            cores,
            knee: spec.knee.unwrap_or(f64::INFINITY),
            slope: spec.slope.unwrap_or(1.0),
            speed: 1.0,
            parallel: 1.0,
            changes: VecDeque::new(),
            done: 0.0,
            seen: Instant::now(),
            active: BTreeMap::new(),
            waiting: VecDeque::new(),
            entered: 0,
            stopped: false,
        };
        Self { name: spec.name.clone(), station: Mutex::new(station), woken: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Station> {
        self.station.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends when so many nanoseconds of work are done, with an error when the stage ends first.
    fn enter(&self, work: f64) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        let mut station = self.lock();
        station.advance(Instant::now());
        station.waiting.push_back((work, sender));
        drop(station);
        self.woken.notify_one();
        receiver
    }

    /// The stage's thread.
    fn work(&self) {
        let mut station = self.lock();
        while !station.stopped {
            let now = Instant::now();
            station.advance(now);
            station.release();
            station.fill();
            let wait = station.next(now);
            station = match wait {
                Some(wait) => self
                    .woken
                    .wait_timeout(station, wait)
                    .map_or_else(|error| error.into_inner().0, |woken| woken.0),
                None => self.woken.wait(station).unwrap_or_else(PoisonError::into_inner),
            };
        }
        // Whoever still waits learns it from the end of the channel.
        station.active.clear();
        station.waiting.clear();
    }
}

impl Station {
    /// Does the work up to `now`, under whatever held meanwhile.
    fn advance(&mut self, now: Instant) {
        while let Some((at, speed, parallel)) = self.changes.front().copied()
            && at <= now
        {
            self.proceed(at);
            (self.speed, self.parallel) = (speed, parallel);
            self.changes.pop_front();
        }
        self.proceed(now);
    }

    fn proceed(&mut self, to: Instant) {
        if !self.active.is_empty() {
            self.done += to.saturating_duration_since(self.seen).as_nanos() as f64 * self.rate();
        }
        self.seen = self.seen.max(to);
    }

    /// Answers those whose work is done.
    fn release(&mut self) {
        while let Some(entry) = self.active.first_entry()
            && entry.key().0 as f64 <= self.done
        {
            // The connection may be gone: then it was work for nobody.
            let _ = entry.remove().send(());
        }
    }

    /// Free workers take who waits.
    fn fill(&mut self) {
        let slots = (self.slots * self.parallel).max(1.0);
        while (self.active.len() as f64) + 1.0 <= slots {
            let Some((work, sender)) = self.waiting.pop_front() else { break };
            self.entered += 1;
            self.active.insert(((self.done + work) as u64, self.entered), sender);
        }
    }

    /// How long until something happens by itself.
    fn next(&self, now: Instant) -> Option<Duration> {
        let done = self.active.first_key_value().map(|((at, _), _)| {
            Duration::from_nanos(((*at as f64 - self.done) / self.rate()).ceil().max(0.0) as u64)
        });
        let change = self.changes.front().map(|(at, ..)| at.saturating_duration_since(now));
        [done, change].into_iter().flatten().min()
    }

    /// Nanoseconds of work per nanosecond, of each active request.
    fn rate(&self) -> f64 {
        let here = (self.active.len() + self.waiting.len()) as f64;
        let share = (self.cores * self.parallel / (self.active.len().max(1) as f64)).min(1.0);
        let excess = if self.knee.is_finite() { (here - self.knee).max(0.0) / self.knee } else { 0.0 };
        self.speed * share / (1.0 + self.slope * excess)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stage(text: &str) -> Stage {
        let spec: BackendSpec = loadline_sim::Scenario::parse(
            &format!("name = 'x'\nduration = '1s'\n[[backend.stage]]\n{text}\n[[clients]]\nrate = 1\n"),
            &[],
        )
        .unwrap()
        .backend;
        Stage::new(&spec.stages[0])
    }

    /// Until when (in milliseconds) a station is busy with requests of 10 ms that come at once.
    fn ends(stage: &Stage, requests: usize, change: Option<(u64, f64, f64)>) -> Vec<f64> {
        let mut station = stage.lock();
        let start = station.seen;
        station.changes = change
            .map(|(at, speed, parallel)| (start + Duration::from_millis(at), speed, parallel))
            .into_iter()
            .collect();
        let mut receivers: Vec<_> = (0..requests)
            .map(|_| {
                let (sender, receiver) = oneshot::channel();
                station.waiting.push_back((10e6, sender));
                receiver
            })
            .collect();
        let mut now = start;
        let mut ends = Vec::new();
        station.fill();
        while let Some(wait) = station.next(now) {
            now += wait;
            station.advance(now);
            station.release();
            station.fill();
            receivers.retain_mut(|receiver| {
                let over = receiver.try_recv().is_ok();
                if over {
                    ends.push(((now - start).as_secs_f64() * 1e4).round() / 10.0);
                }
                !over
            });
        }
        ends
    }

    #[test]
    fn workers_take_turns_and_cores_are_shared() {
        assert_eq!(
            ends(&stage("kind = 'workers'\nworkers = 2\nwork = '1s'"), 4, None),
            [10.0, 10.0, 20.0, 20.0]
        );
        assert_eq!(ends(&stage("kind = 'cpu'\ncores = 2\nwork = '1s'"), 4, None), [20.0; 4]);
    }

    #[test]
    fn past_the_knee_everybody_is_slower() {
        let thrashing = stage("kind = 'cpu'\ncores = 8\nknee = 2\nslope = 1.0\nwork = '1s'");
        assert_eq!(ends(&thrashing, 4, None), [20.0; 4]);
    }

    #[test]
    fn changes_concern_what_is_under_way() {
        let pool = || stage("kind = 'workers'\nworkers = 4\nwork = '1s'");
        assert_eq!(
            ends(&pool(), 2, Some((5, 1.0 / 3.0, 1.0))),
            [20.0, 20.0],
            "half of it takes three times as long"
        );
        assert_eq!(
            ends(&pool(), 6, Some((5, 1.0, 0.25)))[..5],
            [10.0, 10.0, 10.0, 10.0, 20.0],
            "one of four workers"
        );
    }
}
