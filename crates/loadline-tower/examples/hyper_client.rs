//! A cap on the calls to a dependency: at the limit, a call fails at once and the dependency does not hear of it.
//!
//! ```text
//! cargo run -p loadline-tower --example hyper_client
//! ```
//!
//! Starts a dependency that takes 100 ms for an answer, and calls it twenty times at once.

use std::{net::SocketAddr, num::NonZeroU32, time::Duration};

use axum::{Router, body::Body, routing::get};
use http_body_util::BodyExt as _;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use loadline_tower::{
    Error, Gate,
    client::{ClientLayer, ClientService},
};
use tower::{BoxError, Layer as _, ServiceExt as _};

/// A little more than the dependency can work on at once, far less than it would queue.
const AT_ONCE: NonZeroU32 = NonZeroU32::new(8).unwrap();

type HttpClient = Client<hyper_util::client::legacy::connect::HttpConnector, Body>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let address = dependency().await?;
    let gate = Gate::builder(AT_ONCE).no_queue().build();
    let client = ClientLayer::new(gate.clone()).layer(Client::builder(TokioExecutor::new()).build_http());

    let calls: Vec<_> = (0..20).map(|_| tokio::spawn(call(client.clone(), address))).collect();
    for call in calls {
        println!("{}", call.await??);
    }

    let total = gate.snapshot().counters.total();
    println!("{} sent, {} not sent", total.admitted, total.shed_total());
    // Eight at once; on a busy machine some come when others are done.
    assert!(total.admitted >= 8 && total.offered == 20);
    Ok(())
}

/// One call, and what to make of its three kinds of end.
async fn call(client: ClientService<HttpClient>, address: SocketAddr) -> Result<String, BoxError> {
    let request = http::Request::get(format!("http://{address}/")).body(Body::empty())?;
    match client.oneshot(request).await {
        Ok(response) => {
            // The slot is held until the body was read.
            let body = response.into_body().collect().await?.to_bytes();
            Ok(String::from_utf8_lossy(&body).into_owned())
        }
        // Ours: nothing was sent. Answer from a cache, leave something out, or pass the rejection on.
        Err(Error::Shed(rejection)) => Ok(format!("{rejection}, come back in {:?}", rejection.retry_after)),
        // The dependency's.
        Err(Error::Inner(error)) => Err(error.into()),
    }
}

async fn dependency() -> std::io::Result<SocketAddr> {
    let answer = || async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        "found"
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
