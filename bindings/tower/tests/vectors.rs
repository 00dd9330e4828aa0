//! The decision vectors through the layer, as far as a request can carry them.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "says what was left out")]

mod support;

use std::path::Path;
use std::sync::Arc;

use bpos::{Denial, Grant, Now, Options, Policy, Registry, Scope};
use bpos_tower::AuthorizeLayer;
use http::{HeaderValue, Method, Request, Response, Uri};
use serde_json::{Value, json};
use support::{Inner, ask, lines, rendered};
use tower::Layer;

/// How many calls were made, and how many no request can carry.
#[derive(Default)]
struct Count {
    made: u64,
    no_header: u64,
    no_target: u64,
}

#[tokio::test]
async fn every_vector_that_a_request_can_carry_is_answered_as_it_says() {
    let mut count = Count::default();
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "json") {
            run_file(&path, &mut count).await;
        }
    }
    let Count { made, no_header, no_target } = count;
    println!(
        "{made} calls made; left out: {no_header} whose key is no header, {no_target} whose target is none of HTTP"
    );
    assert!(made > 7_000 && no_header < 100 && no_target < 100);
}

async fn run_file(path: &Path, count: &mut Count) {
    let file: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let document = serde_json::to_vec(&file["registry"]).unwrap();
    for case in file["cases"].as_array().unwrap() {
        let mut options = Options::default();
        if let Some(policy) = file.get("policy") {
            options.policy = Policy::from_json(&serde_json::to_vec(policy).unwrap()).unwrap();
        }
        let registry = Arc::new(Registry::from_json_with(&document, options).unwrap());
        for (number, call) in case["calls"].as_array().unwrap().iter().enumerate() {
            let place = format!("{}: {}: call {number}", path.display(), case["name"]);
            run_call(&registry, call, &place, count).await;
        }
    }
}

async fn run_call(registry: &Arc<Registry>, call: &Value, place: &str, count: &mut Count) {
    let times = call.get("times").map_or(1, |times| times.as_u64().unwrap());
    let Some(key) = key(call) else {
        count.no_header += times;
        return;
    };
    let Some((method, uri)) = method_and_uri(call) else {
        count.no_target += times;
        return;
    };
    count.made += times;

    let now = Now { unix_ms: call["unix_ms"].as_i64().unwrap(), monotonic_us: call["monotonic_us"].as_u64().unwrap() };
    let mut request = Request::builder().method(method).uri(uri).extension(now).body(()).unwrap();
    if let Some(key) = key {
        request.headers_mut().insert("X-API-Key", key);
    }
    let mut expected = call["expect"].clone();
    let headers = expected["headers"].as_array().unwrap().iter().map(|line| {
        let (name, value) = line.as_str().unwrap().split_once(": ").unwrap();
        (name, value.to_string())
    });
    expected["headers"] = rendered(headers.collect()).into();
    if request.method() == Method::HEAD {
        expected["body"] = json!(null);
    }
    for time in 1..=times {
        let inner = Inner::default();
        let response = answer(registry, call, &inner, request.clone()).await;
        assert_eq!(inner.take().len(), usize::from(expected["status"] == 200), "{place}, {time}");
        let found = seen(registry, &response);
        if time == times {
            assert_eq!(found, expected, "{place}");
        } else {
            assert_eq!(
                (&found["status"], &found["reason"]),
                (&expected["status"], &expected["reason"]),
                "{place}, {time}"
            );
        }
    }
}

/// The call's key as a header, if it has one; `None` if no header can hold it: a control character, for instance.
fn key(call: &Value) -> Option<Option<HeaderValue>> {
    let bytes = match (call.get("key_hex"), call["key"].as_str()) {
        (Some(hex), _) => bytes_of(hex.as_str().unwrap()),
        (None, Some(key)) => key.as_bytes().to_vec(),
        (None, None) => return Some(None),
    };
    HeaderValue::from_bytes(&bytes).ok().map(Some)
}

/// The call's method and target, if a request can have them and loses nothing of the target: a fragment, for instance.
fn method_and_uri(call: &Value) -> Option<(Method, Uri)> {
    let Some(target) = call.get("target") else { return Some((Method::GET, Uri::from_static("/"))) };
    let uri: Uri = target.as_str().unwrap().parse().ok()?;
    let whole = uri.path_and_query().is_some_and(|found| found.as_str() == target);
    Some((call["method"].as_str().unwrap().parse().ok()?, uri)).filter(|_| whole)
}

async fn answer(registry: &Arc<Registry>, call: &Value, inner: &Inner, request: Request<()>) -> Response<String> {
    let registry = Arc::clone(registry);
    let scope: Option<Scope> = call.get("scope").map(|name| registry.scope(name.as_str().unwrap()).unwrap());
    match call["store"].as_str().map(str::to_string) {
        Some(store) => {
            let layer = AuthorizeLayer::new(registry, move |_| Some(store.clone().into()));
            match scope {
                Some(scope) => ask(layer.scope(scope).layer(inner.service()), request).await,
                None => ask(layer.layer(inner.service()), request).await,
            }
        }
        None => {
            let layer = AuthorizeLayer::any_store(registry);
            match scope {
                Some(scope) => ask(layer.scope(scope).layer(inner.service()), request).await,
                None => ask(layer.layer(inner.service()), request).await,
            }
        }
    }
}

/// Everything that can be seen of a response, as the vectors have it.
fn seen(registry: &Registry, response: &Response<String>) -> Value {
    let scope = |scope: Option<Scope>| scope.and_then(|scope| registry.policy().name(scope)).unwrap_or_default();
    let mut seen = match (response.extensions().get::<Grant>(), response.extensions().get::<Denial>()) {
        (Some(grant), None) => json!({
            "reason": "allowed", "required_scope": scope(grant.scope()), "limit": grant.limit(),
            "remaining": grant.remaining(), "retry_after_s": 0, "reset_s": grant.reset_s(),
            "test_mode": grant.test_mode(), "key_id": grant.key_id(), "store": grant.store(), "body": null,
        }),
        (None, Some(denial)) => json!({
            "reason": denial.reason().name(), "required_scope": scope(denial.required_scope()),
            "limit": denial.limit(), "remaining": 0, "retry_after_s": denial.retry_after_s().unwrap_or(0),
            "reset_s": denial.retry_after_s().unwrap_or(0), "test_mode": denial.test_mode(),
            "key_id": denial.key_id().unwrap_or_default(), "store": denial.store().unwrap_or_default(),
            "body": serde_json::from_str::<Value>(response.body()).ok(),
        }),
        both_or_none => panic!("one of the two: {both_or_none:?}"),
    };
    seen["status"] = response.status().as_u16().into();
    seen["headers"] = lines(response).into();
    seen
}

fn bytes_of(hex: &str) -> Vec<u8> {
    hex.as_bytes().chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}
