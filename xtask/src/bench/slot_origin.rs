//! An app with a fixed number of workers that does not notice when its clients leave.
//!
//! Like a threaded server: every request it was handed is worked on to the end, in order, for a fixed time, whether or not
//! anybody still waits. It counts the requests that it holds, from the moment they are read until they are answered or
//! their work was for nobody, so that a proxy that sends more than it should is found out; and the time that its workers
//! have worked, so that work for nobody is found out. A request may ask for a time of its own: `?us=` and microseconds.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot};

use super::wire::{content_length, head_end, read_buffer};
use super::{LOAD_CORE, Result, measure};

/// Answered with [`DOWNLOAD_BYTES`]; everything else is answered with a few bytes.
pub(super) const DOWNLOAD: &str = "/download";

/// More than socket buffers and a proxy's read-ahead hold together.
const DOWNLOAD_BYTES: usize = 4_000_000;

/// A running app; dropping it ends its thread and closes its connections.
pub(super) struct SlotOrigin {
    /// Where it listens.
    pub(super) address: SocketAddr,
    app: Arc<App>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

struct App {
    workers: Semaphore,
    service: Duration,
    held: AtomicUsize,
    /// The most held at once since it was last asked.
    peak: AtomicUsize,
    /// Microseconds.
    worked: AtomicU64,
    download: Vec<u8>,
}

impl SlotOrigin {
    /// Starts an app of `workers` that take `service` per request.
    pub(super) fn start(workers: usize, service: Duration) -> Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let app = Arc::new(App {
            workers: Semaphore::new(workers),
            service,
            held: AtomicUsize::new(0),
            peak: AtomicUsize::new(0),
            worked: AtomicU64::new(0),
            download: answer(DOWNLOAD_BYTES),
        });
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let serving = Arc::clone(&app);
        let thread = thread::Builder::new().name("app".into()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    result = accept(listener, serving) => {
                        if let Err(error) = result {
                            eprintln!("app: {error}");
                        }
                    }
                    // Ends with the sender, whichever way.
                    _ = stopped => {}
                }
            });
        })?;
        Ok(Self { address, app, stop: Some(stop), thread: Some(thread) })
    }

    /// The most requests held at once since the last call.
    pub(super) fn take_peak(&self) -> usize {
        self.app.peak.swap(self.app.held.load(Ordering::Acquire), Ordering::AcqRel)
    }

    /// How long its workers have worked, all together.
    pub(super) fn worked(&self) -> Duration {
        Duration::from_micros(self.app.worked.load(Ordering::Acquire))
    }
}

impl Drop for SlotOrigin {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic there was printed there.
            let _ = thread.join();
        }
    }
}

async fn accept(listener: std::net::TcpListener, app: Arc<App>) -> Result<()> {
    measure::pin_to(LOAD_CORE)?;
    let listener = TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        let app = Arc::clone(&app);
        tokio::spawn(async move {
            // The proxy closing its connection ends the exchange: nothing to report.
            let _ = serve(stream, &app).await;
        });
    }
}

/// One connection: request after request.
async fn serve(mut stream: TcpStream, app: &App) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let small = answer(2);
    let mut buffer = read_buffer();
    let mut input = Vec::new();
    loop {
        let end = loop {
            if let Some(end) = head_end(&input) {
                break end;
            }
            match stream.read(&mut buffer).await? {
                0 => return Ok(()),
                count => input.extend_from_slice(&buffer[..count]),
            }
        };
        let _held = Held::new(app);
        let target = input[..end].split(|byte| *byte == b' ').nth(1).unwrap_or_default();
        let download = target == DOWNLOAD.as_bytes();
        let service = wanted(target).unwrap_or(app.service);
        let mut body = content_length(&input[..end]).unwrap_or(0).saturating_sub(input.len() - end);
        while body > 0 {
            match stream.read(&mut buffer).await? {
                0 => return Ok(()),
                count => body = body.saturating_sub(count),
            }
        }
        input.clear();
        // Closed never: the app outlives its connections.
        let Ok(_worker) = app.workers.acquire().await else { return Ok(()) };
        work(service).await;
        let micros = u64::try_from(service.as_micros()).unwrap_or(u64::MAX);
        app.worked.fetch_add(micros, Ordering::AcqRel);
        stream.write_all(if download { &app.download } else { &small }).await?;
    }
}

/// The time that a request's target asks for.
fn wanted(target: &[u8]) -> Option<Duration> {
    let (_, micros) = std::str::from_utf8(target).ok()?.split_once("?us=")?;
    micros.parse().ok().map(Duration::from_micros)
}

/// A worker's time. On a thread: the runtime's timer rounds up to milliseconds, which would take 2 % of the capacity.
async fn work(service: Duration) {
    // Fails only when the runtime is going away, and with it this task.
    let _ = tokio::task::spawn_blocking(move || thread::sleep(service)).await;
}

/// A request that the app holds.
struct Held<'a>(&'a App);

impl<'a> Held<'a> {
    fn new(app: &'a App) -> Self {
        let now = app.held.fetch_add(1, Ordering::AcqRel) + 1;
        app.peak.fetch_max(now, Ordering::AcqRel);
        Self(app)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.held.fetch_sub(1, Ordering::AcqRel);
    }
}

fn answer(body: usize) -> Vec<u8> {
    let mut answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {body}\r\n\r\n").into_bytes();
    answer.resize(answer.len() + body, b'x');
    answer
}
