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
//! "Who is it, and may it" is decided before "is there quota", and only an admitted request consumes any.

use crate::clock::{Clock, Now};
use crate::decision::{Decision, Denial, DenyReason, Grant};
use crate::key::{self, ApiKey};
use crate::policy::Need;
use crate::registry::Registry;
use crate::request::Request;
use crate::scope::Scope;
use crate::table::Credential;
use crate::text::ScopeName;
use crate::window::Verdict;

impl Registry {
    /// Decides on a request by its method and target, now.
    ///
    /// Never blocks and never panics, on any bytes whatever.
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
    /// A [`Denial`], with its reason and the answer to give.
    pub fn authorize(&self, request: &Request<'_>) -> Result<Grant, Denial> {
        decide(self, request, Operation::Routed, &self.clock)
    }

    /// Like [`Registry::authorize`], at a given time, for tests and replays. Times of both methods must come from the
    /// same clocks: a monotonic time before the key's last admission counts as that one.
    ///
    /// # Errors
    ///
    /// As [`Registry::authorize`].
    pub fn authorize_at(&self, request: &Request<'_>, now: Now) -> Result<Grant, Denial> {
        decide(self, request, Operation::Routed, &now)
    }

    /// Decides on a request whose scope the host names, now: for hosts that route by themselves. The request's method
    /// is not looked at; the operation writes if the scope does. A target, where there is one, is only searched for a
    /// key.
    ///
    /// # Errors
    ///
    /// As [`Registry::authorize`]; a scope that the policy does not have is denied as [`DenyReason::Internal`].
    pub fn authorize_scope(&self, request: &Request<'_>, scope: Scope) -> Result<Grant, Denial> {
        decide(self, request, Operation::Named(scope), &self.clock)
    }

    /// Like [`Registry::authorize_scope`], at a given time.
    ///
    /// # Errors
    ///
    /// As [`Registry::authorize_scope`].
    pub fn authorize_scope_at(&self, request: &Request<'_>, scope: Scope, now: Now) -> Result<Grant, Denial> {
        decide(self, request, Operation::Named(scope), &now)
    }
}

/// How the host says what the request does.
#[derive(Clone, Copy)]
enum Operation {
    /// By method and target; the policy's routes tell the scope.
    Routed,
    /// By its scope.
    Named(Scope),
}

fn decide(
    registry: &Registry,
    request: &Request<'_>,
    operation: Operation,
    clock: &impl Clock,
) -> Result<Grant, Denial> {
    let named = match operation {
        Operation::Routed => None,
        Operation::Named(scope) => match registry.policy.need(scope) {
            None => return Err(unproved(registry, DenyReason::Internal)),
            need => need,
        },
    };

    // Who is it?
    let (path, query) = match memchr::memchr(b'?', request.target) {
        Some(mark) => request.target.split_at(mark),
        None => (request.target, &[][..]),
    };
    if key::in_query(query) {
        return Err(unproved(registry, DenyReason::KeyInUrl));
    }
    let Some(presented) = request.api_key.filter(|key| !key.is_empty()) else {
        return Err(unproved(registry, DenyReason::MissingKey));
    };
    let Some(api_key) = ApiKey::parse_length(presented) else {
        return Err(unproved(registry, DenyReason::MalformedKey));
    };
    let mut block = [0; 64];
    let laid_out = api_key.lay_out(&mut block);
    let table = registry.read(); // here, between the layout and the digest, for the sake of the digest's cost
    let digest = laid_out.digest();
    // Here, where a processor does it while the digest, a chain of steps that wait for each other, is under way: what is left
    // to see of the key's form, and the route, whose turn comes below.
    if !api_key.is_alphanumeric() {
        registry.unproved.add(table.lane(), DenyReason::MalformedKey as usize);
        return Err(Denial::of(DenyReason::MalformedKey));
    }
    let needed = named.or_else(|| registry.policy.route(request.method, path));
    let Some(credential) = table.find(&digest) else {
        registry.unproved.add(table.lane(), DenyReason::UnknownKey as usize);
        return Err(Denial::of(DenyReason::UnknownKey));
    };
    let lane = table.lane();
    if credential.record.revoked_at.is_set() {
        return Err(proved(credential, lane, DenyReason::RevokedKey));
    }
    if !credential.record.enabled {
        return Err(proved(credential, lane, DenyReason::DisabledKey));
    }
    if credential.ends_at != i64::MAX && clock.unix_ms() >= credential.ends_at {
        return Err(proved(credential, lane, DenyReason::ExpiredKey));
    }
    if request.store.is_some_and(|store| !credential.record.store.is(store)) {
        return Err(proved(credential, lane, DenyReason::WrongStore));
    }

    // May it?
    let Some(need) = needed else {
        return Err(proved(credential, lane, DenyReason::UnmappedRoute));
    };
    if !credential.scopes.intersects(need.bit) {
        return Err(needing(registry, credential, need, lane, DenyReason::InsufficientScope));
    }
    if credential.record.test_mode && need.writes {
        return Err(needing(registry, credential, need, lane, DenyReason::TestMode));
    }

    // Is there quota?
    match credential.usage.admit(u32::from(credential.record.rate_limit), clock) {
        Ok(Verdict::Admitted { remaining, frees_in_us }) => {
            Ok(Grant { decision: Decision::counted(credential, need, remaining, frees_in_us) })
        }
        Ok(Verdict::Refused { wait_us }) => {
            let reason = DenyReason::RateLimited;
            credential.usage.count_denial(lane, reason);
            let decision = Decision::counted(credential, need, 0, wait_us);
            Err(Denial { reason, decision, scope_name: ScopeName::EMPTY })
        }
        Ok(Verdict::Sealed | Verdict::OutOfTime) | Err(_) => {
            registry.unproved.add(lane, DenyReason::Internal as usize);
            Err(Denial::of(DenyReason::Internal))
        }
    }
}

/// A denial that discloses nothing of any key.
#[inline]
fn unproved(registry: &Registry, reason: DenyReason) -> Denial {
    registry.unproved.add(registry.read().lane(), reason as usize);
    Denial::of(reason)
}

/// A denial of a key whose secret was proved.
#[inline]
fn proved(credential: &Credential, lane: usize, reason: DenyReason) -> Denial {
    credential.usage.count_denial(lane, reason);
    Denial { decision: Decision::of(credential, None), ..Denial::of(reason) }
}

/// A denial of a key that may not do what the operation needs.
fn needing(registry: &Registry, credential: &Credential, need: Need, lane: usize, reason: DenyReason) -> Denial {
    credential.usage.count_denial(lane, reason);
    let scope_name = registry.policy.scope_name(need.scope);
    Denial { reason, decision: Decision::of(credential, Some(need.scope)), scope_name }
}

impl Decision {
    /// What is known of a key whose secret was proved.
    #[inline]
    fn of(credential: &Credential, scope: Option<Scope>) -> Self {
        Self {
            scope,
            limit: 0,
            remaining: 0,
            reset_s: 0,
            test_mode: credential.record.test_mode,
            key_id: credential.record.id,
            store: *credential.record.store,
        }
    }

    /// The same, with what the window said.
    #[inline]
    fn counted(credential: &Credential, need: Need, remaining: u32, frees_in_us: u64) -> Self {
        Self {
            scope: Some(need.scope),
            limit: u32::from(credential.record.rate_limit),
            remaining,
            reset_s: u32::try_from(frees_in_us.div_ceil(1_000_000)).unwrap_or(u32::MAX),
            test_mode: credential.record.test_mode,
            key_id: credential.record.id,
            store: *credential.record.store,
        }
    }
}
