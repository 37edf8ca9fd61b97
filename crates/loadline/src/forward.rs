//! Forwarding an admitted request: connection, exchange, and what to do when either fails.
//!
//! What may be sent a second time: a request that is whole in memory, from its first byte, on a kept connection that died before the
//! first byte of an answer, when its method is idempotent (RFC 9110, 9.2.2) or nothing of it was written. An app that
//! closes kept connections at random loses no GET, and no POST is executed twice.

mod ghost;
mod pump;
mod response;
mod tunnel;

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use loadline_core::Outcome;
use loadline_h1::{ForwardRequest, Framing, OutFraming};
use loadline_tower::Permit;
use tokio::time::Instant;

use self::ghost::Ghost;
use self::pump::{End, Pump};
use crate::budget::Deadline;
use crate::buffers::Scratch;
use crate::client::{Client, ClientIo, Peer, RequestBody};
use crate::config::settings::OnAbort;
use crate::exchange::{Exchange, Gone, UpstreamResult};
use crate::hold;
use crate::live::Live;
use crate::reply::LocalError;
use crate::upstream::{ConnectError, Connection};
use crate::worker::Worker;

/// Kept connections that are tried before giving up on them; more than a few dead ones in a row means that the
/// upstream is down, and a fresh connection tells.
const STALE_TRIES: u32 = 3;

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
fn write_request(scratch: &mut Scratch, peer: &Peer, live: &Live, deadline: Option<&Deadline>) {
    let Scratch { head, inbox, held, to_upstream, .. } = scratch;
    let mut extra = Vec::new();
    let mut replaced: Vec<&str> = Vec::new();
    if let Some(deadline) = deadline.filter(|_| live.settings.deadline.propagate) {
        replaced = deadline.forward(live, Instant::now(), &mut extra);
    }
    if live.settings.http.forwarded {
        // Appended, not replaced: what earlier hops claim stays visible, and what we saw comes last.
        extra.extend_from_slice(b"x-forwarded-for: ");
        if let Some(earlier) = head.field(inbox, "x-forwarded-for") {
            extra.extend_from_slice(earlier);
            extra.extend_from_slice(b", ");
        }
        extra.extend_from_slice(peer.client.ip().to_canonical().to_string().as_bytes());
        extra.extend_from_slice(b"\r\n");
        replaced.push("x-forwarded-for");
    }
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
    write_request(scratch, &client.peer, live, exchange.binding_deadline().as_ref());
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
    let mut tries = 0;
    loop {
        let (mut connection, fresh) = match obtain(client, scratch, worker, live, tries < STALE_TRIES).await {
            Obtained::Connection(connection, fresh) => (connection, fresh),
            Obtained::Failed(error) => {
                exchange.upstream_result = Some(UpstreamResult::Error);
                permit.complete(Outcome::Failed);
                return Forwarded::Failed(error);
            }
            Obtained::ClientGone => {
                exchange.client_gone(Gone::BeforeUpstream);
                permit.complete(Outcome::Aborted);
                return Forwarded::Gone;
            }
        };
        let now = Instant::now();
        exchange.connected(now, fresh, &connection);
        let reused = std::mem::take(&mut connection.reused);
        let mut pump = Pump::new(client, scratch, worker, live, exchange, body, connection, permit, now);
        let end = poll_fn(|cx| pump.poll(cx)).await;

        // What the pump still holds tells whether the upstream's part is over.
        let Pump { connection, permit: held, phase, kind, answered, .. } = pump;
        match end {
            End::Done { keep } => return Forwarded::Done { keep },
            End::Tunnel => {
                let (Some(connection), permit) = (connection, held) else { return Forwarded::Broken };
                tunnel::run(client, scratch, worker, live, exchange, connection).await;
                if let Some(permit) = permit {
                    permit.complete(Outcome::Completed);
                }
                return Forwarded::Done { keep: false };
            }
            End::Closed { written, whole } => {
                drop(connection);
                let again = reused && whole && (idempotent || written == 0);
                match held {
                    Some(held) if again => {
                        tries += 1;
                        exchange.retries += 1;
                        scratch.to_upstream.sent = 0;
                        permit = held;
                        continue;
                    }
                    Some(held) => held.complete(Outcome::Failed),
                    None => {}
                }
                exchange.upstream_result = Some(UpstreamResult::Error);
                return Forwarded::Failed(LocalError::upstream_closed());
            }
            End::Invalid => {
                drop(connection);
                exchange.upstream_result = Some(UpstreamResult::Error);
                if let Some(permit) = held {
                    permit.complete(Outcome::Failed);
                }
                return Forwarded::Failed(LocalError::upstream_invalid());
            }
            End::Truncated => {
                drop(connection);
                exchange.upstream_broke();
                if let Some(permit) = held {
                    permit.complete(Outcome::Failed);
                }
                // What is complete goes out; the missing end tells the client that the rest is not coming.
                let _ = client.flush(&mut scratch.to_client, live.settings.timeouts.client).await;
                return Forwarded::Broken;
            }
            End::ClientRefused(refusal) => {
                drop(connection);
                return if answered { Forwarded::Broken } else { Forwarded::Failed(refusal.into()) };
            }
            End::TimedOut | End::ClientGone | End::ClientSlow => {
                let late = matches!(end, End::TimedOut);
                if late {
                    exchange.timed_out(answered);
                } else {
                    exchange.client_gone(if answered { Gone::InBody } else { Gone::InService });
                }
                let slow_upload = matches!(end, End::ClientSlow) && !body.done();
                let outcome = if late { Outcome::TimedOut } else { Outcome::Aborted };
                if let Some(connection) = connection {
                    let unseen = Abandoned { connection, permit: held, phase, kind, outcome };
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

enum Obtained {
    /// A connection, and whether it was opened just now.
    Connection(Connection, bool),
    Failed(LocalError),
    ClientGone,
}

/// A kept connection if one may be used, else a new one; gives up when the client leaves.
async fn obtain<S: ClientIo>(
    client: &mut Client<S>,
    scratch: &mut Scratch,
    worker: &Rc<Worker>,
    live: &Live,
    kept: bool,
) -> Obtained {
    let upstream = &live.upstream;
    let room = if kept {
        match upstream.idle(worker.id, live.connections_allowed) {
            Ok(connection) => return Obtained::Connection(connection, false),
            Err(room) => room,
        }
    } else {
        upstream.pool.replace(worker.id, live.connections_allowed)
    };
    let mut connecting = std::pin::pin!(upstream.connect(live.settings.timeouts.connect, room));
    poll_fn(|cx| {
        if let Poll::Ready(connected) = connecting.as_mut().poll(cx) {
            match &connected {
                Ok(_) if upstream.outage.reached(Instant::now()) => worker.shared.gate.restart_warmup(),
                Ok(_) => {}
                Err(_) => upstream.outage.failed(Instant::now()),
            }
            return Poll::Ready(match connected {
                Ok(connection) => Obtained::Connection(connection, true),
                Err(ConnectError::Unresolved) => Obtained::Failed(LocalError::upstream_unresolved()),
                Err(ConnectError::Refused) => Obtained::Failed(LocalError::upstream_refused()),
                Err(ConnectError::TimedOut) => Obtained::Failed(LocalError::connect_timeout()),
            });
        }
        client.poll_gone(cx, &mut scratch.inbox).map(|()| Obtained::ClientGone)
    })
    .await
}

struct Abandoned {
    connection: Connection,
    permit: Option<Permit>,
    phase: response::Phase,
    kind: loadline_h1::RequestKind,
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
    let Abandoned { connection, permit, phase, kind, outcome } = unseen;
    let limit = &live.settings.limit;
    // A request that is not complete cannot be finished: the app waits for bytes that will not come.
    if limit.on_abort == OnAbort::Cancel || !body.done() {
        drop(connection);
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
        upstream: Arc::clone(&live.upstream),
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
