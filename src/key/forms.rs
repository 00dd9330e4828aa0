//! Keys as administrators see and describe them.

use crate::decision::{DENY_REASONS, DenyReason, REASON_NAMES};

use super::members::DEFAULT_RATE_LIMIT;

/// A key as administrators see it, without the secret or its digest.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyRecord {
    /// Its permanent id; safe to log.
    pub id: String,
    /// Its name, for people.
    pub name: String,
    /// Its one store.
    pub store: String,
    /// `bpos_` and the first four characters of the secret, to tell keys apart.
    pub hint: Option<String>,
    /// Its scopes, without what they include.
    pub scopes: Vec<String>,
    /// Requests in any 60 seconds.
    pub rate_limit: u32,
    /// When it expires, in milliseconds since 1970; `None` if never.
    pub expires_at: Option<i64>,
    /// Whether it can only read.
    pub test_mode: bool,
    /// Whether it is enabled.
    pub enabled: bool,
    /// When it was created, in milliseconds since 1970, if that is known.
    pub created_at: Option<i64>,
    /// When it was revoked, in milliseconds since 1970; `None` if it was not.
    pub revoked_at: Option<i64>,
    /// Until when the previous secret works too, in milliseconds since 1970.
    pub retiring_until: Option<i64>,
    /// How it was used in this process.
    pub usage: KeyUsage,
}

/// How a key was used since this process opened the registry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyUsage {
    /// When it was last admitted, in milliseconds since 1970.
    pub last_used_at: Option<i64>,
    /// How often it was admitted.
    pub allowed: u64,
    pub(crate) denied: [u64; DENY_REASONS],
}

impl KeyUsage {
    /// How often it was denied, by the name of the reason; only reasons that follow a proved secret.
    pub fn denied(&self) -> impl Iterator<Item = (&'static str, u64)> + Clone {
        REASON_NAMES.into_iter().zip(self.denied).skip(DenyReason::FIRST_PROVED)
    }
}

/// A new key: the form of the admin page.
///
/// ```
/// use bpos::KeySpec;
///
/// let spec = KeySpec::new("Website Sync", "yourstore", ["products:read"]).rate_limit(120).test_mode(true);
/// assert_ne!(spec, spec.clone().expires_at(1_798_761_600_000));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySpec {
    pub(crate) name: String,
    pub(crate) store: String,
    pub(crate) scopes: Vec<String>,
    pub(crate) rate_limit: u32,
    pub(crate) expires_at: Option<i64>,
    pub(crate) test_mode: bool,
}

impl KeySpec {
    /// A key with a name (1 to 200 bytes), its store (1 to 63 bytes) and its scopes. By default it has 60 requests a
    /// minute, does not expire and is not in test mode.
    pub fn new<S: Into<String>>(
        name: impl Into<String>,
        store: impl Into<String>,
        scopes: impl IntoIterator<Item = S>,
    ) -> Self {
        Self {
            name: name.into(),
            store: store.into(),
            scopes: scopes.into_iter().map(Into::into).collect(),
            rate_limit: DEFAULT_RATE_LIMIT,
            expires_at: None,
            test_mode: false,
        }
    }

    /// Requests in any 60 seconds, 1 to 1000.
    #[must_use]
    pub fn rate_limit(self, rate_limit: u32) -> Self {
        Self { rate_limit, ..self }
    }

    /// When it expires, in milliseconds since 1970.
    #[must_use]
    pub fn expires_at(self, unix_ms: impl Into<Option<i64>>) -> Self {
        Self { expires_at: unix_ms.into(), ..self }
    }

    /// Whether it can only read.
    #[must_use]
    pub fn test_mode(self, test_mode: bool) -> Self {
        Self { test_mode, ..self }
    }
}

/// A change to a key. What is not set stays.
///
/// ```
/// use bpos::KeyPatch;
///
/// let patch = KeyPatch::new().name("Sync").scopes(["sales:read"]).rate_limit(30).expires_at(None).enabled(true);
/// assert_ne!(patch, KeyPatch::new().test_mode(false));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyPatch {
    pub(crate) name: Option<String>,
    pub(crate) scopes: Option<Vec<String>>,
    pub(crate) rate_limit: Option<u32>,
    pub(crate) expires_at: Option<Option<i64>>,
    pub(crate) test_mode: Option<bool>,
    pub(crate) enabled: Option<bool>,
}

impl KeyPatch {
    /// A patch that changes nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A new name.
    #[must_use]
    pub fn name(self, name: impl Into<String>) -> Self {
        Self { name: Some(name.into()), ..self }
    }

    /// New scopes, replacing all others.
    #[must_use]
    pub fn scopes<S: Into<String>>(self, scopes: impl IntoIterator<Item = S>) -> Self {
        Self { scopes: Some(scopes.into_iter().map(Into::into).collect()), ..self }
    }

    /// A new limit, 1 to 1000 requests in any 60 seconds.
    #[must_use]
    pub fn rate_limit(self, rate_limit: u32) -> Self {
        Self { rate_limit: Some(rate_limit), ..self }
    }

    /// A new expiry, in milliseconds since 1970; `None` for none.
    #[must_use]
    pub fn expires_at(self, unix_ms: Option<i64>) -> Self {
        Self { expires_at: Some(unix_ms), ..self }
    }

    /// Test mode on or off.
    #[must_use]
    pub fn test_mode(self, test_mode: bool) -> Self {
        Self { test_mode: Some(test_mode), ..self }
    }

    /// Enabled or disabled.
    #[must_use]
    pub fn enabled(self, enabled: bool) -> Self {
        Self { enabled: Some(enabled), ..self }
    }
}

/// A change to a key, from C.
#[cfg(feature = "ffi")]
pub(crate) enum KeyChange {
    Create(KeySpec),
    Update(String, KeyPatch),
    Rotate(String, u64),
    Revoke(String),
    Enable(String),
    Disable(String),
    Remove(String),
}
