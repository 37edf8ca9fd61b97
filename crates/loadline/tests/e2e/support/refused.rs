//! A port that refuses connections and stays ours: bound, never listening.

use std::net::{Ipv4Addr, SocketAddr};

use socket2::{Domain, Socket, Type};

/// Refuses until dropped; unlike a port that was merely free a moment ago, nobody else can take it.
#[derive(Debug)]
pub(crate) struct RefusedPort {
    addr: SocketAddr,
    _socket: Socket,
}

impl RefusedPort {
    pub(crate) fn new() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
        let addr = socket.local_addr().unwrap().as_socket().unwrap();
        Self { addr, _socket: socket }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }
}
