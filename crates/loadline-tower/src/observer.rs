//! Where metrics and log events come from, without a metrics library of our own choice.
//!
//! Totals, the limit and the queue are in [`Gate::snapshot`](crate::Gate::snapshot), which a scrape reads when it comes. An
//! observer is for what totals cannot give: histograms of waits and service times, an event per rejection.

use std::time::Duration;

use loadline_core::{Class, Outcome, Rejection};

/// Is told what becomes of the requests of a layer. Every method does nothing unless it is implemented.
///
/// They run on the request's path: they must return quickly and must not panic. No lock is held meanwhile.
///
/// ```
/// use loadline_tower::{Observer, Rejection};
///
/// struct Log;
///
/// impl Observer for Log {
///     fn on_shed(&self, rejection: &Rejection) {
///         eprintln!("{rejection} after {:?}", rejection.waited);
///     }
/// }
/// ```
pub trait Observer: Send + Sync + 'static {
    /// It got a slot, after it waited for so long.
    fn on_admitted(&self, class: Class, waited: Duration) {
        let _ = (class, waited);
    }

    /// It was rejected.
    fn on_shed(&self, rejection: &Rejection) {
        let _ = rejection;
    }

    /// Its slot is free again, after so long.
    fn on_ended(&self, class: Class, outcome: Outcome, held: Duration) {
        let _ = (class, outcome, held);
    }
}
