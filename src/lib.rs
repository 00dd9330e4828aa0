//! `bpos` is an embedded authority for API keys: everything that happens between "a request arrives with an
//! `X-API-Key` header" and "200, 401, 403 or 429", inside the process that serves the request. No server, no network,
//! no background thread.
//!
//! ```no_run
//! use bpos::{Registry, Request};
//!
//! let registry = Registry::open("keys.json")?;
//! let request = Request::new("GET", "/api/v1/products").api_key("bpos_…").store("yourstore");
//! match registry.authorize(&request) {
//!     Ok(grant) => println!("serve {} to {}", grant.store(), grant.key_id()),
//!     Err(denial) => println!("{}\n{}", denial.status(), denial.body()),
//! }
//! # Ok::<(), bpos::Error>(())
//! ```
//!
//! The decision, check by check, is the table in the README and the one function of `authorize.rs`.

cfg_if::cfg_if! {
    if #[cfg(unix)] {
        mod authorize;
        mod clock;
        mod decision;
        mod error;
        #[cfg(feature = "ffi")]
        pub mod ffi;
        mod json;
        mod key;
        mod limit;
        mod policy;
        mod registry;
        mod request;
        mod shared;
        mod sync;
        mod text;

        pub use clock::Now;
        pub use decision::{Denial, DenyReason, Grant};
        pub use error::{Error, ErrorKind};
        pub use json::dates::{date_text, parse_date};
        pub use key::{
            KeyPatch, KeyRecord, KeySpec, KeyUsage, NewKey, Redactor, Secret, has_checksum, redact, redact_in_place,
        };
        pub use limit::Stats;
        pub use policy::{Policy, Scope};
        pub use registry::{Edit, Options, Registry};
        pub use request::{Field, Request};
        pub use shared::Sharing;
    } else {
        // In the place of the rest, so that nothing else is wrong.
        compile_error!("bpos runs on Unix only: it relies on Unix's owners, modes and locks of files, and on its clocks");
    }
}

// The examples of the README are tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
