//! Where metrics and log events come from, without a metrics library of our own choice.
//!
//! Totals, the limit and the queue are in [`Gate::snapshot`](crate::Gate::snapshot), which a scrape reads when it comes. An
//! observer is for what totals cannot give: histograms of waits and service times, an event per rejection.

use std::{sync::Arc, time::Duration};

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

    /// A deadline header was ignored, because what it holds cannot be a deadline.
    fn on_invalid_header(&self, name: &str) {
        let _ = name;
    }

    /// Its slot is free again, after so long.
    fn on_ended(&self, class: Class, outcome: Outcome, held: Duration) {
        let _ = (class, outcome, held);
    }
}

/// Two observers where there is room for one.
struct Both(Arc<dyn Observer>, Arc<dyn Observer>);

/// `first`, if there is one, and `second`.
pub(crate) fn and(first: Option<Arc<dyn Observer>>, second: Arc<dyn Observer>) -> Arc<dyn Observer> {
    match first {
        Some(first) => Arc::new(Both(first, second)),
        None => second,
    }
}

impl Observer for Both {
    fn on_admitted(&self, class: Class, waited: Duration) {
        self.0.on_admitted(class, waited);
        self.1.on_admitted(class, waited);
    }

    fn on_shed(&self, rejection: &Rejection) {
        self.0.on_shed(rejection);
        self.1.on_shed(rejection);
    }

    fn on_invalid_header(&self, name: &str) {
        self.0.on_invalid_header(name);
        self.1.on_invalid_header(name);
    }

    fn on_ended(&self, class: Class, outcome: Outcome, held: Duration) {
        self.0.on_ended(class, outcome, held);
        self.1.on_ended(class, outcome, held);
    }
}
