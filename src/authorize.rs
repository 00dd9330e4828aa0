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
use crate::key::{ApiKey, Digest, Record, in_query};
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
        self.decide_routed(request, self.clock(), |outcome| outcome.into_result())
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
        self.decide_routed(request, &now, |outcome| outcome.into_result())
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
        self.decide_named(request, scope, self.clock(), |outcome| outcome.into_result())
    }

    /// Like [`Registry::authorize_scope`], at a given time.
    ///
    /// # Errors
    ///
    /// As [`Registry::authorize_scope`].
    pub fn authorize_scope_at(&self, request: &Request<'_>, scope: Scope, now: Now) -> Result<Grant, Denial> {
        self.decide_named(request, scope, &now, |outcome| outcome.into_result())
    }
}

/// What was decided, told while the key is at hand, so that only who is told copies anything. Empty past the check that failed.
#[derive(Clone, Copy, Default)]
pub(crate) struct Outcome<'a> {
    /// `None` if the request is allowed.
    pub(crate) denied: Option<DenyReason>,
    /// The key, if its secret was proved.
    pub(crate) key: Option<&'a Record>,
    pub(crate) scope: Option<Scope>,
    /// The scope that the client of a 403 is told.
    pub(crate) scope_name: Option<&'a ScopeName>,
    pub(crate) limit: u32,
    pub(crate) remaining: u32,
    pub(crate) reset_s: u32,
}

