//! An inner service that remembers what reached it, and requests to it.

#![allow(dead_code, unreachable_pub, reason = "each test program uses a part of it")]

#[path = "../../../../tests/support/mod.rs"]
mod keys;

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bpos::{Now, Registry};
use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::request::{Builder, Parts};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use tower::{Service, ServiceExt};

#[allow(unused_imports, reason = "as above")]
pub use keys::{Key, document, key};

pub const STORE: &str = "yourstore";
pub const PRODUCTS: &str = "/api/v1/products";

/// When requests are made, unless they say otherwise: noon of 2026-11-24, five seconds after the machine started.
pub const NOW: Now = Now { unix_ms: 1_795_521_600_000, monotonic_us: 5_000_000 };

pub fn later(seconds: u64) -> Now {
    let us = seconds * 1_000_000;
    Now { unix_ms: NOW.unix_ms + i64::try_from(us / 1_000).unwrap(), monotonic_us: NOW.monotonic_us + us }
}

pub fn registry(keys: &[Key]) -> Arc<Registry> {
    Arc::new(Registry::from_json(document(1, keys).as_bytes()).unwrap())
}

pub fn request(method: &str, target: &str, now: Now) -> Builder {
    Request::builder().method(method).uri(target).extension(now)
}

pub fn get(key: &str) -> Request<()> {
    get_at(key, NOW)
}

pub fn get_at(key: &str, now: Now) -> Request<()> {
    request("GET", PRODUCTS, now).header("X-API-Key", key).body(()).unwrap()
}

/// A service that answers `served` to everything, and the requests that have reached it.
#[derive(Clone, Default)]
pub struct Inner(Arc<Mutex<Vec<Parts>>>);

impl Inner {
    pub fn service(
        &self,
    ) -> impl Service<Request<()>, Response = Response<Full<Bytes>>, Error = Infallible, Future: Send> + Clone + use<>
    {
        let Self(reached) = self.clone();
        tower::service_fn(move |request: Request<()>| {
            reached.lock().unwrap().push(request.into_parts().0);
            std::future::ready(Ok(Response::new(Full::from("served"))))
        })
    }

    /// What has reached it since this was asked before.
    pub fn take(&self) -> Vec<Parts> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

/// What a service answers.
pub async fn ask<S, B>(service: S, request: Request<()>) -> Response<String>
where
    S: Service<Request<()>, Response = Response<B>, Error: std::fmt::Debug>,
    B: http_body::Body<Data = Bytes, Error: std::fmt::Debug>,
{
    let (parts, body) = service.oneshot(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes().to_vec();
    Response::from_parts(parts, String::from_utf8(body).unwrap())
}

/// A response's headers, in the order of their names; `Content-Length` is left out.
pub fn lines(response: &Response<String>) -> Vec<String> {
    let named = response.headers().iter().filter(|(name, _)| *name != CONTENT_LENGTH);
    sorted(named.map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())))
}

/// Headers as the library or the vectors say them, in the order of their names.
pub fn rendered<N: AsRef<str>>(headers: Vec<(N, String)>) -> Vec<String> {
    sorted(headers.into_iter().map(|(name, value)| format!("{}: {value}", name.as_ref().to_ascii_lowercase())))
}

fn sorted(lines: impl Iterator<Item = String>) -> Vec<String> {
    let mut lines: Vec<_> = lines.collect();
    lines.sort();
    lines
}
