//! One decision through the gate, very often: clock, lock, core, settle, release.
//!
//! ```text
//! cargo build --release -p loadline-tower --example gate_loop
//! target/release/examples/gate_loop admit 1000000 2    # mode, rounds per thread, threads
//! ```
//!
//! Modes: `admit` (admitted and completed), `shed` (rejected at the door). Under callgrind, divide the difference of two runs'
//! `Ir` by the difference of their rounds.

use std::{hint::black_box, num::NonZeroU32};

use loadline_core::{Class, Outcome, Request, Settings};
use loadline_tower::{Attempt, Gate};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mode = arguments.next().unwrap_or_else(|| "admit".to_owned());
    let mut number = |default| arguments.next().map_or(default, |text| text.parse().expect("a number"));
    let (rounds, threads) = (number(1_000_000), number(1));

    let mut settings = Settings::new(NonZeroU32::new(100).expect("not zero"));
    settings.queue.depth = 0;
    let gate = Gate::new(settings);
    let held: Vec<_> = match mode.as_str() {
        "admit" => Vec::new(),
        "shed" => (0..100).map(|_| gate.try_admit(Request::new(Class::Normal))).collect(),
        other => panic!("admit or shed, not {other}"),
    };

    let begun = std::time::Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                for _ in 0..rounds {
                    match gate.try_admit(black_box(Request::new(Class::Normal))) {
                        Attempt::Admitted(permit) => permit.complete(Outcome::Completed),
                        Attempt::Shed(rejection) => drop(black_box(rejection)),
                        Attempt::Queued(_) => unreachable!("nothing may wait"),
                    }
                }
            });
        }
    });
    println!(
        "{mode}: {:.1} ns per round and thread, {threads} threads",
        begun.elapsed().as_nanos() as f64 / rounds as f64
    );
    drop(held);
}
