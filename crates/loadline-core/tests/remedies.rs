//! What a rejection says would have let it in is true, and is not said where it is not.

use std::num::NonZeroU32;

use loadline_core::{
    Admission, Class, Decision, Duration, Instant, Outcome, Percent, Permit, Reason, Rejection, Remedy,
    Request, Settings, Verdict,
};

fn at(ms: u64) -> Instant {
    Instant::from_nanos(ms * 1_000_000)
}

/// One slot, taken; the queue as `change` makes it.
fn busy(change: impl FnOnce(&mut Settings)) -> (Admission, Permit) {
    let mut settings = Settings::new(NonZeroU32::MIN);
    settings.queue.depth = 1;
    change(&mut settings);
    let mut admission = Admission::new(settings);
    let Decision::Admit(permit) = admission.on_arrival(at(0), Request::new(Class::Normal)) else {
        panic!("the slot is free")
    };
    (admission, permit)
}

fn queue(admission: &mut Admission, request: Request) {
    let decision = admission.on_arrival(at(1), request);
    assert!(matches!(decision, Decision::Queue(_)), "{decision:?}");
}

fn shed(admission: &mut Admission, request: Request) -> Rejection {
    match admission.on_arrival(at(1), request) {
        Decision::Shed(rejection) => rejection,
        other => panic!("expected a rejection: {other:?}"),
    }
}

#[test]
fn a_higher_class_is_named_where_it_takes_a_place() {
    let (mut admission, _permit) = busy(|_| ());
    queue(&mut admission, Request::new(Class::Low));
    let rejection = shed(&mut admission, Request::new(Class::Low));
    assert_eq!(rejection.remedy, Some(Remedy::HigherClass(Class::Normal)));
}

/// It was told to come as a class that holds as much, and would have been refused for the same bytes.
#[test]
fn who_holds_more_than_all_together_may_is_not_told_to_be_of_a_higher_class() {
    let (mut admission, _permit) = busy(|settings| {
        settings.queue.depth = 9;
        settings.queue.held_bytes = Some(1_000);
    });
    queue(&mut admission, Request::new(Class::Low).with_held_bytes(100));
    let rejection = shed(&mut admission, Request::new(Class::Low).with_held_bytes(2_000));
    assert_eq!((rejection.reason, rejection.remedy), (Reason::QueueFull, None));
}

/// A class that passes the threshold, but not the full queue behind it, was named.
#[test]
fn a_class_that_other_rules_would_refuse_is_not_named() {
    let (mut admission, _permit) = busy(|settings| {
        settings.limit = NonZeroU32::new(2).expect("not zero");
        settings.shed_at.low = Percent::new(50);
        settings.warmup = None;
    });
    let full = Request::new(Class::Normal).with_cost(NonZeroU32::new(2).expect("not zero"));
    queue(&mut admission, full);
    let rejection = shed(&mut admission, Request::new(Class::Low));
    assert_eq!(
        (rejection.reason, rejection.remedy),
        (Reason::Priority, None),
        "normal finds no place either"
    );
}

/// Anybody can ask for an answer within a millisecond. That made the retries of all others fall by one class.
#[test]
fn deadlines_that_an_idle_service_could_not_meet_do_not_lower_the_retries_of_others() {
    let (mut admission, permit) = busy(|settings| settings.queue.depth = 9);
    admission.on_complete(at(50), permit, Outcome::Completed);
    let Decision::Admit(_busy) = admission.on_arrival(at(50), Request::new(Class::Normal)) else {
        panic!("the slot is free")
    };
    let hasty = Request::new(Class::Normal).with_deadline(at(51));
    let Decision::Shed(rejection) = admission.on_arrival(at(50), hasty) else { panic!("it takes 50 ms") };
    assert_eq!(rejection.reason, Reason::DeadlineUnreachable);
    let retry = Request::new(Class::Normal).with_retry(true);
    assert_eq!(admission.explain(at(50), &retry).class, Class::Normal);
    // One that would be answered in time if nobody were before it is shed for want of a slot.
    queue_at(&mut admission, 50);
    let patient = Request::new(Class::Normal).with_deadline(at(50 + 60));
    assert!(matches!(
        admission.explain(at(50), &patient).verdict,
        Verdict::Shed(Reason::DeadlineUnreachable)
    ));
    assert!(matches!(admission.on_arrival(at(50), patient), Decision::Shed(_)));
    assert_eq!(admission.explain(at(50), &retry).class, Class::Low);
}

fn queue_at(admission: &mut Admission, ms: u64) {
    let waits = admission.on_arrival(at(ms), Request::new(Class::Normal));
    assert!(matches!(waits, Decision::Queue(_)), "{waits:?}");
    assert_eq!(admission.snapshot(at(ms)).mean_service, Some(Duration::from_millis(50)));
}
