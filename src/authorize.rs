//! The decision: one function, in the order of its table.
//!
//! | # | check | status | reason |
//! |---|---|---|---|
//! | 1 | the target's query, as it stands or percent-decoded, holds a key | 401 | `key_in_url` |
//! | 2 | no key, or an empty one | 401 | `missing_key` |
//! | 3 | not `bpos_` and 16 to 123 ASCII letters and digits | 401 | `malformed_key` |
//! | 4 | its digest is not in the registry | 401 | `unknown_key` |
//! | 5 | revoked | 401 | `revoked_key` |
//! | 6 | disabled | 401 | `disabled_key` |
//! | 7 | expired, or a retiring secret past its grace | 401 | `expired_key` |
//! | 8 | a key of another store | 401 | `wrong_store` |
//! | 9 | no route matches | 403 | `unmapped_route` |
//! | 10 | the key lacks the scope | 403 | `insufficient_scope` |
//! | 11 | a test-mode key, and the operation writes | 403 | `test_mode` |
//! | 12 | the rate limit is used up | 429 | `rate_limited` |
//! | 13 | allowed | 200 | `allowed` |
//!
//! Authentication and authorization come before the quota, which only an admitted request uses.

use crate::clock::{Clock, Now};
use crate::decision::{Decision, Denial, DenyReason, Grant};
use crate::key::{ApiKey, Digest, in_query};
use crate::limit::Verdict;
use crate::policy::{Need, Scope};
use crate::registry::{Credential, Registry, Table};
use crate::request::Request;
use crate::sync::hazard::Reading;
use crate::text::ScopeName;

impl Registry {
    /// Decides on a request by its method and target, now. Never blocks or panics, whatever the bytes.
    ///
    /// ```
    /// use bpos::{DenyReason, Registry, Request};
    ///
    /// let registry = Registry::from_json(br#"{"version": 1, "keys": []}"#)?;
    /// let request = Request::new("GET", "/api/v1/products").api_key("bpos_abcdefghijklmnop").store("yourstore");
    /// match registry.authorize(&request) {
    ///     Ok(grant) => println!("{} of {}", grant.key_id(), grant.store()),
    ///     Err(denial) => assert_eq!((denial.status(), denial.reason()), (401, DenyReason::UnknownKey)),
    /// }
    /// # Ok::<(), bpos::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// A [`Denial`], with the reason and the response to send.
    pub fn authorize(&self, request: &Request<'_>) -> Result<Grant, Denial> {
        decide(self, request, Operation::Routed, self.clock())
    }

    /// Like [`Registry::authorize`], at a given time, for tests and replays. The times of both methods must come from the
    /// same clocks: a monotonic time before the key's last admission counts as that time.
    ///
    /// ```
    /// use bpos::{DenyReason, KeySpec, Now, Registry, Request};
    ///
    /// let registry = Registry::from_json(br#"{"version": 1, "keys": []}"#)?;
    /// let new = registry.create(&KeySpec::new("Sync", "yourstore", ["products:read"]).rate_limit(1))?;
    /// let request = Request::new("GET", "/api/v1/products").api_key(new.key.expose());
    /// let at = |s: u64| Now { unix_ms: 0, monotonic_us: s * 1_000_000 };
    /// assert!(registry.authorize_at(&request, at(1)).is_ok());
    /// let denial = registry.authorize_at(&request, at(2)).unwrap_err();
    /// assert_eq!((denial.reason(), denial.retry_after_s()), (DenyReason::RateLimited, Some(60)));
    /// # Ok::<(), bpos::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Registry::authorize`].
    pub fn authorize_at(&self, request: &Request<'_>, now: Now) -> Result<Grant, Denial> {
        decide(self, request, Operation::Routed, &now)
    }

    /// Decides on a request by a scope, now, for hosts that do their own routing. The method is ignored: the operation
    /// writes if the scope does. The target, if any, is only searched for a key.
    ///
    /// ```
    /// # let registry = bpos::Registry::from_json(br#"{"version": 1, "keys": []}"#)?;
    /// let products = registry.scope("products:read").expect("the policy has it");
    /// let denial = registry.authorize_scope(&bpos::Request::new("GET", "/"), products).unwrap_err();
    /// assert_eq!(denial.reason(), bpos::DenyReason::MissingKey);
    /// # Ok::<(), bpos::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Registry::authorize`]; [`DenyReason::Internal`] if the policy has no such scope.
    pub fn authorize_scope(&self, request: &Request<'_>, scope: Scope) -> Result<Grant, Denial> {
        decide(self, request, self.named(scope)?, self.clock())
    }

    /// Like [`Registry::authorize_scope`], at a given time.
    ///
    /// # Errors
    ///
    /// As [`Registry::authorize_scope`].
    pub fn authorize_scope_at(&self, request: &Request<'_>, scope: Scope, now: Now) -> Result<Grant, Denial> {
        decide(self, request, self.named(scope)?, &now)
    }
}

impl Registry {
    /// The operation of a host that names its scope. A scope unknown to the policy is denied before all checks.
    fn named(&self, scope: Scope) -> Result<Operation, Denial> {
        self.policy().need(scope).map(Operation::Named).ok_or_else(|| {
            self.count_unproved(self.read().lane(), DenyReason::Internal);
            Denial::of(DenyReason::Internal)
        })
    }
}

/// What the request does.
#[derive(Clone, Copy)]
enum Operation {
    /// By method and target, through the policy's routes.
    Routed,
    /// By scope.
    Named(Need),
}

