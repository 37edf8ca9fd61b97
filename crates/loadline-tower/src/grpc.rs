//! Telling gRPC from other HTTP.

use http::{HeaderMap, header};

/// Whether a request or response is gRPC: `application/grpc`, with or without `+format` and parameters; not
/// `application/grpc-web`, which reads HTTP statuses.
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|value| is_type(value.as_bytes()))
}

fn is_type(content_type: &[u8]) -> bool {
    const GRPC: &[u8] = b"application/grpc";
    content_type.split_at_checked(GRPC.len()).is_some_and(|(kind, rest)| {
        kind.eq_ignore_ascii_case(GRPC) && matches!(rest.first(), None | Some(b'+' | b';' | b' ' | b'\t'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grpc_is_told_from_its_neighbours() {
        for yes in ["application/grpc", "application/grpc+proto", "Application/gRPC;q=1"] {
            assert!(is_type(yes.as_bytes()), "{yes}");
        }
        for no in ["application/grpc-web", "application/grpcx", "application/json", "application/", ""] {
            assert!(!is_type(no.as_bytes()), "{no}");
        }
    }
}
