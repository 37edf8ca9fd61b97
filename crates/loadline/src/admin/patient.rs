//! A connection that is given up when its client takes nothing of its answer.
//!
//! Why: there are few places at the admin address, and hyper waits for ever for a client that asks and does not read. Some dozens
//! of them would shut out scrapes, probes and commands, and a probe that fails restarts the process. What counts is progress:
//! a slow client that takes something is waited for.
//!
//! Out of scope: a client that sends nothing, for which hyper has a timer.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::watchdog::Watchdog;

/// How long a client may take nothing.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) struct Patient<S> {
    io: S,
    watchdog: Watchdog,
    /// When it is given up, while it takes nothing.
    due: Option<Instant>,
}

impl<S> Patient<S> {
    pub(super) fn new(io: S) -> Self {
        Self { io, watchdog: Watchdog::default(), due: None }
    }

    /// Passes on what became of an attempt to write, unless the client's time is up.
    fn judge<T>(&mut self, cx: &mut Context<'_>, attempt: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if attempt.is_ready() {
            self.due = None;
            return attempt;
        }
        let now = Instant::now();
        let due = *self.due.get_or_insert(now + PATIENCE);
        self.watchdog.poll(cx, now, due).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let attempt = Pin::new(&mut this.io).poll_write(cx, buf);
        this.judge(cx, attempt)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let attempt = Pin::new(&mut this.io).poll_write_vectored(cx, bufs);
        this.judge(cx, attempt)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_is_given_up_after_a_while() {
        let (_client, server) = duplex(4);
        let begun = Instant::now();
        let written = Patient::new(server).write_all(b"answer").await;
        assert_eq!(written.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(begun.elapsed(), PATIENCE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_client_that_takes_something_is_waited_for() {
        let (mut client, server) = duplex(1);
        let mut server = Patient::new(server);
        let writing = tokio::spawn(async move { server.write_all(b"answer").await });
        let begun = Instant::now();
        for byte in b"answer" {
            tokio::time::advance(PATIENCE * 9 / 10).await;
            assert_eq!(client.read_u8().await.ok(), Some(*byte));
        }
        assert!(begun.elapsed() > PATIENCE * 2);
        writing.await.unwrap().unwrap();
    }
}
