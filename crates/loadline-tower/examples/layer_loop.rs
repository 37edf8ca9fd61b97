//! One call through a layer, very often, beside the same service without one and with tower's own limits.
//!
//! ```text
//! cargo build --release -p loadline-tower --example layer_loop
//! target/release/examples/layer_loop loadline 1000000      # mode, rounds
//! ```
//!
//! Modes: `bare`, `tower` and `loadline` (admitted and completed), `tower-shed` and `loadline-shed` (rejected; loadline with its
//! response), `loadline-error` (rejected with an error). Under callgrind, divide the difference of two runs' `Ir` by the
//! difference of their rounds.

use std::{
    convert::Infallible,
    future::{Future, Ready, ready},
    hint::black_box,
    num::NonZeroU32,
    pin::pin,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Empty;
use loadline_tower::{Attempt, Class, Gate, server::LoadlineLayer};
use tower::{
    Layer as _, Service, limit::ConcurrencyLimitLayer, load_shed::LoadShedLayer, service_fn, util::ServiceFn,
};

type Answer = Ready<Result<Response<Empty<Bytes>>, Infallible>>;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mode = arguments.next().unwrap_or_else(|| "loadline".to_owned());
    let rounds = arguments.next().map_or(1_000_000, |text| text.parse().expect("a number"));

    let free = Gate::builder(NonZeroU32::new(100).expect("not zero")).no_queue().build();
    let full = Gate::builder(NonZeroU32::MIN).no_queue().build();
    let held = full.try_admit(loadline_tower::Request::new(Class::Normal));
    assert!(matches!(held, Attempt::Admitted(_)));
    let service: ServiceFn<fn(Request<()>) -> Answer> =
        service_fn(|_| ready(Ok(Response::new(Empty::new()))));
    let towers = |limit| LoadShedLayer::new().layer(ConcurrencyLimitLayer::new(limit).layer(service));

    let begun = std::time::Instant::now();
    match mode.as_str() {
        "bare" => repeat(service, rounds),
        "tower" => repeat(towers(100), rounds),
        "tower-shed" => repeat(towers(0), rounds),
        "loadline" => repeat(LoadlineLayer::new(free).layer(service), rounds),
        "loadline-shed" => repeat(LoadlineLayer::new(full).layer(service), rounds),
        "loadline-error" => repeat(LoadlineLayer::new(full).shed_as_error().layer(service), rounds),
        other => panic!("no such mode: {other}"),
    }
    println!("{mode}: {:.1} ns per call", begun.elapsed().as_nanos() as f64 / rounds as f64);
    drop(held);
}

fn repeat<S: Service<Request<()>>>(mut service: S, rounds: u64) {
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..rounds {
        let Poll::Ready(Ok(())) = service.poll_ready(&mut context) else { unreachable!("nothing may wait") };
        let answer = pin!(service.call(black_box(Request::new(())))).poll(&mut context);
        assert!(black_box(answer).is_ready(), "nothing may wait");
    }
}
