//! An app with a fixed number of workers that does not notice when its clients leave.
//!
//! Like a threaded server: every request it was handed is worked on to the end, in order, for a fixed time, whether or not
//! anybody still waits. It counts the requests that it holds, from the moment they are read until they are answered or
//! their work was for nobody, so that a proxy that sends more than it should is found out; and the time that its workers
//! have worked, so that work for nobody is found out. A request may ask for a time of its own: `?us=` and microseconds.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use super::Result;
use super::app::{Holding, Serving, read_head};
use super::wire::{content_length, read_buffer};

/// Answered with [`DOWNLOAD_BYTES`]; everything else is answered with a few bytes.
pub(super) const DOWNLOAD: &str = "/download";

/// More than socket buffers and a proxy's read-ahead hold together.
const DOWNLOAD_BYTES: usize = 4_000_000;

/// A running app; dropping it ends its thread and closes its connections.
pub(super) struct SlotOrigin {
    app: Arc<App>,
    serving: Serving,
}

struct App {
    workers: Semaphore,
    service: Duration,
    holding: Holding,
    /// Microseconds.
    worked: AtomicU64,
    download: Vec<u8>,
}

impl SlotOrigin {
    /// Starts an app of `workers` that take `service` per request.
    pub(super) fn start(workers: usize, service: Duration) -> Result<Self> {
        let app = Arc::new(App {
            workers: Semaphore::new(workers),
            service,
            holding: Holding::default(),
            worked: AtomicU64::new(0),
            download: answer(DOWNLOAD_BYTES),
        });
        let serving = Arc::clone(&app);
        let serving = Serving::start(move |stream| serve(stream, Arc::clone(&serving)))?;
        Ok(Self { app, serving })
    }

    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.serving.address
    }

    /// The most requests held at once since the last call.
    pub(super) fn take_peak(&self) -> usize {
        self.app.holding.take_peak()
    }

    /// How long its workers have worked, all together.
    pub(super) fn worked(&self) -> Duration {
        Duration::from_micros(self.app.worked.load(Ordering::Acquire))
    }
}

/// One connection: request after request.
async fn serve(mut stream: TcpStream, app: Arc<App>) -> std::io::Result<()> {
    let small = answer(2);
    let mut buffer = read_buffer();
    let mut input = Vec::new();
    loop {
        let Some(end) = read_head(&mut stream, &mut buffer, &mut input).await? else { return Ok(()) };
        let _held = app.holding.hold();
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

fn answer(body: usize) -> Vec<u8> {
    let mut answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {body}\r\n\r\n").into_bytes();
    answer.resize(answer.len() + body, b'x');
    answer
}
