//! What a change takes away from a key: in force before any file is waited for.

use crate::key::{OptionalTime, Record};
use crate::policy::ScopeSet;

/// What a change takes away from a key; nothing, where it says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Restriction {
    /// The scopes that are left, closed over what they include.
    scopes: Option<ScopeSet>,
    rate_limit: u16,
    expires_at: OptionalTime,
    revoked_at: OptionalTime,
    test_mode: bool,
    disabled: bool,
}

impl Restriction {
    const NOTHING: Self = Self {
        scopes: None,
        rate_limit: u16::MAX,
        expires_at: OptionalTime::NONE,
        revoked_at: OptionalTime::NONE,
        test_mode: false,
        disabled: false,
    };

    /// A revocation, being disabled, or both.
    pub(super) fn denial(revoked_at: OptionalTime, disabled: bool) -> Self {
        Self { revoked_at, disabled, ..Self::NOTHING }
    }

    pub(super) fn revokes(&self) -> bool {
        self.revoked_at.is_set()
    }

    pub(super) fn disables(&self) -> bool {
        self.disabled
    }

    /// A revocation, and nothing else.
    pub(super) fn all(revoked_at: OptionalTime) -> Self {
        Self { revoked_at, ..Self::NOTHING }
    }

    /// What one record grants and another of the same key does not; `None` if there is nothing. `close` adds to scopes what
    /// they include.
    pub(super) fn between(before: &Record, after: &Record, close: impl Fn(ScopeSet) -> ScopeSet) -> Option<Self> {
        let (had, has) = (close(before.details.scopes), close(after.details.scopes));
        let mut restriction = Self::NOTHING;
        if had.intersection(has) != had {
            restriction.scopes = Some(has);
        }
        if after.rate_limit < before.rate_limit {
            restriction.rate_limit = after.rate_limit;
        }
        if after.details.expires_at.or_never() < before.details.expires_at.or_never() {
            restriction.expires_at = after.details.expires_at;
        }
        if !before.details.revoked_at.is_set() {
            restriction.revoked_at = after.details.revoked_at;
        }
        restriction.test_mode = after.test_mode && !before.test_mode;
        restriction.disabled = before.enabled && !after.enabled;
        (restriction != Self::NOTHING).then_some(restriction)
    }

    /// Restricts a record.
    pub(super) fn apply_to(&self, record: &mut Record, close: impl Fn(ScopeSet) -> ScopeSet) {
        if let Some(left) = self.scopes
            && close(record.details.scopes).intersection(left) != close(record.details.scopes)
        {
            record.details.scopes = close(record.details.scopes).intersection(left);
        }
        record.rate_limit = record.rate_limit.min(self.rate_limit);
        if self.expires_at.or_never() < record.details.expires_at.or_never() {
            record.details.expires_at = self.expires_at;
        }
        record.details.revoked_at = record.details.revoked_at.or(self.revoked_at);
        record.test_mode |= self.test_mode;
        record.enabled &= !self.disabled;
    }
}
