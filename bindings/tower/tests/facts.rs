//! Whatever the request: the inner service is called if and only if the registry, asked about the same facts, allows.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use bpos::{Denial, Grant, Request as Facts};
use bpos_tower::AuthorizeLayer;
use http::Request;
use proptest::prelude::*;
use support::{Inner, Key, NOW, STORE, ask, key, registry};
use tower::Layer;

/// What a client sends and a host finds, before any of it is a request.
#[derive(Debug, Clone)]
struct Sent {
    method: &'static str,
    target: String,
    keys: Vec<String>,
    store: Option<String>,
}

fn sent() -> impl Strategy<Value = Sent> {
    let method = prop::sample::select(vec!["GET", "HEAD", "POST", "PATCH", "DELETE", "OPTIONS", "get", "BREW"]);
    let path = prop_oneof![
        4 => prop::sample::select(vec!["/api/v1/products", "/api/v1/products/7", "/api/v1/customers", "/", "*"])
            .prop_map(str::to_string),
        1 => "/api/v1/[!-\"$->@-~]{0,20}",
    ];
    let query = prop_oneof![
        3 => Just(String::new()),
        1 => "\\?[!-\"$-~]{0,20}",
        1 => Just(format!("?api_key={}", key(1))),
    ];
    let presented = prop_oneof![
        6 => (1_usize..=4).prop_map(key),
        1 => Just(String::new()),
        1 => "[ -~]{0,50}",
    ];
    let keys = prop_oneof![
        4 => presented.clone().prop_map(|key| vec![key]),
        1 => prop::collection::vec(presented, 0..=3),
    ];
    let store = prop::option::weighted(0.9, prop_oneof![8 => Just(STORE.to_string()), 1 => "[a-z]{0,3}"]);
    (method, path, query, keys, store).prop_map(|(method, path, query, keys, store)| Sent {
        method,
        target: path + &query,
        keys,
        store,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_inner_service_is_called_if_and_only_if_the_registry_allows(sent in sent()) {
        let keys = [
            Key { scopes: &["products:write", "customers:write"], ..Key::new(1) },
            Key { scopes: &["customers:write"], test_mode: true, ..Key::new(2) },
            Key { revoked: true, ..Key::new(3) },
        ];
        let api_key = match sent.keys.as_slice() {
            [] => None,
            [one] => Some(one.as_str()),
            [_, _, ..] => Some("several"),
        };
        let facts = Facts::new(sent.method, &sent.target).api_key(api_key).store(sent.store.as_deref().unwrap_or(""));
        let decision = registry(&keys).authorize_at(&facts, NOW);

        let Ok(mut request) = Request::builder().method(sent.method).uri(&sent.target).extension(NOW).body(()) else {
            return Err(TestCaseError::reject("not a request"));
        };
        for key in &sent.keys {
            request.headers_mut().append("X-API-Key", key.parse().unwrap());
        }
        let inner = Inner::default();
        let layer = AuthorizeLayer::new(registry(&keys), |_| sent.store.clone().map(Into::into));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let response = runtime.block_on(ask(layer.layer(inner.service()), request));

        prop_assert_eq!(inner.take().len(), usize::from(decision.is_ok()));
        match decision {
            Ok(grant) => {
                let found = response.extensions().get::<Grant>().unwrap();
                prop_assert_eq!((found.key_id(), found.scope()), (grant.key_id(), grant.scope()));
            }
            Err(denial) => {
                let found = response.extensions().get::<Denial>().unwrap();
                prop_assert_eq!((found.reason(), found.key_id()), (denial.reason(), denial.key_id()));
                prop_assert_eq!(response.status(), denial.status());
            }
        }
    }
}
