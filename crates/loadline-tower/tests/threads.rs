//! One gate, several threads with a runtime each, a million operations.

use std::{
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use loadline_core::{Class, Discipline, Outcome, Request, Settings};
use loadline_tower::{Attempt, Gate};

const LIMIT: u32 = 3;
const THREADS: u64 = 4;
const TASKS: u64 = 25;
const OPERATIONS: u64 = 1_000_000;

/// What the callers counted, to be compared with the gate's ledger.
#[derive(Default)]
struct Seen {
    working: AtomicUsize,
    most: AtomicUsize,
    admitted: AtomicU64,
    shed: AtomicU64,
    given_up: AtomicU64,
}

#[test]
fn a_million_operations_never_exceed_the_limit_and_are_all_accounted_for() {
    for discipline in Discipline::ALL {
        let mut settings = Settings::new(NonZeroU32::new(LIMIT).unwrap());
        settings.queue.depth = 40;
        settings.queue.timeout = Some(Duration::from_millis(20));
        settings.queue.discipline = discipline;
        run(&Gate::new(settings), OPERATIONS / Discipline::ALL.len() as u64 + 1);
    }
}

fn run(gate: &Gate, operations: u64) {
    let seen = Arc::new(Seen::default());
    let each = operations.div_ceil(THREADS * TASKS);
    let threads: Vec<_> = (0..THREADS)
        .map(|thread| {
            let (gate, seen) = (gate.clone(), Arc::clone(&seen));
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
                runtime.block_on(async {
                    let tasks: Vec<_> = (0..TASKS)
                        .map(|task| {
                            tokio::spawn(work(gate.clone(), Arc::clone(&seen), thread * TASKS + task, each))
                        })
                        .collect();
                    for task in tasks {
                        task.await.unwrap();
                    }
                });
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }

    let snapshot = gate.snapshot();
    let total = snapshot.counters.total();
    let offered = each * THREADS * TASKS;
    let [admitted, shed, given_up] =
        [&seen.admitted, &seen.shed, &seen.given_up].map(|n| n.load(Ordering::SeqCst));
    assert!(
        seen.most.load(Ordering::SeqCst) <= LIMIT as usize,
        "{} at once",
        seen.most.load(Ordering::SeqCst)
    );
    assert_eq!(snapshot.peak_in_flight, LIMIT, "the limit was used");
    assert_eq!((snapshot.in_flight, snapshot.queued), (0, 0));
    assert_eq!((total.offered, admitted + shed + given_up), (offered, offered));
    // Who gave up was abandoned, or had been dispatched or rejected without knowing it yet.
    assert_eq!(total.offered, total.admitted + total.shed_total() + total.abandoned);
    assert!(total.admitted >= admitted && total.shed_total() >= shed && total.abandoned <= given_up);
    assert_eq!(total.admitted, total.ended());
    assert!(admitted > 0 && given_up > 0, "{admitted} admitted, {given_up} given up");
}

/// One client: asks, sometimes gives up while it waits, works for a moment, ends in one of four ways.
async fn work(gate: Gate, seen: Arc<Seen>, seed: u64, operations: u64) {
    let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    for _ in 0..operations {
        // xorshift64: any mixture of choices will do.
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let permit = match gate.try_admit(Request::new(Class::QUEUED[(random >> 8) as usize % 4])) {
            Attempt::Admitted(permit) => Ok(permit),
            Attempt::Shed(rejection) => Err(rejection),
            Attempt::Queued(waiting) if random.is_multiple_of(5) => {
                tokio::select! {
                    biased;
                    () = yield_some(random >> 32 & 7) => {
                        seen.given_up.fetch_add(1, Ordering::SeqCst);
                        continue;
                    }
                    answer = waiting => answer,
                }
            }
            Attempt::Queued(waiting) => waiting.await,
        };
        let Ok(permit) = permit else {
            seen.shed.fetch_add(1, Ordering::SeqCst);
            tokio::task::yield_now().await;
            continue;
        };
        seen.admitted.fetch_add(1, Ordering::SeqCst);
        let working = seen.working.fetch_add(1, Ordering::SeqCst) + 1;
        seen.most.fetch_max(working, Ordering::SeqCst);
        yield_some(random >> 16 & 3).await;
        seen.working.fetch_sub(1, Ordering::SeqCst);
        match random >> 24 & 3 {
            0 => permit.complete(Outcome::Completed),
            1 => permit.complete(Outcome::Failed),
            2 => permit.complete(Outcome::TimedOut),
            _ => drop(permit),
        }
    }
}

async fn yield_some(times: u64) {
    for _ in 0..times {
        tokio::task::yield_now().await;
    }
}
