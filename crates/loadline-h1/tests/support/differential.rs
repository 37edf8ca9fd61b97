//! The same bytes for this codec and for hyper's server: stricter, never different.
//!
//! For every request that this codec accepts to its end, hyper must report one with the same method, path, query and
//! body, in the same place of the stream; and if this codec came to the end of the input without refusing anything,
//! hyper must have seen as many. So an upstream that frames like hyper cannot be made to see other requests than we do.
//!
//! Allowed disagreements:
//! * hyper may see more than we do once we refuse something: that is what being stricter means;
//! * hyper may go on after a request that we take for the last one (`Connection: close` in a field that also holds
//!   bytes from 0x80 up is not read by hyper): the client loses a connection, no bytes change their meaning;
//! * a target that the `http` crate cannot hold (`<`, `>`, `` ` ``, some authorities) is refused by hyper: comparison
//!   stops there, since hyper stops reading there, too.

use std::cell::RefCell;
use std::convert::Infallible;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::{Request, Response, Uri};
use hyper_util::rt::TokioIo;

use super::stream::{End, Message, read_requests};

struct Seen {
    method: Vec<u8>,
    uri: Uri,
    body: Vec<u8>,
}

/// Panics when the two disagree about `data`.
pub fn compare(runtime: &tokio::runtime::Runtime, data: &[u8]) {
    let (ours, end) = read_requests(data, || usize::MAX);
    if ours.is_empty() && matches!(end, End::Refused(_)) {
        return;
    }
    let theirs = runtime.block_on(read_with_hyper(data));
    let shown = || String::from_utf8_lossy(data).into_owned();
    for (at, message) in ours.iter().enumerate() {
        let Ok(uri) = Uri::try_from(message.target.as_slice()) else { return };
        let Some(seen) = theirs.get(at) else {
            panic!("hyper does not see request {at}: {message:?}\nin {:?}", shown());
        };
        assert_eq!(seen.uri, uri, "target of request {at} in {:?}", shown());
        assert_same(message, seen, &shown);
    }
    if end == End::Input {
        assert_eq!(ours.len(), theirs.len(), "hyper sees more requests in {:?}", shown());
    }
}

/// A runtime for [`compare`]: no threads, no timers, no sockets.
pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime without I/O")
}

fn assert_same(ours: &Message, theirs: &Seen, shown: &dyn Fn() -> String) {
    assert_eq!(ours.method, theirs.method, "{:?}", shown());
    assert_eq!(ours.path, theirs.uri.path().as_bytes(), "{:?}", shown());
    assert_eq!(ours.query, theirs.uri.query().unwrap_or_default().as_bytes(), "{:?}", shown());
    assert_eq!(ours.body, theirs.body, "{:?}", shown());
}

/// The requests whose bodies hyper could read to their end.
async fn read_with_hyper(data: &[u8]) -> Vec<Seen> {
    let seen = RefCell::new(Vec::new());
    let service = hyper::service::service_fn(|request: Request<Incoming>| async {
        let (parts, body) = request.into_parts();
        if let Ok(body) = body.collect().await {
            seen.borrow_mut().push(Seen {
                method: parts.method.as_str().as_bytes().to_vec(),
                uri: parts.uri,
                body: body.to_bytes().to_vec(),
            });
        }
        Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
    });
    let io = TokioIo::new(tokio::io::join(data, tokio::io::sink()));
    // An error is the verdict on what follows the requests already seen.
    let _verdict =
        hyper::server::conn::http1::Builder::new().half_close(true).serve_connection(io, service).await;
    seen.into_inner()
}
