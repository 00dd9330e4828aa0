//! A document in, a few decisions out: the shortest whole program.
//!
//! Run it with `cargo run --example quickstart`.

#![allow(clippy::print_stdout, reason = "the library prints nothing, but this program has something to show")]

use bpos::{Error, Registry, Request};

/// A registry document: one key, which may read the products of one store. It holds the key's SHA-256 and not the
/// key, so whoever reads it learns no key: `printf %s "$KEY" | sha256sum` makes one. A real one is a file of its own:
/// `Registry::open("keys.json")`.
const DOCUMENT: &str = r#"{
  "version": 1,
  "keys": [
    { "id": "key_quickstart", "name": "Website Sync", "store": "yourstore",
      "sha256": "9050645f75ff774a2392624223caba436347fad51abc8bb6085f3d81148413d4",
      "scopes": ["products:read"] }
  ]
}"#;

/// What the client sends. It opens nothing but this example: a real one is drawn at random.
const KEY: &str = "bpos_QuickstartExampleNotSecret";

fn main() -> Result<(), Error> {
    let registry = Registry::from_json(DOCUMENT.as_bytes())?;

    let read = Request::new("GET", "/api/v1/products?page=2").store("yourstore");
    decide(&registry, "reads products", &read.api_key(KEY));
    decide(&registry, "changes products", &Request::new("PATCH", "/api/v1/products/bulk").api_key(KEY));
    decide(&registry, "comes without a key", &read);
    decide(&registry, "asks another store", &read.api_key(KEY).store("otherstore"));
    Ok(())
}

/// Asks, and prints what a server would answer.
fn decide(registry: &Registry, what: &str, request: &Request<'_>) {
    println!("A client {what}:");
    let headers = match registry.authorize(request) {
        Ok(grant) => {
            println!("  200: serve the data of {:?} to {} (yours to do)", grant.store(), grant.key_id());
            grant.headers()
        }
        Err(denial) => {
            println!("  {}: {} (the exact reason, for your log)", denial.status(), denial.reason());
            println!("  {}", denial.body());
            denial.headers()
        }
    };
    for (name, value) in headers {
        println!("  {name}: {value}");
    }
    println!();
}
