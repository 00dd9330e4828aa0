//! A key's record: what the registry knows of a key except its usage.

use std::num::NonZeroU32;
use std::sync::Arc;

use super::api_key::{HINT_LEN, PREFIX};
use super::digest::Digest;
use crate::policy::ScopeSet;
use crate::text::{KeyId, Store};

/// A key's record with the digest that it is found by.
#[derive(Debug, Clone)]
pub(crate) struct KeyEntry {
    pub(crate) digest: Digest,
    pub(crate) record: Record,
}

impl KeyEntry {
    /// The digests by which the key is found: its own and a retiring secret's.
    pub(crate) fn digests(&self) -> impl Iterator<Item = &Digest> {
        self.record.digests(&self.digest)
    }
}

/// A key's record as the registry document has it: what a decision reads, and by a pointer the rest.
///
/// There may be millions, so it is small; a table has it where a decision finds it.
#[derive(Debug, Clone)]
#[repr(C)]
pub(crate) struct Record {
    pub(crate) rate_limit: u16,
    pub(crate) test_mode: bool,
    pub(crate) enabled: bool,
    /// Its place in the document, once it is in a table.
    pub(crate) position: u32,
    pub(crate) id: KeyId,
    /// Shared by the keys of a store.
    pub(crate) store: Arc<Store>,
    pub(crate) details: Box<Details>,
}

/// What only administrators read of a record.
#[derive(Debug, Clone)]
pub(crate) struct Details {
    pub(crate) name: Box<str>,
    pub(crate) hint: Option<Hint>,
    /// As given, without what they include.
    pub(crate) scopes: ScopeSet,
    pub(crate) expires_at: OptionalTime,
    pub(crate) created_at: OptionalTime,
    pub(crate) revoked_at: OptionalTime,
    pub(crate) retiring: Option<Box<Retiring>>,
}

#[cfg(target_pointer_width = "64")]
const _: () = assert!(size_of::<Record>() == 56 && size_of::<Details>() == 64);

impl Record {
    /// The digests by which a key is found: `current`, and a retiring secret's.
    pub(crate) fn digests<'a>(&'a self, current: &'a Digest) -> impl Iterator<Item = &'a Digest> {
        std::iter::once(current).chain(self.details.retiring.as_deref().map(|retiring| &retiring.digest))
    }
}

/// A time in milliseconds since 1970, or none, in eight bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OptionalTime(i64);

impl OptionalTime {
    pub(crate) const NONE: Self = Self(i64::MAX);

    pub(crate) fn get(self) -> Option<i64> {
        (self != Self::NONE).then_some(self.0)
    }

    /// The time; the end of time for none.
    pub(crate) fn or_never(self) -> i64 {
        self.0
    }

    pub(crate) fn is_set(self) -> bool {
        self != Self::NONE
    }

    pub(crate) fn or(self, other: Self) -> Self {
        if self.is_set() { self } else { other }
    }
}

impl From<Option<i64>> for OptionalTime {
    fn from(unix_ms: Option<i64>) -> Self {
        unix_ms.map_or(Self::NONE, Self)
    }
}

/// A secret that a rotation replaced: it works until its grace period ends.
#[derive(Debug, Clone)]
pub(crate) struct Retiring {
    pub(crate) digest: Digest,
    pub(crate) until: i64,
}

/// The first characters of a secret, to tell keys apart: letters and digits, so never all zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hint(NonZeroU32);

impl Hint {
    pub(crate) fn of(shown: [u8; HINT_LEN]) -> Option<Self> {
        let plain = shown.iter().all(u8::is_ascii_alphanumeric);
        NonZeroU32::new(u32::from_be_bytes(shown)).filter(|_| plain).map(Self)
    }

    pub(crate) fn text(self) -> String {
        PREFIX.iter().chain(&self.0.get().to_be_bytes()).map(|byte| char::from(*byte)).collect()
    }
}
