//! The gate's rules under a paused clock.

use std::{
    future::Future,
    num::NonZeroU32,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use loadline_core::{
    Class, Discipline, Outcome, OverloadLevel, Percent, Reason, Request, Settings, Verdict, Warmup,
};
use loadline_tower::{Attempt, Gate, Permit, Waiting};
use tokio::time::{Instant, advance, sleep};

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn settings(limit: u32) -> Settings {
    let mut settings = Settings::new(NonZeroU32::new(limit).unwrap());
    settings.queue.discipline = Discipline::Fifo;
    settings
}

fn normal() -> Request {
    Request::new(Class::Normal)
}

fn admitted(gate: &Gate) -> Permit {
    match gate.try_admit(normal()) {
        Attempt::Admitted(permit) => permit,
        other => panic!("expected to be admitted: {other:?}"),
    }
}

fn queued(gate: &Gate) -> Waiting {
    match gate.try_admit(normal()) {
        Attempt::Queued(waiting) => waiting,
        other => panic!("expected to be queued: {other:?}"),
    }
}

/// Polls once; the waker counts.
#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn poll_once<F: Future + Unpin>(future: &mut F, count: &Arc<Count>) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(&Waker::from(Arc::clone(count))))
}

fn assert_empty(gate: &Gate) {
    let snapshot = gate.snapshot();
    let total = snapshot.counters.total();
    assert_eq!((snapshot.in_flight, snapshot.bypass_in_flight, snapshot.queued), (0, 0, 0));
    assert_eq!(total.offered, total.admitted + total.shed_total() + total.abandoned);
    assert_eq!(total.admitted, total.ended());
}

#[tokio::test(start_paused = true)]
async fn one_at_a_time_with_700_ms_of_patience() {
    for discipline in Discipline::ALL {
        let mut settings = settings(1);
        settings.queue.timeout = Some(ms(700));
        settings.queue.discipline = discipline;
        let gate = Gate::new(settings);
        let start = Instant::now();
        let tasks = (0..4).map(|_| {
            let gate = gate.clone();
            tokio::spawn(async move {
                let permit = gate.admit(normal()).await;
                let decided = start.elapsed();
                if let Ok(permit) = permit {
                    sleep(ms(400)).await;
                    permit.complete(Outcome::Completed);
                    return (decided, None);
                }
                (decided, permit.err())
            })
        });
        let (mut served, mut expired) = (Vec::new(), Vec::new());
        for task in tasks.collect::<Vec<_>>() {
            match task.await.unwrap() {
                (decided, None) => served.push(decided),
                (decided, Some(rejection)) => {
                    assert_eq!(rejection.reason, Reason::QueueTimeout);
                    assert!((ms(700)..=ms(701)).contains(&rejection.waited), "{rejection:?}");
                    expired.push(decided);
                }
            }
        }
        served.sort();
        assert_eq!((served.len(), expired.len()), (2, 2));
        assert!(served[0].is_zero() && (ms(400)..=ms(401)).contains(&served[1]), "{served:?}");
        assert!(expired.iter().all(|decided| (ms(700)..=ms(701)).contains(decided)), "{expired:?}");
        assert_empty(&gate);
    }
}

#[tokio::test(start_paused = true)]
async fn waiters_are_served_in_order_and_nobody_overtakes_one_who_was_woken() {
    let gate = Gate::new(settings(1));
    let order = Arc::new(Mutex::new(Vec::new()));
    let first = admitted(&gate);
    let tasks: Vec<_> = (1..=4)
        .map(|number| {
            let (gate, order, waiting) = (gate.clone(), Arc::clone(&order), queued(&gate));
            tokio::spawn(async move {
                let permit = waiting.await.unwrap();
                order.lock().unwrap().push((number, permit.depth()));
                permit.complete(Outcome::Completed);
                drop(gate);
            })
        })
        .collect();
    tokio::task::yield_now().await;
    first.complete(Outcome::Completed);
    // The slot belongs to the first waiter already, although its task has not run yet.
    let barging = queued(&gate);
    drop(barging);
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(*order.lock().unwrap(), [(1, 1), (2, 2), (3, 3), (4, 4)]);
    assert_empty(&gate);
}

