//! The load generator of the proxy benchmark: one thread, one epoll loop, one request at a time per connection.
//!
//! * [`Pace::Closed`]: each connection sends its next request when the answer is in. Shows cost at saturation.
//! * [`Pace::Reconnect`]: likewise, with a new connection per request.
//! * [`Pace::Open`]: a fixed number of requests per second whatever the answers do. Latency counts from the moment a request was
//!   *due*, so that a stall is charged to every request that it delayed (no coordinated omission).
//!
//! Answers need `Content-Length`; anything else, an unexpected status and every transport error count as errors.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

use super::Result;
use super::event_loop::Poller;
use super::histogram::Histogram;
use super::measure::CpuOf;
use super::wire::{Answer, read_buffer};

/// Token of the clock that paces an open loop; connections count from 0.
const CLOCK: u64 = u64::MAX;

/// A loop without any event for this long has hung.
const STALL: Duration = Duration::from_secs(10);

/// What to send, to whom, how.
pub(super) struct Workload {
    /// Where the proxy (or the origin itself) listens.
    pub(super) target: SocketAddr,
    /// One complete request.
    pub(super) request: Vec<u8>,
    /// The status each answer must have.
    pub(super) expected: u16,
    /// Connections open at once.
    pub(super) connections: usize,
    /// When the next request is sent.
    pub(super) pace: Pace,
}

/// When the next request is sent.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    /// After the answer, on the same connection.
    Closed,
    /// After the answer and the end of its connection, on a new one.
    Reconnect,
    /// So many per second, on any connection that is free.
    Open(u32),
}

/// How long to go on.
#[derive(Clone, Copy)]
pub(super) enum Span {
    /// Warm up for the first time, measure during the second.
    Timed {
        /// Not measured.
        warmup: Duration,
        /// Measured.
        measured: Duration,
    },
    /// Until so many answers are in.
    Answers(u64),
}

/// What happened while measuring.
pub(super) struct Outcome {
    /// Answers with the expected status.
    pub(super) answers: u64,
    /// Unexpected statuses and transport errors.
    pub(super) errors: u64,
    /// The first error, in words.
    pub(super) first_error: Option<String>,
    /// Time measured.
    pub(super) elapsed: Duration,
    /// From sending (or being due) to the last byte of the answer.
    pub(super) latency: Histogram,
    /// CPU time that the proxy used meanwhile.
    pub(super) proxy_cpu: Duration,
    /// CPU time that the generator and the origin used meanwhile.
    pub(super) load_cpu: Duration,
}

/// Runs a workload on the calling thread and measures the CPU time of `proxy` beside it.
///
/// # Errors
/// When connecting fails, or nothing at all happens for ten seconds.
pub(super) fn run(workload: &Workload, span: Span, proxy: CpuOf) -> Result<Outcome> {
    let mut generator = Generator::new(workload)?;
    if let Span::Timed { warmup, .. } = span {
        let begun = Instant::now();
        generator.run_while(|_| begun.elapsed() < warmup)?;
        generator.tally = Tally::new();
    }
    let before = [proxy.read(), CpuOf::Here.read()];
    let start = Instant::now();
    match span {
        Span::Timed { measured, .. } => generator.run_while(|_| start.elapsed() < measured)?,
        Span::Answers(wanted) => generator.run_while(|tally| tally.answers + tally.errors < wanted)?,
    }
    let elapsed = start.elapsed();
    let Tally { answers, errors, first_error, latency } = generator.tally;
    let [proxy_cpu, load_cpu] =
        [(proxy, before[0]), (CpuOf::Here, before[1])].map(|(of, before)| of.read().saturating_sub(before));
    Ok(Outcome { answers, errors, first_error, elapsed, latency, proxy_cpu, load_cpu })
}

