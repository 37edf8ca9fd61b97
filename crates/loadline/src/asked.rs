//! What a request asks for: its class and its time, by the settings in force.
//!
//! One place, because three ask the same question: the pipeline for a request that is here, `explain` for one that might
//! come, and the shadow for the same request under other settings.

use std::net::IpAddr;
use std::time::Duration;

use loadline_core::{self as core, Class, RouteId};
use loadline_http::deadline::HeaderSet;
use tokio::time::Instant;

use crate::budget::{self, Deadline};
use crate::buffers::Scratch;
use crate::live::Live;
use crate::tenant::{self, Tenant};

/// Which rule gave a request its class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) enum DecidedBy {
    /// `bypass.path`.
    BypassPath,
    /// `priority.header`, from a trusted hop.
    Header,
    /// The class of its `[[route]]`.
    Route,
    /// The rule at this position of `priority.rules`.
    Rule(usize),
    /// `priority.default`: nothing else did.
    #[default]
    Default,
}

impl DecidedBy {
    /// The setting that decided, and the number of the rule in it, from 1.
    pub(crate) fn named(self) -> (&'static str, Option<usize>) {
        match self {
            Self::BypassPath => ("bypass.path", None),
            Self::Header => ("priority.header", None),
            Self::Route => ("route.class", None),
            Self::Rule(position) => ("priority.rules", Some(position + 1)),
            Self::Default => ("priority.default", None),
        }
    }
}

/// What a request asks for.
pub(crate) struct Asked {
    pub(crate) class: Class,
    pub(crate) decided_by: DecidedBy,
    pub(crate) route: RouteId,
    /// On whose behalf it comes.
    tenant: Tenant,
    /// Longest time for the upstream, if its route says.
    pub(crate) timeout: Option<Duration>,
    /// Which attempt of its client this is: 1 for the first.
    pub(crate) attempt: u32,
    /// Until when its answer is worth something.
    pub(crate) deadline: Option<Deadline>,
    /// It waited too long before it came here, by the word of a trusted hop.
    pub(crate) too_old: bool,
    /// Deadline headers that were ignored.
    pub(crate) invalid_headers: HeaderSet,
}

impl Asked {
    /// Reads the request in `scratch`, which began at `began` and came from `client`. `trusted`: whether the client's word on
    /// class and age counts.
    pub(crate) fn read(
        scratch: &Scratch,
        live: &Live,
        client: IpAddr,
        trusted: bool,
        began: Instant,
    ) -> Self {
        let route = live.route(scratch);
        let (class, decided_by) = live.classify(scratch, trusted, route);
        // Whatever a route matches: health checks stay what they are.
        let route = route.filter(|_| decided_by != DecidedBy::BypassPath);
        let budget = budget::read(scratch, live, began, trusted);
        Self {
            class,
            decided_by,
            route: route.map_or(RouteId::OTHER, |route| route.id),
            tenant: tenant::of(scratch, live, client),
            timeout: route.and_then(|route| route.timeout),
            attempt: live.attempt(scratch),
            deadline: budget.deadline,
            too_old: budget.too_old && class != Class::Bypass,
            invalid_headers: budget.invalid,
        }
    }

    /// The question to the admission core, at `now` on its clock. `held`: how many bytes of the request are held meanwhile.
    pub(crate) fn request(&self, now: core::Instant, held: usize) -> core::Request {
        let request = core::Request::new(self.class)
            .with_route(self.route)
            .with_retry(self.attempt > 1)
            .with_held_bytes(u32::try_from(held).unwrap_or(u32::MAX));
        let request = self.tenant.mark(request);
        match self.deadline {
            Some(deadline) => request.with_deadline(now + deadline.left(Instant::now())),
            None => request,
        }
    }
}