fn decide(
    registry: &Registry,
    request: &Request<'_>,
    operation: Operation,
    clock: &impl Clock,
) -> Result<Grant, Denial> {
    let unproved = |reason| deny(registry, registry.read().lane(), reason, None);

    // Who is it?
    let (path, query) = match memchr::memchr(b'?', request.target) {
        Some(mark) => request.target.split_at(mark),
        None => (request.target, &[][..]),
    };
    if in_query(query) {
        return unproved(DenyReason::KeyInUrl);
    }
    let Some(presented) = request.api_key.filter(|key| !key.is_empty()) else {
        return unproved(DenyReason::MissingKey);
    };
    let Some(api_key) = ApiKey::parse_length(presented) else {
        return unproved(DenyReason::MalformedKey);
    };
    let Prepared { table, digest, is_alphanumeric, need } = prepare(registry, request, operation, path, api_key);
    let lane = table.lane();
    if !is_alphanumeric {
        return deny(registry, lane, DenyReason::MalformedKey, None);
    }
    let Some(key) = table.find(&digest) else {
        return deny(registry, lane, DenyReason::UnknownKey, None);
    };
    let proved = |reason, scope| deny(registry, lane, reason, Some((key, scope, 0)));
    if key.is_revoked {
        return proved(DenyReason::RevokedKey, None);
    }
    if !key.record.enabled {
        return proved(DenyReason::DisabledKey, None);
    }
    if key.ends_at != i64::MAX && clock.unix_ms() >= key.ends_at {
        return proved(DenyReason::ExpiredKey, None);
    }
    if request.store.is_some_and(|store| !key.record.store.is(store)) {
        return proved(DenyReason::WrongStore, None);
    }

    // May it?
    let Some(need) = need else {
        return proved(DenyReason::UnmappedRoute, None);
    };
    if !key.scopes.intersects(need.bit) {
        return proved(DenyReason::InsufficientScope, Some(need.scope));
    }
    if key.record.test_mode && need.writes {
        return proved(DenyReason::TestMode, Some(need.scope));
    }

    // Is there quota?
    match registry.usage(key).admit(u32::from(key.record.rate_limit), clock) {
        Ok(Verdict::Admitted { remaining, frees_in_us }) => {
            Ok(Grant { decision: Decision::counted(key, need, remaining, frees_in_us) })
        }
        Ok(Verdict::Refused { wait_us }) => {
            deny(registry, lane, DenyReason::RateLimited, Some((key, Some(need.scope), whole_seconds(wait_us))))
        }
        Ok(Verdict::Outgrown | Verdict::OutOfTime) | Err(_) => deny(registry, lane, DenyReason::Internal, None),
    }
}

/// What the checks from the malformed key on need.
struct Prepared<'r> {
    table: Reading<'r, Table>,
    digest: Digest,
    is_alphanumeric: bool,
    need: Option<Need>,
}

/// Computes what several checks need, in the order that is fastest: the atomic exchange of reading the table lets the padded
/// block leave the store buffer, and the digest, one long dependency chain, overlaps the form check and the route lookup.
#[inline(always)]
fn prepare<'r>(
    registry: &'r Registry,
    request: &Request<'_>,
    operation: Operation,
    path: &[u8],
    api_key: ApiKey<'_>,
) -> Prepared<'r> {
    let mut block = [0; 64];
    let padded = api_key.padded_block(&mut block);
    let table = registry.read();
    let digest = padded.digest();
    let is_alphanumeric = api_key.is_alphanumeric();
    let need = match operation {
        Operation::Routed => registry.policy().route(request.method, path),
        Operation::Named(need) => Some(need),
    };
    Prepared { table, digest, is_alphanumeric, need }
}

/// Counts a denial and describes it: with the key, the scope and the seconds to wait only if the key's secret was proved.
#[inline]
fn deny(
    registry: &Registry,
    lane: usize,
    reason: DenyReason,
    of: Option<(&Credential, Option<Scope>, u32)>,
) -> Result<Grant, Denial> {
    let Some((key, scope, reset_s)) = of else {
        registry.count_unproved(lane, reason);
        return Err(Denial::of(reason));
    };
    registry.usage(key).count_denial(lane, reason);
    let limit = if reason == DenyReason::RateLimited { u32::from(key.record.rate_limit) } else { 0 };
    let told = scope.filter(|_| reason.status() == 403);
    let scope_name = told.map_or(ScopeName::EMPTY, |scope| registry.policy().scope_name(scope));
    Err(Denial { reason, decision: Decision { limit, reset_s, ..Decision::of(key, scope) }, scope_name })
}

fn whole_seconds(us: u64) -> u32 {
    u32::try_from(us.div_ceil(1_000_000)).unwrap_or(u32::MAX)
}

impl Decision {
    /// Of a key whose secret was proved.
    #[inline]
    fn of(key: &Credential, scope: Option<Scope>) -> Self {
        Self { scope, test_mode: key.record.test_mode, key_id: key.record.id, store: *key.record.store, ..Self::EMPTY }
    }

    /// The same, with the state of the window.
    #[inline]
    fn counted(key: &Credential, need: Need, remaining: u32, frees_in_us: u64) -> Self {
        Self {
            limit: u32::from(key.record.rate_limit),
            remaining,
            reset_s: whole_seconds(frees_in_us),
            ..Self::of(key, Some(need.scope))
        }
    }
}
