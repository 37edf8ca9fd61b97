//! `cargo xtask bench slow-clients`: a limit must not be switched off by sockets that do nothing.
//!
//! 32 uploads that trickle one byte per second and 16 downloads that nobody reads stand against 8 slots, alone and
//! together; beside them ordinary requests arrive. A proxy that takes a slot before the body is in, or keeps it while a
//! reader dawdles, has none left. Slow clients come back when they are cut off.
//!
//! HAProxy runs as Spillway configures it, loadline with its defaults; each case has a fresh proxy and a fresh app.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep, sleep_until};

use super::client::{self, Outcome};
use super::flash_crowd::Contender;
use super::histogram::Histogram;
use super::process::Scratch;
use super::proxies::Which;
use super::slot_origin::{DOWNLOAD, SlotOrigin};
use super::{LOAD_CORE, Result, measure};

/// The proxies' limit. The app itself has room for everybody: it is the slots of the proxy that are under attack.
const SLOTS: usize = 8;
const APP_WORKERS: usize = 256;
/// Work of the app per request.
const SERVICE: Duration = Duration::from_millis(10);
const UPLOADS: usize = 32;
const DOWNLOADS: usize = 16;
/// Between two bytes of an upload.
const TRICKLE: Duration = Duration::from_secs(1);
/// What an upload announces: more than it will ever send.
const UPLOAD_BYTES: usize = 100_000;
/// Slow clients are there for this long before the first ordinary request.
const SETTLE: Duration = Duration::from_secs(2);
/// Ordinary requests, at this interval, each given up after [`PATIENCE`].
const ORDINARY: u32 = 100;
const EVERY: Duration = Duration::from_millis(80);
const PATIENCE: Duration = Duration::from_secs(2);

/// How to run it.
#[derive(clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    loadline: Which,
    /// Proxies to try.
    #[arg(long, value_delimiter = ',', default_values = ["haproxy", "loadline"])]
    only: Vec<Contender>,
    /// Fail when loadline does not serve every ordinary request.
    #[arg(long, value_name = "BOOL", action = clap::ArgAction::Set, default_value_t = true)]
    expect: bool,
}

/// Runs the experiment.
///
/// # Errors
/// When a proxy does not start, or loadline does not serve every ordinary request.
pub(super) fn run(options: &Options) -> Result<()> {
    let loadline = if options.only.iter().any(|contender| contender.is_loadline()) {
        Some(options.loadline.find_or_build()?)
    } else {
        None
    };
    let scratch = Scratch::new()?;
    measure::pin_to(LOAD_CORE)?;
    println!("| proxy | uploads | downloads | served | shed | timed out | failed | p50 ms | p99 ms |");
    println!("|---|---|---|---|---|---|---|---|---|");
    let mut broken = false;
    // The first case is the control: nothing but ordinary requests.
    for (uploads, downloads) in [(0, 0), (UPLOADS, 0), (0, DOWNLOADS), (UPLOADS, DOWNLOADS)] {
        for contender in &options.only {
            let app = SlotOrigin::start(APP_WORKERS, SERVICE)?;
            let setup = contender.setup(&app, SLOTS, &scratch, loadline.as_ref())?;
            let _child = setup.start(&[], "/", scratch.path())?;
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let tally = runtime.block_on(case(setup.address, uploads, downloads));
            println!("| {} | {uploads} | {downloads} | {} |", contender.name(), tally.shown());
            broken |= contender.is_loadline() && tally.served < ORDINARY;
        }
    }
    if broken && options.expect {
        return Err("loadline did not serve every ordinary request beside slow clients".into());
    }
    Ok(())
}

/// What became of the ordinary requests.
struct Tally {
    served: u32,
    shed: u32,
    timed_out: u32,
    failed: u32,
    latency: Histogram,
}

impl Tally {
    fn shown(&self) -> String {
        let Self { served, shed, timed_out, failed, latency } = self;
        let [p50, p99] = [0.5, 0.99].map(|share| latency.quantile_us(share) / 1e3);
        format!("{served}/{ORDINARY} | {shed} | {timed_out} | {failed} | {p50:.1} | {p99:.1}")
    }
}

async fn case(target: SocketAddr, uploads: usize, downloads: usize) -> Tally {
    const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: app\r\nAccept: */*\r\n\r\n";
    let mut slow = JoinSet::new();
    for _ in 0..uploads {
        slow.spawn(again(move || trickle(target)));
    }
    for _ in 0..downloads {
        slow.spawn(again(move || dawdle(target)));
    }
    sleep(SETTLE).await;
    let start = Instant::now();
    let mut ordinary = JoinSet::new();
    for number in 0..ORDINARY {
        sleep_until(start + EVERY * number).await;
        ordinary.spawn(client::request(target, GET, PATIENCE));
    }
    let mut tally = Tally { served: 0, shed: 0, timed_out: 0, failed: 0, latency: Histogram::new() };
    for outcome in ordinary.join_all().await {
        match outcome {
            Outcome::Served(after) => {
                tally.served += 1;
                tally.latency.record(after);
            }
            Outcome::Shed => tally.shed += 1,
            Outcome::TimedOut => tally.timed_out += 1,
            Outcome::Failed => tally.failed += 1,
        }
    }
    tally
}

/// Repeats a slow client that was cut off.
async fn again<F: Future<Output = std::io::Result<()>>>(client: impl Fn() -> F) {
    /// Not an attack by connecting.
    const PAUSE: Duration = Duration::from_millis(100);
    loop {
        // However it ended, it was cut off.
        let _ = client().await;
        sleep(PAUSE).await;
    }
}

/// Announces a body and sends a byte of it now and then.
async fn trickle(target: SocketAddr) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(target).await?;
    let head = format!("POST /upload HTTP/1.1\r\nHost: app\r\nContent-Length: {UPLOAD_BYTES}\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    let mut clock = interval(TRICKLE);
    loop {
        clock.tick().await;
        stream.write_all(b"x").await?;
    }
}

/// Asks for a large answer and never reads it, until the connection breaks.
async fn dawdle(target: SocketAddr) -> std::io::Result<()> {
    /// A small window, so that little of the answer leaves the proxy.
    const WINDOW: u32 = 4_096;
    /// The proxy's closing shows at the next look.
    const LOOK: Duration = Duration::from_secs(1);
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(WINDOW)?;
    let mut stream = socket.connect(target).await?;
    stream.write_all(format!("GET {DOWNLOAD} HTTP/1.1\r\nHost: app\r\n\r\n").as_bytes()).await?;
    loop {
        sleep(LOOK).await;
        if let Some(error) = stream.take_error()? {
            return Err(error);
        }
    }
}
