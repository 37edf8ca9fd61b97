//! Forwarding an admitted request: connection, exchange, and what to do when either fails.
//!
//! What may be sent a second time: a request that is whole in memory, from its first byte, when its method is idempotent (RFC 9110,
//! 9.2.2) or nothing of it was written. So no POST is executed twice. Where to:
//! - to the same endpoint, when a kept connection died before the first byte of an answer: an app that closes kept
//!   connections at random loses no GET;
//! - to another endpoint, within the retry budget, when a new connection died so, or when the endpoint's own loadline turned
//!   the request away.

mod ghost;
mod pump;
mod reach;
mod response;
mod tunnel;

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;

use loadline_core::{Class, Outcome};
use loadline_h1::{ForwardRequest, Framing, OutFraming};
use loadline_tower::Permit;
use tokio::time::Instant;

use self::ghost::Ghost;
use self::pump::{End, Pump, Route};
use self::reach::{Reach, Reached};
use crate::buffers::Scratch;
use crate::client::{Client, ClientIo, Peer, RequestBody};
use crate::config::settings::OnAbort;
use crate::exchange::{Exchange, Gone, Repeat, UpstreamResult};
use crate::hold;
use crate::live::Live;
use crate::reply::LocalError;
use crate::upstream::{Connection, Pick};
use crate::worker::Worker;

/// What became of an admitted request.
pub(crate) enum Forwarded {
    /// Answered from the upstream. `keep`: the client's connection may carry another request.
    Done { keep: bool },
    /// Nothing went to the client yet: it gets this answer from us.
    Failed(LocalError),
    /// The client has part of an answer that cannot be completed; closing is the only way to say so.
    Broken,
    /// The client has left.
    Gone,
}

/// Writes the request for the upstream: its head, and what is held of its body.
fn write_request(scratch: &mut Scratch, peer: &Peer, live: &Live, exchange: &Exchange) {
    let Scratch { head, inbox, held, to_upstream, .. } = scratch;
    let mut extra = Vec::new();
    let mut replaced: Vec<&str> = Vec::new();
    if let Some(deadline) = exchange.binding_deadline().filter(|_| live.settings.deadline.propagate) {
        replaced = deadline.forward(live, Instant::now(), &mut extra);
    }
    if live.settings.http.forwarded {
        // Appended, not replaced: what earlier hops claim stays visible, and what we saw comes last.
        extra.extend_from_slice(b"x-forwarded-for: ");
        // Several lines are one list (RFC 9110, 5.2): the last is by the hop nearest to us.
        let earlier = head.iter(inbox).filter(|(name, _)| name.eq_ignore_ascii_case(b"x-forwarded-for"));
        for (_, value) in earlier.filter(|(_, value)| !value.is_empty()) {
            extra.extend_from_slice(value);
            extra.extend_from_slice(b", ");
        }
        extra.extend_from_slice(peer.client.ip().to_canonical().to_string().as_bytes());
        extra.extend_from_slice(b"\r\n");
        replaced.push("x-forwarded-for");
    }
    replaced.extend(exchange.trace.forward(&mut extra));
    let options = ForwardRequest {
        framing: match head.framing {
            Framing::Length(length) => OutFraming::Length(length),
            Framing::Chunked => OutFraming::Chunked,
            Framing::None | Framing::Close => OutFraming::None,
        },
        extra: &extra,
        host_fallback: live.host.as_bytes(),
        // Whoever expects 100 has had it from us by the time the body is forwarded.
        expect_continue: false,
        drop: &replaced,
    };
    to_upstream.clear();
    head.write_forward(inbox, &mut to_upstream.bytes, &options);
    to_upstream.bytes.extend_from_slice(held);
}

