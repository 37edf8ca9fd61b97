//! What a request asks for: its class and its time, by the settings in force.
//!
//! One place, because three ask the same question: the pipeline for a request that is here, `explain` for one that might
//! come, and the shadow for the same request under other settings.

use loadline_core::{self as core, Class};
use loadline_http::deadline::HeaderSet;
use tokio::time::Instant;

use crate::budget::{self, Deadline};
use crate::buffers::Scratch;
use crate::live::Live;

/// Which rule gave a request its class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) enum DecidedBy {
    /// `bypass.path`.
    BypassPath,
    /// `priority.header`, from a trusted hop.
    Header,
    /// The rule at this position of `priority.rules`.
    Rule(usize),
    /// `priority.default`: nothing else did.
    #[default]
    Default,
}

/// What a request asks for.
pub(crate) struct Asked {
    pub(crate) class: Class,
    pub(crate) decided_by: DecidedBy,
    /// Until when its answer is worth something.
    pub(crate) deadline: Option<Deadline>,
    /// It waited too long before it came here, by the word of a trusted hop.
    pub(crate) too_old: bool,
    /// Deadline headers that were ignored.
    pub(crate) invalid_headers: HeaderSet,
}

impl Asked {
    /// Reads the request in `scratch`, which began at `began`. `trusted`: whether its client's word on class and age counts.
    pub(crate) fn read(scratch: &Scratch, live: &Live, trusted: bool, began: Instant) -> Self {
        let (class, decided_by) = live.classify(scratch, trusted);
        let budget = budget::read(scratch, live, began, trusted);
        Self {
            class,
            decided_by,
            deadline: budget.deadline,
            too_old: budget.too_old && class != Class::Bypass,
            invalid_headers: budget.invalid,
        }
    }

    /// The question to the admission core, at `now` on its clock.
    pub(crate) fn request(&self, now: core::Instant) -> core::Request {
        let request = core::Request::new(self.class);
        match self.deadline {
            Some(deadline) => request.with_deadline(now + deadline.left(Instant::now())),
            None => request,
        }
    }
}
