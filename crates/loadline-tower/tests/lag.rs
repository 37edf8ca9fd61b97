//! The lag monitor under a paused clock: advancing it while the monitor sleeps is a runtime that was busy for so long.

use std::time::Duration;

use loadline_tower::{
    Attempt, Class, Gate, OverloadLevel, Reason, Request,
    lag::{LagMonitor, LagSettings, LagSignal, LagThresholds},
};
use tokio::time::{advance, sleep};

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A monitor with a period of 10 ms and a window of 1 s, whose first sleep has begun.
async fn monitor() -> LagMonitor {
    let monitor = LagMonitor::start();
    tokio::task::yield_now().await;
    monitor
}

/// Nothing happens for so long.
async fn quiet(time: Duration) {
    sleep(time).await;
    tokio::task::yield_now().await;
}

/// Keeps the runtime busy for so long, from just after a sample.
async fn stall(time: Duration) {
    advance(time).await;
    tokio::task::yield_now().await;
}

#[tokio::test(start_paused = true)]
async fn a_quiet_runtime_has_no_lag() {
    let monitor = monitor().await;
    assert_eq!((monitor.current(), monitor.max(), monitor.quantile(0.5)), (ms(0), ms(0), ms(0)));
    quiet(ms(5_000)).await;
    assert_eq!((monitor.current(), monitor.max(), monitor.quantile(1.0)), (ms(0), ms(0), ms(0)));
    assert!(!monitor.is_over(ms(0)), "more than the threshold, not as much");
}

#[tokio::test(start_paused = true)]
async fn lag_is_what_the_sleep_took_longer_and_leaves_with_the_window() {
    let monitor = monitor().await;
    stall(ms(211)).await;
    assert_eq!((monitor.current(), monitor.max()), (ms(201), ms(201)));
    quiet(ms(900)).await;
    assert_eq!((monitor.current(), monitor.max()), (ms(0), ms(201)));
    quiet(ms(200)).await;
    assert_eq!(monitor.max(), ms(0));
}

#[tokio::test(start_paused = true)]
async fn one_blip_is_no_overload_and_stalls_one_after_another_are() {
    let monitor = monitor().await;
    quiet(ms(1_000)).await;
    stall(ms(211)).await;
    assert!(!monitor.is_over(ms(200)) && monitor.quantile(0.9) == ms(201));
    for _ in 0..4 {
        stall(ms(211)).await;
    }
    assert!(monitor.is_over(ms(200)) && !monitor.is_over(ms(201)), "strictly more");
    quiet(ms(1_000)).await;
    assert!(!monitor.is_over(ms(100)), "over, it is over");
}

#[tokio::test(start_paused = true)]
async fn a_stall_counts_for_as_long_as_it_lasted() {
    let monitor = monitor().await;
    quiet(ms(1_000)).await;
    stall(ms(610)).await;
    // Among some forty quiet samples it is one, yet it was most of the last second.
    assert!(monitor.is_over(ms(100)));
    assert_eq!((monitor.quantile(0.3), monitor.quantile(0.5)), (ms(0), ms(600)));
}

#[tokio::test(start_paused = true)]
async fn a_stall_that_goes_on_is_seen_before_it_ends() {
    let monitor = monitor().await;
    // This task is the one that stalls: the monitor's cannot run.
    let paused = tokio::time::Instant::now();
    let mut stall = std::pin::pin!(advance(ms(400)));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let _first_poll_advances = stall.as_mut().poll(&mut context);
    assert_eq!(paused.elapsed(), ms(400));
    assert_eq!((monitor.current(), monitor.max()), (ms(390), ms(390)));
    assert!(monitor.is_over(ms(200)));
}

#[tokio::test(start_paused = true)]
async fn stopping_ends_the_task_and_other_periods_are_possible() {
    let mut settings = LagSettings::default();
    settings.period = ms(100);
    settings.window = ms(0);
    let monitor = LagMonitor::start_with(settings);
    tokio::task::yield_now().await;
    stall(ms(250)).await;
    assert_eq!((monitor.current(), monitor.max()), (ms(150), ms(150)), "the latest sample is kept");
    quiet(ms(200)).await;
    assert_eq!(monitor.max(), ms(0));
    let before = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    monitor.stop();
    tokio::task::yield_now().await;
    assert_eq!(tokio::runtime::Handle::current().metrics().num_alive_tasks(), before - 1);
}

#[test]
fn a_runtime_that_is_gone_has_no_lag() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let mut settings = LagSettings::default();
    settings.period = ms(1);
    let begun = std::time::Instant::now();
    let monitor = runtime.block_on(async { LagMonitor::start_with(settings) });
    drop(runtime);
    while begun.elapsed() < ms(3) {
        std::thread::yield_now();
    }
    assert_eq!(monitor.current(), ms(0));
}

/// Which classes get a slot of a gate that has some free.
fn admitted(gate: &Gate) -> Vec<&'static str> {
    let admitted = |class: &Class| matches!(gate.try_admit(Request::new(*class)), Attempt::Admitted(_));
    Class::QUEUED.into_iter().filter(admitted).map(Class::as_str).collect()
}

#[tokio::test(start_paused = true)]
async fn more_than_100_ms_shed_normal_and_low_and_more_than_200_all_but_critical() {
    let gate = Gate::builder(10.try_into().unwrap()).build();
    let signal = LagSignal::new(gate.clone(), LagThresholds::USUAL);
    let monitor = signal.watch();
    tokio::task::yield_now().await;
    quiet(ms(1_000)).await;
    assert_eq!(admitted(&gate), ["critical", "high", "normal", "low"]);

    let stalls = |lag: u64| async move {
        for _ in 0..20 {
            stall(ms(10 + lag)).await;
        }
    };
    stalls(100).await;
    assert_eq!(admitted(&gate).len(), 4, "as much is not more");
    stalls(101).await;
    assert_eq!(admitted(&gate), ["critical", "high"]);
    stalls(200).await;
    assert_eq!(admitted(&gate), ["critical", "high"]);
    stalls(201).await;
    assert_eq!(admitted(&gate), ["critical"]);
    assert_eq!(gate.snapshot().counters.of(Class::High).shed(Reason::Overload), 1);
    stalls(100).await;
    assert_eq!(admitted(&gate), ["critical"], "still above half of the threshold");
    quiet(ms(1_000)).await;
    assert_eq!(admitted(&gate).len(), 4);

    stalls(300).await;
    assert_eq!(admitted(&gate), ["critical"]);
    monitor.stop();
    tokio::task::yield_now().await;
    assert_eq!(admitted(&gate).len(), 4, "nobody measures any more");
}

#[tokio::test(start_paused = true)]
async fn the_latest_of_several_runtimes_counts() {
    let gate = Gate::builder(10.try_into().unwrap()).build();
    let signal = LagSignal::new(gate.clone(), LagThresholds::USUAL);
    let (one, two) = (signal.watch(), signal.watch());
    tokio::task::yield_now().await;
    for _ in 0..20 {
        stall(ms(311)).await;
    }
    assert_eq!(gate.snapshot().overload, OverloadLevel::Severe);
    one.stop();
    tokio::task::yield_now().await;
    assert_eq!(gate.snapshot().overload, OverloadLevel::Severe, "the other one is as late");
    let three = signal.watch();
    two.stop();
    tokio::task::yield_now().await;
    assert_eq!(gate.snapshot().overload, OverloadLevel::None);
    drop(three);
}
