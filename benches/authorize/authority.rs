//! What answers requests in this benchmark: bpos from C, bpos from Rust, and what people write instead.

use bpos::{DenyReason, Request, Scope};

use crate::keys::{Call, Terms, document};

/// One that holds the first so many keys of [`crate::keys`]. It answers with the number of the reason.
pub(crate) trait Authority: Sync {
    /// One whose keys all have this limit a minute.
    fn with_limit(keys: usize, limit: u32) -> Self;

    /// Decides on a request whose scope the host names.
    fn named(&self, call: Call<'_>, scope: Need) -> u32;
}

/// The scope that a request needs, by its number. The keys have the first.
#[derive(Clone, Copy)]
pub(crate) enum Need {
    ProductsRead = 1,
    CustomersRead = 2,
}

/// A request whose scope bpos finds.
pub(crate) const METHOD: &str = "GET";
pub(crate) const TARGET: &str = "/api/v1/products/1207";

pub(crate) const UNKNOWN_KEY: u32 = DenyReason::UnknownKey as u32;
pub(crate) const REVOKED_KEY: u32 = DenyReason::RevokedKey as u32;
pub(crate) const WRONG_STORE: u32 = DenyReason::WrongStore as u32;
pub(crate) const INSUFFICIENT_SCOPE: u32 = DenyReason::InsufficientScope as u32;
pub(crate) const RATE_LIMITED: u32 = DenyReason::RateLimited as u32;
/// C's `BPOS_REASON_ALLOWED`. In Rust, what is allowed has no reason.
pub(crate) const ALLOWED: u32 = 13;

impl Authority for bpos::Registry {
    fn with_limit(keys: usize, limit: u32) -> Self {
        Self::from_json(&document(keys, |_| Terms { limit, revoked: false })).unwrap()
    }

    #[inline]
    fn named(&self, call: Call<'_>, scope: Need) -> u32 {
        let scope = match scope {
            Need::ProductsRead => Scope::PRODUCTS_READ,
            Need::CustomersRead => Scope::CUSTOMERS_READ,
        };
        match self.authorize_scope(&Request::default().api_key(call.key).store(call.store), scope) {
            Ok(_) => ALLOWED,
            Err(denial) => denial.reason() as u32,
        }
    }
}
