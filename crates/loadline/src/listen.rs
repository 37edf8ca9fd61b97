//! Sockets that accept, and the descriptors they will need.

use std::io;
use std::net::{SocketAddr, TcpListener};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{Domain, Protocol, Socket, Type};

use crate::config::settings::Settings;

/// Connections that the kernel keeps for us before they are accepted. The system's own maximum applies on top.
const BACKLOG: i32 = 4096;

/// Descriptors beside those of connections: listeners, runtimes, log, files.
const OWN_DESCRIPTORS: u64 = 64;

/// Listens on `address`. A port that another process listens on is an error, as it should be.
pub(crate) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A port in TIME_WAIT from our predecessor is free.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // `[::]` means all addresses of the machine, IPv4 included.
        socket.set_only_v6(false)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Why `address` cannot be listened on, and what to do.
pub(crate) fn explain(address: SocketAddr, setting: &str, error: &io::Error) -> String {
    let hint = match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            "\n  another process listens there; choose another port:  --set {setting}={}:{}",
            address.ip(),
            address.port().wrapping_add(10)
        ),
        io::ErrorKind::PermissionDenied => {
            "\n  ports below 1024 need a privilege; choose another one, or grant CAP_NET_BIND_SERVICE"
                .to_owned()
        }
        io::ErrorKind::AddrNotAvailable => {
            format!("\n  {} is not an address of this machine ({setting})", address.ip())
        }
        _ => String::new(),
    };
    format!("cannot listen on {address}: {error}{hint}")
}

/// Raises the soft limit of open files to the hard one: what the administrator allows is what a proxy needs.
pub(crate) fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    // Where it cannot be raised, the warning below says what that means.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

/// Says so when `max_connections` cannot be reached with the descriptors that there are.
pub(crate) fn descriptor_warning(settings: &Settings) -> Option<String> {
    let may_open = getrlimit(Resource::Nofile).current?;
    let upstream = u64::from(settings.limit.ceiling().get()) + u64::from(settings.bypass.concurrency.get());
    let needed = u64::from(settings.max_connections) + upstream + OWN_DESCRIPTORS;
    (may_open < needed).then(|| {
        format!(
            "max_connections = {} needs {needed} file descriptors and {may_open} are allowed (ulimit -n)",
            settings.max_connections
        )
    })
}
