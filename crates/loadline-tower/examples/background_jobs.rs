//! A gate without HTTP: jobs, four at a time, and not more than eight waiting.
//!
//! ```text
//! cargo run -p loadline-tower --example background_jobs
//! ```

use std::{num::NonZeroU32, time::Duration};

use loadline_tower::{Class, Gate, Outcome, Rejection, Request};

const AT_ONCE: NonZeroU32 = NonZeroU32::new(4).unwrap();

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let gate = Gate::builder(AT_ONCE).queue(8, Duration::from_secs(1)).build();

    let jobs: Vec<_> = (1..=20).map(|number| tokio::spawn(job(gate.clone(), number))).collect();
    for (number, job) in (1..).zip(jobs) {
        match job.await.expect("the job does not panic") {
            Ok(waited) => println!("job {number}: done, after {} ms in the queue", waited.as_millis()),
            Err(rejection) => println!("job {number}: {rejection}"),
        }
    }

    let total = gate.snapshot().counters.total();
    println!("{} done, {} rejected", total.completed, total.shed_total());
    assert_eq!((total.completed, total.shed_total()), (12, 8));
}

/// Two lines around the work: the slot before, how it ended after. A job that is cancelled or panics frees its slot too.
async fn job(gate: Gate, number: u64) -> Result<Duration, Rejection> {
    let permit = gate.admit(Request::new(Class::Normal)).await?;
    tokio::time::sleep(Duration::from_millis(10 + number)).await;
    let waited = permit.queued();
    permit.complete(Outcome::Completed);
    Ok(waited)
}

#[cfg(test)]
#[test]
fn runs() {
    main();
}
