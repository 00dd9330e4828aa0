//! The facts of a request that bpos decides on.

use bpos::Now;
use http::HeaderName;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::request::Parts;
use http::uri::PathAndQuery;

pub(crate) const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// The path and the query as received, not decoded: the same that a router sees. A request without them (`CONNECT`) has an
/// empty target, which matches nothing.
pub(crate) fn target(parts: &Parts) -> &str {
    parts.uri.path_and_query().map_or("", PathAndQuery::as_str)
}

/// The key that the client presents.
///
/// With several headers, one could be checked here and another used elsewhere: by a proxy, or by a framework that takes
/// the last one. HTTP reads them as one value, joined by commas (RFC 9110, section 5.3), and no key has a comma: the result
/// is malformed.
pub(crate) fn api_key(parts: &Parts) -> Option<&[u8]> {
    let mut values = parts.headers.get_all(API_KEY).iter().map(HeaderValue::as_bytes);
    let first = values.next()?;
    Some(if values.next().is_some() { b"," } else { first })
}

/// The time that a test sets for the request.
pub(crate) fn now(parts: &Parts) -> Option<Now> {
    parts.extensions.get().copied()
}

/// Whether it is a gRPC call: `application/grpc`, `application/grpc+proto`, `application/grpc-web`.
pub(crate) fn is_grpc(parts: &Parts) -> bool {
    parts.headers.get(CONTENT_TYPE).is_some_and(|media_type| media_type.as_bytes().starts_with(b"application/grpc"))
}
