//! The layer in real servers, asked over loopback connections: axum and hyper.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::Extension;
use axum::http::HeaderMap;
use axum::middleware::{Next, from_fn};
use axum::response::Response as AxumResponse;
use axum::routing::{get, post};
use bpos::{Denial, Grant};
use bpos_tower::{AuthorizeLayer, store_of_host};
use http_body_util::{Empty, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use support::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tower::{ServiceBuilder, service_fn};

#[tokio::test]
async fn an_axum_router_serves_what_is_allowed_and_answers_the_rest() {
    let router = Router::new()
        .route(PRODUCTS, get(products))
        .route("/api/v1/customers", post(async || "created"))
        .layer(AuthorizeLayer::new(registry(&[Key::new(1)]), |_| Some(STORE.into())));
    let server = serve(router).await;

    let served = exchange(server, "GET", PRODUCTS, &[&key(1)]).await;
    assert_eq!((served.status, served.body.as_str()), (200, "yourstore's, for key_00000000000000000001"));
    assert_eq!(served.header("ratelimit"), Some("\"default\";r=59;t=61"));
    assert_eq!(served.header("ratelimit-policy"), Some("\"default\";q=60;w=60"));

    let unknown = exchange(server, "GET", PRODUCTS, &[&key(2)]).await;
    assert_eq!((unknown.status, unknown.header("www-authenticate")), (401, Some("ApiKey realm=\"bpos\"")));
    assert_eq!(unknown.header("content-type"), Some("application/problem+json"));
    assert!(unknown.body.contains(r#""code":"invalid_key""#), "{}", unknown.body);

    // HEAD is denied as GET is, to the length of the body that is not sent.
    let head = exchange(server, "HEAD", PRODUCTS, &[&key(2)]).await;
    assert_eq!((head.status, head.body.as_str()), (401, ""));
    assert_eq!(head.header("content-length"), Some(unknown.body.len().to_string().as_str()));

    for (method, target, keys, status, code) in [
        ("GET", PRODUCTS, vec![], 401, "missing_key"),
        ("GET", PRODUCTS, vec![key(1), key(1)], 401, "invalid_key"),
        ("GET", &format!("{PRODUCTS}?k=%62pos_{}", &key(1)[5..]), vec![key(1)], 401, "key_in_url"),
        ("POST", "/api/v1/customers", vec![key(1)], 403, "insufficient_scope"),
        ("GET", "/api/v1/%70roducts", vec![key(1)], 403, "unmapped_route"),
        ("GET", "/no/such/route", vec![key(1)], 403, "unmapped_route"), // the router would have said 404
        ("GET", "http://elsewhere.test/api/v1/sales", vec![key(1)], 403, "insufficient_scope"),
    ] {
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let denied = exchange(server, method, target, &keys).await;
        assert_eq!(denied.status, status, "{method} {target}");
        assert!(denied.body.contains(&format!(r#""code":"{code}""#)), "{method} {target}: {}", denied.body);
    }
}

async fn products(Extension(grant): Extension<Grant>, headers: HeaderMap) -> String {
    assert!(!headers.contains_key("x-api-key"));
    format!("{}'s, for {}", grant.store(), grant.key_id())
}

#[tokio::test]
async fn a_layer_further_out_learns_why() {
    let log = Arc::new(Mutex::new(Vec::new()));
    let lines = Arc::clone(&log);
    let logged = from_fn(move |request, next: Next| {
        let lines = Arc::clone(&lines);
        async move {
            let response: AxumResponse = next.run(request).await;
            let extensions = response.extensions();
            let granted = extensions.get::<Grant>().map(|grant| format!("allowed {}", grant.key_id()));
            let denied = extensions.get::<Denial>().map(|denial| denial.reason().to_string());
            lines.lock().unwrap().extend(granted.or(denied));
            response
        }
    });
    let elsewhere = Key { store: "otherstore", ..Key::new(2) };
    let router = Router::new()
        .route(PRODUCTS, get(async || "served"))
        .layer(AuthorizeLayer::new(registry(&[Key::new(1), elsewhere]), |_| Some(STORE.into())))
        .layer(logged);
    let server = serve(router).await;

    for number in [1, 2, 3] {
        exchange(server, "GET", PRODUCTS, &[&key(number)]).await;
    }
    assert_eq!(*log.lock().unwrap(), ["allowed key_00000000000000000001", "wrong_store", "unknown_key"]);
}

/// A nested router sees a shorter path than the client asked for. The policy does not know it, and the layer does not
/// guess.
#[tokio::test]
async fn in_a_nested_router_it_denies() {
    let layer = || AuthorizeLayer::any_store(registry(&[Key::new(1)]));
    let nested = Router::new().route("/products", get(async || "served"));
    let within = Router::new().nest("/api/v1", nested.clone().layer(layer()));
    let around = Router::new().nest("/api/v1", nested).layer(layer());

    let denied = exchange(serve(within).await, "GET", PRODUCTS, &[&key(1)]).await;
    assert_eq!(denied.status, 403);
    let served = exchange(serve(around).await, "GET", PRODUCTS, &[&key(1)]).await;
    assert_eq!((served.status, served.body.as_str()), (200, "served"));
}

#[tokio::test]
async fn a_hyper_server_serves_what_is_allowed_and_answers_the_rest() {
    let layer = AuthorizeLayer::new(registry(&[Key::new(1)]), |_| Some(STORE.into()));
    let service = ServiceBuilder::new().layer(layer).service(service_fn(
        async |request: hyper::Request<hyper::body::Incoming>| {
            let store = request.extensions().get::<Grant>().unwrap().store().to_string();
            Ok::<_, Infallible>(hyper::Response::new(Full::<bytes::Bytes>::from(store)))
        },
    ));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (connection, _) = listener.accept().await.unwrap();
            let service = TowerToHyperService::new(service.clone());
            let http = hyper::server::conn::http1::Builder::new();
            tokio::spawn(http.serve_connection(TokioIo::new(connection), service));
        }
    });

    let served = exchange(server, "GET", PRODUCTS, &[&key(1)]).await;
    assert_eq!((served.status, served.body.as_str()), (200, STORE));
    assert_eq!(served.header("ratelimit"), Some("\"default\";r=59;t=61"));
    let denied = exchange(server, "GET", PRODUCTS, &[&key(2)]).await;
    assert_eq!(denied.status, 401);
    assert!(denied.body.contains("invalid_key"), "{}", denied.body);
    let head = exchange(server, "HEAD", PRODUCTS, &[&key(2)]).await;
    assert_eq!((head.status, head.body.as_str()), (401, ""));
    assert_eq!(head.header("content-length"), denied.header("content-length"));
}

/// HTTP/2 has no `Host` header: its clients send the host as the request's authority.
#[tokio::test]
async fn over_http_2_the_store_is_found_in_the_authority() {
    let layer = AuthorizeLayer::new(registry(&[Key::new(1)]), |parts| store_of_host(parts, "brotherpos.ca"));
    let service = ServiceBuilder::new().layer(layer).service(service_fn(
        async |request: hyper::Request<hyper::body::Incoming>| {
            assert_eq!(request.version(), hyper::Version::HTTP_2);
            assert!(!request.headers().contains_key("host"));
            Ok::<_, Infallible>(hyper::Response::new(Full::<bytes::Bytes>::from("served")))
        },
    ));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (connection, _) = listener.accept().await.unwrap();
        let http = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        http.serve_connection(TokioIo::new(connection), TowerToHyperService::new(service)).await
    });
    let connection = TokioIo::new(TcpStream::connect(server).await.unwrap());
    let (client, driver) = hyper::client::conn::http2::handshake(TokioExecutor::new(), connection).await.unwrap();
    tokio::spawn(driver);
    let ask = async |host: &str, headers: &[(&str, &str)]| {
        let mut request = hyper::Request::get(format!("http://{host}{PRODUCTS}")).header("X-API-Key", key(1));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Empty::<bytes::Bytes>::new()).unwrap();
        client.clone().send_request(request).await.unwrap().status().as_u16()
    };

    assert_eq!(ask("yourstore.brotherpos.ca", &[]).await, 200);
    assert_eq!(ask("YourStore.brotherpos.ca:8080", &[]).await, 200);
    assert_eq!(ask("otherstore.brotherpos.ca", &[]).await, 401);
    assert_eq!(ask("yourstore.elsewhere.test", &[]).await, 401);
    assert_eq!(ask("yourstore.brotherpos.ca", &[("Host", "otherstore.brotherpos.ca")]).await, 401);
}

/// Why the documentation says to add the layer after the routes.
#[tokio::test]
async fn axum_leaves_a_route_that_is_added_after_the_layer_without_it() {
    let router = Router::new()
        .route(PRODUCTS, get(async || "served"))
        .layer(AuthorizeLayer::any_store(registry(&[Key::new(1)])))
        .route("/api/v1/sales", get(async || "not asked"));
    let server = serve(router).await;

    assert_eq!(exchange(server, "GET", PRODUCTS, &[]).await.status, 401);
    assert_eq!(exchange(server, "GET", "/api/v1/sales", &[]).await.status, 200);
}

async fn serve(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

/// What came back over the wire.
struct Answer {
    status: u16,
    headers: String,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.headers.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// One request, as a client writes it.
async fn exchange(server: SocketAddr, method: &str, target: &str, keys: &[&str]) -> Answer {
    let mut connection = TcpStream::connect(server).await.unwrap();
    let keys: String = keys.iter().map(|key| format!("X-API-Key: {key}\r\n")).collect();
    let request = format!("{method} {target} HTTP/1.1\r\nHost: yourstore.test\r\n{keys}Connection: close\r\n\r\n");
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, headers: head.to_string(), body: body.to_string() }
}