/// Opens connections that have one answered request each, and leaves them idle.
pub(super) fn idle_connections(target: SocketAddr, request: &[u8], count: usize) -> Result<Vec<TcpStream>> {
    let mut buffer = read_buffer();
    let connect = |_| -> Result<TcpStream> {
        let mut stream = TcpStream::connect(target)?;
        stream.set_read_timeout(Some(STALL))?;
        stream.write_all(request)?;
        let mut reader = Answer::default();
        loop {
            let count = stream.read(&mut buffer)?;
            if count == 0 {
                return Err("an idle connection was closed".into());
            }
            match reader.take(&buffer[..count]) {
                Ok(Some(200)) => return Ok(stream),
                Ok(Some(status)) => {
                    return Err(format!("an idle connection was answered with {status}").into());
                }
                Ok(None) => {}
                Err(error) => return Err(error.into()),
            }
        }
    };
    (0..count).map(connect).collect()
}

/// Opens connections that have sent one request each and wait.
pub(super) fn unanswered(target: SocketAddr, request: &[u8], count: usize) -> Result<Vec<TcpStream>> {
    let connect = |_| {
        let mut stream = TcpStream::connect(target)?;
        stream.write_all(request)?;
        Ok(stream)
    };
    (0..count).map(connect).collect()
}

struct Generator<'a> {
    workload: &'a Workload,
    poller: Poller,
    connections: Vec<Connection>,
    /// Free connections of an open loop.
    free: Vec<usize>,
    /// When the requests were due that no connection was free for.
    late: VecDeque<Instant>,
    clock: Option<Clock>,
    tally: Tally,
    buffer: Vec<u8>,
}

struct Connection {
    stream: TcpStream,
    begun: Instant,
    answer: Answer,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    /// Answered: free for the next request, or awaiting its end when one connection makes one request.
    Answered,
}

/// The clock of an open loop.
struct Clock {
    timer: OwnedFd,
    interval: Duration,
    next: Instant,
}

struct Tally {
    answers: u64,
    errors: u64,
    first_error: Option<String>,
    latency: Histogram,
}

impl<'a> Generator<'a> {
    fn new(workload: &'a Workload) -> Result<Self> {
        let mut generator = Self {
            workload,
            poller: Poller::new()?,
            connections: Vec::with_capacity(workload.connections),
            free: Vec::new(),
            late: VecDeque::new(),
            clock: None,
            tally: Tally::new(),
            buffer: read_buffer(),
        };
        for slot in 0..workload.connections {
            let begun = Instant::now();
            let stream = generator.connect(slot)?;
            let state = State::Answered;
            generator.connections.push(Connection { stream, begun, answer: Answer::default(), state });
            match workload.pace {
                Pace::Closed | Pace::Reconnect => generator.send(slot, begun)?,
                Pace::Open(_) => generator.free.push(slot),
            }
        }
        if let Pace::Open(rate) = workload.pace {
            let clock = Clock::new(rate)?;
            generator.poller.watch_input(&clock.timer, CLOCK)?;
            generator.clock = Some(clock);
        }
        Ok(generator)
    }

    fn run_while(&mut self, go_on: impl Fn(&Tally) -> bool) -> Result<()> {
        /// How late a run may end.
        const WAIT_MS: u32 = 20;
        let mut ready = Vec::new();
        let mut last_event = Instant::now();
        while go_on(&self.tally) {
            self.poller.wait(WAIT_MS, &mut ready)?;
            if !ready.is_empty() {
                last_event = Instant::now();
            } else if last_event.elapsed() > STALL {
                return Err(format!("no answer for {STALL:?}").into());
            }
            for token in &ready {
                if *token == CLOCK {
                    self.tick()?;
                } else {
                    self.receive(*token as usize)?;
                }
            }
        }
        Ok(())
    }

    fn connect(&self, slot: usize) -> Result<TcpStream> {
        let stream = TcpStream::connect(self.workload.target)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        self.poller.watch_input(&stream, slot as u64)?;
        Ok(stream)
    }

