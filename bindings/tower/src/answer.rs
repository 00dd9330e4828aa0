//! The response to the client, and what it carries for outer layers.

use bpos::{Denial, Grant};
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, Response, StatusCode};

use crate::body::ResponseBody;
use crate::facts;

/// The form of a denial.
#[derive(Clone, Copy)]
pub(crate) enum Form {
    /// With its body.
    Full,
    /// For HEAD: as `Full`, without the body.
    Head,
    /// For a gRPC client, which would read a body as a message: in the headers.
    Grpc,
}

impl Form {
    pub(crate) fn of(parts: &Parts) -> Self {
        if parts.method == Method::HEAD {
            Self::Head
        } else if facts::is_grpc(parts) {
            Self::Grpc
        } else {
            Self::Full
        }
    }
}

/// The inner service's response, with the headers of the rate limit.
pub(crate) fn allowed<R>(mut response: Response<R>, grant: Grant) -> Response<ResponseBody<R>> {
    append(response.headers_mut(), grant.headers());
    response.extensions_mut().insert(grant);
    response.map(ResponseBody::inner)
}

/// The denial as bpos renders it.
pub(crate) fn denied<R>(denial: Denial, form: Form) -> Response<ResponseBody<R>> {
    let body = denial.body();
    let mut headers = HeaderMap::new();
    append(&mut headers, denial.headers());
    let sent = match form {
        Form::Full => Bytes::from(body),
        Form::Head => {
            headers.insert(CONTENT_LENGTH, body.len().into());
            Bytes::new()
        }
        Form::Grpc => {
            let message = body.replace('%', "%25"); // percent-encoded: the rest is printable ASCII
            append(
                &mut headers,
                [("grpc-status", grpc_status(denial.status()).to_string()), ("grpc-message", message)],
            );
            Bytes::new()
        }
    };
    let mut response = Response::new(ResponseBody::denial(sent));
    *response.status_mut() = StatusCode::from_u16(denial.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    *response.headers_mut() = headers;
    response.extensions_mut().insert(denial);
    response
}

/// The gRPC code for an HTTP status, as a client that ignores `grpc-status` maps it too.
fn grpc_status(status: u16) -> u8 {
    match status {
        401 => 16, // UNAUTHENTICATED
        403 => 7,  // PERMISSION_DENIED
        429 => 14, // UNAVAILABLE
        _ => 2,    // UNKNOWN
    }
}

fn append(headers: &mut HeaderMap, lines: impl IntoIterator<Item = (&'static str, String)>) {
    for (name, value) in lines {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("bpos's names are tokens");
        let value = HeaderValue::try_from(value).expect("bpos's values are visible ASCII characters");
        headers.append(name, value);
    }
}
