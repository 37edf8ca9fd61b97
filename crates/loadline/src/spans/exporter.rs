//! The exporter's thread: gathers spans and posts them to the collector, one batch at a time.
//!
//! A batch that the collector does not take is counted and forgotten: spans are worth less than the memory and the traffic that
//! repetitions would cost while a collector is down. A kept connection that has died is replaced once, for collectors close
//! idle ones.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc as std_mpsc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};

use super::{Counts, Message, Span, encode};

/// Spans of one batch: some 500 kB as JSON.
const BATCH: usize = 512;

/// How long the first span of a batch waits for others.
const GATHER: Duration = Duration::from_secs(1);

/// Until the collector has taken a batch.
const PATIENCE: Duration = Duration::from_secs(5);

/// Longest answer that is read; what it says is not looked at.
const ANSWER: usize = 64 * 1024;

/// Where OTLP over HTTP goes unless an endpoint says otherwise.
const PORT: u16 = 4318;
const TRACES: &str = "/v1/traces";

pub(super) struct Exporter {
    host: String,
    port: u16,
    /// For the `Host` header.
    authority: String,
    path: String,
    messages: mpsc::Receiver<Message>,
    counts: Arc<Counts>,
    hostname: String,
    kept: Option<SendRequest<Full<Bytes>>>,
}

impl Exporter {
    pub(super) fn new(endpoint: &Uri, messages: mpsc::Receiver<Message>, counts: Arc<Counts>) -> Self {
        let host = endpoint.host().unwrap_or_default();
        let path = endpoint.path_and_query().map_or("", |path| path.as_str());
        Self {
            // An IPv6 address stands in brackets in a URL, and without them in a call.
            host: host.trim_matches(['[', ']']).to_owned(),
            port: endpoint.port_u16().unwrap_or(PORT),
            authority: endpoint.authority().map(ToString::to_string).unwrap_or_default(),
            path: if matches!(path, "" | "/") { TRACES } else { path }.to_owned(),
            messages,
            counts,
            hostname: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            kept: None,
        }
    }

    /// Runs until nobody can hand over spans any more, and everything was sent.
    pub(super) fn run(self) {
        // Without a runtime nothing can be sent; the queue's end tells those who hand over.
        if let Ok(runtime) = Builder::new_current_thread().enable_all().build() {
            runtime.block_on(self.serve());
        }
    }

    async fn serve(mut self) {
        let mut batch = Vec::new();
        loop {
            let Some(first) = self.messages.recv().await else { return };
            let mut asked = take(first, &mut batch);
            let until = Instant::now() + GATHER;
            while asked.is_none() && batch.len() < BATCH {
                match timeout_at(until, self.messages.recv()).await {
                    Ok(Some(message)) => asked = take(message, &mut batch),
                    Ok(None) | Err(_) => break,
                }
            }
            if !batch.is_empty() {
                self.send(&batch).await;
                batch.clear();
            }
            if let Some(asked) = asked {
                // Whoever asked may have left.
                let _ = asked.send(());
            }
        }
    }

    async fn send(&mut self, batch: &[Span]) {
        let body = Bytes::from(encode::batch(batch, &self.hostname));
        let taken = timeout(PATIENCE, self.post(body)).await.unwrap_or(false);
        if !taken {
            self.kept = None;
        }
        let count = if taken { &self.counts.exported } else { &self.counts.failed };
        count.fetch_add(batch.len() as u64, Ordering::Relaxed);
    }

    /// Whether the collector took it.
    async fn post(&mut self, body: Bytes) -> bool {
        if let Some(mut connection) = self.kept.take()
            && let Some(taken) = self.exchange(&mut connection, body.clone()).await
        {
            self.kept = Some(connection);
            return taken;
        }
        let Some(mut connection) = self.connect().await else { return false };
        let taken = self.exchange(&mut connection, body).await;
        self.kept = taken.is_some().then_some(connection);
        taken == Some(true)
    }

    async fn connect(&self) -> Option<SendRequest<Full<Bytes>>> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await.ok()?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.ok()?;
        tokio::spawn(connection);
        Some(sender)
    }

    /// Posts on this connection; `None` when there was no whole answer, so that it is of no further use.
    async fn exchange(&self, connection: &mut SendRequest<Full<Bytes>>, body: Bytes) -> Option<bool> {
        connection.ready().await.ok()?;
        let request = Request::post(&self.path)
            .header(HOST, &self.authority)
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .ok()?;
        let answer = connection.send_request(request).await.ok()?;
        let taken = answer.status().is_success();
        Limited::new(answer.into_body(), ANSWER).collect().await.ok()?;
        Some(taken)
    }
}

/// Adds a span to the batch, or returns who asks for it to be sent.
fn take(message: Message, batch: &mut Vec<Span>) -> Option<std_mpsc::Sender<()>> {
    match message {
        Message::Span(span) => {
            batch.push(*span);
            None
        }
        Message::Flush(asked) => Some(asked),
    }
}
