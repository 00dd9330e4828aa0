//! What the layer promises, one by one.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};

use bpos::{Denial, DenyReason, ErrorKind, Grant, KeySpec, Options, Registry, Scope};
use bpos_tower::AuthorizeLayer;
use http::header::CONTENT_LENGTH;
use http::{HeaderValue, Method, Request, Response};
use http_body_util::Full;
use support::*;
use tower::limit::ConcurrencyLimitLayer;
use tower::{Layer, Service, ServiceExt, service_fn};

#[tokio::test]
async fn an_allowed_request_reaches_the_inner_service_with_its_grant_and_without_its_key() {
    let inner = Inner::default();
    let layer = AuthorizeLayer::new(registry(&[Key::new(1)]), |_| Some(STORE.into()));
    let request = request("GET", "/api/v1/products?page=2", NOW).header("X-API-Key", key(1)).header("Accept", "*/*");

    let response = ask(layer.layer(inner.service()), request.body(()).unwrap()).await;

    assert_eq!((response.status().as_u16(), response.body().as_str()), (200, "served"));
    let [reached] = inner.take().try_into().unwrap();
    assert_eq!(reached.uri, "/api/v1/products?page=2");
    assert_eq!(reached.headers.keys().collect::<Vec<_>>(), ["accept"]);
    let grant = reached.extensions.get::<Grant>().unwrap();
    assert_eq!((grant.key_id(), grant.store(), grant.remaining()), ("key_00000000000000000001", STORE, 59));
}

#[tokio::test]
async fn the_response_says_what_is_left_of_the_limit_beside_what_the_inner_service_says() {
    let limited = service_fn(async |_: Request<()>| {
        Response::builder().header("RateLimit", "\"upstream\";r=3;t=9").body(Full::from("served"))
    });
    let layer = AuthorizeLayer::new(registry(&[Key::new(1)]), |_| Some(STORE.into()));

    let response = ask(layer.layer(limited), get(&key(1))).await;

    let of = |name: &str| response.headers().get_all(name).iter().collect::<Vec<_>>();
    assert_eq!(of("RateLimit"), ["\"upstream\";r=3;t=9", "\"default\";r=59;t=61"]);
    assert_eq!(of("RateLimit-Policy"), ["\"default\";q=60;w=60"]);
}

