//! Running the proxy: from loaded settings to the last connection closed.
//!
//! The main thread owns what is not a request: signals, reloads, the admin address, name resolution and the state
//! lines on stderr. The workers own the rest.

use std::net::{SocketAddr, TcpListener as StdListener};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use jiff::Timestamp;
use loadline_demo::DemoApp;
use loadline_tower::Gate;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior};

use crate::admin::{self, Command};
use crate::banner::{self, Style};
use crate::config::settings::{Upstream as Target, Upstreams};
use crate::config::{Loaded, Sources, render};
use crate::live::Live;
use crate::reload::Reloader;
use crate::say::{self, say};
use crate::shared::Shared;
use crate::spans::Spans;
use crate::state_line::StateLine;
use crate::stream::Streams;
use crate::upstream::{Upstream, Watch};
use crate::worker::{self, Phase};
use crate::{listen, overload, process, zone};

/// How often the state is looked at: rates, the state line, the configuration file.
const TICK: Duration = Duration::from_secs(1);

/// Time before the end of a drain at which who still waits is rejected: enough to write a queue full of answers. No more than a
/// quarter of the drain.
const LAST_WORD: Duration = Duration::from_millis(500);

/// How long the log's writer may take for what it still holds when the process ends.
const LOG_FLUSH: Duration = Duration::from_secs(2);

/// The same for lines on stderr.
const STDERR_FLUSH: Duration = Duration::from_secs(1);

/// The same for spans that are not yet with their collector.
const SPANS_FLUSH: Duration = Duration::from_secs(1);

/// Runs the proxy until it has drained. `sources` allow to load the configuration again.
pub fn run(sources: Sources, loaded: Loaded) -> ExitCode {
    match try_run(sources, loaded) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}

fn try_run(sources: Sources, loaded: Loaded) -> Result<(), String> {
    let style = Style::of_stderr();
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start the runtime: {error}"))?;
    // Signals are heard before anybody is told that there is something to signal to.
    let signals = {
        let _inside = runtime.enter();
        Signals::new().map_err(|error| format!("cannot listen for signals: {error}"))?
    };
    let ended = Proxy::start(loaded, style)?.run(sources, style, &runtime, signals);
    say::flush(STDERR_FLUSH);
    runtime.shutdown_background();
    ended
}

/// A proxy whose addresses are bound and whose workers run.
struct Proxy {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<std::io::Result<()>>>,
    phase: watch::Sender<Phase>,
    admin: Option<StdListener>,
    /// The settings as they were loaded, with the addresses that were bound.
    loaded: Loaded,
    seed: u64,
    _demo: Option<DemoApp>,
}

impl Proxy {
    /// Binds, starts the workers and says so.
    fn start(mut loaded: Loaded, style: Style) -> Result<Self, String> {
        let begun = std::time::Instant::now();
        listen::raise_descriptor_limit();
        let shown = &mut loaded.settings;
        let mut listeners = Vec::new();
        for address in &mut shown.listen {
            let listener =
                listen::bind(*address).map_err(|error| listen::explain(*address, "listen", &error))?;
            *address = listener.local_addr().map_err(|error| error.to_string())?;
            listeners.push(listener);
        }
        let admin = match &mut shown.admin.listen {
            Some(address) => {
                let listener = listen::bind(*address)
                    .map_err(|error| listen::explain(*address, "admin.listen", &error))?;
                *address = listener.local_addr().map_err(|error| error.to_string())?;
                Some(listener)
            }
            None => None,
        };
        let demo = if shown.upstream.is_demo() {
            Some(loadline_demo::start().map_err(|e| format!("the demo app did not start: {e}"))?)
        } else {
            None
        };
        loaded.warnings.extend(listen::descriptor_warning(&loaded.settings));
        loaded.warnings.extend(zone::warning());

        let mut settings = loaded.settings.clone();
        if let Some(demo) = &demo {
            settings.upstream = at(demo.addr());
        }
        let log = crate::live::start_log(&settings.log, None)?;
        let seed = process::seed();
        let upstream = Upstream::new(&settings, seed);
        let mut live = Live::new(settings, seed, upstream, Arc::new(log), None);
        live.spans = Spans::start(&live.settings.trace, None)?;
        let gate = Gate::new(live.admission());
        let (shared, handovers) = Shared::new(live, loaded.shadow.clone(), gate);
        shared.effective.store(Arc::new(render::document(&loaded.settings, &loaded)));
        let (phase, told) = watch::channel(Phase::Serving);
        let mut workers = Vec::new();
        for (id, handover) in handovers.into_iter().enumerate() {
            let (shared, told) = (Arc::clone(&shared), told.clone());
            let own: Result<Vec<_>, _> = listeners.iter().map(StdListener::try_clone).collect();
            let own = own.map_err(|error| format!("cannot share a listener: {error}"))?;
            let thread = std::thread::Builder::new()
                .name(format!("worker-{id}"))
                .spawn(move || worker::run(id, shared, own, handover, told))
                .map_err(|error| format!("cannot start a worker: {error}"))?;
            workers.push(thread);
        }
        say(&banner::started(&loaded.settings, &loaded, style, Timestamp::now()));
        let millis = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        say(&banner::ready(millis, style, Timestamp::now()));
        Ok(Self { shared, workers, phase, admin, loaded, seed, _demo: demo })
    }

