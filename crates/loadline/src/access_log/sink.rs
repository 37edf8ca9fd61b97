//! An open target, and one attempt to write to it. Everything here blocks, for a second at most where the kernel lets
//! us say so; it runs on the writer's thread only.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use loadline_http::syslog::LogAddress;
use rustix::net::RecvFlags;
use rustix::process::{PidfdFlags, PidfdGetfdFlags};

use super::writer::Batch;

/// What a pipe takes in one piece (`PIPE_BUF` on Linux): a batch up to this size is never torn by other writers.
const PIPE_ATOMIC: usize = 4096;
/// Bytes per write on a stream of our own.
const STREAM_BATCH: usize = 64 * 1024;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// How long one write may block before the writer looks up.
const WRITE_TIMEOUT: Duration = Duration::from_secs(1);
/// A stream that took nothing for so long is given up and opened anew.
const STALLED: Duration = Duration::from_secs(10);
/// UDP reports no failure when a log server moves: a name is resolved anew this often.
const RESOLVE_EVERY: Duration = Duration::from_secs(30);

/// What became of an attempt.
pub(super) enum Outcome {
    /// The whole batch.
    Sent,
    /// The target takes no more at the moment.
    Busy,
    /// The target must be opened again.
    Broken(io::Error),
}

pub(super) struct Sink {
    kind: Kind,
    opened: Instant,
    /// When the target last took something.
    progress: Instant,
    /// Bytes of the batch's first line that were written already.
    begun: usize,
    /// Whether the address came from a name, which may point elsewhere later.
    by_name: bool,
}

enum Kind {
    Descriptor(Box<dyn Write + Send>),
    Tcp(TcpStream),
    Udp(UdpSocket),
    Unix(UnixDatagram),
}

impl Sink {
    /// Opens the target; resolves its name.
    pub(super) fn open(address: &LogAddress) -> io::Result<Self> {
        let kind = match address {
            LogAddress::Stdout | LogAddress::Fd(1) => Kind::Descriptor(Box::new(duplicate(io::stdout())?)),
            LogAddress::Stderr | LogAddress::Fd(2) => Kind::Descriptor(Box::new(duplicate(io::stderr())?)),
            LogAddress::Fd(number) => Kind::Descriptor(Box::new(inherited(*number)?)),
            LogAddress::Tcp { host, port } => Kind::Tcp(first_working(host, *port, connect_tcp)?),
            LogAddress::Udp { host, port } => Kind::Udp(first_working(host, *port, connect_udp)?),
            LogAddress::Unix(path) => {
                let socket = UnixDatagram::unbound()?;
                socket.connect(path)?;
                socket.set_write_timeout(Some(WRITE_TIMEOUT))?;
                Kind::Unix(socket)
            }
        };
        let by_name = match address {
            LogAddress::Udp { host, .. } => host.parse::<IpAddr>().is_err(),
            _ => false,
        };
        let now = Instant::now();
        Ok(Self { kind, opened: now, progress: now, begun: 0, by_name })
    }

    /// How many bytes to gather for one call of [`send`](Self::send).
    pub(super) fn batch_max(address: &LogAddress) -> usize {
        match address {
            LogAddress::Stdout | LogAddress::Stderr | LogAddress::Fd(_) => PIPE_ATOMIC,
            LogAddress::Tcp { .. } | LogAddress::Udp { .. } | LogAddress::Unix(_) => STREAM_BATCH,
        }
    }

    pub(super) fn is_stale(&self) -> bool {
        self.by_name && self.opened.elapsed() >= RESOLVE_EVERY
    }

    /// Sends what it can, and says how many lines of the batch are gone for good.
    pub(super) fn send(&mut self, batch: &Batch) -> (usize, Outcome) {
        match &mut self.kind {
            Kind::Udp(socket) => send_each(batch, |line| socket.send(line)),
            Kind::Unix(socket) => send_each(batch, |line| socket.send(line)),
            Kind::Tcp(stream) => {
                if let Err(error) = still_connected(stream) {
                    return (0, Outcome::Broken(error));
                }
                let outcome = self.send_stream(batch);
                self.give_up_if_stalled(outcome)
            }
            Kind::Descriptor(_) => self.send_stream(batch),
        }
    }

