//! A key's record: everything the registry knows of a key but its digest; and how a host sees and describes one.

use std::num::NonZeroU32;
use std::sync::Arc;

use crate::decision::{DENY_REASONS, REASON_NAMES};
use crate::error::{Error, ErrorKind};
use crate::key::{Digest, EXCERPT, HINT_LEN, PREFIX, excerpt};
use crate::scope::ScopeSet;
use crate::text::{KeyId, Store};
use crate::usage::FIRST_PROVED;

/// The longest name, in bytes.
pub(crate) const MAX_NAME: usize = 200;
/// Requests in any 60 seconds that a key may have.
pub(crate) const RATE_LIMIT: std::ops::RangeInclusive<u32> = 1..=1_000;
/// The limit of a record that states none.
pub(crate) const DEFAULT_RATE_LIMIT: u32 = 60;

/// A key, as those who manage keys see it. Holds neither the secret nor its digest.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyRecord {
    /// Names the key for good; safe to log.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// The one store that it is for.
    pub store: String,
    /// `bpos_` and the first four characters of the secret, by which people tell keys apart.
    pub hint: Option<String>,
    /// The scopes it was given, without what they include.
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
    /// Until when the secret before the last rotation works too, in milliseconds since 1970.
    pub retiring_until: Option<i64>,
    /// What it was used for, in this process.
    pub usage: KeyUsage,
}

impl KeyRecord {
    /// The record as a JSON object; dates are RFC 3339.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Format`] if it cannot be written as JSON, which none is known to cause.
    pub fn to_json(&self) -> Result<Vec<u8>, Error> {
        crate::document::write_record(self)
    }

    /// Records as a JSON array.
    ///
    /// # Errors
    ///
    /// As [`KeyRecord::to_json`].
    pub fn list_to_json(records: &[Self]) -> Result<Vec<u8>, Error> {
        crate::document::write_records(records)
    }
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
    /// How often it was denied, by reason, each with its name: the reasons that a proved secret can have.
    pub fn denied(&self) -> impl Iterator<Item = (&'static str, u64)> + Clone {
        REASON_NAMES.into_iter().zip(self.denied).skip(FIRST_PROVED)
    }
}

/// What a new key is to be: the form of the admin page.
///
/// ```
/// let spec = bpos::KeySpec::new("Website Sync", "yourstore", ["products:read"]).rate_limit(120);
/// # let _ = spec;
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
    /// A key with a name (1 to 200 bytes, for people), its one store (1 to 63 bytes) and its scopes. It has 60 requests
    /// a minute, does not expire and is not in test mode, unless more is said.
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

    /// Reads a spec from JSON: `name`, `store` and `scopes`, and if wanted `rate_limit`, `expires_at` and `test_mode`,
    /// as the registry document has them.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Format`], with the line and column.
    pub fn from_json(json: &[u8]) -> Result<Self, Error> {
        crate::document::parse_spec(json, None)
    }
}

/// What is to change of a key. Nothing does unless it is said.
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

    /// Another name.
    #[must_use]
    pub fn name(self, name: impl Into<String>) -> Self {
        Self { name: Some(name.into()), ..self }
    }

    /// Other scopes, in the place of all it had.
    #[must_use]
    pub fn scopes<S: Into<String>>(self, scopes: impl IntoIterator<Item = S>) -> Self {
        Self { scopes: Some(scopes.into_iter().map(Into::into).collect()), ..self }
    }

    /// Another limit, 1 to 1000 requests in any 60 seconds.
    #[must_use]
    pub fn rate_limit(self, rate_limit: u32) -> Self {
        Self { rate_limit: Some(rate_limit), ..self }
    }

    /// Another expiry, in milliseconds since 1970; `None` for none.
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

    /// Reads a patch from JSON: an object with the members to change, `name`, `scopes`, `rate_limit`, `expires_at`
    /// (`null` for none), `test_mode` and `enabled`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Format`], with the line and column.
    pub fn from_json(json: &[u8]) -> Result<Self, Error> {
        crate::document::parse_patch(json, None)
    }
}

