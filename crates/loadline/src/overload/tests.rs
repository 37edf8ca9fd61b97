//! The signals together, under a paused clock.

use OverloadLevel::{Moderate, None as Calm, Severe};
use tokio::time::advance;

use super::*;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn lag_thresholds() -> settings::Overload {
    let lag = Levels { moderate: Some(ms(100)), severe: Some(ms(200)) };
    settings::Overload { lag, ..settings::Overload::default() }
}

/// A process with one worker, looked at every 100 ms.
struct Process {
    overload: Overload,
    host: Host,
    settings: settings::Overload,
}

impl Process {
    async fn start(settings: settings::Overload) -> Self {
        let overload = Overload::new(1);
        overload.measure_worker(0, &settings);
        tokio::task::yield_now().await;
        Self { overload, host: Host::default(), settings }
    }

    fn look(&mut self) -> OverloadLevel {
        self.overload.evaluate(Instant::now(), &self.settings, &mut self.host)
    }

    /// The levels seen while nothing happens for so long.
    async fn quiet(&mut self, time: Duration) -> Vec<OverloadLevel> {
        let end = Instant::now() + time;
        let mut seen = Vec::new();
        while Instant::now() < end {
            tokio::time::sleep(EVERY).await;
            tokio::task::yield_now().await;
            seen.push(self.look());
        }
        seen
    }

    /// Keeps the runtime busy for so long.
    async fn stall(&self, time: Duration) {
        advance(time).await;
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_runtime_blocked_for_300_ms_is_noticed_within_500_ms_of_its_beginning() {
    let mut process = Process::start(lag_thresholds()).await;
    // At any moment of the measuring period.
    for offset in [0, 10, 25, 49] {
        assert!(process.quiet(ms(3_000)).await.ends_with(&[Calm]));
        process.quiet(ms(offset)).await;
        let began = Instant::now();
        process.stall(ms(300)).await;
        while process.look() != Severe {
            process.quiet(ms(1)).await;
            assert!(began.elapsed() <= ms(500), "offset {offset}: {:?}", began.elapsed());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_short_stall_and_a_busy_machine_are_no_overload() {
    let mut process = Process::start(lag_thresholds()).await;
    // A late start is none either.
    for _ in 0..20 {
        process.stall(ms(201)).await;
        assert_eq!(process.look(), Calm, "one stall of 201 ms");
        let seen = process.quiet(ms(1_000)).await;
        assert!(seen.iter().all(|level| *level == Calm), "{seen:?}");
    }
    // Every wake-up a little late, as beside other busy processes.
    for _ in 0..100 {
        process.stall(ms(90)).await;
        assert_eq!(process.look(), Calm);
    }
}

#[tokio::test(start_paused = true)]
async fn stalls_one_after_another_are_a_level_and_it_ends() {
    let mut process = Process::start(lag_thresholds()).await;
    let mut seen = process.quiet(ms(1_000)).await;
    // A runtime that is late by 150 ms each time, with short breaks.
    for _ in 0..20 {
        process.stall(ms(200)).await;
        seen.push(process.look());
        process.quiet(ms(1)).await;
    }
    assert!(seen.contains(&Moderate), "{seen:?}");
    let changes = seen.windows(2).filter(|pair| pair[0] != pair[1]).count();
    assert_eq!(changes, 1, "no flapping: {seen:?}");
    let seen = process.quiet(ms(2_500)).await;
    assert_eq!(seen.last(), Some(&Calm), "{seen:?}");
    assert_eq!(seen.windows(2).filter(|pair| pair[0] != pair[1]).count(), 1, "{seen:?}");
}

#[tokio::test(start_paused = true)]
async fn the_upstreams_reports_are_averaged_and_forgotten() {
    let mut settings = settings::Overload::default();
    settings.upstream.levels = Levels { moderate: Some(80), severe: None };
    let mut process = Process::start(settings).await;
    let report = |process: &Process, text: &str| process.overload.upstream_reported(text.as_bytes(), None);
    report(&process, "TEXT cpu_utilization=0.9");
    report(&process, "TEXT cpu_utilization=0.7");
    assert_eq!(process.look(), Calm, "the mean is at the threshold, not above it");
    report(&process, "0.81");
    report(&process, "nonsense");
    assert_eq!(process.look(), Moderate);
    assert_eq!(process.overload.leading().as_deref(), Some("upstream is 0.81"));
    process.overload.upstream_reported(b"TEXT named_metrics.queue=0.1", Some("named_metrics.queue"));
    assert_eq!(process.look(), Moderate, "calm for a moment only");
    report(&process, "0.95");
    process.quiet(ms(4_000)).await;
    assert_eq!(process.look(), Moderate);
    process.quiet(ms(3_000)).await;
    assert_eq!((process.look(), process.overload.leading()), (Calm, None), "nobody reports any more");
}

#[tokio::test(start_paused = true)]
async fn the_terminal_is_not_flooded() {
    let mut told = Told::default();
    let mut lines = Vec::new();
    let mut at = |level| {
        if let Some((state, text)) = told.next(Instant::now(), level, || Some("lag is 130 ms".to_owned())) {
            lines.push(format!("{state} {text}"));
        }
    };
    at(Calm);
    for level in [Moderate, Severe, Moderate, Calm, Moderate, Calm] {
        at(level);
        advance(ms(1_500)).await;
        at(level);
    }
    advance(ms(20_000)).await;
    at(Severe);
    let expected = [
        "OVERLOAD moderate: lag is 130 ms; normal and low are rejected",
        "OK after 4s: overload is over",
        "OVERLOAD severe: lag is 130 ms; all but critical are rejected",
    ];
    assert_eq!(lines, expected);
}