#[tokio::test(start_paused = true)]
async fn a_permit_is_released_on_success_error_panic_and_drop() {
    let gate = Gate::new(settings(1));
    admitted(&gate).complete(Outcome::Completed);
    admitted(&gate).complete(Outcome::Failed);
    admitted(&gate).complete(Outcome::TimedOut);
    let failing = || -> Result<(), &str> {
        let _permit = admitted(&gate);
        Err("the handler failed")
    };
    assert!(failing().is_err());
    let panicking = catch_unwind(AssertUnwindSafe(|| {
        let _permit = admitted(&gate);
        panic!("the handler panicked (this panic is part of the test)");
    }));
    assert!(panicking.is_err());
    let task = tokio::spawn({
        let gate = gate.clone();
        async move {
            let _permit = gate.admit(normal()).await;
            std::future::pending::<()>().await;
        }
    });
    tokio::task::yield_now().await;
    assert_eq!(gate.snapshot().in_flight, 1);
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    let total = gate.snapshot().counters.total();
    assert_eq!((total.completed, total.failed, total.timed_out, total.aborted), (1, 1, 1, 3));
    assert_empty(&gate);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_waiter_is_abandoned_and_never_dispatched() {
    let gate = Gate::new(settings(1));
    let permit = admitted(&gate);
    let count = Arc::default();
    let mut gone = queued(&gate);
    let mut stays = queued(&gate);
    assert!(poll_once(&mut gone, &count).is_pending());
    assert!(poll_once(&mut stays, &count).is_pending());
    drop(gone);
    permit.complete(Outcome::Completed);
    assert_eq!(count.0.load(Ordering::SeqCst), 1, "only the one who stays is woken");
    let permit = stays.await.unwrap();
    assert_eq!(gate.snapshot().counters.total().abandoned, 1);
    drop(permit);
    assert_empty(&gate);
}

#[tokio::test(start_paused = true)]
async fn a_waiter_dropped_after_its_dispatch_hands_the_slot_on() {
    let gate = Gate::new(settings(1));
    let permit = admitted(&gate);
    let gone = queued(&gate);
    let next = queued(&gate);
    permit.complete(Outcome::Completed);
    let snapshot = gate.snapshot();
    assert_eq!((snapshot.in_flight, snapshot.queued), (1, 1), "dispatched, not polled");
    drop(gone);
    let total = gate.snapshot().counters.total();
    assert_eq!((total.aborted, total.abandoned, total.completed), (1, 0, 1));
    let permit = next.await.unwrap();
    assert_eq!((gate.snapshot().in_flight, permit.depth()), (1, 2));
    permit.complete(Outcome::Completed);
    assert_empty(&gate);
}

#[tokio::test(start_paused = true)]
async fn a_waiter_dropped_after_its_rejection_is_counted_once() {
    let gate = Gate::new(settings(1));
    let permit = admitted(&gate);
    let gone = queued(&gate);
    advance(ms(5_000)).await;
    gate.tick();
    assert_eq!(gate.snapshot().counters.total().shed_total(), 1);
    drop(gone);
    drop(permit);
    assert_empty(&gate);
}

#[tokio::test(start_paused = true)]
async fn one_whose_time_is_up_when_a_slot_frees_is_rejected() {
    let gate = Gate::new(settings(1));
    let permit = admitted(&gate);
    let late = queued(&gate);
    advance(ms(1)).await;
    let in_time = queued(&gate);
    advance(ms(4_999)).await;
    permit.complete(Outcome::Completed);
    assert_eq!(late.await.unwrap_err().reason, Reason::QueueTimeout);
    drop(in_time.await.unwrap());
    assert_empty(&gate);
}

#[tokio::test(start_paused = true)]
async fn the_waker_of_the_last_poll_is_the_one_that_is_called() {
    let gate = Gate::new(settings(1));
    let permit = admitted(&gate);
    let mut waiting = queued(&gate);
    let (earlier, later) = (Arc::default(), Arc::default());
    assert!(poll_once(&mut waiting, &earlier).is_pending());
    assert!(poll_once(&mut waiting, &later).is_pending());
    permit.complete(Outcome::Completed);
    assert_eq!((earlier.0.load(Ordering::SeqCst), later.0.load(Ordering::SeqCst)), (0, 1));
    let Poll::Ready(Ok(permit)) = poll_once(&mut waiting, &later) else { panic!("it was dispatched") };
    drop(permit);
    assert_empty(&gate);
}

#[tokio::test(start_paused = true)]
async fn raising_the_limit_wakes_as_many_at_once() {
    let gate = Gate::new(settings(1));
    let permit = admitted(&gate);
    let count = Arc::default();
    let mut crowd: Vec<_> = (0..100).map(|_| queued(&gate)).collect();
    for waiting in &mut crowd {
        assert!(poll_once(waiting, &count).is_pending());
    }
    gate.reconfigure(settings(71));
    assert_eq!(count.0.load(Ordering::SeqCst), 70);
    assert_eq!(gate.snapshot().in_flight, 71);
    // The last in line leave first; the others hand their slots on to nobody.
    while let Some(waiting) = crowd.pop() {
        drop(waiting);
    }
    drop(permit);
    let total = gate.snapshot().counters.total();
    assert_eq!((total.abandoned, total.aborted), (30, 71));
    assert_empty(&gate);
}

#[tokio::test(start_paused = true)]
async fn a_crowd_without_a_timeout_waits_and_one_with_it_expires_together() {
    let mut patient = settings(1);
    patient.queue.timeout = None;
    let gate = Gate::new(patient);
    let permit = admitted(&gate);
    let waiting = queued(&gate);
    gate.reconfigure(settings(1));
    let crowd: Vec<_> = (0..100).map(|_| tokio::spawn(queued(&gate))).collect();
    sleep(ms(60_000)).await;
    for task in crowd {
        assert_eq!(task.await.unwrap().unwrap_err().reason, Reason::QueueTimeout);
    }
    permit.complete(Outcome::Completed);
    drop(waiting.await.unwrap());
    assert_empty(&gate);
}

#[tokio::test(start_paused = true)]
async fn shed_at_once_by_depth_zero_bypass_cap_and_draining() {
    let mut fail_fast = settings(1);
    fail_fast.queue.depth = 0;
    fail_fast.bypass_limit = NonZeroU32::MIN;
    let gate = Gate::new(fail_fast);
    let permit = gate.admit(normal()).await.unwrap();
    assert_eq!(gate.admit(normal()).await.unwrap_err().reason, Reason::Concurrency);
    let health = gate.admit(Request::new(Class::Bypass)).await.unwrap();
    assert_eq!(health.class(), Class::Bypass);
    assert_eq!(gate.admit(Request::new(Class::Bypass)).await.unwrap_err().reason, Reason::Concurrency);
    gate.set_draining(true);
    assert_eq!(gate.admit(normal()).await.unwrap_err().reason, Reason::Draining);
    assert_eq!(gate.record_shed(Class::Normal, Reason::ConnectionLimit).reason, Reason::ConnectionLimit);
    assert!(gate.snapshot().draining);
    drop((permit, health));
    assert_eq!(gate.snapshot().counters.total().shed_total(), 4);
    assert_empty(&gate);
}

#[tokio::test(start_paused = true)]
async fn at_the_end_who_waits_is_woken_and_rejected() {
    let gate = Gate::new(settings(1));
    let permit = admitted(&gate);
    // More than are woken in one round.
    let mut waiting: Vec<_> = (0..10).map(|_| queued(&gate)).collect();
    let count = Arc::<Count>::default();
    assert!(waiting.iter_mut().all(|waiting| poll_once(waiting, &count).is_pending()));
    gate.set_draining(true);
    assert_eq!(gate.shed_waiting(), 10);
    assert_eq!(count.0.load(Ordering::SeqCst), 10);
    for waiting in waiting {
        assert_eq!(waiting.await.unwrap_err().reason, Reason::Draining);
    }
    permit.complete(Outcome::Completed);
    assert_empty(&gate);
}

#[tokio::test(start_paused = true)]
async fn the_gates_clock_is_tokios() {
    let gate = Gate::new(settings(1));
    assert_eq!(gate.now().as_nanos(), 0);
    advance(ms(250)).await;
    assert_eq!(gate.now().as_nanos(), 250_000_000);
    let permit = admitted(&gate);
    let waiting = queued(&gate);
    advance(ms(30)).await;
    permit.complete(Outcome::Completed);
    let permit = waiting.await.unwrap();
    assert_eq!((permit.queued(), permit.admitted_at().as_nanos()), (ms(30), 280_000_000));
    assert_eq!(gate.snapshot().mean_service, Some(ms(30)));
}

/// A task that is dropped with its waker, inside of it another place in the same queue: dropping wakers under the gate's
/// lock would dead-lock here.
#[tokio::test(start_paused = true)]
async fn a_waker_may_own_another_waiter() {
    struct Owner {
        _place: Mutex<Waiting>,
    }
    impl Wake for Owner {
        fn wake(self: Arc<Self>) {}
    }
    let gate = Gate::new(settings(1));
    let permit = admitted(&gate);
    let mut outer = queued(&gate);
    for _ in 0..2 {
        // The second poll replaces the first waker, and the drop below drops the second.
        let waker = Waker::from(Arc::new(Owner { _place: Mutex::new(queued(&gate)) }));
        assert!(pin!(&mut outer).poll(&mut Context::from_waker(&waker)).is_pending());
    }
    drop(outer);
    drop(permit);
    let snapshot = gate.snapshot();
    assert_eq!(snapshot.in_flight + snapshot.queued, 0, "{snapshot:?}");
}

#[test]
fn what_is_shared_may_be_sent() {
    fn sendable<T: Send + 'static>() {}
    fn shareable<T: Send + Sync + Unpin + 'static>() {}
    shareable::<Gate>();
    shareable::<Waiting>();
    sendable::<Permit>();
    sendable::<Attempt>();
}

#[tokio::test(start_paused = true)]
async fn who_waits_during_a_warm_up_is_woken_when_the_limit_rises() {
    let mut settings = settings(4);
    settings.queue.timeout = None;
    settings.warmup = Some(Warmup { from: Percent::new(25).unwrap(), over: ms(3_000) });
    let gate = Gate::new(settings);
    let first = admitted(&gate);
    let begun = Instant::now();
    let second = queued(&gate).await.unwrap();
    assert_eq!(begun.elapsed(), ms(1_000));
    let third = tokio::spawn(queued(&gate));
    sleep(ms(10)).await;
    gate.restart_warmup();
    third.await.unwrap().unwrap().complete(Outcome::Completed);
    assert_eq!(
        begun.elapsed(),
        ms(3_010),
        "the old step came too early, and it went on to wait for the new one"
    );
    first.complete(Outcome::Completed);
    second.complete(Outcome::Completed);
    assert_empty(&gate);
}

#[tokio::test(start_paused = true)]
async fn signals_and_questions_reach_the_core() {
    let gate = Gate::new(settings(1));
    assert_eq!(gate.explain(&normal()).verdict, Verdict::Admit);
    gate.set_overload(OverloadLevel::Moderate);
    assert_eq!(gate.explain(&normal()).verdict, Verdict::Shed(Reason::Overload));
    assert!(
        matches!(gate.try_admit(normal()), Attempt::Shed(rejection) if rejection.reason == Reason::Overload)
    );
}

#[tokio::test(start_paused = true)]
async fn whoever_asked_is_told_of_the_end_once_the_slot_is_free() {
    let gate = Gate::new(settings(1));
    for dropped in [false, true] {
        let told = Arc::new(Mutex::new(Vec::new()));
        let mut permit = gate.admit(Request::new(Class::Normal)).await.unwrap();
        let (log, asked) = (Arc::clone(&told), gate.clone());
        permit.on_end(move |outcome| log.lock().unwrap().push((outcome, asked.snapshot().in_flight)));
        if dropped {
            drop(permit);
        } else {
            permit.complete(Outcome::Failed);
        }
        let expected = if dropped { Outcome::Aborted } else { Outcome::Failed };
        assert_eq!(*told.lock().unwrap(), [(expected, 0)]);
    }
}
