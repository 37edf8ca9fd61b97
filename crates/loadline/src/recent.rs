//! `/api/v1/recent`: what was decided lately, request by request, for whoever has no log at hand.
//!
//! Each worker keeps two rings of fixed size: what was rejected or failed, and what was served, so that neither drives the
//! other out. One in [`EACH`] of each kind is kept; what comes faster is sampled by that pace, so that the rings
//! reach back some seconds also in a flood, and a request that is not kept costs a comparison.
//!
//! Nothing private is kept: no query, no header, no address, and of the path only its beginning.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use loadline_core::{Class, RouteId};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::asked::DecidedBy;
use crate::exchange::{Exchange, Gone};
use crate::metrics::{self, Method};
use crate::observe;
use crate::shared::Shared;

/// Entries of one ring.
const KEPT: usize = 100;

/// Mean time between entries of one ring from which on all are kept: 20 per second. A ring is full after a burst of [`KEPT`], and
/// then reaches back [`KEPT`] ÷ 20 = 5 s.
const EACH: Duration = Duration::from_millis(50);

/// How far a burst may run ahead of that pace.
const BURST: Duration = EACH.saturating_mul(KEPT as u32);

/// Entries in the document.
const SHOWN: usize = 200;

/// Bytes of a path that are kept.
const PATH: usize = 96;

/// One worker's rings.
#[derive(Default)]
pub(crate) struct Recent {
    rejected: Ring,
    served: Ring,
}

#[derive(Default)]
struct Ring {
    /// The oldest is at `next` once the ring is full.
    entries: Vec<Entry>,
    next: usize,
    pace: Pace,
    /// Left out by the pace.
    skipped: u64,
}

/// A token bucket, kept as the moment at which it would be full: asking it costs a comparison.
#[derive(Default)]
struct Pace {
    full_at: Option<Instant>,
}

#[derive(Clone)]
struct Entry {
    at: Instant,
    method: Method,
    path: [u8; PATH],
    path_len: usize,
    /// Whether the path was longer.
    cut: bool,
    route: RouteId,
    class: Class,
    decided_by: DecidedBy,
    decision: &'static str,
    reason: Option<&'static str>,
    retry_after: Option<u32>,
    gone: Option<Gone>,
    status: u16,
    queued: Option<Duration>,
    service: Option<Duration>,
    deadline_left_ms: Option<i64>,
}

impl Recent {
    /// Keeps a request that has ended at `now`, or leaves it out.
    pub(crate) fn record(&mut self, exchange: &Exchange, method: Method, path: &[u8], now: Instant) {
        let reason = observe::reason(exchange);
        let failed = reason.is_some() || exchange.gone.is_some();
        let ring = if failed || exchange.status >= 500 { &mut self.rejected } else { &mut self.served };
        if !ring.pace.take(now) {
            ring.skipped += 1;
            return;
        }
        let mut entry = Entry {
            at: now,
            method,
            path: [0; PATH],
            path_len: path.len().min(PATH),
            cut: path.len() > PATH,
            route: exchange.route,
            class: exchange.class,
            decided_by: exchange.decided_by,
            decision: observe::decision(exchange),
            reason,
            retry_after: exchange.retry_after,
            gone: exchange.gone,
            status: exchange.status,
            queued: exchange.queued,
            service: exchange
                .sent
                .map(|sent| exchange.upstream_done.unwrap_or(now).saturating_duration_since(sent)),
            deadline_left_ms: observe::deadline_left(exchange),
        };
        entry.path[..entry.path_len].copy_from_slice(&path[..entry.path_len]);
        ring.push(entry);
    }
}

impl Ring {
    fn push(&mut self, entry: Entry) {
        if self.entries.len() < KEPT {
            self.entries.push(entry);
        } else {
            self.entries[self.next] = entry;
            self.next = (self.next + 1) % KEPT;
        }
    }
}

impl Pace {
    fn take(&mut self, now: Instant) -> bool {
        let full_at = self.full_at.map_or(now, |at| at.max(now)) + EACH;
        let keeps = full_at <= now + BURST;
        if keeps {
            self.full_at = Some(full_at);
        }
        keeps
    }
}