#[tokio::test]
async fn a_denied_request_gets_the_librarys_answer_and_never_reaches_the_inner_service() {
    let expired = Key { expires_at: Some("2026-11-24T12:00:00Z"), ..Key::new(4) };
    let elsewhere = Key { store: "otherstore", ..Key::new(5) };
    let trial = Key { scopes: &["customers:write"], test_mode: true, ..Key::new(6) };
    let used_up = Key { rate_limit: 1, ..Key::new(7) };
    let revoked = Key { revoked: true, ..Key::new(2) };
    let disabled = Key { enabled: false, ..Key::new(3) };
    let registry = registry(&[Key::new(1), revoked, disabled, expired, elsewhere, trial, used_up]);

    let inner = Inner::default();
    let mut service = AuthorizeLayer::new(registry.clone(), |_| Some(STORE.into())).layer(inner.service());
    let first = ask(&mut service, get(&key(7))).await;
    assert_eq!((first.status().as_u16(), inner.take().len()), (200, 1));

    let in_url = format!("{PRODUCTS}?api_key={}", key(1));
    for (method, target, api_key, status, reason, code) in [
        ("GET", in_url.as_str(), Some(key(1)), 401, "key_in_url", "key_in_url"),
        ("GET", PRODUCTS, None, 401, "missing_key", "missing_key"),
        ("GET", PRODUCTS, Some(String::new()), 401, "missing_key", "missing_key"),
        ("GET", PRODUCTS, Some(format!(" {}", key(1))), 401, "malformed_key", "invalid_key"),
        ("GET", PRODUCTS, Some(key(99)), 401, "unknown_key", "invalid_key"),
        ("GET", PRODUCTS, Some(key(2)), 401, "revoked_key", "revoked_key"),
        ("GET", PRODUCTS, Some(key(3)), 401, "disabled_key", "disabled_key"),
        ("GET", PRODUCTS, Some(key(4)), 401, "expired_key", "expired_key"),
        ("GET", PRODUCTS, Some(key(5)), 401, "wrong_store", "invalid_key"),
        ("GET", "/api/v1/employees", Some(key(1)), 403, "unmapped_route", "unmapped_route"),
        ("GET", "/api/v1/prod%75cts", Some(key(1)), 403, "unmapped_route", "unmapped_route"),
        ("OPTIONS", "*", Some(key(1)), 403, "unmapped_route", "unmapped_route"),
        ("CONNECT", "yourstore.test:443", Some(key(1)), 403, "unmapped_route", "unmapped_route"),
        ("GET", "/api/v1/sales", Some(key(1)), 403, "insufficient_scope", "insufficient_scope"),
        ("POST", "/api/v1/customers", Some(key(6)), 403, "test_mode", "test_mode"),
        ("GET", PRODUCTS, Some(key(7)), 429, "rate_limited", "rate_limited"),
    ] {
        let place = format!("{method} {target} {reason}");
        let mut request = request(method, target, NOW).body(()).unwrap();
        if let Some(api_key) = &api_key {
            request.headers_mut().insert("x-api-key", api_key.parse().unwrap());
        }
        let mut head = request.clone();
        *head.method_mut() = Method::HEAD;

        let response = ask(&mut service, request).await;

        let denial = *response.extensions().get::<Denial>().unwrap();
        assert_eq!((response.status().as_u16(), denial.reason().name()), (status, reason), "{place}");
        assert_eq!(lines(&response), rendered(denial.headers()), "{place}");
        assert_eq!(*response.body(), denial.body(), "{place}");
        let problem: serde_json::Value = serde_json::from_str(response.body()).unwrap();
        assert_eq!(
            (problem["status"].as_u64(), problem["code"].as_str()),
            (Some(status.into()), Some(code)),
            "{place}"
        );

        if method == "GET" {
            let without = ask(&mut service, head).await;
            assert_eq!(without.status(), response.status(), "HEAD, {place}");
            assert_eq!(without.body(), "", "HEAD, {place}");
            assert_eq!(lines(&without), lines(&response), "HEAD, {place}");
            assert_eq!(without.headers()[CONTENT_LENGTH], response.body().len().to_string(), "HEAD, {place}");
        }
        assert!(inner.take().is_empty(), "{place}");
    }
}

#[tokio::test]
async fn several_keys_are_none_even_if_they_are_the_same() {
    let inner = Inner::default();
    let mut service = AuthorizeLayer::new(registry(&[Key::new(1)]), |_| Some(STORE.into())).layer(inner.service());
    for keys in [[key(1), key(1)], [key(1), String::new()], [String::new(), key(1)], [key(2), key(1)]] {
        let [one, other] = &keys;
        let request = request("GET", PRODUCTS, NOW).header("X-API-Key", one).header("x-api-key", other);
        let response = ask(&mut service, request.body(()).unwrap()).await;
        assert_eq!(reason(&response), DenyReason::MalformedKey, "{keys:?}");
    }
    assert!(inner.take().is_empty());
}

#[tokio::test]
async fn the_store_is_the_one_that_the_extractor_finds_in_the_request() {
    let layer = AuthorizeLayer::new(registry(&[Key::new(1)]), |parts| {
        parts.headers.get("x-store").and_then(|store| store.to_str().ok()).map(Into::into)
    });
    let mut service = layer.layer(Inner::default().service());
    let of = |store: &str| {
        let mut request = get(&key(1));
        request.headers_mut().insert("x-store", store.parse().unwrap());
        request
    };
    assert_eq!(ask(&mut service, of(STORE)).await.status(), 200);
    assert_eq!(reason(&ask(&mut service, of("otherstore")).await), DenyReason::WrongStore);
    assert_eq!(reason(&ask(&mut service, of("")).await), DenyReason::WrongStore);
}

