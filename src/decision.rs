//! The answer to a request: admitted or denied, why, and how to tell the client.
//!
//! What a client is told differs from what the host is told. The host gets the exact reason; the client's body never
//! says whether an unknown key, a malformed one or a key of another store exists.

use std::fmt;

use crate::policy::Scope;
use crate::text::{KeyId, ScopeName, Store, quoted};

/// Why a request was denied, in the order of the checks: the first that fails decides.
///
/// Exhaustive on purpose: when a reason is added, a host's `match` stops compiling instead of guessing. The numbers
/// are those of the C ABI and never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum DenyReason {
    /// bpos could not decide: misuse of the C ABI, no memory, or a time out of range. 500.
    Internal = 0,
    /// The request target's query holds a key, where logs and histories record it. 401.
    KeyInUrl = 1,
    /// There is no key, or an empty one. 401.
    MissingKey = 2,
    /// The key is not `bpos_` and 16 to 123 ASCII letters and digits. 401.
    MalformedKey = 3,
    /// The registry does not hold the key's digest. 401.
    UnknownKey = 4,
    /// The key was revoked, for good. 401.
    RevokedKey = 5,
    /// The key is disabled for now. 401.
    DisabledKey = 6,
    /// The key's expiry, or a rotated-out secret's end of grace, has come. 401.
    ExpiredKey = 7,
    /// The key belongs to another store than the request's. 401.
    WrongStore = 8,
    /// No route of the policy matches the method and the path. 403.
    UnmappedRoute = 9,
    /// The key lacks the scope that the route needs. 403.
    InsufficientScope = 10,
    /// The key is in test mode, and the operation writes. 403.
    TestMode = 11,
    /// As many requests as the key's limit were admitted in the last 60 seconds. 429.
    RateLimited = 12,
}

/// How many reasons there are.
pub(crate) const DENY_REASONS: usize = DenyReason::ALL.len();

/// The number that the C ABI gives an admitted request.
#[cfg(feature = "ffi")]
pub(crate) const ALLOWED: u32 = 13;

/// The names of the reasons, by number.
pub(crate) const REASON_NAMES: [&str; 14] = [
    "internal",
    "key_in_url",
    "missing_key",
    "malformed_key",
    "unknown_key",
    "revoked_key",
    "disabled_key",
    "expired_key",
    "wrong_store",
    "unmapped_route",
    "insufficient_scope",
    "test_mode",
    "rate_limited",
    "allowed",
];

/// What a client may be told of them, by number. These keys are not told apart: a client that guesses learns nothing.
#[expect(clippy::indexing_slicing, reason = "worked out by the compiler: out of range does not compile")]
pub(crate) const REASON_CODES: [&str; 14] = {
    let mut codes = REASON_NAMES;
    codes[DenyReason::MalformedKey as usize] = "invalid_key";
    codes[DenyReason::UnknownKey as usize] = "invalid_key";
    codes[DenyReason::WrongStore as usize] = "invalid_key";
    codes
};

impl DenyReason {
    /// The first reason that is counted for a key: its secret was proved. Those before count for the registry.
    pub(crate) const FIRST_PROVED: usize = Self::RevokedKey as usize;

    /// All reasons, in the order of their numbers, which is that of the checks.
    pub const ALL: [Self; 13] = [
        Self::Internal,
        Self::KeyInUrl,
        Self::MissingKey,
        Self::MalformedKey,
        Self::UnknownKey,
        Self::RevokedKey,
        Self::DisabledKey,
        Self::ExpiredKey,
        Self::WrongStore,
        Self::UnmappedRoute,
        Self::InsufficientScope,
        Self::TestMode,
        Self::RateLimited,
    ];