/// A key's record as the registry document has it.
///
/// There may be millions, so it is kept small; and what a decision reads stands together, first, in as few cache lines as
/// can be.
#[derive(Debug, Clone)]
#[repr(C)]
pub(crate) struct Record {
    pub(crate) revoked_at: Date,
    /// Shared by the keys of a store.
    pub(crate) store: Arc<Store>,
    pub(crate) id: KeyId,
    pub(crate) rate_limit: u16,
    pub(crate) test_mode: bool,
    pub(crate) enabled: bool,
    pub(crate) hint: Option<Hint>,
    pub(crate) name: Box<str>,
    /// As given, not closed over what they include.
    pub(crate) scopes: ScopeSet,
    pub(crate) expires_at: Date,
    pub(crate) created_at: Date,
    pub(crate) retiring: Option<Box<Retiring>>,
}

#[cfg(target_pointer_width = "64")]
const _: () = assert!(size_of::<Record>() == 104);

impl Record {
    /// The digests by which a key is found whose current secret has this one: that, and a retiring secret's.
    pub(crate) fn digests<'a>(&'a self, current: &'a Digest) -> impl Iterator<Item = &'a Digest> {
        std::iter::once(current).chain(self.retiring.as_deref().map(|retiring| &retiring.digest))
    }
}

/// A time in milliseconds since 1970, or none, in the room of the time alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Date(i64);

impl Date {
    pub(crate) const NONE: Self = Self(i64::MAX);

    pub(crate) fn get(self) -> Option<i64> {
        (self != Self::NONE).then_some(self.0)
    }

    /// The time, which for none never comes.
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

impl From<Option<i64>> for Date {
    fn from(unix_ms: Option<i64>) -> Self {
        unix_ms.map_or(Self::NONE, Self)
    }
}

/// A secret that a rotation replaced: it works until its end of grace.
#[derive(Debug, Clone)]
pub(crate) struct Retiring {
    pub(crate) digest: Digest,
    pub(crate) until: i64,
}

/// What a change takes away from a key; nothing, where it says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Taken {
    /// The scopes that are left, closed over what they include.
    scopes: Option<ScopeSet>,
    rate_limit: u16,
    expires_at: Date,
    revoked_at: Date,
    test_mode: bool,
    disabled: bool,
}

impl Taken {
    const NOTHING: Self = Self {
        scopes: None,
        rate_limit: u16::MAX,
        expires_at: Date::NONE,
        revoked_at: Date::NONE,
        test_mode: false,
        disabled: false,
    };

    /// A revocation, and nothing else.
    pub(crate) fn all(revoked_at: Date) -> Self {
        Self { revoked_at, ..Self::NOTHING }
    }

    /// What one record grants and another of the same key does not; `None` if there is nothing. `close` adds to scopes what
    /// they include.
    pub(crate) fn between(before: &Record, after: &Record, close: impl Fn(ScopeSet) -> ScopeSet) -> Option<Self> {
        let (had, has) = (close(before.scopes), close(after.scopes));
        let mut taken = Self::NOTHING;
        if had.intersection(has) != had {
            taken.scopes = Some(has);
        }
        if after.rate_limit < before.rate_limit {
            taken.rate_limit = after.rate_limit;
        }
        if after.expires_at.or_never() < before.expires_at.or_never() {
            taken.expires_at = after.expires_at;
        }
        if !before.revoked_at.is_set() {
            taken.revoked_at = after.revoked_at;
        }
        taken.test_mode = after.test_mode && !before.test_mode;
        taken.disabled = before.enabled && !after.enabled;
        (taken != Self::NOTHING).then_some(taken)
    }

    /// Takes it from a record.
    pub(crate) fn take_from(&self, record: &mut Record, close: impl Fn(ScopeSet) -> ScopeSet) {
        if let Some(left) = self.scopes
            && close(record.scopes).intersection(left) != close(record.scopes)
        {
            record.scopes = close(record.scopes).intersection(left);
        }
        record.rate_limit = record.rate_limit.min(self.rate_limit);
        if self.expires_at.or_never() < record.expires_at.or_never() {
            record.expires_at = self.expires_at;
        }
        record.revoked_at = record.revoked_at.or(self.revoked_at);
        record.test_mode |= self.test_mode;
        record.enabled &= !self.disabled;
    }
}

