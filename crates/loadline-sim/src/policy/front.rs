//! What most of the others put around their law: a number of slots, and perhaps a line in front of it, first in, first out.
//!
//! Differences that decide in overload, all seen in the originals: whether there is a line, how long one may stand in it,
//! whether a client that left it is noticed, and whether a client that leaves during service frees the slot although the
//! service works on (a *ghost*: the limit then no longer bounds what the service has to do).

use std::collections::VecDeque;

use loadline_core::Outcome;
use serde::Deserialize;

use super::law::{Law, Sample};
use super::{Action, Gauge, Offer, OnAbort, Policy, Refusal, Verdict};
use crate::units::Span;

/// The line and the slots; see the module.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct FrontSpec {
    /// How many may wait; 0: none.
    pub(super) queue_depth: u32,
    /// How long; `None`: for ever.
    pub(super) queue_timeout: Option<Span>,
    /// Slots and places in line together. Whoever comes after waits outside, where no timeout counts: in the kernel's backlog.
    pub(super) max_connections: u32,
    /// Whether a client that leaves the line is noticed.
    pub(super) drops_abandoned: bool,
    pub(super) on_abort: OnAbort,
    pub(super) server_timeout: Option<Span>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Knobs {
    queue_depth: Option<u32>,
    queue_timeout: Option<Span>,
    max_connections: Option<u32>,
    drops_abandoned: Option<bool>,
    on_abort: Option<OnAbort>,
    server_timeout: Option<Span>,
}

impl FrontSpec {
    pub(super) const KNOBS: [&'static str; 6] =
        ["queue_depth", "queue_timeout", "max_connections", "drops_abandoned", "on_abort", "server_timeout"];

    /// No line: who finds no slot is refused.
    pub(super) const REFUSING: Self = Self {
        queue_depth: 0,
        queue_timeout: None,
        max_connections: u32::MAX,
        drops_abandoned: true,
        on_abort: OnAbort::Cancel,
        server_timeout: None,
    };

    /// Spillway as it is shipped: 2,000 connections, 5 s in line, 30 s for the server. Without HAProxy's `abortonclose` a client
    /// that leaves is not noticed, neither in line nor in service.
    pub(super) const SPILLWAY: Self = Self {
        queue_depth: u32::MAX,
        queue_timeout: Some(Span(5_000_000_000)),
        max_connections: 2_000,
        drops_abandoned: false,
        on_abort: OnAbort::Finish,
        server_timeout: Some(Span(30_000_000_000)),
    };

    /// HAProxy in the hands of somebody who knows it: `abortonclose`, and a queue timeout that leaves half a second of a usual
    /// client's patience for the answer.
    pub(super) const HAPROXY: Self = Self {
        queue_depth: u32::MAX,
        queue_timeout: Some(Span(500_000_000)),
        max_connections: u32::MAX,
        drops_abandoned: true,
        on_abort: OnAbort::Cancel,
        server_timeout: Some(Span(30_000_000_000)),
    };

    /// Envoy: no line, 15 s route timeout, a reset upstream when the client leaves.
    pub(super) const ENVOY: Self = Self { server_timeout: Some(Span(15_000_000_000)), ..Self::REFUSING };

    /// With these knobs turned.
    pub(super) fn with(self, knobs: toml::Table) -> Result<Self, toml::de::Error> {
        let knobs: Knobs = knobs.try_into()?;
        Ok(Self {
            queue_depth: knobs.queue_depth.unwrap_or(self.queue_depth),
            queue_timeout: knobs.queue_timeout.or(self.queue_timeout).filter(|timeout| timeout.0 > 0),
            max_connections: knobs.max_connections.unwrap_or(self.max_connections),
            drops_abandoned: knobs.drops_abandoned.unwrap_or(self.drops_abandoned),
            on_abort: knobs.on_abort.unwrap_or(self.on_abort),
            server_timeout: knobs.server_timeout.or(self.server_timeout).filter(|timeout| timeout.0 > 0),
        })
    }
}

/// A law with a line before it; see the module.
#[derive(Debug)]
pub(super) struct Front {
    spec: FrontSpec,
    law: Box<dyn Law>,
    in_flight: u32,
    line: VecDeque<Waiter>,
    /// Beyond `max_connections`.
    outside: VecDeque<usize>,
    /// When each was started and how many were in flight then, by id.
    started: Vec<(u64, u32)>,
}

#[derive(Clone, Copy, Debug)]
struct Waiter {
    id: usize,
    expires: u64,
}

impl Front {
    pub(super) fn new(spec: FrontSpec, law: Box<dyn Law>) -> Self {
        let (line, outside) = (VecDeque::new(), VecDeque::new());
        Self { spec, law, in_flight: 0, line, outside, started: Vec::new() }
    }

    fn start(&mut self, now: u64, id: usize) {
        self.in_flight += 1;
        if self.started.len() <= id {
            self.started.resize(id + 1, (0, 0));
        }
        self.started[id] = (now, self.in_flight);
        self.law.on_start(now);
    }

    fn is_full(&self) -> bool {
        self.in_flight as usize + self.line.len() >= self.spec.max_connections as usize
    }

