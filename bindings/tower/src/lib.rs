//! A tower layer that lets a request through only if its API key allows it: [`bpos`] for axum, hyper, tonic and
//! everything else built on tower services.
//!
//! ```
//! use std::sync::Arc;
//!
//! use axum::extract::Extension;
//! use axum::{Router, routing::get};
//! use bpos::{Grant, Registry};
//! use bpos_tower::AuthorizeLayer;
//!
//! async fn products(Extension(grant): Extension<Grant>) -> String {
//!     format!("what {} sells", grant.store())
//! }
//!
//! let registry = Arc::new(Registry::from_json(br#"{"version": 1, "keys": []}"#)?); // or Registry::open("keys.json")
//! let authorize = AuthorizeLayer::new(registry, |_| Some("yourstore".into()));
//! let app: Router = Router::new().route("/api/v1/products", get(products)).layer(authorize);
//! # let _ = app;
//! # Ok::<(), bpos::Error>(())
//! ```
//!
//! # What the layer does
//!
//! It asks the registry about the request's method, its target as received, its `X-API-Key` header and the store that the
//! host names for it; [`store_of_host`] takes that from the request's host. Several `X-API-Key` headers are denied as a
//! malformed key.
//!
//! - **Allowed:** the inner service is called. The request no longer has its `X-API-Key` header, and its extensions hold
//!   the [`Grant`](bpos::Grant): whose store to serve. axum hands it out as `Extension<Grant>`. The response gets the
//!   `RateLimit` headers.
//! - **Denied:** the inner service is not called. The response has bpos's status, headers and body.
//!
//! Either way the response's extensions have the answer, the [`Grant`](bpos::Grant) or the [`Denial`](bpos::Denial), so
//! that a layer further out can log the exact reason and the key's id, which the client is not told.
//!
//! # Where it belongs
//!
//! Around everything that the key protects, and outside of what changes the request's target. In axum that is
//! `Router::layer` on the outermost router: it then also sees requests that match no route. **After the routes:** axum
//! wraps only the routes that are already there; a route added later is not covered. **Not in a nested
//! router:** that sees a shorter path, which another route of the policy may match. There, name the
//! [scope](AuthorizeLayer::scope).
//!
//! A layer that counts, logs or decompresses goes further out if it is to see denied requests, and further in if not.
//! What bpos does not send is `Cache-Control`: a shared cache does not know `X-API-Key`, so answer with `no-store`.
//!
//! # gRPC
//!
//! A gRPC call is a `POST` to `/package.Service/Method`, and a policy has a route for each. A denied call has bpos's
//! status and headers, but no body, which clients would take for a message. `grpc-status` says what the status
//! means to gRPC, by [its own mapping](https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md), and
//! `grpc-message` is what the body would have been.
//!
//! | HTTP | gRPC |
//! |---|---|
//! | 401 | 16, `UNAUTHENTICATED` |
//! | 403 | 7, `PERMISSION_DENIED` |
//! | 429 | 14, `UNAVAILABLE` |
//! | 500 | 2, `UNKNOWN` |
//!
//! # Tests of your own
//!
//! A request that has a [`bpos::Now`] among its extensions is decided at that time, so that a test of an expired key or
//! a used-up limit has nothing to wait for. No client can put one there.

mod answer;
mod body;
mod facts;
mod follow;
mod host;
mod layer;
mod service;

pub use body::ResponseBody;
pub use host::store_of_host;
pub use layer::{AnyStore, AuthorizeLayer};
pub use service::{Authorize, ResponseFuture};