#[tokio::test]
async fn a_store_that_is_not_found_matches_no_key() {
    let inner = Inner::default();
    let service = AuthorizeLayer::new(registry(&[Key::new(1)]), |_| None).layer(inner.service());
    assert_eq!(reason(&ask(service, get(&key(1))).await), DenyReason::WrongStore);
    assert!(inner.take().is_empty());
}

#[tokio::test]
async fn any_store_leaves_the_check_out_and_only_that() {
    let elsewhere = Key { store: "otherstore", ..Key::new(1) };
    let mut service = AuthorizeLayer::any_store(registry(&[elsewhere])).layer(Inner::default().service());
    let response = ask(&mut service, get(&key(1))).await;
    assert_eq!(response.extensions().get::<Grant>().unwrap().store(), "otherstore");
    assert_eq!(reason(&ask(&mut service, get(&key(2))).await), DenyReason::UnknownKey);
}

#[test]
fn an_extractor_that_panics_lets_nothing_through() {
    let inner = Inner::default();
    let layer = AuthorizeLayer::new(registry(&[Key::new(1)]), |_| panic!("no store to be had"));
    let mut service = layer.layer(inner.service());
    assert!(catch_unwind(AssertUnwindSafe(|| drop(service.call(get(&key(1)))))).is_err());
    assert!(inner.take().is_empty());
}

#[tokio::test]
async fn the_limit_and_the_expiry_go_by_the_time_that_a_request_carries() {
    let key_ = Key { rate_limit: 1, expires_at: Some("2026-11-24T12:02:00Z"), ..Key::new(1) };
    let mut service = AuthorizeLayer::any_store(registry(&[key_])).layer(Inner::default().service());

    assert_eq!(ask(&mut service, get_at(&key(1), NOW)).await.status(), 200);
    let used_up = ask(&mut service, get_at(&key(1), later(59))).await;
    assert_eq!((used_up.status().as_u16(), &used_up.headers()["retry-after"]), (429, &HeaderValue::from_static("2")));
    assert_eq!(ask(&mut service, get_at(&key(1), later(61))).await.status(), 200);
    assert_eq!(reason(&ask(&mut service, get_at(&key(1), later(120))).await), DenyReason::ExpiredKey);
}

#[tokio::test]
async fn without_a_time_of_its_own_a_request_is_decided_now() {
    let over = Key { expires_at: Some("2001-01-01T00:00:00Z"), ..Key::new(1) };
    let to_come = Key { expires_at: Some("9999-01-01T00:00:00Z"), ..Key::new(2) };
    let layer = AuthorizeLayer::any_store(registry(&[over, to_come]));
    for layer in [layer.clone(), layer.scope(Scope::PRODUCTS_READ)] {
        let mut service = layer.layer(Inner::default().service());
        let now = |number| Request::get(PRODUCTS).header("X-API-Key", key(number)).body(()).unwrap();
        assert_eq!(reason(&ask(&mut service, now(1)).await), DenyReason::ExpiredKey);
        assert_eq!(ask(&mut service, now(2)).await.status(), 200);
    }
}

#[tokio::test]
async fn a_scope_that_is_named_goes_before_the_routes() {
    let trial = Key { scopes: &["webhooks:manage"], test_mode: true, ..Key::new(2) };
    let layer = AuthorizeLayer::any_store(registry(&[Key::new(1), trial]));
    let with = |scope, target, number| {
        let request = request("GET", target, NOW).header("X-API-Key", key(number)).body(()).unwrap();
        ask(layer.clone().scope(scope).layer(Inner::default().service()), request)
    };
    assert_eq!(with(Scope::PRODUCTS_READ, "/no/such/route", 1).await.status(), 200);
    assert_eq!(reason(&with(Scope::SALES_READ, PRODUCTS, 1).await), DenyReason::InsufficientScope);
    assert_eq!(reason(&with(Scope::WEBHOOKS_MANAGE, "/api/v1/webhooks", 2).await), DenyReason::TestMode);
    let in_url = format!("/no/such/route?{}", key(1));
    assert_eq!(reason(&with(Scope::PRODUCTS_READ, &in_url, 1).await), DenyReason::KeyInUrl);
    let unheard_of = with(Scope::from_id(64).unwrap(), PRODUCTS, 1).await;
    assert_eq!((unheard_of.status().as_u16(), reason(&unheard_of)), (500, DenyReason::Internal));
}

