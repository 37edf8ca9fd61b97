//! Cohorts: under overload the same users are served, instead of everybody a little.

mod support;

use std::num::NonZeroU32;

use loadline_core::{Class, Cohort, Duration, Request, Settings};
use support::{Arrival, Load, Row, run, share};

const SLOTS: u32 = 20;
const SERVICE: Duration = Duration::from_millis(50);
/// Per second.
const CAPACITY: f64 = 400.0;
const LASTS: Duration = Duration::from_secs(40);

/// `times` what can be served, by cohort.
fn cohorts(times: f64, seed: u64) -> Vec<Row> {
    let settings = Settings::new(NonZeroU32::new(SLOTS).unwrap());
    let load =
        Load { settings, rate: CAPACITY * times, lasts: LASTS, patience: Duration::from_secs(1), seed };
    run(&load, Cohort::COUNT, |random| {
        let row = random.next() as usize % Cohort::COUNT;
        let request = Request::new(Class::Normal).with_cohort(Cohort::new(row as u8));
        Arrival { row, request, service: random.around(SERVICE) }
    })
}

#[test]
fn under_overload_most_of_the_users_that_can_be_served_get_all_their_answers() {
    println!("| times the capacity | cohorts served ≥ 98 % | upper half | goodput |\n|---|---|---|---|");
    for times in [1.5, 2.0, 4.0] {
        let rows = cohorts(times, 1);
        let untouched = rows.iter().filter(|row| share(&[**row]) >= 0.98).count();
        let answered = rows.iter().map(|row| row.answered).sum::<u32>();
        let goodput = f64::from(answered) / (CAPACITY * LASTS.as_secs_f64() * 0.8);
        println!("| {times} | {untouched} | {:.3} | {goodput:.3} |", share(&rows[64..]));
        let can_be_served = 128.0 / times;
        assert!(untouched as f64 >= 0.8 * can_be_served, "{untouched} of {can_be_served}");
        assert!(goodput >= 0.95, "no slot stays free: {goodput}");
        assert!(rows.iter().any(|row| share(&[*row]) < 0.3), "the others pay for it");
    }
}

#[test]
fn without_overload_cohorts_have_no_effect() {
    assert!(cohorts(0.8, 1).iter().all(|row| row.answered == row.offered));
}
