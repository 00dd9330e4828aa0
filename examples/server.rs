//! A shop's HTTP API behind bpos. This file is what a host has to do: put the layer of bpos around everything, say
//! which store a request is for, and log what was decided. The shop itself, in `server/shop.rs`, is made up.
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
use axum::extract::Request;
use axum::http::header::CACHE_CONTROL;
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderValue, Uri};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use bpos::{Denial, Grant, Options, Registry};
use bpos_tower::{AuthorizeLayer, store_of_host};
use clap::Parser;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// A made-up shop's API, authorized by bpos.
#[derive(Parser)]
struct Arguments {
    /// The registry document with the keys; read again when it has changed.
    #[arg(long, value_name = "FILE")]
    registry: PathBuf,
    /// Where to listen; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// The store that every request is for; without it, the request's host names it, one level below the domain.
    #[arg(long, value_name = "NAME")]
    store: Option<String>,
    /// The platform's domain.
    #[arg(long, value_name = "NAME", default_value = "brotherpos.ca")]
    domain: String,
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
    let registry = Arc::new(Registry::open_with(&arguments.registry, Options::default().read_only(true))?);

    // Signals are caught before anybody is told that the server listens.
    let stop = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let listener = TcpListener::bind(arguments.listen).await?;
    writeln!(stdout(), "listening on http://{}", listener.local_addr()?)?;

    // A client that never ends its request must not hold up the end, and a shop in memory has nothing to lose by it.
    tokio::select! {
        served = axum::serve(listener, app(registry, arguments.store, arguments.domain)) => served?,
        () = stopped(stop) => {}
    }
    Ok(())
}

/// The shop behind bpos, and the log before both. What is no route of the shop passes bpos too, so nothing is answered
/// unauthorized.
fn app(registry: Arc<Registry>, only: Option<String>, domain: String) -> Router {
    let authorize = AuthorizeLayer::new(registry, move |parts| match &only {
        Some(store) => Some(store.clone().into()),
        None => store_of_host(parts, &domain),
    })
    // Keys are changed by the command. A document with a mistake changes nothing.
    .follow_file(|error| log(&format!("not reloaded, the old keys stay in force: {error}")));
    shop::router().layer(authorize).layer(from_fn(logged))
}

/// Writes each request to the log, with the exact reason, of which the client is told less, and the id of the key.
async fn logged(request: Request, next: Next) -> Response {
    let asked = format!("{} {}", request.method(), target(request.uri()));
    let mut response = next.run(request).await;
    let decided = match (response.extensions().get::<Grant>(), response.extensions().get::<Denial>()) {
        (Some(grant), _) => format!("allowed {}", grant.key_id()),
        (None, Some(denial)) => format!("{} {}", denial.reason(), denial.key_id().unwrap_or("-")),
        (None, None) => "not decided".to_string(),
    };
    log(&format!("{asked} {} {decided}", response.status().as_u16()));
    // A shared cache does not know X-API-Key: it would hand one client's answer to the next.
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The path and the query as they were received.
fn target(uri: &Uri) -> String {
    uri.path_and_query().map_or_else(String::new, PathAndQuery::to_string)
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
