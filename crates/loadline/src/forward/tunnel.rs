//! After `101 Switching Protocols`: bytes both ways until one side closes.
//!
//! No timeout applies: an idle WebSocket is a healthy one. The tunnel holds its slot, for the app holds the work; a peer that is
//! gone without a word is noticed by the kernel ([`keepalive`](crate::keepalive)).

use std::cell::Cell;
use std::pin::pin;
use std::rc::Rc;
use std::sync::atomic::Ordering;

use tokio::io::{AsyncWriteExt as _, copy, split};
use tokio::select;
use tokio::time::timeout;

use crate::buffers::Scratch;
use crate::client::{Client, ClientIo};
use crate::exchange::Exchange;
use crate::live::Live;
use crate::upstream::Connection;
use crate::worker::Worker;

/// Runs the tunnel to its end.
pub(crate) async fn run<S: ClientIo>(
    client: &mut Client<S>,
    scratch: &mut Scratch,
    worker: &Rc<Worker>,
    live: &Live,
    exchange: &mut Exchange,
    mut connection: Connection,
) {
    // What came early on either side belongs to the new protocol; the 101 itself has been sent.
    let early = scratch.inbox.split_off(scratch.head.len.min(scratch.inbox.len()));
    let first = std::mem::take(&mut scratch.from_upstream);
    client.io.probe();
    connection.io.probe();
    let (mut from_client, mut to_client) = split(&mut client.io);
    let (mut from_upstream, mut to_upstream) = split(&mut connection.io);
    let (sent, received) = (Cell::new(0), Cell::new(0));
    let mut up = pin!(async {
        to_upstream.write_all(&early).await?;
        sent.set(early.len() as u64);
        sent.set(sent.get() + copy(&mut from_client, &mut to_upstream).await?);
        to_upstream.shutdown().await
    });
    let mut down = pin!(async {
        to_client.write_all(&first).await?;
        received.set(first.len() as u64);
        received.set(received.get() + copy(&mut from_upstream, &mut to_client).await?);
        to_client.shutdown().await
    });
    worker.shared.tunnels.fetch_add(1, Ordering::Relaxed);
    select! {
        // The app has said its last word, and with it the work is done.
        _ = &mut down => {}
        closed = &mut up => if closed.is_ok() {
            // The client has said its last word; the app may still answer it, within its usual time.
            let _ = timeout(live.settings.timeouts.upstream, down).await;
        }
    }
    worker.shared.tunnels.fetch_sub(1, Ordering::Relaxed);
    exchange.bytes_in += sent.get();
    exchange.bytes_out += received.get();
}
