//! Reaching an endpoint: which one, a kept connection to it or a new one, and what if it cannot be reached.
//!
//! An endpoint that cannot be reached has been sent nothing, so the request goes on to the next, whatever its method. Only where
//! there is no other is the same one tried twice, for an app that restarts is often back at once.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use loadline_core::{Outcome, Reason};
use tokio::time::Instant;

use crate::buffers::Scratch;
use crate::client::{Client, ClientIo};
use crate::exchange::{Exchange, Repeat, UpstreamResult};
use crate::live::Live;
use crate::reply::LocalError;
use crate::upstream::{ConnectError, Connection, Endpoint, Pick, Refusal, Room, Wish, connect};
use crate::worker::Worker;

/// Kept connections that are tried before giving up on them; more than a few dead ones in a row means that the
/// endpoint is down, and a fresh connection tells.
const STALE_TRIES: u32 = 3;

/// When every endpoint is as busy as it may be although the limit let the request in, which lasts until the limit has followed
/// the number of endpoints: how soon to look again.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// Where a request has been, and where it may go.
#[derive(Default)]
pub(super) struct Reach {
    /// Endpoints that had their chance.
    pub(super) tried: Vec<Arc<Endpoint>>,
    /// The endpoint to stay with: one whose kept connection turned out to be dead.
    pub(super) stay: Option<Pick>,
    /// Kept connections that turned out to be dead.
    pub(super) stale: u32,
    /// Whether the request can be sent again.
    pub(super) repeatable: bool,
    /// A health check.
    pub(super) bypass: bool,
    /// When everything has to be over: the deadline, or the longest time for a request.
    pub(super) ends: Option<Instant>,
}

/// What became of reaching.
pub(super) enum Reached {
    /// A connection to the endpoint, and whether it was opened just now.
    Connection(Pick, Connection, bool),
    /// None can be reached.
    Failed(LocalError, Outcome),
    ClientGone,
}

/// The next thing to do.
enum Next {
    /// Use a kept connection.
    Use(Pick, Connection),
    /// Open one.
    Open(Pick, Room),
    /// See whether it can wait.
    Refused(Refusal),
}

impl Reach {
    /// A connection to an endpoint; gives up when the client leaves.
    pub(super) async fn connection<S: ClientIo>(
        &mut self,
        client: &mut Client<S>,
        scratch: &mut Scratch,
        worker: &Worker,
        live: &Live,
        exchange: &mut Exchange,
    ) -> Reached {
        if client.has_left(&mut scratch.inbox).await {
            return Reached::ClientGone;
        }
        let next = match self.next(worker, live) {
            Next::Use(pick, connection) => return Reached::Connection(pick, connection, false),
            next => next,
        };
        let mut opening = std::pin::pin!(self.open(next, worker, live, exchange));
        poll_fn(|cx| {
            if let Poll::Ready(reached) = opening.as_mut().poll(cx) {
                return Poll::Ready(reached);
            }
            client.poll_gone(cx, &mut scratch.inbox).map(|()| Reached::ClientGone)
        })
        .await
    }

    fn next(&mut self, worker: &Worker, live: &Live) -> Next {
        let upstream = &live.upstream;
        let wish = Wish { tried: &self.tried, repeatable: self.repeatable, bypass: self.bypass };
        let pick = match self.stay.take().map_or_else(|| upstream.pick(wish), Ok) {
            Ok(pick) => pick,
            Err(refusal) => return Next::Refused(refusal),
        };
        let allowed = || upstream.connections_allowed(live.connections_allowed(worker.limit()));
        let pool = &pick.endpoint().pool;
        if self.stale >= STALE_TRIES {
            let room = pool.replace(allowed());
            return Next::Open(pick, room);
        }
        match pool.checkout(worker.id, allowed) {
            Ok(connection) => Next::Use(pick, connection),
            Err(room) => Next::Open(pick, room),
        }
    }

    async fn open(
        &mut self,
        mut next: Next,
        worker: &Worker,
        live: &Live,
        exchange: &mut Exchange,
    ) -> Reached {
        let upstream = &live.upstream;
        let patience = Instant::now() + live.settings.timeouts.connect;
        let until = self.ends.map_or(patience, |ends| ends.min(patience));
        let (mut last, mut looked_up) = (None, false);
        loop {
            match next {
                Next::Use(pick, connection) => return Reached::Connection(pick, connection, false),
                Next::Open(mut pick, room) => {
                    let endpoint = Arc::clone(pick.endpoint());
                    self.tried.push(Arc::clone(&endpoint));
                    let others = upstream.count_others(&self.tried);
                    // One that swallows packets leaves the others their chance, also an ejected one that is the last resort.
                    let wish = Wish { tried: &self.tried, repeatable: self.repeatable, bypass: self.bypass };
                    let chances = 1 + others.max(u32::from(upstream.is_another(wish)));
                    let share = until.saturating_duration_since(Instant::now()) / chances;
                    let again = (others == 0).then_some(&mut exchange.reconnects);
                    match connect(&endpoint, Instant::now() + share, room, again).await {
                        Ok(connection) => {
                            self.tried.pop();
                            upstream.note_reached();
                            if upstream.outage.reached(Instant::now()) {
                                worker.shared.restart_warmup();
                            }
                            return Reached::Connection(pick, connection, true);
                        }
                        Err(error) => {
                            // With less time than it may take, its silence says nothing.
                            let told = matches!(error, ConnectError::Refused(_)) || until == patience;
                            if told && !error.is_ours() {
                                pick.failed(upstream);
                            }
                            upstream.look_again();
                            last = Some(error);
                            self.stale = 0;
                        }
                    }
                }
                Next::Refused(Refusal::Unresolved) if !looked_up => {
                    looked_up = true;
                    upstream.first_answer().await;
                }
                Next::Refused(Refusal::Busy) if Instant::now() < until => {
                    tokio::time::sleep(LOOK_AGAIN).await;
                }
                Next::Refused(refusal) => return self.fail(last, refusal, live, exchange),
            }
            next = self.next(worker, live);
            if last.is_some() && !matches!(next, Next::Refused(_)) {
                exchange.repeated(Repeat::Unreachable, true);
            }
        }
    }

    fn fail(
        &self,
        last: Option<ConnectError>,
        refusal: Refusal,
        live: &Live,
        exchange: &mut Exchange,
    ) -> Reached {
        if last.as_ref().is_some_and(|error| !error.is_ours()) {
            live.upstream.outage.failed(Instant::now());
        }
        let passed = |at: Instant| at <= Instant::now();
        if exchange.binding_deadline().is_some_and(|deadline| passed(deadline.at)) {
            exchange.upstream_result = Some(UpstreamResult::Timeout);
            return Reached::Failed(LocalError::deadline(live), Outcome::TimedOut);
        }
        exchange.upstream_result = Some(UpstreamResult::Transport);
        let error = match (last, refusal) {
            (Some(error), _) if error.is_ours() => LocalError::exhausted(),
            (Some(ConnectError::Refused(_)), _) => LocalError::upstream_refused(),
            (Some(ConnectError::TimedOut), _) => LocalError::connect_timeout(),
            (None, Refusal::Unresolved) => LocalError::upstream_unresolved(),
            (None, Refusal::Open(rest)) => {
                exchange.upstream_result = Some(UpstreamResult::BreakerOpen);
                LocalError::unavailable(live, Reason::BreakerOpen, rest)
            }
            (None, Refusal::Busy | Refusal::NoEndpoint) => {
                LocalError::unavailable(live, Reason::NoEndpoint, Duration::ZERO)
            }
        };
        Reached::Failed(error, Outcome::Failed)
    }
}
