//! One call through a layer, very often, beside the same service without one and with tower's own limits.
//!
//! ```text
//! cargo build --release -p loadline-tower --example layer_loop
//! target/release/examples/layer_loop loadline 1000000           # mode, rounds
//! target/release/examples/layer_loop loadline 1000000 browser   # requests with eight fields, as a browser sends them
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
use http::{Request, Response, request::Builder};
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
    let request = arguments.next().map_or_else(|| Request::new(()), |_| browsers());

    let free = Gate::builder(NonZeroU32::new(100).expect("not zero")).no_queue().build();
    let full = Gate::builder(NonZeroU32::MIN).no_queue().build();
    let held = full.try_admit(loadline_tower::Request::new(Class::Normal));
    assert!(matches!(held, Attempt::Admitted(_)));
    let service: ServiceFn<fn(Request<()>) -> Answer> =
        service_fn(|_| ready(Ok(Response::new(Empty::new()))));
    let towers = |limit| LoadShedLayer::new().layer(ConcurrencyLimitLayer::new(limit).layer(service));

    let begun = std::time::Instant::now();
    match mode.as_str() {
        "bare" => repeat(service, &request, rounds),
        "tower" => repeat(towers(100), &request, rounds),
        "tower-shed" => repeat(towers(0), &request, rounds),
        "loadline" => repeat(LoadlineLayer::new(free).layer(service), &request, rounds),
        "loadline-shed" => repeat(LoadlineLayer::new(full).layer(service), &request, rounds),
        "loadline-error" => repeat(LoadlineLayer::new(full).shed_as_error().layer(service), &request, rounds),
        other => panic!("no such mode: {other}"),
    }
    println!("{mode}: {:.1} ns per call", begun.elapsed().as_nanos() as f64 / rounds as f64);
    drop(held);
}

fn repeat<S: Service<Request<()>>>(mut service: S, request: &Request<()>, rounds: u64) {
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..rounds {
        let Poll::Ready(Ok(())) = service.poll_ready(&mut context) else { unreachable!("nothing may wait") };
        let answer = pin!(service.call(black_box(request.clone()))).poll(&mut context);
        assert!(black_box(answer).is_ready(), "nothing may wait");
    }
}

/// Nothing in it concerns admission.
fn browsers() -> Request<()> {
    const FIELDS: [(&str, &str); 8] = [
        ("host", "shop.example"),
        ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"),
        ("accept", "text/html,application/xhtml+xml"),
        ("accept-language", "en"),
        ("accept-encoding", "gzip, deflate, br"),
        ("connection", "keep-alive"),
        ("cookie", "session=0123456789abcdef"),
        ("referer", "https://shop.example/"),
    ];
    let with = |request: Builder, (name, value)| request.header(name, value);
    FIELDS.into_iter().fold(Request::builder(), with).body(()).expect("valid fields")
}
