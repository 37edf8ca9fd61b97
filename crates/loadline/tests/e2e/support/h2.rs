//! An HTTP/2 client with prior knowledge: hyper's, driven from a test's thread.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Frame, Incoming};
use hyper::client::conn::http2::{self, SendRequest};
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use super::PATIENCE;

/// One connection with its own small runtime.
#[derive(Debug)]
pub(crate) struct H2 {
    runtime: Runtime,
    sender: SendRequest<UnsyncBoxBody<Bytes, Infallible>>,
}

/// A response read to its end.
#[derive(Debug)]
pub(crate) struct H2Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Option<HeaderMap>,
}

/// A request under way; dropping it resets the stream.
#[derive(Debug)]
pub(crate) struct Stream(JoinHandle<Result<H2Reply, hyper::Error>>);

impl H2 {
    #[track_caller]
    pub(crate) fn connect(addr: SocketAddr) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let sender = runtime.block_on(async {
            let stream = tokio::net::TcpStream::connect(addr).await.expect("the proxy accepts connections");
            let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
                .await
                .expect("the proxy speaks HTTP/2 with prior knowledge");
            tokio::spawn(connection);
            sender
        });
        Self { runtime, sender }
    }

    /// Starts a request without waiting for its answer.
    pub(crate) fn start(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Stream {
        self.send(method, path, headers, Full::new(Bytes::copy_from_slice(body)).boxed_unsync())
    }

    /// Starts an upload that stalls after these bytes.
    pub(crate) fn start_stalled(&self, path: &str, begin: &[u8]) -> Stream {
        self.send("POST", path, &[], Stalled(Some(Bytes::copy_from_slice(begin))).boxed_unsync())
    }

    fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: UnsyncBoxBody<Bytes, Infallible>,
    ) -> Stream {
        let mut request = Request::builder().method(method).uri(format!("http://test.example{path}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body).unwrap();
        let mut sender = self.sender.clone();
        Stream(self.runtime.spawn(async move {
            sender.ready().await?;
            collect(sender.send_request(request).await?).await
        }))
    }

    /// Sends a request and reads the answer to its end.
    #[track_caller]
    pub(crate) fn request(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> H2Reply {
        self.finish(self.start(method, path, headers, body))
    }

    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> H2Reply {
        self.request("GET", path, &[], b"")
    }

    /// Waits for a started request's answer.
    #[track_caller]
    pub(crate) fn finish(&self, stream: Stream) -> H2Reply {
        self.try_finish(stream).expect("a whole response")
    }

    pub(crate) fn try_finish(&self, stream: Stream) -> Result<H2Reply, hyper::Error> {
        self.runtime.block_on(async {
            tokio::time::timeout(PATIENCE, stream.0).await.expect("an answer in time").expect("no panic")
        })
    }

    /// Resets a started request's stream.
    pub(crate) fn cancel(&self, stream: Stream) {
        stream.0.abort();
        let _ = self.runtime.block_on(stream.0);
    }
}

async fn collect(response: Response<Incoming>) -> Result<H2Reply, hyper::Error> {
    let (head, body) = response.into_parts();
    let collected = body.collect().await?;
    let trailers = collected.trailers().cloned();
    Ok(H2Reply {
        status: head.status.as_u16(),
        headers: head.headers,
        body: collected.to_bytes().to_vec(),
        trailers,
    })
}

/// A body that begins and never ends.
struct Stalled(Option<Bytes>);

impl Body for Stalled {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.take().map_or(Poll::Pending, |begin| Poll::Ready(Some(Ok(Frame::data(begin)))))
    }
}
