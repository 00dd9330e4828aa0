//! The layer in a tonic server, asked by tonic's client over a loopback connection.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::sync::Arc;

use bpos::{Options, Policy, Registry};
use bpos_tower::AuthorizeLayer;
use support::{Key, STORE, document, key};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Code, Request};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

const POLICY: &str = r#"{
    "scopes": [{"name": "health:read"}, {"name": "health:watch%20it"}],
    "routes": [
        {"method": "POST", "path": "/grpc.health.v1.Health/Check", "scope": "health:read", "writes": false},
        {"method": "POST", "path": "/grpc.health.v1.Health/Watch", "scope": "health:watch%20it", "writes": false}
    ]
}"#;

#[tokio::test]
async fn a_tonic_server_serves_what_is_allowed_and_a_client_is_told_the_rest() {
    let mut client = client(Key { scopes: &["health:read"], rate_limit: 2, ..Key::new(1) }).await;

    let served = client.check(with(&key(1))).await.unwrap();
    assert_eq!(served.metadata().get("ratelimit").unwrap(), "\"default\";r=1;t=61");
    assert_eq!(served.into_inner().status(), ServingStatus::Serving);

    let unknown = client.check(with(&key(2))).await.unwrap_err();
    assert_eq!(unknown.code(), Code::Unauthenticated, "{unknown:?}");
    assert!(unknown.message().contains(r#""code":"invalid_key""#), "{unknown:?}");
    assert_eq!(unknown.metadata().get("www-authenticate").unwrap(), "ApiKey realm=\"bpos\"");
    let missing = client.check(Request::new(HealthCheckRequest::default())).await.unwrap_err();
    assert_eq!(missing.code(), Code::Unauthenticated);
    assert!(missing.message().contains(r#""code":"missing_key""#), "{missing:?}");

    let unable = client.watch(with(&key(1))).await.unwrap_err();
    assert_eq!(unable.code(), Code::PermissionDenied, "{unable:?}");
    assert!(unable.message().contains(r#""required_scope":"health:watch%20it""#), "{unable:?}");

    client.check(with(&key(1))).await.unwrap();
    let used_up = client.check(with(&key(1))).await.unwrap_err();
    assert_eq!(used_up.code(), Code::Unavailable, "{used_up:?}");
    let wait_s: u32 = used_up.metadata().get("retry-after").unwrap().to_str().unwrap().parse().unwrap();
    assert!((1..=61).contains(&wait_s));
}

fn with(key: &str) -> Request<HealthCheckRequest> {
    let mut request = Request::new(HealthCheckRequest::default());
    request.metadata_mut().insert("x-api-key", key.parse().unwrap());
    request
}

async fn client(key: Key) -> HealthClient<Channel> {
    let mut options = Options::default();
    options.policy = Policy::from_json(POLICY.as_bytes()).unwrap();
    let registry = Arc::new(Registry::from_json_with(document(1, &[key]).as_bytes(), options).unwrap());
    let (_, health) = tonic_health::server::health_reporter();
    let server = Server::builder().layer(AuthorizeLayer::new(registry, |_| Some(STORE.into()))).add_service(health);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    HealthClient::new(Endpoint::try_from(address).unwrap().connect().await.unwrap())
}
