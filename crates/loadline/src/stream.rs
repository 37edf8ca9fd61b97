//! `/api/v1/stream`: the status four times a second as server-sent events (HTML, section 9.2), for the live page.
//!
//! Three kinds of events. `samples`: the seconds of the history that this reader has not been told yet; at first all of them.
//! `status`: the document of `/api/v1/status`; it is the heartbeat too, so that a reader who hears nothing for a few seconds
//! knows that the connection is gone. `end`: the process ends, and so does the answer.
//!
//! **Nobody waits for a reader.** The document is written once for all of them, and only while there are any. A reader that is
//! slow is told the latest when it is ready again, and all samples in between; one that takes nothing loses its connection, as
//! everybody at the admin address does. There are at most [`READERS`].

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame};
use serde_json::Value;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::{MissedTickBehavior, timeout};

use crate::shared::Shared;
use crate::status;

/// Readers at once; half of the admin address's connections stay for scrapes, probes and commands.
pub(crate) const READERS: u32 = 32;

/// Between two status documents.
const EVERY: Duration = Duration::from_millis(250);

/// How long the end of the process waits for readers to be told of it.
const FAREWELL: Duration = Duration::from_millis(250);

/// When a browser that lost the connection tries again, in milliseconds.
const RETRY: &str = "retry: 1000\n\n";

/// The readers of one process.
pub(crate) struct Streams {
    places: Arc<Semaphore>,
    latest: watch::Sender<Latest>,
    /// Told of each new reader.
    read: Notify,
}

#[derive(Clone, Debug)]
enum Latest {
    /// An event, ready to send.
    Status(Bytes),
    End,
}

impl Streams {
    pub(crate) fn new() -> Self {
        let (latest, _) = watch::channel(Latest::Status(Bytes::new()));
        Self { places: Arc::new(Semaphore::new(READERS as usize)), latest, read: Notify::new() }
    }

    /// Writes the status for whoever reads, for ever.
    pub(crate) async fn publish(self: Arc<Self>, shared: Arc<Shared>) {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            while self.latest.receiver_count() == 0 {
                self.read.notified().await;
            }
            let event = event("status", &status::json(&shared));
            self.latest.send_if_modified(|latest| match latest {
                Latest::Status(before) => {
                    *before = event;
                    true
                }
                Latest::End => false,
            });
        }
    }

    /// A new reader's body; `None` when there are too many.
    pub(crate) fn subscribe(&self, shared: &Arc<Shared>) -> Option<Events> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        let (frames, events) = mpsc::channel(1);
        let (shared, latest) = (Arc::clone(shared), self.latest.subscribe());
        self.read.notify_one();
        tokio::spawn(async move {
            let _ = feed(&shared, latest, &frames).await;
        });
        Some(Events { events, _place: place })
    }

    /// Ends all streams, and waits a moment for the readers to be told.
    pub(crate) async fn end(&self) {
        self.latest.send_replace(Latest::End);
        // All places are free when all bodies have ended. Who does not read is not waited for longer.
        let _ = timeout(FAREWELL, self.places.acquire_many(READERS)).await;
    }
}

/// The reader is gone.
struct Lost;

async fn feed(
    shared: &Shared,
    mut latest: watch::Receiver<Latest>,
    frames: &mpsc::Sender<Bytes>,
) -> Result<(), Lost> {
    let mut told = 0;
    send(frames, Bytes::from_static(RETRY.as_bytes())).await?;
    loop {
        let (samples, until) = shared.history.after(told);
        if !samples.is_empty() {
            send(frames, event("samples", &Value::Array(samples))).await?;
        }
        told = until;
        // What was written before this reader came is old, unless it was the end.
        if !matches!(*latest.borrow(), Latest::End) {
            latest.changed().await.map_err(|_| Lost)?;
        }
        let now = latest.borrow_and_update().clone();
        match now {
            Latest::Status(event) => send(frames, event).await?,
            Latest::End => return send(frames, event("end", &Value::Null)).await,
        }
    }
}

async fn send(frames: &mpsc::Sender<Bytes>, event: Bytes) -> Result<(), Lost> {
    frames.send(event).await.map_err(|_| Lost)
}

/// One event. A JSON text without line breaks is one `data` line.
fn event(name: &str, document: &Value) -> Bytes {
    format!("event: {name}\ndata: {document}\n\n").into()
}

/// A stream as a response body.
pub(crate) struct Events {
    events: mpsc::Receiver<Bytes>,
    /// Free again when the body has ended.
    _place: OwnedSemaphorePermit,
}

impl Body for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.events.poll_recv(context).map(|event| event.map(|event| Ok(Frame::data(event))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_three_lines() {
        let document = serde_json::json!({ "text": "two\nlines" });
        let expected = "event: status\ndata: {\"text\":\"two\\nlines\"}\n\n";
        assert_eq!(event("status", &document), expected);
    }
}
