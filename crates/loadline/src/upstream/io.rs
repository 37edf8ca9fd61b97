//! The stream to the upstream: TCP or a unix socket.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use crate::keepalive;

pub(crate) enum UpstreamIo {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl UpstreamIo {
    /// Whether an idle connection can still be used: nothing to read and not closed. Costs no system call while the
    /// kernel has reported nothing.
    pub(crate) fn is_quiet(&self) -> bool {
        let mut byte = [0u8; 1];
        let read = match self {
            Self::Tcp(io) => io.try_read(&mut byte),
            Self::Unix(io) => io.try_read(&mut byte),
        };
        matches!(read, Err(e) if e.kind() == io::ErrorKind::WouldBlock)
    }

    /// Moves the stream to the runtime of the calling thread.
    pub(crate) fn rehome(self) -> io::Result<Self> {
        Ok(match self {
            Self::Tcp(io) => Self::Tcp(TcpStream::from_std(io.into_std()?)?),
            Self::Unix(io) => Self::Unix(UnixStream::from_std(io.into_std()?)?),
        })
    }

    /// From now on silence means nothing: see [`keepalive`].
    pub(crate) fn probe(&self) {
        if let Self::Tcp(io) = self {
            keepalive::probe(io);
        }
    }

    /// The proxy's own address and the upstream's, where there are any.
    pub(crate) fn addresses(&self) -> (Option<std::net::SocketAddr>, Option<std::net::SocketAddr>) {
        match self {
            Self::Tcp(io) => (io.local_addr().ok(), io.peer_addr().ok()),
            Self::Unix(_) => (None, None),
        }
    }
}

impl AsyncRead for UpstreamIo {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(io) => Pin::new(io).poll_read(cx, buf),
            Self::Unix(io) => Pin::new(io).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for UpstreamIo {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(io) => Pin::new(io).poll_write(cx, buf),
            Self::Unix(io) => Pin::new(io).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(io) => Pin::new(io).poll_shutdown(cx),
            Self::Unix(io) => Pin::new(io).poll_shutdown(cx),
        }
    }
}