    fn stand_in_line(&mut self, now: u64, id: usize) {
        let timeout = self.spec.queue_timeout.map_or(u64::MAX, |timeout| timeout.0);
        self.line.push_back(Waiter { id, expires: now.saturating_add(timeout) });
    }
}

impl Policy for Front {
    fn arrive(&mut self, now: u64, offer: &Offer) -> Verdict {
        if self.is_full() {
            self.outside.push_back(offer.id);
            return Verdict::Wait;
        }
        if self.line.is_empty() && self.law.admits(now, self.in_flight) {
            self.start(now, offer.id);
            return Verdict::Start;
        }
        if self.line.len() < self.spec.queue_depth as usize {
            self.stand_in_line(now, offer.id);
            return Verdict::Wait;
        }
        self.law.on_refuse(now);
        Verdict::Refuse(Refusal { reason: "concurrency", retry_after: None })
    }

    fn end(&mut self, now: u64, id: usize, outcome: Outcome) {
        let (started, in_flight) = self.started[id];
        self.in_flight -= 1;
        // A library sees the work end as it does for any other; it does not know that the client has left.
        let outcome = match outcome {
            Outcome::Aborted if self.spec.on_abort == OnAbort::Finish => Outcome::Completed,
            outcome => outcome,
        };
        self.law.on_end(now, &Sample { took: now - started, in_flight, outcome });
    }

    fn leave(&mut self, _now: u64, id: usize) -> bool {
        if !self.spec.drops_abandoned {
            return false;
        }
        self.line.retain(|waiter| waiter.id != id);
        self.outside.retain(|waiter| *waiter != id);
        true
    }

    fn poll(&mut self, now: u64) -> Action {
        while !self.is_full()
            && let Some(id) = self.outside.pop_front()
        {
            self.stand_in_line(now, id);
        }
        let Some(first) = self.line.front().copied() else {
            return self.law.wake_at().map_or(Action::Idle, Action::WakeAt);
        };
        if first.expires <= now {
            self.line.pop_front();
            return Action::Refuse(first.id, Refusal { reason: "queue_timeout", retry_after: None });
        }
        if self.law.admits(now, self.in_flight) {
            self.line.pop_front();
            self.start(now, first.id);
            return Action::Start(first.id);
        }
        Action::WakeAt(first.expires.min(self.law.wake_at().unwrap_or(u64::MAX)))
    }

    fn on_abort(&self) -> OnAbort {
        self.spec.on_abort
    }

    fn server_timeout(&self) -> Option<u64> {
        self.spec.server_timeout.map(|timeout| timeout.0)
    }

    fn observe_cpu(&mut self, now: u64, share: f64) {
        self.law.observe_cpu(now, share);
    }

    fn gauge(&self, _now: u64) -> Gauge {
        let queued = u32::try_from(self.line.len() + self.outside.len()).unwrap_or(u32::MAX);
        Gauge { limit: self.law.limit(), in_flight: self.in_flight, queued }
    }
}

#[cfg(test)]
mod tests {
    use super::super::law::Fixed;
    use super::*;
    use loadline_core::Class;

    fn front(spec: FrontSpec, limit: u32) -> Front {
        Front::new(spec, Box::new(Fixed(limit)))
    }

    fn offer(id: usize) -> Offer {
        Offer { id, class: Class::Normal, deadline: None, route: 0, tenant: None, retry: false }
    }

    #[test]
    fn four_at_once_before_spillway_with_one_slot_and_a_timeout_of_700_ms() {
        let ms = 1_000_000;
        let spec = FrontSpec { queue_timeout: Some(Span(700 * ms)), ..FrontSpec::SPILLWAY };
        let mut front = front(spec, 1);
        let verdicts: Vec<_> = (0..4).map(|id| front.arrive(0, &offer(id))).collect();
        assert_eq!(verdicts, [Verdict::Start, Verdict::Wait, Verdict::Wait, Verdict::Wait]);
        assert_eq!(front.poll(0), Action::WakeAt(700 * ms));
        front.end(400 * ms, 0, Outcome::Completed);
        assert_eq!(front.poll(400 * ms), Action::Start(1));
        let refused = |id| Action::Refuse(id, Refusal { reason: "queue_timeout", retry_after: None });
        assert_eq!([front.poll(700 * ms), front.poll(700 * ms)], [refused(2), refused(3)]);
        assert_eq!(front.poll(700 * ms), Action::Idle);
    }

    #[test]
    fn beyond_the_connections_no_timeout_counts() {
        let spec = FrontSpec { max_connections: 2, ..FrontSpec::SPILLWAY };
        let mut front = front(spec, 1);
        for id in 0..3 {
            let _ = front.arrive(0, &offer(id));
        }
        assert_eq!(front.poll(4_000_000_000), Action::WakeAt(5_000_000_000), "the second");
        front.end(4_000_000_000, 0, Outcome::Completed);
        assert_eq!(front.poll(4_000_000_000), Action::Start(1));
        assert_eq!(front.poll(4_000_000_000), Action::WakeAt(9_000_000_000), "the third's 5 s begin now");
    }

    #[test]
    fn who_leaves_the_line_is_served_nevertheless_unless_noticed() {
        for (spec, noticed) in [(FrontSpec::SPILLWAY, false), (FrontSpec::HAPROXY, true)] {
            let mut front = front(spec, 1);
            let _ = (front.arrive(0, &offer(0)), front.arrive(0, &offer(1)));
            assert_eq!(front.leave(1, 1), noticed);
            front.end(2, 0, Outcome::Completed);
            assert_eq!(front.poll(2) == Action::Start(1), !noticed);
        }
    }
}