#[tokio::test]
async fn a_change_of_the_registry_is_in_force_at_once() {
    let registry = registry(&[Key::new(1)]);
    let mut service = AuthorizeLayer::any_store(registry.clone()).layer(Inner::default().service());
    assert_eq!(ask(&mut service, get(&key(1))).await.status(), 200);
    registry.revoke("key_00000000000000000001").unwrap();
    assert_eq!(reason(&ask(&mut service, get(&key(1))).await), DenyReason::RevokedKey);
}

#[tokio::test]
async fn it_is_ready_when_the_inner_service_is_and_a_denied_request_uses_up_no_place() {
    let inner = ConcurrencyLimitLayer::new(1).layer(Inner::default().service());
    let mut service = AuthorizeLayer::any_store(registry(&[Key::new(1)])).layer(inner.clone());
    let mut context = Context::from_waker(Waker::noop());

    let mut other = inner;
    let taken = other.ready().await.unwrap().call(get("the one place"));
    assert!(service.poll_ready(&mut context).is_pending(), "the one place is taken");
    drop(taken);
    assert!(service.poll_ready(&mut context).is_ready());

    let denied = service.call(get("")).await.unwrap();
    assert_eq!(denied.status(), 401);
    let served = service.ready().await.unwrap().call(get(&key(1))).await.unwrap();
    assert_eq!(served.status(), 200);
}

#[tokio::test]
async fn an_error_of_the_inner_service_stays_what_it_is() {
    let broken = service_fn(async |_: Request<()>| Err::<Response<Full<bytes::Bytes>>, _>("the shop is closed"));
    let service = AuthorizeLayer::any_store(registry(&[Key::new(1)])).layer(broken);
    assert_eq!(service.oneshot(get(&key(1))).await.err(), Some("the shop is closed"));
}

/// Why a response was denied.
fn reason(response: &Response<String>) -> DenyReason {
    assert!(response.extensions().get::<Grant>().is_none());
    response.extensions().get::<Denial>().unwrap().reason()
}

#[tokio::test]
async fn a_layer_that_follows_the_file_knows_at_the_next_request_what_another_process_has_changed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    let by_others = Registry::init(&path, Options::default()).unwrap();
    let new = by_others.create(&KeySpec::new("Website Sync", STORE, ["products:read"])).unwrap();

    let told = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&told);
    let layer = AuthorizeLayer::new(Arc::new(Registry::open(&path).unwrap()), |_| Some(STORE.into()))
        .follow_file(move |error| log.lock().unwrap().push(error.kind()));
    let status = async || ask(layer.layer(Inner::default().service()), get(new.key.expose())).await.status().as_u16();

    assert_eq!(status().await, 200);
    by_others.disable(&new.record.id).unwrap();
    assert_eq!(status().await, 401);
    by_others.enable(&new.record.id).unwrap();
    assert_eq!(status().await, 200);

    let sound = std::fs::read(&path).unwrap();
    std::fs::write(&path, "no document").unwrap();
    assert_eq!((status().await, status().await), (200, 200), "the old keys stay in force");
    assert_eq!(*told.lock().unwrap(), [ErrorKind::Format], "told once");
    std::fs::write(&path, &sound).unwrap();
    by_others.revoke(&new.record.id).unwrap();
    assert_eq!(status().await, 401);
    assert_eq!(told.lock().unwrap().len(), 1);
}
