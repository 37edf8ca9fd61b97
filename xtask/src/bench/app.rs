//! What the benchmarks' apps have in common: a thread that accepts, the reading of a request, and a count of the requests held.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use super::wire::head_end;
use super::{LOAD_CORE, Result, measure};

/// A listener with a thread and a runtime of its own; dropping it ends the thread and closes its connections.
pub(super) struct Serving {
    /// Where it listens.
    pub(super) address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Serving {
    /// Gives each connection to `serve`.
    pub(super) fn start<F, S>(serve: S) -> Result<Self>
    where
        F: Future<Output = io::Result<()>> + Send + 'static,
        S: Fn(TcpStream) -> F + Send + 'static,
    {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = thread::Builder::new().name("app".into()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    result = accept(listener, serve) => {
                        if let Err(error) = result {
                            eprintln!("app: {error}");
                        }
                    }
                    // Ends with the sender, whichever way.
                    _ = stopped => {}
                }
            });
        })?;
        Ok(Self { address, stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic there was printed there.
            let _ = thread.join();
        }
    }
}

async fn accept<F>(listener: std::net::TcpListener, serve: impl Fn(TcpStream) -> F) -> Result<()>
where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    measure::pin_to(LOAD_CORE)?;
    let listener = TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let connection = serve(stream);
        tokio::spawn(async move {
            // The proxy closing its connection ends the exchange: nothing to report.
            let _ = connection.await;
        });
    }
}

/// Reads into `input` until it begins with a whole head, and returns its length; `None` when the connection is closed before.
pub(super) async fn read_head(
    stream: &mut TcpStream,
    buffer: &mut [u8],
    input: &mut Vec<u8>,
) -> io::Result<Option<usize>> {
    loop {
        if let Some(end) = head_end(input) {
            return Ok(Some(end));
        }
        match stream.read(buffer).await? {
            0 => return Ok(None),
            count => input.extend_from_slice(&buffer[..count]),
        }
    }
}

/// How many requests an app holds, those for clients that left included.
#[derive(Default)]
pub(super) struct Holding {
    now: AtomicUsize,
    peak: AtomicUsize,
}

impl Holding {
    /// One more, until what is returned is dropped.
    pub(super) fn hold(&self) -> Held<'_> {
        let now = self.now.fetch_add(1, Ordering::AcqRel) + 1;
        self.peak.fetch_max(now, Ordering::AcqRel);
        Held(self)
    }

    /// The most at once since the last call.
    pub(super) fn take_peak(&self) -> usize {
        self.peak.swap(self.now.load(Ordering::Acquire), Ordering::AcqRel)
    }
}

/// A request that an app holds.
pub(super) struct Held<'a>(&'a Holding);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::AcqRel);
    }
}