    /// Sends one request whose latency counts from `begun`.
    fn send(&mut self, slot: usize, begun: Instant) -> Result<()> {
        let connection = &mut self.connections[slot];
        connection.begun = begun;
        connection.state = State::Waiting;
        // Requests are far smaller than an empty socket buffer, so a short write is an error like any other.
        match connection.stream.write(&self.workload.request) {
            Ok(sent) if sent == self.workload.request.len() => Ok(()),
            Ok(_) => self.fail(slot, "short write"),
            Err(error) => self.fail(slot, &error.to_string()),
        }
    }

    fn receive(&mut self, slot: usize) -> Result<()> {
        let connection = &mut self.connections[slot];
        let count = match connection.stream.read(&mut self.buffer) {
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return self.fail(slot, &error.to_string()),
        };
        if count == 0 {
            return if self.workload.pace == Pace::Reconnect && connection.state == State::Answered {
                self.reconnect(slot)
            } else {
                self.fail(slot, "the connection was closed")
            };
        }
        match connection.answer.take(&self.buffer[..count]) {
            Ok(None) => Ok(()),
            Ok(Some(status)) => {
                connection.state = State::Answered;
                let latency = connection.begun.elapsed();
                if status == self.workload.expected {
                    self.tally.answers += 1;
                    self.tally.latency.record(latency);
                } else {
                    self.tally.error(&format!("status {status}"));
                }
                self.next(slot)
            }
            Err(error) => self.fail(slot, error),
        }
    }

    /// After an answer.
    fn next(&mut self, slot: usize) -> Result<()> {
        match self.workload.pace {
            Pace::Closed => self.send(slot, Instant::now()),
            Pace::Reconnect => Ok(()),
            Pace::Open(_) => match self.late.pop_front() {
                Some(due) => self.send(slot, due),
                None => {
                    self.free.push(slot);
                    Ok(())
                }
            },
        }
    }

    /// After an error: a new connection in the same place.
    fn fail(&mut self, slot: usize, what: &str) -> Result<()> {
        self.tally.error(what);
        match self.workload.pace {
            Pace::Closed | Pace::Reconnect => self.reconnect(slot),
            Pace::Open(_) => {
                let was_free = self.connections[slot].state == State::Answered;
                self.connections[slot].stream = self.connect(slot)?;
                self.connections[slot].answer = Answer::default();
                self.connections[slot].state = State::Answered;
                if was_free { Ok(()) } else { self.next(slot) }
            }
        }
    }

    fn reconnect(&mut self, slot: usize) -> Result<()> {
        let begun = Instant::now();
        self.connections[slot].stream = self.connect(slot)?;
        self.connections[slot].answer = Answer::default();
        self.send(slot, begun)
    }

    /// Sends what has become due in an open loop.
    fn tick(&mut self) -> Result<()> {
        let now = Instant::now();
        while let Some(due) = self.clock.as_mut().and_then(|clock| clock.due(now)) {
            match self.free.pop() {
                Some(slot) => self.send(slot, due)?,
                None => self.late.push_back(due),
            }
        }
        Ok(())
    }
}

impl Clock {
    fn new(rate: u32) -> Result<Self> {
        let interval = Duration::from_secs(1) / rate;
        let every =
            Timespec::try_from(interval).map_err(|_| "the interval of the open loop is out of range")?;
        let timer =
            timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
        let setting = Itimerspec { it_interval: every, it_value: every };
        timerfd_settime(&timer, TimerfdTimerFlags::empty(), &setting)?;
        Ok(Self { timer, interval, next: Instant::now() + interval })
    }

    /// The moment of the next request, if it is not in the future.
    fn due(&mut self, now: Instant) -> Option<Instant> {
        if self.next > now {
            // Clears the timer's readiness; its count does not matter, `next` is the truth.
            let _ = rustix::io::read(&self.timer, &mut [0; 8]);
            return None;
        }
        let due = self.next;
        self.next += self.interval;
        Some(due)
    }
}

impl Tally {
    fn new() -> Self {
        Self { answers: 0, errors: 0, first_error: None, latency: Histogram::new() }
    }

    fn error(&mut self, what: &str) {
        self.errors += 1;
        self.first_error.get_or_insert_with(|| what.to_owned());
    }
}
