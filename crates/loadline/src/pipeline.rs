//! The path of one request, from its head to its log line.
//!
//! Read this file first. Each stage is one call; what it decides is decided there and nowhere else. Deadlines,
//! priorities and further endpoints are further stages, not further paths.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, ready};

use loadline_core::{Class, Reason, Rejection};
use loadline_tower::{Attempt, Permit, Waiting};
use tokio::time::Instant;

use crate::asked::Asked;
use crate::buffers::Scratch;
use crate::client::{Client, ClientIo, RequestBody};
use crate::exchange::{Exchange, Gone, UpstreamResult};
use crate::forward::{self, Forwarded};
use crate::hold::{self, Held};
use crate::live::Live;
use crate::reply::{self, LocalError};
use crate::shadow;
use crate::trace::Trace;
use crate::upstream::Refusal;
use crate::worker::Worker;

/// What becomes of the client's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    /// It may carry another request.
    Keep,
    /// It is closed in the usual way: the client has its answer.
    Close,
    /// It is closed once the client had the time to read its answer, for bytes of it are still arriving.
    Linger,
}

/// Serves the request whose head stands parsed in `scratch`.
pub(crate) async fn handle<S: ClientIo>(
    client: &mut Client<S>,
    scratch: &mut Scratch,
    worker: &Rc<Worker>,
    live: &Rc<Live>,
    exchange: &mut Exchange,
    over_limit: bool,
) -> After {
    // 1. Identify: the framing of the body, before anything else is believed of the request.
    let head_bytes = scratch.head.len as u64;
    let mut body = RequestBody::of(&scratch.head, &live.limits);
    exchange.trace = Trace::of(scratch, &live.spans);
    let after = stages(client, scratch, worker, live, exchange, over_limit, &mut body).await;
    exchange.bytes_in += head_bytes + body.bytes;
    after
}

/// Stages 2 to 6; what follows them, observing and releasing, happens however they end.
async fn stages<S: ClientIo>(
    client: &mut Client<S>,
    scratch: &mut Scratch,
    worker: &Rc<Worker>,
    live: &Rc<Live>,
    exchange: &mut Exchange,
    over_limit: bool,
    body: &mut RequestBody,
) -> After {
    // 2. Classify: by rules, or by the word of a trusted hop. Health checks pass the limit by; they have a cap of their own.
    // And until when the client waits: what cannot be a deadline is counted, and otherwise ignored.
    let asked =
        Asked::read(scratch, live, client.peer.client.ip(), live.trusts(&client.peer), exchange.began);
    exchange.asked(&asked);

    // 3. Door: what is refused before anything more is read of it. Connections beyond the limit are only there so that
    // health checks still get through.
    if over_limit && exchange.class != Class::Bypass {
        let rejection = worker.shared.gate.record_shed(exchange.class, Reason::ConnectionLimit);
        return shed(client, scratch, worker, live, exchange, body, &rejection).await;
    }
    if asked.too_old && !live.settings.dry_run {
        drop(shadow::follow(live, scratch, &client.peer, exchange, &asked, worker.shared.gate.now()));
        let rejection = worker.shared.gate.record_shed(exchange.class, Reason::QueueAge);
        return shed(client, scratch, worker, live, exchange, body, &rejection).await;
    }

    // An upstream that cannot be asked is not waited for.
    if exchange.class != Class::Bypass
        && let Err(refusal) = live.upstream.check()
    {
        let rejection = unavailable(worker, exchange, refusal);
        return shed(client, scratch, worker, live, exchange, body, &rejection).await;
    }

    // 4. Hold: the body is read before a slot is taken, so that a slow upload ties none.
    let at_once = body.done();
    let _charge = match hold::body(client, scratch, worker, live, body).await {
        Held::Ready(charge) => charge,
        Held::Gone => {
            exchange.client_gone(Gone::InRequest);
            return After::Close;
        }
        Held::Failed(error) => return fail(client, scratch, worker, live, exchange, body, error).await,
    };

    // 5. Admit: at once, after waiting, or not at all. Nothing has been asked of the upstream yet.
    let gate = &worker.shared.gate;
    // Where there was no body to wait for, be it an empty one, the head has only just come.
    if !at_once {
        exchange.asked_at = Instant::now();
    }
    let now = gate.at(exchange.asked_at);
    let mut followed = shadow::follow(live, scratch, &client.peer, exchange, &asked, now);
    let request = asked.request(now, scratch.held.len());
    let mut permit = match gate.try_admit_at(now, live.ask_gate(request)) {
        Attempt::Admitted(permit) => permit,
        Attempt::Shed(rejection) => {
            // Before the answer: a client that reads slowly must not count as one in service.
            drop(followed);
            return shed(client, scratch, worker, live, exchange, body, &rejection).await;
        }
        Attempt::Queued(waiting) => {
            let since = Instant::now();
            match wait(client, scratch, waiting).await {
                Waited::Admitted(permit) => permit,
                Waited::Shed(rejection) => {
                    drop(followed);
                    return shed(client, scratch, worker, live, exchange, body, &rejection).await;
                }
                Waited::Gone { depth } => {
                    if let Some(followed) = followed.take() {
                        followed.left();
                    }
                    exchange.left_queue(since.elapsed(), depth);
                    return After::Close;
                }
            }
        }
    };
    exchange.admitted(&permit);
    if let Some(followed) = followed {
        followed.starts(&mut permit);
    }
    worker.shared.client_retries.decided(exchange, true);

    // 6. Forward: a connection, the exchange, the answer. The slot is given back inside, at the moment when the
    // upstream is done, which is earlier than the client's last byte.
    match forward::forward(client, scratch, worker, live, exchange, body, permit).await {
        Forwarded::Done { keep: true } => After::Keep,
        Forwarded::Done { keep: false } if body.done() => After::Close,
        Forwarded::Done { keep: false } => After::Linger,
        Forwarded::Failed(error) => fail(client, scratch, worker, live, exchange, body, error).await,
        Forwarded::Broken | Forwarded::Gone => After::Close,
    }
}