impl Registry {
    /// Decides by the policy's routes, and tells the outcome.
    #[inline]
    pub(crate) fn decide_routed<T>(
        &self,
        request: &Request<'_>,
        clock: &impl Clock,
        tell: impl FnOnce(Outcome<'_>) -> T,
    ) -> T {
        decide(self, request, Operation::Routed, clock, tell)
    }

    /// Decides by a scope, and tells the outcome. A scope unknown to the policy is denied before all checks.
    #[inline]
    pub(crate) fn decide_named<T>(
        &self,
        request: &Request<'_>,
        scope: Scope,
        clock: &impl Clock,
        tell: impl FnOnce(Outcome<'_>) -> T,
    ) -> T {
        match self.policy().need(scope) {
            Some(need) => decide(self, request, Operation::Named(need), clock, tell),
            None => tell(unproved(self, self.read().lane(), DenyReason::Internal)),
        }
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

#[inline]
fn decide<T>(
    registry: &Registry,
    request: &Request<'_>,
    operation: Operation,
    clock: &impl Clock,
    tell: impl FnOnce(Outcome<'_>) -> T,
) -> T {
    let deny = |reason| unproved(registry, registry.read().lane(), reason);

    // Who is it?
    let mark = memchr::memchr(b'?', request.target).unwrap_or(request.target.len());
    let (path, query) = request.target.split_at(mark);
    if in_query(query) {
        return tell(deny(DenyReason::KeyInUrl));
    }
    let Some(presented) = request.api_key.filter(|key| !key.is_empty()) else {
        return tell(deny(DenyReason::MissingKey));
    };
    let Some(api_key) = ApiKey::parse_length(presented) else {
        return tell(deny(DenyReason::MalformedKey));
    };
    loop {
        registry.follow_others();
        let Prepared { table, digest, is_alphanumeric, need } = prepare(registry, request, operation, path, api_key);
        let lane = table.lane();
        if !is_alphanumeric {
            return tell(unproved(registry, lane, DenyReason::MalformedKey));
        }
        let Some(key) = table.find(&digest) else {
            return tell(unproved(registry, lane, DenyReason::UnknownKey));
        };
        let deny = |reason, need: Option<Need>| proved(registry, lane, key, reason, need, 0);
        // What other processes say, before this one has read it. Without memory for that, nothing is admitted.
        let standing = registry.usage(key).standing().unwrap_or_default();
        if key.is_revoked || standing.is_revoked {
            return tell(deny(DenyReason::RevokedKey, None));
        }
        if !key.record.enabled || standing.is_disabled {
            return tell(deny(DenyReason::DisabledKey, None));
        }
        if key.ends_at != i64::MAX && clock.unix_ms() >= key.ends_at {
            return tell(deny(DenyReason::ExpiredKey, None));
        }
        if request.store.is_some_and(|store| !key.record.store.is(store)) {
            return tell(deny(DenyReason::WrongStore, None));
        }

        // May it?
        let Some(need) = need else {
            return tell(deny(DenyReason::UnmappedRoute, None));
        };
        if !key.scopes.intersects(need.bit) {
            return tell(deny(DenyReason::InsufficientScope, Some(need)));
        }
        if key.record.test_mode && need.writes {
            return tell(deny(DenyReason::TestMode, Some(need)));
        }

        // Is there quota?
        if standing.is_newer_than(registry.revision()) {
            // It has changed since this began. If that cannot be read, it is denied.
            registry.follow_others();
            if standing.is_newer_than(registry.revision()) {
                return tell(unproved(registry, lane, DenyReason::Internal));
            }
            continue;
        }
        return tell(spend(registry, lane, key, need, clock));
    }
}

/// Counts the request, if the key has quota.
#[inline(always)]
fn spend<'a>(registry: &'a Registry, lane: usize, key: &'a Credential, need: Need, clock: &impl Clock) -> Outcome<'a> {
    let limit = u32::from(key.record.rate_limit);
    match registry.usage(key).admit(limit, clock) {
        Ok(Verdict::Admitted { remaining, frees_in_us }) => {
            let (scope, reset_s) = (Some(need.scope), whole_seconds(frees_in_us));
            Outcome { key: Some(&key.record), scope, limit, remaining, reset_s, ..Outcome::default() }
        }
        Ok(Verdict::Refused { wait_us }) => {
            let denied = proved(registry, lane, key, DenyReason::RateLimited, Some(need), whole_seconds(wait_us));
            Outcome { limit, ..denied }
        }
        Ok(Verdict::Outgrown | Verdict::OutOfTime | Verdict::Damaged) | Err(_) => {
            unproved(registry, lane, DenyReason::Internal)
        }
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

/// Counts a denial that proved no key.
#[inline(always)]
fn unproved(registry: &Registry, lane: usize, reason: DenyReason) -> Outcome<'static> {
    registry.count_unproved(lane, reason);
    Outcome { denied: Some(reason), ..Outcome::default() }
}

/// Counts a denial of a key, and names the scope where that decided.
#[inline(always)]
fn proved<'a>(
    registry: &'a Registry,
    lane: usize,
    key: &'a Credential,
    reason: DenyReason,
    need: Option<Need>,
    reset_s: u32,
) -> Outcome<'a> {
    registry.usage(key).count_denial(lane, reason);
    let scope = need.map(|need| need.scope);
    let scope_name = scope.filter(|_| reason.status() == 403).and_then(|scope| registry.policy().scope_name(scope));
    Outcome { denied: Some(reason), key: Some(&key.record), scope, scope_name, reset_s, ..Outcome::default() }
}

fn whole_seconds(us: u64) -> u32 {
    u32::try_from(us.div_ceil(1_000_000)).unwrap_or(u32::MAX)
}

impl Outcome<'_> {
    #[inline]
    #[allow(clippy::result_large_err, reason = "it is made in the caller's place")]
    fn into_result(self) -> Result<Grant, Denial> {
        let Self { scope, limit, remaining, reset_s, .. } = self;
        let decision = match self.key {
            Some(key) => Decision {
                scope,
                limit,
                remaining,
                reset_s,
                test_mode: key.test_mode,
                key_id: key.id,
                store: *key.store,
            },
            None => Decision::EMPTY,
        };
        match self.denied {
            None => Ok(Grant { decision }),
            Some(reason) => {
                Err(Denial { reason, decision, scope_name: self.scope_name.copied().unwrap_or(ScopeName::EMPTY) })
            }
        }
    }
}