/// The first characters of a secret, by which people tell keys apart. They are letters and digits, so never all zero.
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

/// Reads `bpos_` and four letters or digits.
pub(crate) fn parse_hint(text: &str) -> Result<Hint, Error> {
    text.as_bytes()
        .strip_prefix(PREFIX)
        .and_then(|shown| Hint::of(shown.try_into().ok()?))
        .ok_or_else(|| expected("\"bpos_\" and the first 4 letters or digits of the secret", text))
}

/// Reads a key's id: it is written to logs, so it is plain, and it must not be a key by mistake.
pub(crate) fn parse_id(text: &str) -> Result<KeyId, Error> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b':');
    let sound = !text.is_empty() && text.bytes().all(plain) && !text.as_bytes().starts_with(PREFIX);
    KeyId::new(text)
        .filter(|_| sound && !holds_key(text))
        .ok_or_else(|| expected("1 to 31 letters, digits or any of \"_-.:\", not beginning with \"bpos_\"", text))
}

/// Reads a key's name: for people, so nothing in it may confuse a terminal or a log.
pub(crate) fn parse_name(text: &str) -> Result<Box<str>, Error> {
    if text.is_empty() || text.len() > MAX_NAME || text.contains(is_control) {
        return Err(expected("1 to 200 bytes without control characters", text));
    }
    refuse_key(text, "name")?;
    Ok(text.into())
}

/// Reads a store's name.
pub(crate) fn parse_store(text: &str) -> Result<Store, Error> {
    let store = Store::new(text)
        .filter(|_| !text.is_empty() && !text.contains(is_control))
        .ok_or_else(|| expected("1 to 63 bytes without control characters", text))?;
    refuse_key(text, "store")?;
    Ok(store)
}

/// Refuses an API key where a label belongs: names and stores are stored, listed and exported in plain text.
fn refuse_key(text: &str, what: &str) -> Result<(), Error> {
    if !holds_key(text) {
        return Ok(());
    }
    let what = format!("a {what}, which is stored in plain text, not an API key: if this is a key in use, replace it");
    Err(expected(&what, text))
}

fn holds_key(text: &str) -> bool {
    // Every key has one of these, and few texts do: a document can hold millions.
    text.contains(['_', '%']) && crate::key::redact(text).1 > 0
}

/// Checks an expiry that did not come from a document: it must have a date that a document can hold.
pub(crate) fn check_expiry(unix_ms: i64) -> Result<i64, Error> {
    const YEARS_0_TO_9999: std::ops::RangeInclusive<i64> = -62_167_219_200_000..=253_402_300_799_999;
    let found =
        || Error::new(ErrorKind::Format, format!("expires_at: expected a year from 0 to 9999; found {unix_ms} ms"));
    Some(unix_ms).filter(|unix_ms| YEARS_0_TO_9999.contains(unix_ms)).ok_or_else(found)
}

/// Checks a limit that did not come from a document.
pub(crate) fn check_rate_limit(limit: u32) -> Result<u16, Error> {
    let found = || Error::new(ErrorKind::Format, format!("rate_limit: expected 1 to 1000; found {limit}"));
    u16::try_from(limit).ok().filter(|_| RATE_LIMIT.contains(&limit)).ok_or_else(found)
}

/// Characters that move the cursor, break lines or turn the direction of writing.
fn is_control(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{061C}' | '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// The text is escaped and cut, and a key in it masked: it may be anything.
fn expected(what: &str, found: &str) -> Error {
    let shown = excerpt(found);
    let more = if found.chars().nth(EXCERPT).is_some() { " and more" } else { "" };
    Error::new(ErrorKind::Format, format!("expected {what}; found {shown:?}{more}"))
}
