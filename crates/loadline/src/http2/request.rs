//! An HTTP/2 request as HTTP/1.1 bytes.
//!
//! Nothing is checked here that the HTTP/1.1 codec checks anyway when it reads these bytes: a line break smuggled
//! into a field cannot occur (hyper's types exclude it), a bad authority is refused like a bad Host.

use std::io;

use http_body_util::BodyExt as _;
use hyper::Method;
use hyper::body::{Body as _, Incoming};
use hyper::header::{CONTENT_LENGTH, COOKIE, HOST, TRANSFER_ENCODING};
use hyper::http::request::Parts;
use loadline_h1::{RequestKind, encode_chunk_header, encode_last_chunk};
use tokio::io::{AsyncWrite, AsyncWriteExt as _};

/// What the answer's framing depends on.
pub(crate) fn kind(parts: &Parts) -> RequestKind {
    if parts.method == Method::HEAD { RequestKind::Head } else { RequestKind::Other }
}

/// Sends head and body.
pub(crate) async fn send<W: AsyncWrite + Unpin>(
    parts: &Parts,
    mut body: Incoming,
    out: &mut W,
) -> io::Result<()> {
    let known = parts.headers.contains_key(CONTENT_LENGTH);
    let chunked = !known && !body.is_end_stream();
    let mut bytes = head(parts, chunked);
    out.write_all(&bytes).await?;
    let mut trailers = Vec::new();
    while let Some(frame) = body.frame().await {
        // A broken stream must not look complete: without the last chunk it does not.
        let frame = frame.map_err(io::Error::other)?;
        bytes.clear();
        match frame.into_data() {
            Ok(data) if data.is_empty() => {}
            Ok(data) if chunked => {
                encode_chunk_header(&mut bytes, data.len());
                bytes.extend_from_slice(&data);
                bytes.extend_from_slice(b"\r\n");
            }
            Ok(data) => bytes.extend_from_slice(&data),
            Err(frame) => {
                for (name, value) in frame.trailers_ref().into_iter().flatten() {
                    line(&mut trailers, name.as_str().as_bytes(), value.as_bytes());
                }
            }
        }
        out.write_all(&bytes).await?;
    }
    if chunked {
        bytes.clear();
        encode_last_chunk(&mut bytes, &trailers);
        out.write_all(&bytes).await?;
    }
    // The pipe stays open: closing it would say that the client has left.
    std::future::pending().await
}

fn head(parts: &Parts, chunked: bool) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(512);
    bytes.extend_from_slice(parts.method.as_str().as_bytes());
    bytes.push(b' ');
    let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
    bytes.extend_from_slice(target.as_bytes());
    bytes.extend_from_slice(b" HTTP/1.1\r\n");
    // `:authority` takes the place of Host (RFC 9113, 8.3.1).
    let authority = parts.uri.authority().map(|authority| authority.as_str().as_bytes());
    if let Some(host) = authority.or_else(|| parts.headers.get(HOST).map(|host| host.as_bytes())) {
        line(&mut bytes, b"host", host);
    }
    let mut cookies = Vec::new();
    for (name, value) in &parts.headers {
        if name == COOKIE {
            // Split for compression; one field again for HTTP/1.1 (RFC 9113, 8.2.3).
            if !cookies.is_empty() {
                cookies.extend_from_slice(b"; ");
            }
            cookies.extend_from_slice(value.as_bytes());
        } else if name != HOST && name != TRANSFER_ENCODING {
            line(&mut bytes, name.as_str().as_bytes(), value.as_bytes());
        }
    }
    if !cookies.is_empty() {
        line(&mut bytes, b"cookie", &cookies);
    }
    if chunked {
        line(&mut bytes, b"transfer-encoding", b"chunked");
    }
    bytes.extend_from_slice(b"\r\n");
    bytes
}

fn line(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}