    /// The reason's name for logs, such as `rate_limited`.
    #[must_use]
    pub fn name(self) -> &'static str {
        reason_name(self as u32).unwrap_or("internal")
    }

    /// What a client may be told of it, such as `rate_limited`: the `code` of [`Denial::body`], for hosts that write a body
    /// of their own. `invalid_key` stands for a malformed key, an unknown one and one of another store, which a client must
    /// not tell apart.
    ///
    /// ```
    /// assert_eq!(bpos::DenyReason::UnknownKey.code(), "invalid_key");
    /// assert_eq!(bpos::DenyReason::RevokedKey.code(), "revoked_key");
    /// ```
    #[must_use]
    pub fn code(self) -> &'static str {
        REASON_CODES.get(self as usize).copied().unwrap_or("internal")
    }

    /// The HTTP status: 401, 403, 429, or 500 for [`DenyReason::Internal`].
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::Internal => 500,
            Self::KeyInUrl
            | Self::MissingKey
            | Self::MalformedKey
            | Self::UnknownKey
            | Self::RevokedKey
            | Self::DisabledKey
            | Self::ExpiredKey
            | Self::WrongStore => 401,
            Self::UnmappedRoute | Self::InsufficientScope | Self::TestMode => 403,
            Self::RateLimited => 429,
        }
    }

    /// What the client is told in words: the `detail` of its problem body.
    fn detail(self) -> &'static str {
        match self {
            Self::Internal => "The request could not be authorized.",
            Self::KeyInUrl => {
                "An API key must not be sent in the URL. Send it in the X-API-Key header, and replace this key: it may \
                 have been logged."
            }
            Self::MissingKey => "Send an API key in the X-API-Key header.",
            Self::MalformedKey | Self::UnknownKey | Self::WrongStore => "The API key is not valid.",
            Self::RevokedKey => "The API key has been revoked.",
            Self::DisabledKey => "The API key is disabled.",
            Self::ExpiredKey => "The API key has expired.",
            Self::UnmappedRoute => "No scope grants access to this endpoint.",
            Self::InsufficientScope => "The API key lacks the scope that this endpoint needs.",
            Self::TestMode => "The API key is in test mode and can only read.",
            Self::RateLimited => "The API key's rate limit is used up.",
        }
    }
}

impl fmt::Display for DenyReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The name of a reason by its number; `None` for a number that is no reason's.
pub(crate) fn reason_name(reason: u32) -> Option<&'static str> {
    REASON_NAMES.get(usize::try_from(reason).ok()?).copied()
}

/// An admitted request: whose it is, and what is left of the key's limit.
#[derive(Debug, Clone, Copy)]
#[must_use]
pub struct Grant {
    pub(crate) decision: Decision,
}

/// A denied request: why, and the answer to give.
///
/// Whoever sends [`Denial::headers`] and [`Denial::body`] tells the client no more than it may know.
#[derive(Debug, Clone, Copy)]
#[must_use]
pub struct Denial {
    pub(crate) reason: DenyReason,
    pub(crate) decision: Decision,
    /// What it names to the client on a 403.
    pub(crate) scope_name: ScopeName,
}

/// What a decision found out on its way. Empty where it did not come so far.
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
    #[must_use]
    pub fn key_id(&self) -> &str {
        self.decision.key_id.as_str()
    }

    /// The store that the key belongs to.
    #[must_use]
    pub fn store(&self) -> &str {
        self.decision.store.as_str()
    }

    /// The scope that the operation needed.
    #[must_use]
    pub fn scope(&self) -> Option<Scope> {
        self.decision.scope
    }

    /// Whether the key is in test mode.
    #[must_use]
    pub fn test_mode(&self) -> bool {
        self.decision.test_mode
    }

    /// The key's limit: requests in any 60 seconds.
    #[must_use]
    pub fn limit(&self) -> u32 {
        self.decision.limit
    }

    /// How many more requests would be admitted now.
    #[must_use]
    pub fn remaining(&self) -> u32 {
        self.decision.remaining
    }

    /// Whole seconds, rounded up, until the oldest counted request leaves the window and one more is free.
    #[must_use]
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
    pub(crate) const fn of(reason: DenyReason) -> Self {
        Self { reason, decision: Decision::EMPTY, scope_name: ScopeName::EMPTY }
    }

    /// The HTTP status: 401, 403, 429 or 500.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.reason.status()
    }

    /// Exactly why. For the host's logs; [`Denial::body`] says what the client may know.
    #[must_use]
    pub fn reason(&self) -> DenyReason {
        self.reason
    }

    /// What the client may be told: the `code` of the body. See [`DenyReason::code`].
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.reason.code()
    }

    /// The id of the key, for logs, if the client proved that it holds the secret.
    #[must_use]
    pub fn key_id(&self) -> Option<&str> {
        Some(self.decision.key_id.as_str()).filter(|id| !id.is_empty())
    }

    /// The store that the key belongs to, if the client proved that it holds the secret. Not for the client.
    #[must_use]
    pub fn store(&self) -> Option<&str> {
        Some(self.decision.store.as_str()).filter(|store| !store.is_empty())
    }

    /// The scope that the operation needed, if the decision came so far.
    #[must_use]
    pub fn required_scope(&self) -> Option<Scope> {
        self.decision.scope
    }

    /// Whether the key is in test mode.
    #[must_use]
    pub fn test_mode(&self) -> bool {
        self.decision.test_mode
    }

    /// The key's limit, requests in any 60 seconds, on 429; otherwise 0.
    #[must_use]
    pub fn limit(&self) -> u32 {
        self.decision.limit
    }

    /// Whole seconds, rounded up and at least 1, until a request will be admitted again; only on 429.
    #[must_use]
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
        match self.key_id() {
            Some(id) => write!(f, " (key {id})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Denial {}