    fn send_stream(&mut self, batch: &Batch) -> (usize, Outcome) {
        let mut at = self.begun;
        while at < batch.bytes.len() {
            let (to, written) = match &mut self.kind {
                Kind::Tcp(stream) => (batch.bytes.len(), stream.write(&batch.bytes[at..])),
                Kind::Descriptor(file) => {
                    let to = atomic_end(batch, at);
                    (to, file.write(&batch.bytes[at..to]))
                }
                Kind::Udp(_) | Kind::Unix(_) => return (0, Outcome::Sent),
            };
            debug_assert!(to > at, "a batch ends where its last line ends");
            match written {
                Ok(0) => return self.stopped(batch, at, Outcome::Broken(ErrorKind::WriteZero.into())),
                Ok(count) => {
                    at += count;
                    self.progress = Instant::now();
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if is_busy(&error) => return self.stopped(batch, at, Outcome::Busy),
                Err(error) => return self.stopped(batch, at, Outcome::Broken(error)),
            }
        }
        self.begun = 0;
        (batch.ends.len(), Outcome::Sent)
    }

    /// Accounts for a batch written up to `at`. What was begun is continued on this target; a new one starts at a
    /// line's beginning, since `begun` dies with the sink.
    fn stopped(&mut self, batch: &Batch, at: usize, outcome: Outcome) -> (usize, Outcome) {
        let sent = batch.ends.partition_point(|&end| end <= at);
        let line_start = if sent == 0 { 0 } else { batch.ends[sent - 1] };
        self.begun = at - line_start;
        (sent, outcome)
    }

    fn give_up_if_stalled(&self, result: (usize, Outcome)) -> (usize, Outcome) {
        match result {
            (sent, Outcome::Busy) if self.progress.elapsed() >= STALLED => {
                (sent, Outcome::Broken(io::Error::new(ErrorKind::TimedOut, "the target stopped reading")))
            }
            result => result,
        }
    }
}

/// One datagram per line.
fn send_each(batch: &Batch, mut send: impl FnMut(&[u8]) -> io::Result<usize>) -> (usize, Outcome) {
    let mut start = 0;
    for (index, &end) in batch.ends.iter().enumerate() {
        let line = &batch.bytes[start..end];
        let mut result = send(line);
        if result
            .as_ref()
            .is_err_and(|e| matches!(e.kind(), ErrorKind::ConnectionRefused | ErrorKind::Interrupted))
        {
            // A refusal reports on an earlier datagram; this one was not sent yet.
            result = send(line);
        }
        match result {
            Ok(_) => start = end,
            Err(error) if is_busy(&error) => return (index, Outcome::Busy),
            Err(error) => return (index, Outcome::Broken(error)),
        }
    }
    (batch.ends.len(), Outcome::Sent)
}

/// The end of as many whole lines from `at` on as a pipe takes in one piece; of one line if that alone is longer.
fn atomic_end(batch: &Batch, at: usize) -> usize {
    let first = batch.ends.partition_point(|&end| end <= at);
    let after = batch.ends.partition_point(|&end| end <= at + PIPE_ATOMIC);
    batch.ends[after.max(first + 1) - 1]
}

fn is_busy(error: &io::Error) -> bool {
    // A full socket under a write timeout reports one of the first two; a full receiver of datagrams may report ENOBUFS.
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
        || error.raw_os_error() == Some(rustix::io::Errno::NOBUFS.raw_os_error())
}

/// A peer that closed is noticed before the write that it would swallow.
fn still_connected(stream: &TcpStream) -> io::Result<()> {
    let mut byte = [0];
    match rustix::net::recv(stream, &mut byte, RecvFlags::PEEK | RecvFlags::DONTWAIT) {
        Ok((0, _)) => Err(io::Error::new(ErrorKind::ConnectionAborted, "the target closed the connection")),
        Ok(_) | Err(rustix::io::Errno::AGAIN) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Tries each address that `host` has; the error is that of the last.
fn first_working<T>(host: &str, port: u16, connect: impl Fn(SocketAddr) -> io::Result<T>) -> io::Result<T> {
    let mut last = io::Error::new(ErrorKind::NotFound, "the name has no address");
    for address in (host, port).to_socket_addrs()? {
        match connect(address) {
            Ok(connected) => return Ok(connected),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn connect_tcp(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, CONNECT_TIMEOUT)?;
    stream.set_write_timeout(Some(WRITE_TIMEOUT))?;
    Ok(stream)
}

fn connect_udp(address: SocketAddr) -> io::Result<UdpSocket> {
    let any =
        if address.is_ipv4() { IpAddr::from(Ipv4Addr::UNSPECIFIED) } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0))?;
    socket.set_write_timeout(Some(WRITE_TIMEOUT))?;
    socket.connect(address)?;
    Ok(socket)
}

/// A descriptor of our own for a standard stream: std's handles would split lines and take locks.
fn duplicate(stream: impl std::os::fd::AsFd) -> io::Result<File> {
    Ok(stream.as_fd().try_clone_to_owned()?.into())
}

/// A descriptor that the process was started with. The kernel duplicates it by number; where a sandbox forbids that,
/// it is opened again by its name under `/proc`, which works for pipes and files but not for sockets.
fn inherited(number: u32) -> io::Result<File> {
    let raw = i32::try_from(number).map_err(|_| io::Error::from(rustix::io::Errno::BADF))?;
    let this = rustix::process::pidfd_open(rustix::process::getpid(), PidfdFlags::empty())?;
    match rustix::process::pidfd_getfd(&this, raw, PidfdGetfdFlags::empty()) {
        Ok(descriptor) => Ok(descriptor.into()),
        Err(rustix::io::Errno::BADF) => Err(rustix::io::Errno::BADF.into()),
        Err(_) => OpenOptions::new().append(true).open(format!("/proc/self/fd/{number}")),
    }
}
