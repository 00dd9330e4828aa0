#![allow(clippy::print_stdout, reason = "a program that prints a table")]
//! What the layer adds to a call, in one process and one run: `cargo bench -p bpos-tower`.
//!
//! Each figure is the fastest of many short rounds, in nanoseconds a call. A call makes its request, has it served and
//! drops its response, so the first row is what there would be without bpos. U is `Sha256::digest` of the same keys.

use std::convert::Infallible;
use std::hint::black_box;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use bpos::Registry;
use bpos_tower::AuthorizeLayer;
use http::{HeaderValue, Request, Response};
use sha2::{Digest, Sha256};
use tower::{Layer, Service, service_fn};

const KEYS: usize = 1_000;
const CALLS: usize = 10_000;
/// As often as the limit of 1,000 requests a minute lets each key be asked.
const ROUNDS: usize = 1_000 * KEYS / CALLS - 1;

const TARGET: &str = "/api/v1/products/1207";

fn main() {
    let keys: Vec<Key> = (0..KEYS).map(Key::made_up).collect();
    let others: Vec<Key> = (KEYS..2 * KEYS).map(Key::made_up).collect();
    let layer = || AuthorizeLayer::new(registry(&keys), |_| Some("yourstore".into()));

    let unit = fastest(&keys, |key| Sha256::digest(&key.text));
    let bare = served(&keys, shop());
    let alone = {
        let registry = registry(&keys);
        fastest(&keys, |key| {
            let request = bpos::Request::new("GET", TARGET).api_key(&key.text).store("yourstore");
            registry.authorize(&request).expect("the key is good").remaining()
        })
    };
    let admitted = served(&keys, layer().layer(shop()));
    let denied = served(&others, layer().layer(shop()));

    println!("{:<44} {:>8}  {:>8}  {:>6}", "what", "ns/call", "added", "in U");
    let row = |what: &str, ns: f64, added: f64| {
        println!("{what:<44} {ns:>8.1}  {added:>8.1}  {:>6.2}", added / unit);
    };
    row("Sha256::digest of the key (U)", unit, unit);
    row("registry.authorize alone, admitted", alone, alone);
    row("a service without the layer", bare, 0.0);
    row("with the layer, admitted", admitted, admitted - bare);
    row("with the layer, denied (an unknown key)", denied, denied - bare);
}

/// The inner service: it answers at once.
fn shop() -> impl Service<Request<()>, Response = Response<()>, Error = Infallible> {
    service_fn(|request: Request<()>| {
        black_box(&request);
        std::future::ready(Ok(Response::new(())))
    })
}

fn served<R>(keys: &[Key], mut service: impl Service<Request<()>, Response = Response<R>, Error = Infallible>) -> f64 {
    let mut context = Context::from_waker(Waker::noop());
    fastest(keys, |key| {
        assert!(service.poll_ready(&mut context).is_ready());
        let mut request = Request::new(());
        *request.uri_mut() = http::Uri::from_static(TARGET);
        request.headers_mut().insert("x-api-key", key.value.clone());
        match pin!(service.call(request)).poll(&mut context) {
            Poll::Ready(Ok(response)) => response.status(),
            Poll::Ready(Err(never)) => match never {},
            Poll::Pending => unreachable!("nothing is waited for"),
        }
    })
}

/// Nanoseconds a call, over the keys again and again.
fn fastest<T>(keys: &[Key], mut call: impl FnMut(&Key) -> T) -> f64 {
    let mut round = || {
        let start = Instant::now();
        for key in keys.iter().cycle().take(CALLS) {
            black_box(call(black_box(key)));
        }
        start.elapsed().as_nanos() as f64 / CALLS as f64
    };
    (0..ROUNDS).map(|_| round()).fold(f64::INFINITY, f64::min)
}

/// A made-up key of the length that keys have.
struct Key {
    text: String,
    value: HeaderValue,
}

impl Key {
    fn made_up(number: usize) -> Self {
        let text = format!("bpos_made{number:032}");
        Self { value: HeaderValue::from_str(&text).expect("it is letters and digits"), text }
    }
}

fn registry(keys: &[Key]) -> Arc<Registry> {
    let records: Vec<_> = keys
        .iter()
        .enumerate()
        .map(|(number, key)| {
            let digest: String = Sha256::digest(&key.text).iter().map(|byte| format!("{byte:02x}")).collect();
            serde_json::json!({
                "id": format!("key_{number:020}"), "name": "A made-up key", "store": "yourstore", "sha256": digest,
                "scopes": ["products:read"], "rate_limit": 1_000,
            })
        })
        .collect();
    let document = serde_json::json!({ "version": 1, "keys": records }).to_string();
    Arc::new(Registry::from_json(document.as_bytes()).expect("the document is sound"))
}