/// Forwards the request in `scratch` and passes its response on.
pub(crate) async fn forward<S: ClientIo>(
    client: &mut Client<S>,
    scratch: &mut Scratch,
    worker: &Rc<Worker>,
    live: &Live,
    exchange: &mut Exchange,
    body: &mut RequestBody,
    mut permit: Permit,
) -> Forwarded {
    write_request(scratch, &client.peer, live, exchange);
    if !body.done()
        && body.bytes == 0
        && scratch.held.is_empty()
        && hold::expects_continue(&scratch.head, &scratch.inbox)
        && hold::ask_for_body(client, scratch, live).await.is_err()
    {
        exchange.client_gone(Gone::InRequest);
        return Forwarded::Gone;
    }
    let idempotent = is_idempotent(scratch.head.method.of(&scratch.inbox));
    // Held as a whole, it can be written anew, with the time that is left by then.
    let rewritable = body.done();
    let total = live.settings.timeouts.total.map(|total| Instant::now() + total);
    let deadline = exchange.binding_deadline().map(|deadline| deadline.at);
    let mut reach = Reach {
        repeatable: idempotent && rewritable,
        bypass: exchange.class == Class::Bypass,
        ends: [deadline, total].into_iter().flatten().min(),
        ..Reach::default()
    };
    loop {
        let (pick, mut connection, fresh) =
            match reach.connection(client, scratch, worker, live, exchange).await {
                Reached::Connection(pick, connection, fresh) => (pick, connection, fresh),
                Reached::Failed(error, outcome) => {
                    permit.complete(outcome);
                    return Forwarded::Failed(error);
                }
                Reached::ClientGone => {
                    exchange.client_gone(Gone::BeforeUpstream);
                    permit.complete(Outcome::Aborted);
                    return Forwarded::Gone;
                }
            };
        let now = Instant::now();
        exchange.connected(now, fresh, &connection);
        let reused = std::mem::take(&mut connection.reused);
        let route = Route { tried: &reach.tried, repeatable: idempotent, total };
        let mut pump =
            Pump::new(client, scratch, worker, live, exchange, body, connection, pick, permit, route, now);
        let end = poll_fn(|cx| pump.poll(cx)).await;

        // What the pump still holds tells whether the upstream's part is over.
        let Pump { connection, permit: held, pick, phase, kind, answered, out, endless, .. } = pump;
        if answered && out == OutFraming::Close && !matches!(end, End::Done { .. } | End::Tunnel) {
            client.io.end_with_reset();
        }
        match end {
            End::Done { keep } => return Forwarded::Done { keep },
            End::Tunnel => {
                let (Some(connection), permit) = (connection, held) else { return Forwarded::Broken };
                tunnel::run(client, scratch, worker, live, exchange, connection).await;
                drop(pick);
                if let Some(permit) = permit {
                    permit.complete(Outcome::Completed);
                }
                return Forwarded::Done { keep: false };
            }
            End::Closed { written, whole } => {
                drop(connection);
                let safe = whole && (idempotent || written == 0);
                let (Some(held), Some(mut pick)) = (held, pick) else {
                    return broken(exchange, LocalError::upstream_closed());
                };
                if safe && reused {
                    reach.stay = Some(pick);
                    reach.stale += 1;
                    exchange.repeated(Repeat::StaleConnection, false);
                } else {
                    pick.failed(&live.upstream);
                    reach.tried.push(Arc::clone(pick.endpoint()));
                    if !safe || !live.upstream.may_repeat(&reach.tried) {
                        drop(pick);
                        held.complete(Outcome::Failed);
                        return broken(exchange, LocalError::upstream_closed());
                    }
                    reach.stale = 0;
                    exchange.repeated(Repeat::Closed, true);
                }
                begin_again(scratch, client, live, exchange, rewritable);
                permit = held;
            }
            End::TurnedAway => {
                drop(connection);
                let (Some(held), Some(pick)) = (held, pick) else {
                    return broken(exchange, LocalError::upstream_closed());
                };
                reach.tried.push(Arc::clone(pick.endpoint()));
                reach.stale = 0;
                exchange.repeated(Repeat::TurnedAway, true);
                begin_again(scratch, client, live, exchange, rewritable);
                permit = held;
            }
            End::Invalid(rule) => {
                drop(connection);
                fail(pick, held, live);
                return broken(exchange, LocalError::upstream_invalid(rule));
            }
            End::Truncated => {
                drop(connection);
                exchange.upstream_broke();
                fail(pick, held, live);
                // What is complete goes out; the missing end tells the client that the rest is not coming.
                let _ = client.flush(&mut scratch.to_client, live.settings.timeouts.client).await;
                return Forwarded::Broken;
            }
            End::ClientRefused(refusal) => {
                drop(connection);
                return if answered { Forwarded::Broken } else { Forwarded::Failed(refusal.into()) };
            }
            End::TimedOut { .. } | End::ClientGone | End::ClientSlow => {
                let late = matches!(end, End::TimedOut { .. });
                if late {
                    exchange.timed_out(answered);
                } else {
                    exchange.client_gone(if answered { Gone::InBody } else { Gone::InService });
                }
                let slow_upload = matches!(end, End::ClientSlow) && !body.done();
                let outcome = if late { Outcome::TimedOut } else { Outcome::Aborted };
                if let (Some(connection), Some(mut pick)) = (connection, pick) {
                    if matches!(end, End::TimedOut { blame: true }) {
                        pick.failed(&live.upstream);
                    }
                    pick.abandoned();
                    let unseen = Abandoned { connection, pick, permit: held, phase, kind, endless, outcome };
                    abandon(unseen, scratch, worker, live, exchange, body);
                }
                let passed = exchange
                    .binding_deadline()
                    .is_some_and(|deadline| deadline.left(Instant::now()).is_zero());
                return match (answered, late) {
                    (true, _) => Forwarded::Broken,
                    (false, true) if passed => Forwarded::Failed(LocalError::deadline(live)),
                    (false, true) => Forwarded::Failed(LocalError::upstream_timeout()),
                    (false, false) if slow_upload => Forwarded::Failed(LocalError::request_timeout()),
                    (false, false) => Forwarded::Gone,
                };
            }
        }
    }
}

