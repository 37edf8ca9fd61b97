//! A client of the overload experiments: one request on one new connection, given up after a while.
//!
//! Giving up closes the socket, as a browser or an HTTP library with a timeout does.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::wire::{content_length, head_end, status};

/// How a request ended.
pub(super) enum Outcome {
    /// Answered with 200 after so long.
    Served(Duration),
    /// Refused with 503 or 429, or because of its deadline with 504 or 419.
    Shed,
    /// Given up.
    TimedOut,
    /// Any other status, or a broken connection.
    Failed,
}

/// Sends one complete request and waits for the whole answer, for at most `limit`.
pub(super) async fn request(address: SocketAddr, request: &[u8], limit: Duration) -> Outcome {
    let begun = Instant::now();
    match tokio::time::timeout(limit, exchange(address, request)).await {
        Err(_) => Outcome::TimedOut,
        Ok(Some(200)) => Outcome::Served(begun.elapsed()),
        Ok(Some(503 | 429 | 504 | 419)) => Outcome::Shed,
        Ok(_) => Outcome::Failed,
    }
}

/// The status of a complete answer; `None` when the connection broke.
async fn exchange(address: SocketAddr, request: &[u8]) -> Option<u16> {
    /// A head and a small body.
    const ANSWER: usize = 1024;
    let mut stream = TcpStream::connect(address).await.ok()?;
    stream.write_all(request).await.ok()?;
    let mut answer = Vec::with_capacity(ANSWER);
    loop {
        let ended = stream.read_buf(&mut answer).await.ok()? == 0;
        if let Some(end) = head_end(&answer) {
            // Without a length, the end of the connection is the end of the answer.
            let complete =
                content_length(&answer[..end]).map_or(ended, |length| answer.len() >= end + length);
            if complete {
                return status(&answer);
            }
        }
        if ended {
            return None;
        }
    }
}
