//! Connections of an app: accepted until it is told to stop, then their last answers.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;

use crate::reply::Body;

/// Pause after a failed accept: out of descriptors, say, which only time mends.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// How long answers under way may take once the app is told to stop: below what orchestrators allow (30 s).
const LAST_ANSWERS: Duration = Duration::from_secs(10);

/// An app: what becomes of a request.
pub(crate) trait App: Send + Sync + 'static {
    /// Answers one request.
    fn answer(&self, request: Request<Incoming>) -> impl Future<Output = Response<Body>> + Send;
}

/// Serves `app` until `stop` is ready, and then until the answers under way are sent.
pub(crate) async fn serve(listener: TcpListener, app: Arc<impl App>, stop: impl Future<Output = ()>) {
    let graceful = GracefulShutdown::new();
    tokio::select! {
        () = accept(listener, app, &graceful) => {}
        () = stop => {}
    }
    // Past this bound the answers are lost, which is what a deadline for the end means.
    let _ = tokio::time::timeout(LAST_ANSWERS, graceful.shutdown()).await;
}

async fn accept(listener: TcpListener, app: Arc<impl App>, graceful: &GracefulShutdown) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_RETRY).await;
            continue;
        };
        // Without it the last segment of an answer may wait for the peer's delayed acknowledgement.
        let _ = stream.set_nodelay(true);
        let app = Arc::clone(&app);
        let service = service_fn(move |request| {
            let app = Arc::clone(&app);
            async move { Ok::<_, Infallible>(app.answer(request).await) }
        });
        let connection =
            http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service);
        let watched = graceful.watch(connection);
        tokio::spawn(async move {
            // An error here is a client that left or spoke something else: its connection ends, nothing more.
            let _ = watched.await;
        });
    }
}
