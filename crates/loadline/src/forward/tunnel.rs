//! After `101 Switching Protocols`: bytes both ways until one side closes.
//!
//! No timeout applies: an idle WebSocket is a healthy one. The tunnel holds its slot, for the app holds the work.

use std::rc::Rc;

use tokio::io::{AsyncWriteExt as _, copy_bidirectional};

use crate::buffers::Scratch;
use crate::client::{Client, ClientIo};
use crate::exchange::Exchange;
use crate::upstream::Connection;
use crate::worker::Worker;

/// Runs the tunnel to its end.
pub(crate) async fn run<S: ClientIo>(
    client: &mut Client<S>,
    scratch: &mut Scratch,
    worker: &Rc<Worker>,
    exchange: &mut Exchange,
    mut connection: Connection,
) {
    // What came early on either side belongs to the new protocol; the 101 itself has been sent.
    let early = scratch.inbox.split_off(scratch.head.len.min(scratch.inbox.len()));
    let first = std::mem::take(&mut scratch.from_upstream);
    let opened = async {
        connection.io.write_all(&early).await?;
        client.io.write_all(&first).await?;
        copy_bidirectional(&mut client.io, &mut connection.io).await
    };
    worker.shared.tunnels.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let copied = opened.await;
    worker.shared.tunnels.fetch_sub(1, std::sync::atomic::Ordering::Relaxed);
    exchange.bytes_out += first.len() as u64;
    if let Ok((up, down)) = copied {
        exchange.bytes_in += up + early.len() as u64;
        exchange.bytes_out += down;
    }
}
