//! The decision vectors, through the Rust API.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

use bpos::{Denial, Grant, Now, Options, Policy, Registry, Request, Scope};
use serde_json::{Value, json};

#[test]
fn every_vector_is_decided_as_it_says() {
    let mut calls = 0;
    let mut files = 0;
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "json") {
            files += 1;
            calls += run_file(&path);
        }
    }
    assert!(files >= 10 && calls >= 7_000, "the vectors are not all there: {files} files, {calls} calls");
}

fn run_file(path: &std::path::Path) -> usize {
    let file: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let document = serde_json::to_vec(&file["registry"]).unwrap();
    let mut calls = 0;
    for case in file["cases"].as_array().unwrap() {
        let mut options = Options::default();
        if let Some(policy) = file.get("policy") {
            options.policy = Policy::from_json(&serde_json::to_vec(policy).unwrap()).unwrap();
        }
        let registry = Registry::from_json_with(&document, options).unwrap();
        for (number, call) in case["calls"].as_array().unwrap().iter().enumerate() {
            let place = format!("{}: {}: call {number}", path.display(), case["name"]);
            calls += run_call(&registry, call, &place);
        }
    }
    calls
}

fn run_call(registry: &Registry, call: &Value, place: &str) -> usize {
    let times = call.get("times").map_or(1, |times| times.as_u64().unwrap());
    let key = call.get("key_hex").map_or_else(
        || call["key"].as_str().map(|key| key.as_bytes().to_vec()),
        |hex| Some(bytes_of(hex.as_str().unwrap())),
    );
    let now = Now { unix_ms: call["unix_ms"].as_i64().unwrap(), monotonic_us: call["monotonic_us"].as_u64().unwrap() };
    let expected = &call["expect"];
    for time in 1..=times {
        let request = match call.get("target") {
            Some(target) => Request::new(call["method"].as_str().unwrap(), target.as_str().unwrap()),
            None => Request::default(),
        };
        let request = request.api_key(key.as_deref()).store(call["store"].as_str());
        let answer = match call.get("scope") {
            Some(scope) => {
                let scope = registry.scope(scope.as_str().unwrap()).unwrap();
                registry.authorize_scope_at(&request, scope, now)
            }
            None => registry.authorize_at(&request, now),
        };
        let found = seen(registry, &answer);
        if time == times {
            assert_eq!(&found, expected, "{place}");
        } else {
            assert_eq!(
                (&found["status"], &found["reason"]),
                (&expected["status"], &expected["reason"]),
                "{place}, {time}"
            );
        }
    }
    usize::try_from(times).unwrap()
}

/// Everything that a host can see of an answer.
fn seen(registry: &Registry, answer: &Result<Grant, Denial>) -> Value {
    let scope = |scope: Option<Scope>| scope.and_then(|scope| registry.policy().name(scope)).unwrap_or_default();
    match answer {
        Ok(grant) => json!({
            "status": 200, "reason": "allowed", "required_scope": scope(grant.scope()), "limit": grant.limit(),
            "remaining": grant.remaining(), "retry_after_s": 0, "reset_s": grant.reset_s(),
            "test_mode": grant.test_mode(), "key_id": grant.key_id(), "store": grant.store(),
            "headers": lines(grant.headers()), "body": null,
        }),
        Err(denial) => json!({
            "status": denial.status(), "reason": denial.reason().name(),
            "required_scope": scope(denial.required_scope()), "limit": denial.limit(), "remaining": 0,
            "retry_after_s": denial.retry_after_s().unwrap_or(0), "reset_s": denial.retry_after_s().unwrap_or(0),
            "test_mode": denial.test_mode(), "key_id": denial.key_id().unwrap_or_default(),
            "store": denial.store().unwrap_or_default(), "headers": lines(denial.headers()),
            "body": serde_json::from_str::<Value>(&denial.body()).unwrap(),
        }),
    }
}

fn lines(headers: Vec<(&str, String)>) -> Vec<String> {
    headers.into_iter().map(|(name, value)| format!("{name}: {value}")).collect()
}

fn bytes_of(hex: &str) -> Vec<u8> {
    hex.as_bytes().chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}
