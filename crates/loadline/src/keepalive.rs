//! Peers that are gone without a word: a machine without power, a phone without reception, a NAT that forgot.
//!
//! Whoever owes something within a time is noticed by that time. In a tunnel nobody owes anything, so such a peer would hold its
//! slot for ever; there the kernel asks whether it is still there (RFC 1122, 4.2.3.6). A healthy peer's kernel answers, and the
//! application learns nothing of it.
//!
//! Out of scope: a peer to which something is on its way. It is not asked, and lost only when the kernel gives up sending (Linux: 15
//! times, a quarter of an hour). `TCP_USER_TIMEOUT` would be sooner, and would also cut off who is there and does not read for a while.

use std::os::fd::AsFd;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};

/// Silence before the first question: common NATs and balancers forget a connection after some minutes, so this also keeps it alive.
const AFTER: Duration = Duration::from_secs(60);

/// Between questions.
const EVERY: Duration = Duration::from_secs(10);

/// Questions without an answer after which the connection is lost: two minutes of silence.
const MOST: u32 = 6;

/// Has the kernel ask the peer of this connection.
pub(crate) fn probe(stream: &impl AsFd) {
    let asking = TcpKeepalive::new().with_time(AFTER).with_interval(EVERY).with_retries(MOST);
    // Where the system refuses, a tunnel is as it would be without.
    let _ = SockRef::from(stream).set_tcp_keepalive(&asking);
}