/// The document: the latest first.
pub(crate) fn json(shared: &Shared) -> Value {
    let mut entries: Vec<Entry> = Vec::new();
    let mut skipped = 0;
    for worker in 0..shared.recent.len() {
        let recent = shared.recent_of(worker);
        for ring in [&recent.rejected, &recent.served] {
            entries.extend(ring.entries.iter().cloned());
            skipped += ring.skipped;
        }
    }
    entries.sort_unstable_by_key(|entry| std::cmp::Reverse(entry.at));
    entries.truncate(SHOWN);
    let (now, wall) = (Instant::now(), SystemTime::now());
    let routes = &shared.live().routes;
    let named = |entry: &Entry| {
        let mut decision = entry.json(now, wall);
        decision["route"] = (entry.route != RouteId::OTHER).then(|| routes.name(entry.route)).into();
        decision
    };
    let decisions: Vec<_> = entries.iter().map(named).collect();
    json!({ "skipped": skipped, "decisions": decisions })
}

impl Entry {
    fn json(&self, now: Instant, wall: SystemTime) -> Value {
        let at = wall - now.saturating_duration_since(self.at);
        let at = Timestamp::try_from(at).map(|at| format!("{at:.3}")).unwrap_or_default();
        let millis = |time: Duration| (time.as_secs_f64() * 1e6).round() / 1e3;
        let mut path = self.path[..self.path_len].escape_ascii().to_string();
        if self.cut {
            path.push('…');
        }
        let (setting, number) = self.decided_by.named();
        json!({
            "time": at,
            "method": metrics::method_name(self.method),
            "path": path,
            "class": self.class.as_str(),
            "class_by": { "setting": setting, "rule": number },
            "decision": self.decision,
            "reason": self.reason,
            "retry_after": self.retry_after,
            "client_left": self.gone.map(Gone::as_str),
            "status": (self.status > 0).then_some(self.status),
            "wait_ms": self.queued.map(millis),
            "service_ms": self.service.map(millis),
            "deadline_left_ms": self.deadline_left_ms,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(now: Instant, status: u16) -> Exchange {
        Exchange { status, ..Exchange::new(now, now, now, now) }
    }

    fn paths(ring: &Ring) -> Vec<String> {
        let text = |entry: &Entry| String::from_utf8_lossy(&entry.path[..entry.path_len]).into_owned();
        let (new, old) = ring.entries.split_at(ring.next);
        old.iter().chain(new).map(text).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_stream_is_kept_whole_and_the_oldest_goes() {
        let mut recent = Recent::default();
        for number in 0..KEPT + 10 {
            tokio::time::advance(Duration::from_millis(50)).await;
            let now = Instant::now();
            recent.record(&exchange(now, 200), 0, format!("/{number}").as_bytes(), now);
        }
        assert_eq!(recent.served.skipped, 0);
        assert_eq!(paths(&recent.served), (10..KEPT + 10).map(|at| format!("/{at}")).collect::<Vec<_>>());
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_sampled_and_drives_nothing_else_out() {
        let mut recent = Recent::default();
        let now = Instant::now();
        recent.record(&exchange(now, 200), 0, b"/served", now);
        for _ in 0..100_000 {
            tokio::time::advance(Duration::from_micros(100)).await;
            let now = Instant::now();
            recent.record(&exchange(now, 503), 0, b"/rejected", now);
        }
        assert_eq!(paths(&recent.served), ["/served"]);
        let oldest = recent.rejected.entries[recent.rejected.next].at;
        let reach = (Instant::now() - oldest).as_secs_f64();
        assert!((4.5..5.5).contains(&reach), "reaches back {reach} s");
        // 100 at once, and 20 per second for 10 s.
        let kept = 100_000 - recent.rejected.skipped;
        assert!((295..=305).contains(&kept), "{kept}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_path_is_cut_and_escaped() {
        let mut recent = Recent::default();
        let now = Instant::now();
        recent.record(&exchange(now, 200), 0, &[b'/', b'"', 0xc3, b'a'], now);
        recent.record(&exchange(now, 200), 0, &[b'x'; 300], now);
        let json = |at: usize| recent.served.entries[at].json(now, SystemTime::now());
        assert_eq!(json(0)["path"], "/\\\"\\xc3a");
        assert_eq!(json(1)["path"], format!("{}…", "x".repeat(PATH)));
    }
}
