//! reqwest behind a gate: a cap, a budget for each call, and restraint while the dependency refuses.
//!
//! ```text
//! cargo run -p loadline-tower --example reqwest_client
//! ```
//!
//! Starts a dependency that says no for a while, and calls it one hundred times.

use std::{
    net::SocketAddr,
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use axum::{Router, http::StatusCode, routing::get};
use loadline_tower::{
    Error, Gate, PermitBody, Reason,
    client::{ClientLayer, Throttle},
};
use reqwest::Body;
use tower::{BoxError, Layer as _, Service, ServiceExt as _, service_fn};

const AT_ONCE: NonZeroU32 = NonZeroU32::new(8).unwrap();

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let asked = Arc::new(AtomicU32::new(0));
    let address = dependency(Arc::clone(&asked)).await?;
    let mut client = limited(reqwest::Client::new());

    let mut kept_back = 0;
    for _ in 0..100 {
        let request = http::Request::get(format!("http://{address}/")).body(Body::default())?;
        match client.ready().await?.call(request).await {
            Ok(response) => println!("{}", response.status()),
            Err(Error::Shed(rejection)) if rejection.reason == Reason::Overload => kept_back += 1,
            Err(error) => return Err(error.into()),
        }
    }
    let asked = asked.load(Ordering::SeqCst);
    println!("{asked} sent, {kept_back} kept back");
    assert!(asked < 50 && asked + kept_back == 100);
    Ok(())
}

/// reqwest takes requests of its own type, which those of the crate `http` become; in a service they can be layered.
fn limited(
    client: reqwest::Client,
) -> impl Service<
    http::Request<Body>,
    Response = http::Response<PermitBody<Body>>,
    Error = Error<reqwest::Error>,
    Future: Send,
> + Clone {
    let service = service_fn(move |request: http::Request<Body>| {
        let client = client.clone();
        async move { Ok(http::Response::from(client.execute(request.try_into()?).await?)) }
    });
    ClientLayer::new(Gate::builder(AT_ONCE).no_queue().build())
        .default_budget(Duration::from_secs(2)) // sent as X-Request-Timeout-Ms
        .throttle(Throttle::new())
        .layer(service)
}

/// Refuses everybody.
async fn dependency(asked: Arc<AtomicU32>) -> std::io::Result<SocketAddr> {
    let answer = move || async move {
        asked.fetch_add(1, Ordering::SeqCst);
        StatusCode::SERVICE_UNAVAILABLE
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/", get(answer))).await });
    Ok(address)
}

#[cfg(test)]
#[test]
fn runs() {
    main().unwrap();
}
