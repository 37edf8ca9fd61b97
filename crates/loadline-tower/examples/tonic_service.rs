//! A gRPC service behind a gate, and a client that tells it how long it will wait.
//!
//! ```text
//! cargo run -p loadline-tower --example tonic_service
//! ```
//!
//! The service and its codec are written by hand, so that no protoc is needed; with generated code only `Shout` changes.

use std::{
    convert::Infallible,
    future::Future,
    net::SocketAddr,
    num::NonZeroU32,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Buf as _, BufMut as _};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use loadline_tower::{
    Budget, Class, Gate,
    client::{ClientLayer, ClientService},
    server::LoadlineLayer,
};
use tonic::{
    Code, Request, Response, Status,
    body::Body,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    server::NamedService,
    transport::{Server, server::TcpIncoming},
};
use tower::{BoxError, Layer as _, Service, service_fn};

const AT_ONCE: NonZeroU32 = NonZeroU32::new(4).unwrap();

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let gate = Gate::builder(AT_ONCE).no_queue().build();
    let layer =
        LoadlineLayer::new(gate.clone()).classify(|call: &http::Request<Body>| match call.uri().path() {
            "/grpc.health.v1.Health/Check" => Class::Bypass,
            _ => Class::Normal,
        });
    let incoming = TcpIncoming::bind("127.0.0.1:0".parse()?)?;
    let address = incoming.local_addr()?;
    tokio::spawn(Server::builder().layer(layer).add_service(Shout).serve_with_incoming(incoming));

    let calls: Vec<_> = (0..10).map(|number| tokio::spawn(call(client(), address, number))).collect();
    let (mut answers, mut refused) = (0, 0);
    for call in calls {
        match call.await? {
            Ok(answer) => {
                println!("{answer}");
                answers += 1;
            }
            Err(status) => {
                println!("{:?}: {}", status.code(), status.message());
                assert_eq!(status.code(), Code::Unavailable);
                refused += 1;
            }
        }
    }
    // Four at once; on a busy machine some come when others are done.
    assert!(answers >= 4 && answers + refused == 10);
    Ok(())
}

type HttpClient = ClientService<Client<HttpConnector, Body>>;

/// Passes the budget on as `grpc-timeout`. The generous limit is the client's own affair.
fn client() -> HttpClient {
    const CALLS: NonZeroU32 = NonZeroU32::new(100).unwrap();
    let http = Client::builder(TokioExecutor::new()).http2_only(true).build_http();
    ClientLayer::new(Gate::builder(CALLS).no_queue().build()).layer(http)
}

async fn call(client: HttpClient, address: SocketAddr, number: u32) -> Result<String, Status> {
    let origin = format!("http://{address}").parse().expect("an address is a valid origin");
    let mut grpc = Grpc::with_origin(client, origin);
    let budget = Budget::new(Class::Normal).within(Duration::from_secs(2));
    let answer = budget.scope(async move {
        grpc.ready().await.map_err(|error| Status::unknown(error.to_string()))?;
        let path = http::uri::PathAndQuery::from_static("/example.Shout/Shout");
        grpc.unary(Request::new(format!("hello {number}")), path, Text).await
    });
    Ok(answer.await?.into_inner())
}

/// Answers in capitals, after 100 ms of work, and says how much time the caller had left.
async fn shout(request: Request<String>) -> Result<Response<String>, Status> {
    tokio::time::sleep(Duration::from_millis(100)).await;
    let left = Budget::current().and_then(|budget| budget.remaining()).unwrap_or_default();
    Ok(Response::new(format!("{}, with {:.1} s left", request.get_ref().to_uppercase(), left.as_secs_f64())))
}

#[derive(Clone)]
struct Shout;

impl NamedService for Shout {
    const NAME: &'static str = "example.Shout";
}

impl Service<http::Request<Body>> for Shout {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(async { Ok(tonic::server::Grpc::new(Text).unary(service_fn(shout), request).await) })
    }
}

/// Messages that are text.
#[derive(Clone, Copy)]
struct Text;

impl Codec for Text {
    type Encode = String;
    type Decode = String;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Text {
    type Item = String;
    type Error = Status;

    fn encode(&mut self, text: String, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put_slice(text.as_bytes());
        Ok(())
    }
}

impl Decoder for Text {
    type Item = String;
    type Error = Status;

    fn decode(&mut self, bytes: &mut DecodeBuf<'_>) -> Result<Option<String>, Status> {
        let bytes = bytes.copy_to_bytes(bytes.remaining());
        let text =
            std::str::from_utf8(&bytes).map_err(|error| Status::invalid_argument(error.to_string()))?;
        Ok(Some(text.to_owned()))
    }
}

#[cfg(test)]
#[test]
fn runs() {
    main().unwrap();
}
