//! Streams whose client takes nothing: they end after a while, as a connection would.
//!
//! An HTTP/2 client says for each stream how much it will take. While it takes nothing, hyper asks nobody for more of the answer, and
//! the answer waits: in a pipe, where the proxy has no part in it any more. Without a bound in time such streams, a hundred for each
//! connection, would hold their memory for as long as the client answers pings.
//!
//! So the task of a stream ends when its client has taken nothing of what is there for `timeouts.client`; that resets the stream, and
//! its connection stays. Out of scope: a connection of which nothing is read, for it does not answer pings either.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use tokio::task::spawn_local;
use tokio::time::Instant;

use crate::watchdog::Watchdog;

tokio::task_local! {
    static OF_TASK: Rc<Pace>;
}

/// Since when the client has to take something; `None` while there is nothing for it.
#[derive(Debug, Default)]
pub(super) struct Pace(Cell<Option<Instant>>);

impl Pace {
    /// That of the stream whose task this is.
    pub(super) fn of_stream() -> Rc<Self> {
        OF_TASK.try_with(Rc::clone).unwrap_or_default()
    }

    /// There is something for the client.
    pub(super) fn offered(&self) {
        self.0.set(Some(Instant::now()));
    }

    /// The client would take more.
    pub(super) fn taken(&self) {
        self.0.set(None);
    }
}

/// Runs hyper's stream tasks on this worker.
#[derive(Clone, Copy)]
pub(super) struct Paced {
    /// How long a client may take nothing.
    pub(super) patience: Duration,
}

impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for Paced {
    fn execute(&self, task: F) {
        let patience = self.patience;
        let pace = Rc::new(Pace::default());
        spawn_local(OF_TASK.scope(Rc::clone(&pace), async move {
            let mut task = pin!(task);
            let mut watchdog = Watchdog::default();
            poll_fn(|cx| {
                if task.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(());
                }
                match pace.0.get() {
                    Some(since) => watchdog.poll(cx, Instant::now(), since + patience),
                    None => Poll::Pending,
                }
            })
            .await;
        }));
    }
}
