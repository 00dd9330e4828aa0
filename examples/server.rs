//! A shop's HTTP API behind bpos. This file is what a host has to do: hand each request's facts to bpos before
//! anything else sees them, and answer as it says. The shop itself, in `server/shop.rs`, is made up.
//!
//! `examples/demo.sh` shows it at work; `cargo run --example server -- --help` tells how to start it.

#[path = "server/shop.rs"]
mod shop;

use std::io::{Write, stderr, stdout};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::uri::{Authority, PathAndQuery};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{AppendHeaders, IntoResponse, Response};
use bpos::{Denial, Options, Registry};
use clap::Parser;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// A made-up shop's API, authorized by bpos.
#[derive(Parser)]
struct Arguments {
    /// The registry document with the keys; read again on SIGHUP.
    #[arg(long, value_name = "FILE")]
    registry: PathBuf,
    /// Where to listen; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// The store that every request is for; without it, the first label of the request's host names it.
    #[arg(long, value_name = "NAME")]
    store: Option<String>,
}

/// What every request is decided by.
struct Gate {
    registry: Registry,
    /// The one store that this server is for, if it is for one.
    store: Option<String>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match serve(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log(&format!("server: {error}"));
            ExitCode::FAILURE
        }
    }
}

async fn serve(arguments: Arguments) -> Result<(), Box<dyn std::error::Error>> {
    // This program never changes a key, so it asks for no right to.
    let mut options = Options::default();
    options.read_only = true;
    let registry = Registry::open_with(&arguments.registry, options)?;
    let gate = Arc::new(Gate { registry, store: arguments.store });

    // Signals are caught before anybody is told that the server listens.
    let hangup = signal(SignalKind::hangup())?;
    let stop = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let listener = TcpListener::bind(arguments.listen).await?;
    writeln!(stdout(), "listening on http://{}", listener.local_addr()?)?;

    tokio::spawn(reload_on(hangup, Arc::clone(&gate)));
    // A client that never ends its request must not hold up the end, and a shop in memory has nothing to lose by it.
    tokio::select! {
        served = axum::serve(listener, app(gate)) => served?,
        () = stopped(stop) => {}
    }
    Ok(())
}

/// The shop behind the gate: what is no route of the shop passes it too, so nothing is answered unauthorized.
fn app(gate: Arc<Gate>) -> Router {
    shop::router().layer(from_fn_with_state(gate, authorize))
}

/// Lets a request through to the shop, or answers it with its denial.
async fn authorize(State(gate): State<Arc<Gate>>, mut request: Request, next: Next) -> Response {
    let (method, target) = (request.method().clone(), target(request.uri()));
    let store = gate.store.clone().unwrap_or_else(|| store(request.uri(), request.headers()));
    let facts = bpos::Request::new(method.as_str(), &target).api_key(api_key(request.headers())).store(&store);
    let decision = gate.registry.authorize(&facts);

    let (response, reason, key_id) = match &decision {
        Ok(grant) => {
            // The shop learns whose request it is from the grant, and never sees the key.
            request.headers_mut().remove(API_KEY);
            request.extensions_mut().insert(*grant);
            let response = next.run(request).await;
            // A shared cache does not know X-API-Key: it would hand one client's answer to the next.
            let no_store = [(header::CACHE_CONTROL, "no-store")];
            ((AppendHeaders(grant.headers()), no_store, response).into_response(), "allowed", grant.key_id())
        }
        Err(denial) => (deny(denial), denial.reason().name(), denial.key_id().unwrap_or("-")),
    };
    log(&format!("{method} {target} {} {reason} {key_id}", response.status().as_u16()));
    response
}

/// The answer to a denied request, as bpos renders it.
fn deny(denial: &Denial) -> Response {
    let status = StatusCode::from_u16(denial.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, AppendHeaders(denial.headers()), Body::from(denial.body())).into_response()
}

/// The path and the query as they were received, not decoded: what the shop's router goes by, bpos goes by too. (HTTP
/// allows no `#` here; hyper drops it and what follows, for both.)
fn target(uri: &Uri) -> String {
    uri.path_and_query().map_or_else(String::new, PathAndQuery::to_string)
}

/// The key that the client presents.
///
/// If there are several headers, one of them could be checked here and another be used elsewhere: by a proxy, or by a
/// framework that takes the last and not the first. HTTP reads them as one value, joined by commas (RFC 9110, section
/// 5.3), and no key has a comma: what stands for them is malformed.
fn api_key(headers: &HeaderMap) -> Option<&[u8]> {
    let mut values = headers.get_all(API_KEY).iter().map(HeaderValue::as_bytes);
    let first = values.next()?;
    Some(if values.next().is_some() { b"," } else { first })
}

/// The store that the request's host names: `yourstore` for `YourStore.brotherpos.ca:443`.
///
/// A host that is missing, there twice, or not readable gives an empty store, which no key belongs to; leaving the
/// store out would leave the check out. A target with a host of its own goes before the header (RFC 9112, section
/// 3.2.2).
fn store(uri: &Uri, headers: &HeaderMap) -> String {
    let mut hosts = headers.get_all(header::HOST).iter();
    let named = match (uri.authority(), hosts.next(), hosts.next()) {
        (Some(authority), _, _) => Some(authority.clone()),
        (None, Some(host), None) => Authority::try_from(host.as_bytes()).ok(),
        _ => None,
    };
    let label = named.as_ref().and_then(|authority| authority.host().split('.').next());
    label.unwrap_or_default().to_ascii_lowercase()
}

/// Reads the registry again whenever the signal comes. A bad document changes nothing: the old keys stay in force.
async fn reload_on(mut hangup: Signal, gate: Arc<Gate>) {
    while hangup.recv().await.is_some() {
        let gate = Arc::clone(&gate);
        // A large file takes its time, and requests go on meanwhile.
        let reloaded =
            tokio::task::spawn_blocking(move || gate.registry.reload().map(|()| gate.registry.stats())).await;
        match reloaded {
            Ok(Ok(stats)) => log(&format!("reloaded: revision {}, {} keys", stats.revision, stats.keys)),
            Ok(Err(error)) => log(&format!("not reloaded, the old keys stay in force: {error}")),
            Err(error) => log(&format!("not reloaded, the old keys stay in force: {error}")),
        }
    }
}

/// Waits for SIGTERM or ctrl-c.
async fn stopped((mut terminate, mut interrupt): (Signal, Signal)) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

/// Writes one line to stderr, in which nothing of the client's can be a key, a line break or a control character. A
/// log that nobody reads any more is no reason to stop serving.
fn log(line: &str) {
    let (line, _) = bpos::redact(line);
    let line = line.replace(char::is_control, "\u{FFFD}");
    let _ = writeln!(stderr(), "{line}");
}
