//! The answer to a request: admitted or denied, why, and what to tell the client.
//!
//! The host gets the exact reason. The client's body never tells whether an unknown key, a malformed one or another
//! store's key exists.

use std::fmt;

use crate::policy::Scope;
use crate::text::{KeyId, ScopeName, Store, quoted};

/// Defines the reasons: a line for each, with its number, status, name, the code that the client sees and the text.
macro_rules! reasons {
    ($($(#[$doc:meta])+ $variant:ident = $number:literal, $status:literal, $name:literal, $code:literal, $detail:literal;)+) => {
        /// Why a request was denied, in the order of the checks: the first that fails decides.
        ///
        /// Exhaustive on purpose: a new reason is a compile error in a host's `match`. The numbers are those of the C ABI
        /// and never change.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u32)]
        pub enum DenyReason { $($(#[$doc])+ $variant = $number,)+ }

        impl DenyReason {
            /// All reasons, in the order of their numbers, which is that of the checks.
            pub const ALL: [Self; 13] = [$(Self::$variant),+];

            /// The HTTP status: 401, 403, 429, or 500 for [`DenyReason::Internal`].
            #[must_use]
            pub fn status(self) -> u16 {
                match self { $(Self::$variant => $status,)+ }
            }

            /// What the client is told in words: the `detail` of its problem body.
            fn detail(self) -> &'static str {
                match self { $(Self::$variant => $detail,)+ }
            }
        }

        /// The names of the reasons, by number.
        pub(crate) const REASON_NAMES: [&str; 14] = [$($name,)+ "allowed"];

        /// What a client sees instead, by number.
        pub(crate) const REASON_CODES: [&str; 14] = [$($code,)+ "allowed"];
    };
}

reasons! {
    /// bpos could not decide: misuse of the C ABI, no memory, or a time out of range. 500.
    Internal = 0, 500, "internal", "internal", "The request could not be authorized.";
    /// The query of the request target contains a key, where logs and histories record it. 401.
    KeyInUrl = 1, 401, "key_in_url", "key_in_url", "An API key must not be sent in the URL. \
        Send it in the X-API-Key header, and replace this key: it may have been logged.";
    /// No key, or an empty one. 401.
    MissingKey = 2, 401, "missing_key", "missing_key", "Send an API key in the X-API-Key header.";
    /// The key is not `bpos_` and 16 to 123 ASCII letters and digits. 401.
    MalformedKey = 3, 401, "malformed_key", "invalid_key", "The API key is not valid.";
    /// The key's digest is not in the registry. 401.
    UnknownKey = 4, 401, "unknown_key", "invalid_key", "The API key is not valid.";
    /// The key was revoked, which is permanent. 401.
    RevokedKey = 5, 401, "revoked_key", "revoked_key", "The API key has been revoked.";
    /// The key is disabled for now. 401.
    DisabledKey = 6, 401, "disabled_key", "disabled_key", "The API key is disabled.";
    /// The key has expired, or the grace period of a rotated-out secret is over. 401.
    ExpiredKey = 7, 401, "expired_key", "expired_key", "The API key has expired.";
    /// The key belongs to another store than the request's. 401.
    WrongStore = 8, 401, "wrong_store", "invalid_key", "The API key is not valid.";
    /// No route of the policy matches the method and the path. 403.
    UnmappedRoute = 9, 403, "unmapped_route", "unmapped_route", "No scope grants access to this endpoint.";
    /// The key lacks the scope that the route requires. 403.
    InsufficientScope = 10, 403, "insufficient_scope", "insufficient_scope", "The API key lacks the scope that this endpoint needs.";
    /// The key is in test mode, and the operation writes. 403.
    TestMode = 11, 403, "test_mode", "test_mode", "The API key is in test mode and can only read.";
    /// The key's limit of requests was admitted in the last 60 seconds. 429.
    RateLimited = 12, 429, "rate_limited", "rate_limited", "The API key's rate limit is used up.";
}

/// How many reasons there are.
pub(crate) const DENY_REASONS: usize = DenyReason::ALL.len();

/// The number that the C ABI gives an admitted request.
#[cfg(feature = "ffi")]
pub(crate) const ALLOWED: u32 = 13;

impl DenyReason {
    /// The first reason that is counted for a key, its secret being proved. Those before count for the registry.
    pub(crate) const FIRST_PROVED: usize = Self::RevokedKey as usize;

    /// The reason's name for logs, such as `rate_limited`.
    #[must_use]
    pub fn name(self) -> &'static str {
        REASON_NAMES.get(self as usize).copied().unwrap_or("internal")
    }

    /// What the client may know, the `code` of [`Denial::body`]: `invalid_key` for a malformed key, an unknown one and
    /// another store's; otherwise the name.
    ///
    /// ```
    /// assert_eq!(bpos::DenyReason::UnknownKey.code(), "invalid_key");
    /// assert_eq!(bpos::DenyReason::RevokedKey.code(), "revoked_key");
    /// ```
    #[must_use]
    pub fn code(self) -> &'static str {
        REASON_CODES.get(self as usize).copied().unwrap_or("internal")
    }
}

impl fmt::Display for DenyReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// An admitted request: whose it is, and what is left of the key's limit.
///
/// ```
/// # let registry = bpos::Registry::from_json(br#"{"version": 1, "keys": []}"#)?;
/// # let new = registry.create(&bpos::KeySpec::new("Sync", "yourstore", ["products:read"]))?;
/// let request = bpos::Request::new("GET", "/api/v1/products").api_key(new.key.expose()).store("yourstore");
/// let grant = registry.authorize(&request)?;
/// assert_eq!((grant.key_id(), grant.store(), grant.test_mode()), (&*new.record.id, "yourstore", false));
/// assert_eq!((grant.scope(), grant.limit(), grant.remaining()), (Some(bpos::Scope::PRODUCTS_READ), 60, 59));
/// assert_eq!(grant.headers()[1], ("RateLimit", format!(r#""default";r=59;t={}"#, grant.reset_s())));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy)]
#[must_use]
pub struct Grant {
    pub(crate) decision: Decision,
}

/// A denied request: why, and the answer to give.
///
/// [`Denial::headers`] and [`Denial::body`] tell the client no more than it may know.
///
/// ```
/// # let registry = bpos::Registry::from_json(br#"{"version": 1, "keys": []}"#)?;
/// let denial = registry.authorize(&bpos::Request::new("GET", "/api/v1/products")).unwrap_err();
/// assert_eq!((denial.status(), denial.reason(), denial.code()), (401, bpos::DenyReason::MissingKey, "missing_key"));
/// assert_eq!((denial.key_id(), denial.store(), denial.retry_after_s()), (None, None, None));
/// assert_eq!(denial.headers()[0], ("WWW-Authenticate", r#"ApiKey realm="bpos""#.to_string()));
/// assert!(denial.body().contains(r#""code":"missing_key""#));
/// # Ok::<(), bpos::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
#[must_use]
pub struct Denial {
    pub(crate) reason: DenyReason,
    pub(crate) decision: Decision,
    /// Named to the client on a 403.
    pub(crate) scope_name: ScopeName,
}

/// What a decision learned. Empty past the check that failed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Decision {
    pub(crate) scope: Option<Scope>,
    pub(crate) limit: u32,
    pub(crate) remaining: u32,
    pub(crate) reset_s: u32,
    pub(crate) test_mode: bool,
    pub(crate) key_id: KeyId,
    pub(crate) store: Store,
}

impl Decision {
    pub(crate) const EMPTY: Self = Self {
        scope: None,
        limit: 0,
        remaining: 0,
        reset_s: 0,
        test_mode: false,
        key_id: KeyId::EMPTY,
        store: Store::EMPTY,
    };

    /// The `RateLimit` fields of draft-ietf-httpapi-ratelimit-headers-11: RFC 9651 lists of one quoted string.
    fn rate_limit(&self) -> [(&'static str, String); 2] {
        [
            ("RateLimit-Policy", format!("\"default\";q={};w=60", self.limit)),
            ("RateLimit", format!("\"default\";r={};t={}", self.remaining, self.reset_s)),
        ]
    }
}

impl Grant {
    /// The id of the key, for logs.
    pub fn key_id(&self) -> &str {
        self.decision.key_id.as_str()
    }

    /// The store that the key belongs to.
    pub fn store(&self) -> &str {
        self.decision.store.as_str()
    }

    /// The scope that the operation needed.
    pub fn scope(&self) -> Option<Scope> {
        self.decision.scope
    }

    /// Whether the key is in test mode.
    pub fn test_mode(&self) -> bool {
        self.decision.test_mode
    }

    /// The key's limit: requests in any 60 seconds.
    pub fn limit(&self) -> u32 {
        self.decision.limit
    }

    /// How many more requests would be admitted now.
    pub fn remaining(&self) -> u32 {
        self.decision.remaining
    }

    /// Whole seconds, rounded up, until the oldest counted request leaves the window and one more is free.
    pub fn reset_s(&self) -> u32 {
        self.decision.reset_s
    }

    /// The headers for the answer: `RateLimit-Policy` and `RateLimit`.
    #[must_use]
    pub fn headers(&self) -> Vec<(&'static str, String)> {
        self.decision.rate_limit().into()
    }
}

impl Denial {
    /// A denial that knows nothing of a key.
    #[cfg(feature = "ffi")]
    pub(crate) const fn of(reason: DenyReason) -> Self {
        Self { reason, decision: Decision::EMPTY, scope_name: ScopeName::EMPTY }
    }

    /// The HTTP status: 401, 403, 429 or 500.
    pub fn status(&self) -> u16 {
        self.reason.status()
    }

    /// Exactly why, for the host's logs.
    pub fn reason(&self) -> DenyReason {
        self.reason
    }

    /// The `code` of the body. See [`DenyReason::code`].
    pub fn code(&self) -> &'static str {
        self.reason.code()
    }

    /// The key's id, for logs; only if the client proved that it holds the secret.
    pub fn key_id(&self) -> Option<&str> {
        Some(self.decision.key_id.as_str()).filter(|id| !id.is_empty())
    }

    /// The key's store, if the client proved that it holds the secret. Not for the client.
    pub fn store(&self) -> Option<&str> {
        Some(self.decision.store.as_str()).filter(|store| !store.is_empty())
    }

    /// The scope that the operation needed, if the decision got that far.
    pub fn required_scope(&self) -> Option<Scope> {
        self.decision.scope
    }

    /// Whether the key is in test mode.
    pub fn test_mode(&self) -> bool {
        self.decision.test_mode
    }

    /// The key's limit, requests in any 60 seconds, on 429; otherwise 0.
    pub fn limit(&self) -> u32 {
        self.decision.limit
    }

    /// Whole seconds, rounded up and at least 1, until a request will be admitted again; only on 429.
    pub fn retry_after_s(&self) -> Option<u32> {
        (self.reason == DenyReason::RateLimited).then_some(self.decision.reset_s)
    }

    /// The headers for the answer: `WWW-Authenticate` on 401, `Retry-After` and the `RateLimit` fields on 429, and the
    /// `Content-Type` of the body.
    #[must_use]
    pub fn headers(&self) -> Vec<(&'static str, String)> {
        let mut headers = Vec::new();
        if self.status() == 401 {
            headers.push(("WWW-Authenticate", r#"ApiKey realm="bpos""#.to_string()));
        }
        if let Some(seconds) = self.retry_after_s() {
            headers.push(("Retry-After", seconds.to_string()));
            headers.extend(self.decision.rate_limit());
        }
        headers.push(("Content-Type", "application/problem+json".to_string()));
        headers
    }

    /// The body for the answer, an RFC 9457 problem in JSON.
    #[must_use]
    pub fn body(&self) -> String {
        let (code, detail) = (self.code(), self.reason.detail());
        let (status, title) = match self.status() {
            401 => (401, "Unauthorized"),
            403 => (403, "Forbidden"),
            429 => (429, "Too Many Requests"),
            _ => (500, "Internal Server Error"),
        };
        let mut body = format!(
            r#"{{"type":"about:blank","title":"{title}","status":{status},"detail":"{detail}","code":"{code}""#
        );
        let scope = self.scope_name.as_str();
        if status == 403 && !scope.is_empty() {
            body.push_str(&format!(r#","required_scope":{}"#, quoted(scope)));
        }
        if let Some(seconds) = self.retry_after_s() {
            body.push_str(&format!(r#","retry_after":{seconds}"#));
        }
        body.push('}');
        body
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.status(), self.reason)?;
        self.key_id().map_or(Ok(()), |id| write!(f, " (key {id})"))
    }
}

impl std::error::Error for Denial {}