enum Waited {
    Admitted(Permit),
    Shed(Rejection),
    /// The client left first: it is out of the queue, and never forwarded.
    Gone {
        depth: u32,
    },
}

/// Waits for a slot.
async fn wait<S: ClientIo>(client: &mut Client<S>, scratch: &mut Scratch, mut waiting: Waiting) -> Waited {
    poll_fn(|cx| {
        if let Poll::Ready(decided) = std::pin::Pin::new(&mut waiting).poll(cx) {
            return Poll::Ready(decided.map_or_else(Waited::Shed, Waited::Admitted));
        }
        client.poll_gone(cx, &mut scratch.inbox).map(|()| Waited::Gone { depth: waiting.depth() })
    })
    .await
}

/// Counts a request that no endpoint can be asked.
fn unavailable(worker: &Worker, exchange: &mut Exchange, refusal: Refusal) -> Rejection {
    let gate = &worker.shared.gate;
    let Refusal::Open(rest) = refusal else { return gate.record_shed(exchange.class, Reason::NoEndpoint) };
    exchange.upstream_result = Some(UpstreamResult::BreakerOpen);
    let mut rejection = gate.record_shed(exchange.class, Reason::BreakerOpen);
    rejection.retry_after = rest;
    rejection
}

/// Answers with a rejection.
async fn shed<S: ClientIo>(
    client: &mut Client<S>,
    scratch: &mut Scratch,
    worker: &Worker,
    live: &Rc<Live>,
    exchange: &mut Exchange,
    body: &mut RequestBody,
    rejection: &Rejection,
) -> After {
    let close = rejection.reason == Reason::ConnectionLimit || must_close(worker, scratch, body);
    worker.shared.client_retries.decided(exchange, false);
    let next = next_attempt(live, exchange);
    let told = reply::rejection(scratch, live, worker.rejections_under(live), rejection, next, close);
    exchange.shed(rejection, &told);
    send(client, scratch, live, exchange, body, close).await
}

/// Answers with an error of ours or the upstream's.
async fn fail<S: ClientIo>(
    client: &mut Client<S>,
    scratch: &mut Scratch,
    worker: &Worker,
    live: &Live,
    exchange: &mut Exchange,
    body: &mut RequestBody,
    error: LocalError,
) -> After {
    exchange.failed(&error);
    let close = error.closes() || must_close(worker, scratch, body);
    let next = next_attempt(live, exchange);
    reply::local_error(scratch, live, &error, exchange.class, next, close);
    send(client, scratch, live, exchange, body, close).await
}

/// What a retry of a rejected request should say of itself.
fn next_attempt(live: &Live, exchange: &Exchange) -> Option<u32> {
    live.settings.retry.token.then_some(exchange.attempt.saturating_add(1))
}

/// Whether the connection ends with an answer of ours. Whoever is told to go elsewhere has to connect anew for it.
fn must_close(worker: &Worker, scratch: &Scratch, body: &RequestBody) -> bool {
    worker.shared.is_draining() || reply::must_close(scratch, body)
}

async fn send<S: ClientIo>(
    client: &mut Client<S>,
    scratch: &mut Scratch,
    live: &Live,
    exchange: &mut Exchange,
    body: &mut RequestBody,
    close: bool,
) -> After {
    exchange.bytes_out += scratch.to_client.pending() as u64;
    if client.flush(&mut scratch.to_client, live.settings.timeouts.client).await.is_err() {
        return After::Close;
    }
    match (close, body.done()) {
        (true, true) if scratch.inbox.len() <= scratch.head.len => After::Close,
        (true, _) => After::Linger,
        (false, true) => After::Keep,
        (false, false) => drain(client, scratch, live, body).await,
    }
}

/// Reads the rest of a body that nobody wants, so that the connection can be kept.
async fn drain<S: ClientIo>(
    client: &mut Client<S>,
    scratch: &mut Scratch,
    live: &Live,
    body: &mut RequestBody,
) -> After {
    let Scratch { inbox, to_upstream, .. } = scratch;
    let rest = poll_fn(|cx| {
        loop {
            to_upstream.clear();
            match ready!(client.poll_body(cx, body, inbox, &mut to_upstream.bytes)) {
                Ok(true) => return Poll::Ready(After::Keep),
                Ok(false) => {}
                Err(_) => return Poll::Ready(After::Close),
            }
        }
    });
    tokio::time::timeout(live.settings.timeouts.client, rest).await.unwrap_or(After::Close)
}