    /// Serves until told to stop, then drains.
    fn run(self, sources: Sources, style: Style, runtime: &Runtime, signals: Signals) -> Result<(), String> {
        let Self { shared, workers, phase, admin, loaded, seed, _demo: demo } = self;
        let mut control = Control {
            reloader: Reloader::new(sources, loaded, seed, demo.as_ref().map(|demo| at(demo.addr()))),
            state: StateLine::new(style),
            watch: Watch::default(),
            shared: Arc::clone(&shared),
            phase,
            style,
            log_trouble: false,
            last_word: None,
        };
        let ended = runtime.block_on(control.serve(admin, workers, signals));
        // Lines of the last requests are worth a moment; a dead target is not worth more.
        shared.live().log.close(LOG_FLUSH);
        shared.live().spans.flush(SPANS_FLUSH);
        ended
    }
}

/// What the main thread does while the workers serve.
struct Control {
    shared: Arc<Shared>,
    phase: watch::Sender<Phase>,
    reloader: Reloader,
    state: StateLine,
    watch: Watch,
    style: Style,
    /// Whether the log's target was in trouble when last looked at.
    log_trouble: bool,
    /// When who still waits is to be rejected; `None` unless the process ends.
    last_word: Option<Instant>,
}

impl Control {
    async fn serve(
        &mut self,
        admin: Option<StdListener>,
        workers: Vec<JoinHandle<std::io::Result<()>>>,
        mut signals: Signals,
    ) -> Result<(), String> {
        let (commands, mut asked) = mpsc::channel(8);
        let streams = Arc::new(Streams::new());
        if let Some(listener) = admin {
            let listener = TcpListener::from_std(listener).map_err(|error| error.to_string())?;
            tokio::spawn(Arc::clone(&streams).publish(Arc::clone(&self.shared)));
            tokio::spawn(admin::serve(
                listener,
                Arc::clone(&self.shared),
                Arc::clone(&streams),
                commands.clone(),
            ));
        }
        tokio::spawn(overload::watch(Arc::clone(&self.shared), self.style));
        self.reloader.keep_upstream(&self.shared.live());
        self.shared.fit_limit();
        let upstream = Arc::clone(&self.shared.live().upstream);
        let mut done = tokio::task::spawn_blocking(move || join(workers));
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                ended = &mut done => {
                    streams.end().await;
                    return ended.map_err(|error| error.to_string())?;
                }
                _ = ticks.tick() => self.tick(),
                () = upstream.changed.notified() => self.shared.fit_limit(),
                signal = signals.next() => match signal {
                    Asked::Reload => { let _ = self.reload(); }
                    Asked::Stop if *self.phase.borrow() == Phase::Serving => self.stop(),
                    Asked::Stop => {
                        self.note("ending now");
                        self.end_now();
                    }
                },
                () = until(self.last_word) => {
                    self.last_word = None;
                    self.shed_waiting();
                }
                Some(command) = asked.recv() => self.obey(command),
            }
        }
    }

    fn tick(&mut self) {
        let gate = self.shared.snapshot();
        self.shared.process.sample(&gate, self.shared.client_retries.total());
        self.shared.history.sample(&self.shared, &gate);
        let live = self.shared.live();
        let line = match live.shadow.as_ref().filter(|run| run.is_dry_run()) {
            Some(run) => self.state.next(&run.snapshot(), &self.shared.process, true),
            None => self.state.next(&gate, &self.shared.process, false),
        };
        if let Some(line) = line {
            say(&line);
        }
        for line in self.watch.next(&self.shared.live().upstream) {
            self.note(&line);
        }
        // Time alone changes what endpoints may have, when an open breaker lets probes through.
        self.shared.fit_limit();
        let trouble = self.shared.live().log.trouble();
        if trouble.is_some() != self.log_trouble {
            self.log_trouble = trouble.is_some();
            self.note(&trouble.map_or_else(
                || "request log: its target can be written to again".to_owned(),
                |trouble| format!("request log: {trouble}; lines wait, and too many are dropped and counted"),
            ));
        }
        if self.reloader.file_changed() {
            let _ = self.reload();
        }
    }

    fn obey(&mut self, command: Command) {
        // Whoever asked may have left; what was asked is done all the same.
        let _ = match command {
            Command::Reload(reply) => reply.send(self.reload()),
            Command::Drain(reply) => {
                self.shared.set_draining(true);
                reply.send(Ok("draining: connections close after their answer\n".to_owned()))
            }
            Command::Undrain(reply) if *self.phase.borrow() != Phase::Serving => {
                reply.send(Err("too late: the process is ending\n".to_owned()))
            }
            Command::Undrain(reply) => {
                self.shared.set_draining(false);
                reply.send(Ok("serving\n".to_owned()))
            }
        };
    }

    fn reload(&mut self) -> Result<String, String> {
        let result = self.reloader.reload(&self.shared);
        self.shared.process.note_reload(result.is_ok());
        match &result {
            Ok(said) => self.note(said.trim_end()),
            Err(said) => self.note(&format!("reload failed, nothing changed: {}", said.trim_end())),
        }
        result
    }

    fn stop(&mut self) {
        let drain = self.shared.live().settings.timeouts.drain;
        self.note("draining: no new connections, requests in flight finish; a second signal ends at once");
        self.shared.set_draining(true);
        if drain.is_zero() {
            return self.end_now();
        }
        let deadline = Instant::now() + drain;
        self.last_word = Some(deadline - LAST_WORD.min(drain / 4));
        self.phase.send_replace(Phase::Stopping(deadline));
    }

    /// Leaves in service what is in service, and no more time than it takes to answer who waits.
    fn end_now(&mut self) {
        self.last_word = None;
        let time = if self.shed_waiting() > 0 { LAST_WORD } else { Duration::ZERO };
        self.phase.send_replace(Phase::Stopping(Instant::now() + time));
    }

    /// Rejects who still waits, and says how many.
    fn shed_waiting(&self) -> u32 {
        let shed = self.shared.gate.shed_waiting();
        if shed > 0 {
            self.note(&format!("the drain ends: rejected the {shed} who still waited"));
        }
        shed
    }

    fn note(&self, text: &str) {
        say(&banner::note(text, self.style));
    }
}

fn join(workers: Vec<JoinHandle<std::io::Result<()>>>) -> Result<(), String> {
    for worker in workers {
        match worker.join() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(format!("a worker ended: {error}")),
            Err(_) => return Err("a worker panicked".to_owned()),
        }
    }
    Ok(())
}

/// At that moment, if there is one.
async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

enum Asked {
    Stop,
    Reload,
}

/// The signals that are acted on. SIGUSR1 stops gracefully too: Spillway's users send it.
struct Signals {
    stop: [Signal; 3],
    hangup: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            stop: [
                signal(SignalKind::terminate())?,
                signal(SignalKind::interrupt())?,
                signal(SignalKind::user_defined1())?,
            ],
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Asked {
        let [terminate, interrupt, user] = &mut self.stop;
        tokio::select! {
            _ = terminate.recv() => Asked::Stop,
            _ = interrupt.recv() => Asked::Stop,
            _ = user.recv() => Asked::Stop,
            _ = self.hangup.recv() => Asked::Reload,
        }
    }
}

/// The place where the demo app listens.
fn at(address: SocketAddr) -> Upstreams {
    let target = Target::Tcp { host: address.ip().to_string(), port: address.port() };
    Upstreams::new(vec![target]).expect("one target is a list of targets")
}