/// The upstream broke off before it had answered.
fn broken(exchange: &mut Exchange, error: LocalError) -> Forwarded {
    exchange.upstream_result = Some(UpstreamResult::Transport);
    Forwarded::Failed(error)
}

/// The endpoint failed, and the slot is free.
fn fail(pick: Option<Pick>, permit: Option<Permit>, live: &Live) {
    if let Some(mut pick) = pick {
        pick.failed(&live.upstream);
    }
    if let Some(permit) = permit {
        permit.complete(Outcome::Failed);
    }
}

/// Makes the request ready to be sent from its first byte.
fn begin_again<S>(
    scratch: &mut Scratch,
    client: &Client<S>,
    live: &Live,
    exchange: &Exchange,
    rewritable: bool,
) {
    scratch.from_upstream.clear();
    if rewritable && exchange.binding_deadline().is_some() {
        write_request(scratch, &client.peer, live, exchange);
    } else {
        scratch.to_upstream.sent = 0;
    }
}

struct Abandoned {
    connection: Connection,
    pick: Pick,
    permit: Option<Permit>,
    phase: response::Phase,
    kind: loadline_h1::RequestKind,
    endless: bool,
    outcome: Outcome,
}

/// Lets an exchange without a client run to its end, or ends it, as `limit.on_abort` says.
fn abandon(
    unseen: Abandoned,
    scratch: &mut Scratch,
    worker: &Rc<Worker>,
    live: &Live,
    exchange: &mut Exchange,
    body: &RequestBody,
) {
    let Abandoned { connection, pick, permit, phase, kind, endless, outcome } = unseen;
    let limit = &live.settings.limit;
    // A request that is not complete cannot be finished: the app waits for bytes that will not come. Nor can a stream of events.
    if limit.on_abort == OnAbort::Cancel || !body.done() || endless {
        drop(connection);
        drop(pick);
        if let Some(permit) = permit {
            permit.complete(outcome);
        }
        return;
    }
    exchange.unseen = true;
    Ghost {
        connection,
        to_upstream: std::mem::take(&mut scratch.to_upstream),
        from_upstream: std::mem::take(&mut scratch.from_upstream),
        response: std::mem::take(&mut scratch.response),
        phase,
        kind,
        limits: live.limits.clone(),
        pick,
        permit,
        outcome,
        waste: exchange.waste().zip(exchange.sent),
        until: Instant::now() + limit.abandon_timeout,
    }
    .release(worker);
}

fn is_idempotent(method: &[u8]) -> bool {
    matches!(method, b"GET" | b"HEAD" | b"OPTIONS" | b"PUT" | b"DELETE")
}
