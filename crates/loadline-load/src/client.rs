//! One exchange with the target: a request goes out, an answer or a failure comes back.
//!
//! Out of scope: time. Whoever drops the future of an exchange closes its connection (or resets its HTTP/2 stream), which
//! is how a client that loses patience looks to a server.

mod h1;
mod h2;

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use tokio::net::TcpStream;

use crate::outcome::{Answer, Outcome};
use crate::plan::{Plan, Protocol};
use crate::target::Target;

/// Bytes of an error's body that are searched for a reason: a problem document is shorter.
const REASON_BYTES: usize = 1_024;

/// What one attempt sends.
pub(crate) struct Outgoing<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) target: usize,
    pub(crate) class: Option<&'a str>,
    pub(crate) tenant: Option<&'a str>,
    /// What is left of the deadline.
    pub(crate) remaining: Option<Duration>,
    /// 1 for the first.
    pub(crate) attempt: u32,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Failure {
    /// No connection.
    Refused(io::Error),
    /// The connection ended, or brought something that is no answer; why.
    Broken(Cow<'static, str>),
    /// We have no more ports or descriptors: our fault, not the target's.
    Ours(io::Error),
}

/// The connections of a run.
pub(crate) struct Client {
    dialer: Dialer,
    protocol: Connections,
}

enum Connections {
    Http1(h1::Pool),
    H2(h2::Pool),
}

/// Opens connections to one server.
struct Dialer {
    addresses: Vec<SocketAddr>,
    /// The address that answered last.
    preferred: Cell<usize>,
    opened: Cell<u64>,
}

impl Client {
    /// `addresses` are those of the plan's host, at least one.
    pub(crate) fn new(plan: &Plan, addresses: Vec<SocketAddr>) -> Self {
        let dialer = Dialer { addresses, preferred: Cell::new(0), opened: Cell::new(0) };
        let protocol = match plan.protocol {
            Protocol::Http1 => Connections::Http1(h1::Pool::new(plan)),
            Protocol::H2 => Connections::H2(h2::Pool::new(plan)),
        };
        Self { dialer, protocol }
    }

    pub(crate) async fn exchange(&self, outgoing: &Outgoing<'_>) -> Result<Answer, Failure> {
        match &self.protocol {
            Connections::Http1(pool) => pool.exchange(&self.dialer, outgoing).await,
            Connections::H2(pool) => pool.exchange(&self.dialer, outgoing).await,
        }
    }

    /// Connections opened so far.
    pub(crate) fn opened(&self) -> u64 {
        self.dialer.opened.get()
    }

    /// Requests that were sent again because the server had closed a kept connection meanwhile.
    pub(crate) fn resent(&self) -> u64 {
        match &self.protocol {
            Connections::Http1(pool) => pool.resent(),
            Connections::H2(_) => 0,
        }
    }
}

impl Failure {
    pub(crate) fn outcome(&self) -> Outcome {
        match self {
            Self::Refused(_) => Outcome::Refused,
            Self::Broken(_) => Outcome::Reset,
            Self::Ours(_) => Outcome::NotSent,
        }
    }

    /// An error of an open connection.
    fn broken(error: io::Error) -> Self {
        Self::Broken(error.to_string().into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(error) | Self::Ours(error) => write!(f, "{error}"),
            Self::Broken(why) => f.write_str(why),
        }
    }
}

impl<'a> Outgoing<'a> {
    fn target(&self) -> &'a Target {
        &self.plan.targets[self.target]
    }

    /// The fields that differ from request to request.
    fn each_field(&self, mut write: impl FnMut(&str, &[u8])) {
        if let Some(class) = self.class {
            write(&self.plan.class_header, class.as_bytes());
        }
        if let Some(tenant) = self.tenant {
            write(&self.plan.tenant_header, tenant.as_bytes());
        }
        if let (Some(deadline), Some(remaining)) = (&self.plan.deadline, self.remaining)
            && let Some(header) = &deadline.header
        {
            let mut value = Vec::with_capacity(32);
            deadline.format.write(remaining, SystemTime::now(), &mut value);
            write(header, &value);
        }
        if self.attempt > 1 {
            write("x-retry-attempt", self.attempt.to_string().as_bytes());
        }
    }
}

impl Dialer {
    /// A new connection, to the address that answered last, or else to the first that answers.
    async fn connect(&self) -> Result<TcpStream, Failure> {
        let mut last = io::ErrorKind::NotFound.into();
        for turn in 0..self.addresses.len() {
            let index = (self.preferred.get() + turn) % self.addresses.len();
            match TcpStream::connect(self.addresses[index]).await {
                Ok(stream) => {
                    self.preferred.set(index);
                    self.opened.set(self.opened.get() + 1);
                    // Without it a request in two segments waits for the peer's delayed acknowledgement.
                    let _ = stream.set_nodelay(true);
                    return Ok(stream);
                }
                Err(error) => last = error,
            }
        }
        Err(failed_to_connect(last))
    }
}

fn failed_to_connect(error: io::Error) -> Failure {
    use io::ErrorKind::{
        AddrNotAvailable, ConnectionRefused, HostUnreachable, NetworkUnreachable, NotFound, PermissionDenied,
        TimedOut,
    };
    match error.kind() {
        ConnectionRefused | HostUnreachable | NetworkUnreachable | NotFound | PermissionDenied | TimedOut => {
            Failure::Refused(error)
        }
        AddrNotAvailable => Failure::Ours(error),
        _ if is_out_of_descriptors(&error) => Failure::Ours(error),
        _ => Failure::broken(error),
    }
}

fn is_out_of_descriptors(error: &io::Error) -> bool {
    let code = error.raw_os_error().map(rustix::io::Errno::from_raw_os_error);
    matches!(code, Some(rustix::io::Errno::MFILE | rustix::io::Errno::NFILE | rustix::io::Errno::NOBUFS))
}
